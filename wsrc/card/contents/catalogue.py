# SPDX-License-Identifier: Apache-2.0
"""What can be read of a card by name: where it is, which clause says so, what it means."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from wsrc.card.contents import es10, files, numbers

MF, USIM, GSM, TELECOM = b"\x3f\x00", b"USIM", b"\x7f\x20", b"\x7f\x10"
"""Directories: the MF, the application, and DF.GSM and DF.TELECOM of a SIM."""


class Transparent(NamedTuple):
    """
    An EF that is read as a whole.

    `sim` is the directory that has it on a card which knows class A0 alone, None where that has
    none.
    """

    directory: bytes
    file_id: int
    decode: Callable[[bytes], Any]
    sim: bytes | None = None


class Records(NamedTuple):
    """An EF of records; `decode_sim` is set where a SIM has it as a transparent file."""

    directory: bytes
    file_id: int
    decode: Callable[[Sequence[bytes]], Any]
    sim: bytes | None = None
    decode_sim: Callable[[bytes], Any] | None = None


class Es10(NamedTuple):
    """A question to each ISD-R (SGP.22 clause 5.7.2)."""

    request: bytes
    decode: Callable[[bytes], Any]


class Pins(NamedTuple):
    """The state of the PINs, which is asked without spending a try."""


Source = Transparent | Records | Es10 | Pins


class Entry(NamedTuple):
    """Something that has a name; `clause` is of the standard that defines it."""

    sentence: str
    clause: str
    source: Source


def _usim(number: str) -> str:
    return f"3GPP TS 31.102 clause 4.2.{number}"


def _sgp22(number: str) -> str:
    return f"SGP.22 clause 5.7.{number}"


CATALOGUE: Final[dict[str, Entry]] = {
    "iccid": Entry(
        "ICCID of the card, or of its enabled profile",
        "ETSI TS 102 221 clause 13.2",
        Transparent(MF, 0x2FE2, files.iccid, MF),
    ),
    "dir": Entry(
        "applications on the card",
        "ETSI TS 102 221 clause 13.1",
        Records(MF, 0x2F00, files.applications),
    ),
    "pl": Entry(
        "preferred languages",
        "ETSI TS 102 221 clause 13.3",
        Transparent(MF, 0x2F05, files.languages),
    ),
    "pins": Entry(
        "PINs: enabled, verified, tries left",
        "ETSI TS 102 221 clauses 9.5.1, 11.1.9; 3GPP TS 51.011 clause 9.2.1",
        Pins(),
    ),
    "imsi": Entry("IMSI", _usim("2"), Transparent(USIM, 0x6F07, numbers.imsi, GSM)),
    "msisdn": Entry(
        "the subscriber's own numbers",
        _usim("26"),
        Records(USIM, 0x6F40, files.subscriber_numbers, TELECOM),
    ),
    "spn": Entry(
        "service provider name", _usim("12"), Transparent(USIM, 0x6F46, files.provider, GSM)
    ),
    "ad": Entry(
        "administrative data, with the digits of the MNC",
        _usim("18"),
        Transparent(USIM, 0x6FAD, files.administrative, GSM),
    ),
    "ust": Entry("services of the USIM", _usim("8"), Transparent(USIM, 0x6F38, files.services)),
    "acc": Entry(
        "access control classes", _usim("15"), Transparent(USIM, 0x6F78, files.access_classes, GSM)
    ),
    "hpplmn": Entry(
        "how often the home network is searched for",
        _usim("6"),
        Transparent(USIM, 0x6F31, files.search_period, GSM),
    ),
    "plmnwact": Entry(
        "networks that the user prefers", _usim("5"), Transparent(USIM, 0x6F60, files.selector, GSM)
    ),
    "oplmnwact": Entry(
        "networks that the operator prefers",
        _usim("53"),
        Transparent(USIM, 0x6F61, files.selector, GSM),
    ),
    "hplmnwact": Entry(
        "access technologies of the home network",
        _usim("54"),
        Transparent(USIM, 0x6F62, files.selector, GSM),
    ),
    "fplmn": Entry(
        "forbidden networks", _usim("16"), Transparent(USIM, 0x6F7B, files.networks, GSM)
    ),
    "loci": Entry("location", _usim("17"), Transparent(USIM, 0x6F7E, files.location, GSM)),
    "epsloci": Entry("location in EPS", _usim("91"), Transparent(USIM, 0x6FE3, files.eps_location)),
    "gid1": Entry(
        "group identifier, level 1", _usim("10"), Transparent(USIM, 0x6F3E, files.group, GSM)
    ),
    "gid2": Entry(
        "group identifier, level 2", _usim("11"), Transparent(USIM, 0x6F3F, files.group, GSM)
    ),
    "smsp": Entry(
        "parameters of short messages, with the service centre",
        _usim("27"),
        Records(USIM, 0x6F42, files.message_parameters, TELECOM),
    ),
    "ecc": Entry(
        "emergency numbers",
        _usim("21"),
        Records(USIM, 0x6FB7, files.emergency_numbers, GSM, files.emergency_numbers_gsm),
    ),
    "eid": Entry("EIDs", _sgp22("20"), Es10(bytes.fromhex("bf3e035c015a"), es10.eid)),
    "profiles": Entry(
        "profiles of the eUICC", _sgp22("15"), Es10(bytes.fromhex("bf2d00"), es10.profiles)
    ),
    "euicc_info1": Entry("EUICCInfo1", _sgp22("8"), Es10(bytes.fromhex("bf2000"), es10.info1)),
    "euicc_info2": Entry("EUICCInfo2", _sgp22("8"), Es10(bytes.fromhex("bf2200"), es10.info2)),
    "addresses": Entry(
        "addresses of SM-DP+ and SM-DS that the eUICC has",
        _sgp22("3"),
        Es10(bytes.fromhex("bf3c00"), es10.addresses),
    ),
}
"""What has a name, in the order in which it is shown."""
