# SPDX-License-Identifier: Apache-2.0
"""Which commands ask a card who it is: a generator of APDUs, without I/O."""

from collections.abc import Generator, MutableMapping, Sequence

import msgspec

from wsrc.card.apdu import Command, Response, on_channel
from wsrc.card.identity import (
    ICCID_OCTETS,
    Identities,
    eid_from_ecasd,
    eid_from_response,
    iccid_from_ef,
)

ECASD_AID = bytes.fromhex("a0000005591010ffffffff8900000200")
"""SGP.02 annex H."""

ISD_R_MAKERS: dict[bytes, str] = {
    bytes.fromhex(aid): maker
    for aid, maker in (
        ("a0000005591010ffffffff8900000100", "SGP.22, SGP.32"),
        ("a0000005591010ffffffff8900050500", "5ber"),
        ("a0000005591010000000008900000300", "eSIM.me"),
        ("a0000005591010ffffffff8900000177", "XeSIM"),
        ("a000000559104c696e6b736669656c64", "LinksField"),
        ("a06573746b6d65ffff4953442d522030", "eSTK.me SE0"),
        ("a06573746b6d65ffff4953442d522031", "eSTK.me SE1"),
        ("a06573746b6d65ffffffff4953442d52", "eSTK.me, older"),
    )
}
"""Applications that answer GetEuiccData, and whose they are; the standard one first."""

ISD_R_AIDS: tuple[bytes, ...] = tuple(ISD_R_MAKERS)

Absent = MutableMapping[str, frozenset[bytes]]
"""Applications that a card does not have, by each of its EIDs."""

_GET_EID = bytes.fromhex("bf3e035c015a")
_MF, _EF_ICCID = bytes.fromhex("3f00"), bytes.fromhex("2fe2")

Questions = Generator[Command, Response, "Identified"]
_Ask = Generator[Command, Response, Response]


class Identified(msgspec.Struct, frozen=True):
    """The result; `moved` tells that the basic channel was used, so that a reset must follow."""

    identities: Identities
    moved: bool


def identify(
    isd_r_aids: Sequence[bytes] = ISD_R_AIDS,
    eids: Sequence[str] | None = None,
    absent: Absent | None = None,
) -> Questions:
    """
    Ask a card for its ICCID and EIDs; nothing is verified and nothing is written.

    A supplementary logical channel keeps the basic one untouched (ETSI TS 102 221
    clause 11.1.17). A card that opens none is asked on the basic channel.

    Args:
        isd_r_aids: Applications that may know an EID.
        eids: Those that the card is known to have, none included; None asks for them.
        absent: What cards with its ATR are known not to have, which is not asked for, and to which
            is added what is found.
    """
    channel = yield from _open()
    iccid = yield from _iccid(channel)
    if eids is None:
        eids = yield from _eids(channel, isd_r_aids, {} if absent is None else absent)
    if channel:
        yield Command(0x00, 0x70, 0x80, channel)
    return Identified(Identities(iccid, tuple(eids)), moved=not channel)


def identify_again() -> Generator[Command, Response, str | None]:
    """
    Ask for the ICCID alone, which a profile switch changes; the EIDs of a card stay.

    Returns None also where the card opens no logical channel to ask on.
    """
    channel = yield from _open()
    if not channel:
        return None
    iccid = yield from _iccid(channel)
    yield Command(0x00, 0x70, 0x80, channel)
    return iccid


def _open() -> Generator[Command, Response, int]:
    """Open a supplementary channel; 0 where the card opens none."""
    opened = yield Command(0x00, 0x70, 0, 0, ne=1)
    channel = opened.data[0] if opened.sw == 0x9000 and len(opened.data) == 1 else 0
    return channel if channel <= 19 else 0


def _iccid(channel: int) -> Generator[Command, Response, str | None]:
    cla = on_channel(0x00, channel)
    selected = yield from _select_file(cla, _MF)
    if selected.sw in {0x6E00, 0x6D00} and not channel:
        cla = 0xA0
        selected = yield Command(cla, 0xA4, 0, 0, _MF)
    if not _usable(selected):
        return None
    if cla == 0xA0:
        selected = yield Command(cla, 0xA4, 0, 0, _EF_ICCID)
    else:
        selected = yield from _select_file(cla, _EF_ICCID)
    if not _usable(selected):
        return None
    read = yield Command(cla, 0xB0, 0, 0, ne=ICCID_OCTETS)
    return iccid_from_ef(read.data) if len(read.data) >= ICCID_OCTETS else None


def _select_file(cla: int, file_id: bytes) -> _Ask:
    """SELECT by file identifier, without FCP where the card knows that form."""
    selected = yield Command(cla, 0xA4, 0x00, 0x0C, file_id)
    if selected.sw in {0x6A86, 0x6B00}:
        selected = yield Command(cla, 0xA4, 0x00, 0x04, file_id, ne=256)
    return selected


def _eids(
    channel: int, isd_r_aids: Sequence[bytes], absent: Absent
) -> Generator[Command, Response, list[str]]:
    eids: list[str] = []
    refused: set[bytes] = set()
    for aid in isd_r_aids:
        if any(aid in absent.get(eid, ()) for eid in eids):
            continue
        selected = yield from _select_aid(channel, aid)
        if not _usable(selected):
            refused.add(aid)
            continue
        store = on_channel(0x80, channel)
        answer = yield Command(store, 0xE2, 0x91, 0x00, _GET_EID, ne=256)
        eid = eid_from_response(answer.data)
        if eid is not None and eid not in eids:
            eids.append(eid)
    for eid in eids:
        absent[eid] = absent.get(eid, frozenset()) | refused
    if not eids:
        eids.extend((yield from _ecasd(channel)))
    return eids


def _ecasd(channel: int) -> Generator[Command, Response, list[str]]:
    selected = yield from _select_aid(channel, ECASD_AID)
    if not _usable(selected):
        return []
    answer = yield Command(on_channel(0x80, channel), 0xCA, 0x00, 0x5A, ne=256)
    eid = eid_from_ecasd(answer.data)
    return [eid] if eid is not None else []


def _select_aid(channel: int, aid: bytes) -> _Ask:
    return (yield Command(on_channel(0x00, channel), 0xA4, 0x04, 0x00, aid, ne=256))


def _usable(selected: Response) -> bool:
    return selected.ok or selected.sw >> 8 in {0x62, 0x63}
