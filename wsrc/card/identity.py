# SPDX-License-Identifier: Apache-2.0
"""What a card is called: ICCID and EID, their coding, check digits and comparison."""

from collections.abc import Iterator

import msgspec

from wsrc.card import tlv

ICCID_OCTETS = 10
"""Size of EF.ICCID (ETSI TS 102 221 clause 13.2)."""


class Identities(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    What a card was found to be.

    `iccid` has 18 to 20 digits without filler. `eids` has 32 digits each; a card with several
    ISD-Rs has several.
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
    """Return whether the text is 18 to 20 decimal digits."""
    return 18 <= len(digits) <= 20 and digits.isascii() and digits.isdigit()


def normal_iccid(text: str) -> str:
    """Strip spaces and filler from an ICCID as a person or another system writes it."""
    return text.replace(" ", "").replace("-", "").lower().rstrip("f")


def iccid_forms(iccid: str) -> Iterator[str]:
    """
    Yield every form under which an ICCID is looked up, the most exact first.

    An ICCID is known with or without its Luhn check digit (ITU-T E.118), so one that ends in a
    correct check digit is also found without it, and one without is also found with it. Text that
    is no ICCID has one form, itself.
    """
    yield iccid
    if has_check_digit(iccid):
        yield iccid[:-1]
    if is_iccid(iccid) and len(iccid) < 20:
        yield iccid + luhn_digit(iccid)


def has_check_digit(iccid: str) -> bool:
    """Return whether the text is an ICCID that ends in its Luhn check digit (ITU-T E.118)."""
    return is_iccid(iccid) and len(iccid) > 18 and luhn_digit(iccid[:-1]) == iccid[-1]


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

    The digits are in reading order. A check sum that fails does not hide the card: eUICCs for
    tests carry such EIDs.
    """
    value = tlv.find(data, 0xBF3E, 0x5A)
    digits = value.hex() if value is not None else ""
    return digits if len(digits) == 32 and digits.isdigit() else None


def eid_from_ecasd(data: bytes) -> str | None:
    """Read tag 5A of an ECASD (SGP.02); keep the nibble order that satisfies the check sum."""
    value = tlv.find(data, 0x5A)
    if value is None:
        return None
    return next((d for d in (value.hex(), swap_nibbles(value)) if is_eid(d)), None)


def shorten(identity: str) -> str:
    """Return the form of an ICCID or EID for logs: personal data stays out of them."""
    return f"{identity[:6]}…{identity[-4:]}" if len(identity) > 12 else identity
