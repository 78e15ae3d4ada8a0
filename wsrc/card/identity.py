# SPDX-License-Identifier: Apache-2.0
"""What a card is called: ICCID and EID, their coding, check digits and comparison."""

import re
import string
from collections.abc import Iterator

import msgspec

from wsrc.card import tlv

ICCID_OCTETS = 10
"""Size of EF.ICCID (ETSI TS 102 221 clause 13.2)."""

EID_OCTETS = 16
"""Size of an EID (SGP.29)."""

_ICCID = re.compile("[0-9a-e]{18,20}")

_SEPARATORS = str.maketrans("", "", string.whitespace + ":-\u00a0\u2009\u200b\u2010\u2011\u202f")
"""What stands between digits where people and web pages group them."""


class Identities(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    What a card was found to be.

    `iccid` has 18 to 20 digits without filler, `eids` 32 digits each; a card with several ISD-Rs
    has several. Digits are hexadecimal, in lower case: there are cards with letters among them.
    """

    iccid: str | None = None
    eids: tuple[str, ...] = ()


def swap_nibbles(octets: bytes) -> str:
    """Return the digits of octets whose nibbles are swapped, filler included."""
    return "".join(f"{o & 0xF:x}{o >> 4:x}" for o in octets)


def iccid_from_ef(octets: bytes) -> str | None:
    """Read EF.ICCID (ETSI TS 102 221 clause 13.2); None where it holds no ICCID."""
    digits = swap_nibbles(octets[:ICCID_OCTETS]).rstrip("f")
    return digits if is_iccid(digits) else None


def iccid_to_ef(iccid: str) -> bytes:
    """Return the content of EF.ICCID for 18 to 20 digits."""
    padded = iccid.ljust(2 * ICCID_OCTETS, "f")
    return bytes.fromhex("".join(padded[i + 1] + padded[i] for i in range(0, len(padded), 2)))


def is_iccid(digits: str) -> bool:
    """
    Return whether the text is 18 to 20 digits, each 0 to 9 or a to e.

    ITU-T E.118 has decimal digits; issuers whose ranges were used up have letters as well. F is
    the filler.
    """
    return _ICCID.fullmatch(digits) is not None


def normal_digits(text: str) -> str:
    """Return digits as they are compared: in lower case, without what stands between groups."""
    # Texts without separators are most of them, and this is asked of every card in a list.
    return (text if text.isalnum() else text.translate(_SEPARATORS)).lower()


def normal_iccid(text: str) -> str:
    """Return an ICCID as it is compared, from how a person or another system writes it."""
    return normal_digits(text).rstrip("f")


def iccid_forms(iccid: str) -> Iterator[str]:
    """
    Yield every form under which an ICCID is looked up, the most exact first.

    An ICCID is known with or without its Luhn check digit (ITU-T E.118), so one that ends in a
    correct check digit is also found without it, and one without is also found with it. Text that
    is no ICCID has one form, itself, and so has an ICCID with letters: it has no Luhn digit.
    """
    yield iccid
    if not (is_iccid(iccid) and iccid.isdigit()):
        return
    if len(iccid) > 18 and luhn_digit(iccid[:-1]) == iccid[-1]:
        yield iccid[:-1]
    if len(iccid) < 20:
        yield iccid + luhn_digit(iccid)


def luhn_digit(digits: str) -> str:
    """Return the check digit of ISO/IEC 7812-1 annex B for decimal digits."""
    total = 0
    for i, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if i % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def is_eid(digits: str) -> bool:
    """Return whether the text is an EID: 32 digits, 89 first, remainder 1 by 97 (SGP.29)."""
    return (
        len(digits) == 32
        and digits.isascii()
        and digits.isdigit()
        and digits.startswith("89")
        and int(digits) % 97 == 1
    )


def eid_from_response(data: bytes) -> str | None:
    """
    Read the answer to GetEuiccData for tag 5A (SGP.22 clause 5.7.20).

    The digits are in reading order. A check sum that fails does not hide the card, nor do digits
    that are not decimal: there are eUICCs with such EIDs.
    """
    value = tlv.find(data, 0xBF3E, 0x5A)
    return value.hex() if value is not None and len(value) == EID_OCTETS else None


def eid_from_ecasd(data: bytes) -> str | None:
    """
    Read tag 5A of an ECASD (SGP.02), whose nibbles are in either order.

    It is the order with a right check sum, else the one that begins with 89.
    """
    value = tlv.find(data, 0x5A)
    if value is None or len(value) != EID_OCTETS:
        return None
    orders = (value.hex(), swap_nibbles(value))
    right = (digits for digits in orders if is_eid(digits))
    return next(right, None) or next((d for d in orders if d.startswith("89")), None)


def shorten(identity: str) -> str:
    """Return the form of an ICCID or EID for logs: personal data stays out of them."""
    return f"{identity[:6]}…{identity[-4:]}" if len(identity) > 12 else identity
