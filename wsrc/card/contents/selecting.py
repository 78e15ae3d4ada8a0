# SPDX-License-Identifier: Apache-2.0
"""SELECT by names that people know, or by what they type of a file or an AID; without I/O."""

from collections.abc import Generator
from typing import Final

from wsrc.card.apdu import Command, Response
from wsrc.card.contents.catalogue import CATALOGUE, GSM, MF, TELECOM, USIM, Records, Transparent
from wsrc.card.identify import ECASD_AID, ISD_R_AIDS

_USIM_AID: Final = bytes.fromhex("a0000000871002")

APPLICATIONS: Final = {
    "usim": _USIM_AID,
    "isim": bytes.fromhex("a0000000871004"),
    "csim": bytes.fromhex("a0000003431002"),
    "isd-r": ISD_R_AIDS[0],
    "ecasd": ECASD_AID,
    "isd": bytes.fromhex("a000000151000000"),
    "ara-m": bytes.fromhex("a00000015141434c00"),
    "piv": bytes.fromhex("a000000308"),
    "openpgp": bytes.fromhex("d27600012401"),
}
"""AIDs, or their beginnings, by name (TS 101 220 annex E, SGP.02 annex H, GlobalPlatform)."""

DIRECTORIES: Final = {"mf": MF, "telecom": TELECOM, "gsm": GSM}

FILES: Final = {
    name: entry.source
    for name, entry in CATALOGUE.items()
    if isinstance(entry.source, Transparent | Records)
}

NAMES: Final = (*APPLICATIONS, *DIRECTORIES, *FILES)
"""What can be selected by name."""

_FIRST: Final = (0x3F, 0x7F)
"""First octets of paths from the MF (ETSI TS 102 221 clause 8.4.2)."""


def select(text: str) -> Generator[Command, Response, Response]:
    """
    Select a file or an application; the result is the answer to the last command.

    Args:
        text: One of `NAMES`, a file identifier, a path from the MF, or an AID. Where a card knows
            class A0 alone, it is given that (3GPP TS 51.011 clause 9.2.1).

    Raises:
        ValueError: If it is none of these.
    """
    name = text.lower()
    if name in APPLICATIONS:
        return (yield from _application(APPLICATIONS[name]))
    if name in DIRECTORIES:
        return (yield from _path((MF,) if name == "mf" else (MF, DIRECTORIES[name])))
    if name in FILES:
        return (yield from _file(FILES[name]))
    octets = _octets(text)
    if octets[0] in _FIRST and len(octets) > 2 and not len(octets) % 2:
        return (yield from _path(tuple(octets[i : i + 2] for i in range(0, len(octets), 2))))
    if len(octets) == 2:
        return (yield from _by_id(octets))
    if 5 <= len(octets) <= 16:
        return (yield from _application(octets))
    raise ValueError(_WHAT)


_WHAT: Final = (
    f"what is selected is one of {', '.join(NAMES)}, a file identifier of 2 octets, a path of "
    "several, or an AID of 5 to 16 octets"
)


def _octets(text: str) -> bytes:
    try:
        octets = bytes.fromhex(text)
    except ValueError as exc:
        raise ValueError(_WHAT) from exc
    if not octets:
        raise ValueError(_WHAT)
    return octets


def _application(aid: bytes) -> Generator[Command, Response, Response]:
    """Ask for the FCP template of a USIM, and for whatever other applications give."""
    p2 = 0x04 if aid.startswith(_USIM_AID[:5]) else 0x00
    return (yield Command(0x00, 0xA4, 0x04, p2, aid, ne=256))


def _file(source: Transparent | Records) -> Generator[Command, Response, Response]:
    if source.directory == USIM:
        entered = yield from _application(_USIM_AID)
        if entered.sw in {0x6E00, 0x6D00} and source.sim is not None:
            entered = yield from _path((MF, source.sim))
    else:
        entered = yield from _path((source.directory,))
    if not entered.ok:
        return entered
    return (yield from _by_id(source.file_id.to_bytes(2)))


def _path(ids: tuple[bytes, ...]) -> Generator[Command, Response, Response]:
    """Select each in turn, from the MF."""
    if ids[0] != MF:
        ids = (MF, *ids)
    answer = Response(b"", 0x9000)
    for each in ids:
        answer = yield from _by_id(each)
        if not (answer.ok or answer.sw >> 8 == 0x62):
            break
    return answer


def _by_id(file_id: bytes) -> Generator[Command, Response, Response]:
    answer = yield Command(0x00, 0xA4, 0x00, 0x04, file_id, ne=256)
    if answer.sw in {0x6E00, 0x6D00}:
        answer = yield Command(0xA0, 0xA4, 0x00, 0x00, file_id, ne=256)
    return answer
