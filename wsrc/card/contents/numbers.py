# SPDX-License-Identifier: Apache-2.0
"""Numbers on a card: IMSI, numbers that are dialled, networks; digits in swapped nibbles."""

from typing import Final

from wsrc.card.identity import swap_nibbles

_DIALLED: Final = str.maketrans("abcde", "*#p?e")
"""Extended BCD (3GPP TS 31.102 clause 4.4.2.3): p is a pause, ? any digit, e an expansion."""

_INTERNATIONAL: Final = 0x10
_TYPE: Final = 0x70
"""Type of number within its octet (3GPP TS 24.008 clause 10.5.4.7)."""


def imsi(octets: bytes) -> str | None:
    """
    Read EF.IMSI (3GPP TS 31.102 clause 4.2.2); None where it is empty.

    Raises:
        ValueError: If it holds no IMSI.
    """
    if not octets.rstrip(b"\xff"):
        return None
    digits = swap_nibbles(octets[1 : 1 + octets[0]])[1:].rstrip("f")
    if not (6 <= len(digits) <= 15 and digits.isdecimal()):
        raise ValueError("there is no IMSI in it")
    return digits


def dialled(octets: bytes) -> str | None:
    """
    Return a number for its octets after the length: type of number, then digits; None if empty.

    Raises:
        ValueError: If there is a filler between digits.
    """
    if not octets or octets[0] == 0xFF:
        return None
    digits = swap_nibbles(octets[1:]).rstrip("f")
    if "f" in digits:
        raise ValueError("there is a filler between its digits")
    plus = "+" if octets[0] & _TYPE == _INTERNATIONAL else ""
    return plus + digits.translate(_DIALLED) if digits else None


def digits_only(octets: bytes) -> str | None:
    """Return digits without a type of number, such as those of EF.ECC; None if there are none."""
    return swap_nibbles(octets).partition("f")[0].translate(_DIALLED) or None


def network(octets: bytes) -> str | None:
    """
    Return a PLMN of 3 octets as MCC-MNC (3GPP TS 24.008 clause 10.5.1.3); None where it is unused.

    Raises:
        ValueError: If it has other than decimal digits.
    """
    if octets == b"\xff\xff\xff":
        return None
    n = swap_nibbles(octets)
    mcc, mnc = n[0:2] + n[2], (n[4:6] + n[3]).rstrip("f")
    if len(octets) != 3 or not (mcc.isdecimal() and mnc.isdecimal() and len(mnc) >= 2):
        raise ValueError("there is no network in it")
    return f"{mcc}-{mnc}"
