# SPDX-License-Identifier: Apache-2.0
"""Which commands change keys, applications, files or profiles, and which do no more than read."""

from collections.abc import Sequence
from typing import Final

from wsrc.guard.commands import (
    GET_RESPONSE,
    MANAGE_CHANNEL,
    MORE_BLOCKS,
    PRESENTATIONS,
    PSEUDO,
    SELECT,
    STORE_DATA,
    Seen,
)

MANAGEMENT: Final = frozenset({0x46, 0xD8, 0xE4, 0xE6, 0xE8, 0xF0, 0xFE, 0xE0})
"""
GENERATE KEY PAIR, PUT KEY, DELETE, INSTALL, LOAD, SET STATUS, TERMINATE CARD USAGE, CREATE FILE.

GlobalPlatform clause 11, ISO/IEC 7816-9 and ETSI TS 102 222 have DELETE FILE, TERMINATE DF and
TERMINATE EF under E4, E6 and E8; a card that takes them in any class is guarded in all.
"""

PUT_DATA: Final = 0xDA
_KEY_IMPORT: Final = (0x3F, 0xFF)
"""P1 and P2 of the PUT DATA that imports a key (OpenPGP card 3.4 clause 4.4.3.12)."""

_DESTRUCTIVE: Final = (b"\xbf\x33", b"\xbf\x34", b"\xbf\x64")
"""ES10c.DeleteProfile and eUICCMemoryReset (SGP.22 clause 5.7), and that of SGP.32."""

_TOLD_BY_ISD_R: Final = tuple(
    bytes.fromhex(tag) for tag in ("bf20", "bf22", "bf28", "bf2b", "bf2d", "bf3c", "bf3e", "bf43")
)
"""
What STORE DATA asks an ISD-R for (SGP.22 clause 5.7): GetEuiccInfo1 and 2, ListNotification,
RetrieveNotificationsList, GetProfilesInfo, GetEuiccConfiguredAddresses, GetEuiccData, GetRat.
"""

_READS: Final = {
    0x00: frozenset(
        {SELECT, GET_RESPONSE, MANAGE_CHANNEL, 0x78, 0x84, 0xA2, 0xB0, 0xB2, 0xCA, 0xF2}
    ),
    0x80: frozenset({0xAA, 0x84, 0xCA, 0xF2}),
    0xA0: frozenset({SELECT, GET_RESPONSE, 0xA2, 0xB0, 0xB2, 0xF2}),
    PSEUDO: frozenset({GET_RESPONSE, 0xB0, 0xCA}),
}
"""
By class: SELECT, GET RESPONSE, MANAGE CHANNEL, GET IDENTITY, GET CHALLENGE, SEARCH, READ BINARY and
RECORD, GET and RETRIEVE DATA, STATUS, TERMINAL CAPABILITY.
"""

_READER: Final = frozenset({GET_RESPONSE, SELECT, 0x82, 0x86, 0x88, 0xB0, 0xCA, 0xD6})
"""
Commands of class FF that do what PC/SC part 3 clause 3.2.2 says, and hide no other: GET DATA, LOAD
KEYS, AUTHENTICATE, READ and UPDATE BINARY; and the choice of a memory card's kind.
"""


def manages_keys(seen: Seen, readings: Sequence[bytes]) -> bool:
    """Return whether a command may load, replace or delete what a card has."""
    if seen.cla == PSEUDO:
        return False
    if seen.ins == STORE_DATA:
        return any(each.startswith(_DESTRUCTIVE) for each in readings)
    imports = seen.ins == PUT_DATA and (seen.p1, seen.p2) == _KEY_IMPORT
    return imports or seen.ins in MANAGEMENT


def only_reads(seen: Seen, readings: Sequence[bytes]) -> bool:
    """Return whether a command selects or reads, and changes nothing that outlives a reset."""
    if seen.ins == STORE_DATA and seen.base == 0x80:
        whole = seen.p1 & MORE_BLOCKS and not seen.more
        return bool(whole) and all(each.startswith(_TOLD_BY_ISD_R) for each in readings)
    if seen.ins in PRESENTATIONS and seen.cla != PSEUDO:
        return seen.secret is None
    return seen.ins in _READS[seen.base]


def passes_reader(seen: Seen) -> bool:
    """Return whether a command is no command of the reader, or one that hides none for a card."""
    return seen.cla != PSEUDO or seen.ins in _READER or seen.ins in PRESENTATIONS
