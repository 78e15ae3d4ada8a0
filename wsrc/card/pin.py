# SPDX-License-Identifier: Apache-2.0
"""PINs and administrative keys: their references, their octets, and how many tries are left."""

import re
from collections.abc import Generator
from typing import Final, NamedTuple

from wsrc.card.apdu import Command, Response

PIN_OCTETS: Final = 8
"""Octets of a PIN in a command, filled up with FF (ETSI TS 102 221 clause 11.1.9)."""

PIN1: Final = 0x01

REFERENCES: Final = {
    "pin1": PIN1,
    "pin2": 0x81,
    **{f"adm{number}": 0x09 + number for number in range(1, 6)},
    **{f"adm{number}": 0x84 + number for number in range(6, 11)},
}
"""Words for key references (ETSI TS 102 221 table 9.3)."""

_SIM: Final = {0x81: 0x02}
"""What a SIM of class A0 calls a key (3GPP TS 51.011 clause 9.2.9)."""

_STATUS_OCTETS: Final = 22
_TRIES_AT: Final = {0x01: 18, 0x02: 20}
"""Where STATUS of class A0 has the tries of a CHV (3GPP TS 51.011 clause 9.2.1)."""

_ADM: Final = frozenset({*range(0x0A, 0x0F), *range(0x8A, 0x8F)})


class Asked(NamedTuple):
    """
    What a card says of a key before it is given one.

    Args:
        cla: Class in which it is presented.
        reference: Key reference in that class.
        sw: Status word; 63CX where the card asks for it, 9000 where it does not.
    """

    cla: int
    reference: int
    sw: int

    @property
    def tries(self) -> int | None:
        """Tries that are left; None where the card does not say."""
        if self.sw == 0x6983:
            return 0
        return self.sw & 0xF if self.sw & 0xFFF0 == 0x63C0 else None

    def command(self, octets: bytes) -> Command:
        """Return VERIFY with a PIN of `octets_of` (ETSI TS 102 221 clause 11.1.9)."""
        return Command(self.cla, 0x20, 0x00, self.reference, octets)


def reference_of(text: str) -> int:
    """
    Read a key reference: a word of `REFERENCES`, or two hexadecimal digits.

    Raises:
        ValueError: If it is neither; the text is not repeated, since it may be the PIN.
    """
    known = REFERENCES.get(text.lower())
    if known is not None:
        return known
    if re.fullmatch("[0-9a-fA-F]{2}", text) is None:
        raise ValueError(
            "a key is pin1, pin2, adm1 to adm10, or its reference in two hexadecimal digits; "
            "the PIN itself is asked for"
        )
    return int(text, 16)


def octets_of(pin: str, reference: int) -> bytes:
    """
    Return a PIN as a card is given it: a character an octet, filled up with FF.

    A PIN is 4 to 8 digits; an administrative key may be 16 hexadecimal digits as well.

    Raises:
        ValueError: If it is neither; nothing of it is repeated.
    """
    administrative = reference in _ADM
    if administrative and re.fullmatch("[0-9a-fA-F]{16}", pin):
        return bytes.fromhex(pin)
    if re.fullmatch("[0-9]{4,8}", pin) is None:
        more = ", or an administrative key of 16 hexadecimal digits" if administrative else ""
        raise ValueError(f"a PIN is 4 to 8 digits{more}")
    return pin.encode("ascii").ljust(PIN_OCTETS, b"\xff")


def ask(reference: int) -> Generator[Command, Response, Asked]:
    """Ask a card for the tries of a key, which takes none (TS 102 221 clause 11.1.9.1.2)."""
    answer = yield Command(0x00, 0x20, 0x00, reference)
    if answer.sw not in {0x6E00, 0x6D00}:
        return Asked(0x00, reference, answer.sw)
    reference = _SIM.get(reference, reference)
    status = yield Command(0xA0, 0xF2, 0x00, 0x00, ne=_STATUS_OCTETS)
    at = _TRIES_AT.get(reference)
    if at is None or not status.ok or len(status.data) < _STATUS_OCTETS:
        return Asked(0xA0, reference, 0x6A88)
    if reference == PIN1 and status.data[13] & 0x80:
        return Asked(0xA0, reference, 0x9000)
    left = status.data[at] & 0x0F
    return Asked(0xA0, reference, 0x63C0 | left if left else 0x6983)
