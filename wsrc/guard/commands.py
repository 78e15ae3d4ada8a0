# SPDX-License-Identifier: Apache-2.0
"""What a command is, in every way in which a reader or a card may take its octets."""

from enum import Enum
from typing import Final, NamedTuple

from wsrc.card.apdu import channel_of

PSEUDO: Final = 0xFF
"""Class of commands to the reader (PC/SC part 3 clause 3.2.2); no card has it."""

SELECT: Final = 0xA4
MANAGE_CHANNEL: Final = 0x70
GET_RESPONSE: Final = 0xC0
ENVELOPE: Final = 0xC2
STORE_DATA: Final = 0xE2

CHAINED: Final = 0x10
"""Bit of the class that says that the data go on in the next command (ISO/IEC 7816-4 5.4.1)."""

MORE_BLOCKS: Final = 0x80
"""Bit of P1 of STORE DATA that is clear while blocks follow (GlobalPlatform clause 11.11.2.1)."""

_TOOLKIT_TAGS: Final = 0xC0
"""What an ENVELOPE of the toolkit begins with is at least this (ETSI TS 101 220 clause 7.2)."""


class Secret(Enum):
    """What a presentation presents; each has counters of its own."""

    PIN = "PIN"
    UNBLOCK = "UNBLOCK PIN"
    KEY = "key"


PRESENTATIONS: Final = {
    0x20: (Secret.PIN, "VERIFY"),
    0x24: (Secret.PIN, "CHANGE REFERENCE DATA"),
    0x26: (Secret.PIN, "DISABLE VERIFICATION REQUIREMENT"),
    0x28: (Secret.PIN, "ENABLE VERIFICATION REQUIREMENT"),
    0x2C: (Secret.UNBLOCK, "RESET RETRY COUNTER"),
    0x82: (Secret.KEY, "EXTERNAL AUTHENTICATE"),
    0x86: (Secret.KEY, "GENERAL AUTHENTICATE"),
}
"""By even INS; the odd one is the same command with other data (ISO/IEC 7816-4 clause 5.4.2)."""

_QUESTIONS: Final = frozenset({0x20, 0x2C})


class Seen(NamedTuple):
    """
    A command as a guard sees it.

    `ins` is even. `readings` are what the data field may be, one at least. `empty` tells that
    there is none in any reading, and `sound` that the octets are a short APDU with data, which
    T=0 and T=1 take alike.
    """

    cla: int
    ins: int
    p1: int
    p2: int
    readings: tuple[bytes, ...]
    empty: bool
    sound: bool

    @property
    def base(self) -> int:
        """The class without channel, chaining and secure messaging: 00, 80, A0 or FF."""
        if self.cla == PSEUDO:
            return PSEUDO
        if self.cla < 0x80:
            return 0x00
        return 0xA0 if 0xA0 <= self.cla < 0xC0 else 0x80

    @property
    def channel(self) -> int:
        """The logical channel; 0 for the reader's own commands."""
        return 0 if self.cla == PSEUDO else channel_of(self.cla)

    @property
    def more(self) -> bool:
        """Whether it says that data follow in the next command."""
        if self.cla == PSEUDO:
            return False
        blocks = self.ins == STORE_DATA and self.base == 0x80 and not self.p1 & MORE_BLOCKS
        return bool(self.cla & CHAINED) or blocks

    @property
    def chain(self) -> tuple[int, ...]:
        """What the parts of one chain have in common."""
        if self.ins == STORE_DATA and self.base == 0x80:
            return self.cla & ~CHAINED, self.ins
        return self.cla & ~CHAINED, self.ins, self.p1, self.p2

    @property
    def secret(self) -> Secret | None:
        """What it presents; None of a question and of any other command."""
        found = PRESENTATIONS.get(self.ins)
        if found is None or (self.empty and self.ins in _QUESTIONS):
            return None
        return found[0]

    @property
    def name(self) -> str:
        """What to call it, for a person."""
        found = PRESENTATIONS.get(self.ins)
        return found[1] if found else f"INS {self.ins:02X}"

    @property
    def carries(self) -> bool:
        """
        Whether its data may be a part of another command (ISO/IEC 7816-3 clause 12.2.1).

        In the classes 8x and Ax an ENVELOPE whose data begin with a tag of the toolkit is none.
        """
        if self.ins != ENVELOPE or self.cla == PSEUDO:
            return False
        return self.base == 0x00 or any(d[:1] < bytes([_TOOLKIT_TAGS]) for d in self.readings)


def read(octets: bytes) -> Seen:
    """
    Read a command APDU or a TPDU of T=0, whether or not it is well formed.

    Args:
        octets: At least 4: what a card or a reader would be given.
    """
    cla, ins, p1, p2 = octets[:4]
    body = octets[4:]
    readings = _readings(body)
    empty = not body or body == b"\0"
    sound = len(body) > 1 and body[0] > 0 and len(body) in {body[0] + 1, body[0] + 2}
    return Seen(cla, ins & 0xFE, p1, p2, readings, empty, sound)


def _readings(body: bytes) -> tuple[bytes, ...]:
    """Return the data field after a header: as short APDU or TPDU, and as extended APDU."""
    if len(body) < 2:
        return (b"",)
    if body[0]:
        whole = len(body) == body[0] + 2
        return (body[1 : body[0] + 1] if whole else body[1:],)
    if len(body) < 4:
        return b"", body[1:]
    return body[3 : 3 + int.from_bytes(body[1:3])], body[1:]


def succeeded(sw: int) -> bool:
    """Return whether a status word says that a command was carried out."""
    return sw == 0x9000 or sw >> 8 in {0x61, 0x91, 0x9F}
