# SPDX-License-Identifier: Apache-2.0
"""Which commands carry a PIN or a key, and which are answered with one."""

from typing import Final

from wsrc.guard.commands import ENVELOPE, PSEUDO, STORE_DATA, Seen
from wsrc.guard.profiles import PUT_DATA

_AUTHENTICATE: Final = 0x88
"""Answered with RES, CK, IK, Kc (ETSI TS 102 221 clause 11.1.16, 3GPP TS 51.011 clause 9.2.16)."""

_PUT_KEY: Final = 0xD8
_SECURITY_OPERATION: Final = 0x2A
_PLAIN: Final = 0x80
"""P1 of PERFORM SECURITY OPERATION that is answered with a plain value (ISO/IEC 7816-8)."""

_OF_READER: Final = frozenset({0xA4, 0xB0, 0xC0, 0xCA})
"""Commands of class FF that do what PC/SC part 3 says, and carry nothing secret."""

_WRITTEN: Final = frozenset({0x0E, 0xD0, 0xD2, 0xD6, 0xDC})
_READ: Final = frozenset({0xA2, 0xB0, 0xB2})
_BINARY: Final = frozenset({0x0E, 0xB0, 0xD0, 0xD6})
"""ISO/IEC 7816-4 clauses 7.2 and 7.3: what writes, what reads, and what of these has a short file
identifier in P1; others have it in P2."""

KEY_FILES: Final = frozenset(
    number.to_bytes(2)
    for number in (0x6F08, 0x6F09, 0x6F20, 0x6FE4, 0x4F20, 0x4F52, 0x4F05, 0x4F0A, 0x4F0B)
)
"""
EF.Keys, KeysPS, Kc, EPSNSC, Kc and KcGPRS of DF.GSM-ACCESS, and the keys and contexts of 5GS (3GPP
TS 31.102 clauses 4.2 and 4.4, TS 51.011 clause 10.3.3). Test cards have their own keys under 6F20.
"""

_KEYS_BY_SFI: Final = frozenset({0x05, 0x08, 0x09, 0x18, 0x1F})
"""Where these files are read by a short identifier; in other directories that is another file."""

_ES10: Final = 0xBF
"""First octet of the tags that SGP.22 clause 5.7 gives an ISD-R in STORE DATA."""

_PREPARE_DOWNLOAD: Final = b"\xbf\x21"
"""Has the hash of a confirmation code (SGP.22 clause 5.7.5)."""


def in_command(seen: Seen, *, goes_on: bool = False, file: bytes = b"") -> bool:
    """
    Return whether the data of a command may be a PIN or a key, or the beginning or the end of one.

    Args:
        seen: The command.
        goes_on: Whether what STORE DATA began before, and this goes on with, was none.
        file: Which file was selected last on its channel, if that is known.
    """
    if seen.empty:
        return False
    if seen.cla == PSEUDO:
        return seen.ins not in _OF_READER
    if seen.secret is not None or seen.ins in {_PUT_KEY, PUT_DATA}:
        return True
    if seen.ins == STORE_DATA:
        return not goes_on and not all(map(_is_es10, seen.readings))
    if seen.ins == ENVELOPE:
        return seen.base == 0x00 or not all(map(_is_toolkit, seen.readings))
    return seen.ins in _WRITTEN and _has_keys(seen, file)


def in_response(seen: Seen, *, file: bytes = b"") -> bool:
    """Return whether a command may be answered with a key; `file` as in `in_command`."""
    if seen.cla == PSEUDO:
        return seen.ins not in _OF_READER
    if seen.ins == _AUTHENTICATE:
        return True
    if seen.ins == _SECURITY_OPERATION:
        return seen.p1 == _PLAIN
    if seen.ins == ENVELOPE:
        return seen.base == 0x00
    return seen.ins in _READ and _has_keys(seen, file)


def _has_keys(seen: Seen, file: bytes) -> bool:
    in_p1 = seen.p1 & 0x1F if seen.p1 & 0xE0 == 0x80 else 0
    sfi = in_p1 if seen.ins in _BINARY else seen.p2 >> 3
    return sfi in _KEYS_BY_SFI if sfi else file in KEY_FILES


def _is_es10(data: bytes) -> bool:
    return data[:1] == bytes([_ES10]) and data[:2] != _PREPARE_DOWNLOAD


def _is_toolkit(data: bytes) -> bool:
    """Return whether data are one whole object of the toolkit (ETSI TS 101 220 clause 7.2)."""
    if len(data) < 2 or data[0] < 0xC0:
        return False
    size, head = data[1], 2
    if size > 0x80:
        head += size & 0x7F
        size = int.from_bytes(data[2:head])
    return len(data) == head + size
