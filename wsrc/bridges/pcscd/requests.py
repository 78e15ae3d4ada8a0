# SPDX-License-Identifier: Apache-2.0
"""What programs ask of pcscd, and what they are given for it; without any octets of a socket."""

from typing import Final, Generic, TypeVar

import msgspec

from wsrc.card.pcsc_numbers import Code

MAJOR: Final = 4
OLDEST_MINOR: Final = 4
NEWEST_MINOR: Final = 6
"""Versions of the protocol between libpcsclite and pcscd that are spoken."""

OLD_TABLE_ROWS: Final = 16
"""Rows of the table of readers up to version 4:5."""

OLD_TABLE_READERS: Final = OLD_TABLE_ROWS - 1
"""
Readers that are shown in it.

A library of these versions refuses to wait for more than 16 names, and programs that watch readers
wait for the name that stands for new ones, too.
"""

MAX_PAYLOAD_OCTETS: Final = 65_548
"""Longest command and answer of a card or reader (MAX_BUFFER_SIZE_EXTENDED)."""

MAX_ATTRIBUTE_OCTETS: Final = 264
"""Longest value of an attribute (MAX_BUFFER_SIZE)."""

T = TypeVar("T")


class RequestError(Exception):
    """Octets that are no request, or one that its program may not make: its connection is over."""


class Refused(Exception):  # noqa: N818 - it is the answer to a request
    """
    A request is answered with a code other than success.

    Args:
        code: The answer.
        reason: A sentence, where more is known than the code says.
        octets: How many octets the answer has, where it is refused for having too many.
    """

    def __init__(self, code: Code, reason: str = "", octets: int = 0) -> None:
        super().__init__(reason or code.name)
        self.code = code
        self.reason = reason
        self.octets = octets


class Row(msgspec.Struct, frozen=True):
    """One reader as the table shows it; one without name is free."""

    name: bytes = b""
    event_counter: int = 0
    state: int = 0
    sharing: int = 0
    atr: bytes = b""
    protocol: int = 0


Rows = tuple[Row, ...]


class Connected(msgspec.Struct, frozen=True):
    """A handle, and the protocol in force, 0 for none."""

    card: int
    protocol: int


class Events(msgspec.Struct, frozen=True):
    """How often readers came and went, and how the latest wait ended if it was cancelled."""

    count: int
    code: Code = Code.SCARD_S_SUCCESS


class Request(msgspec.Struct, Generic[T], frozen=True):
    """Base of what a program asks; `T` is the result, unless it is `Refused`."""


class CardRequest(Request[T], Generic[T], frozen=True):
    """Base of what has to do with a card: to connect to it, and all that needs its handle."""


class EstablishContext(Request[int], frozen=True):
    """Begin to use PC/SC; returns the context."""

    scope: int = 0


class ReleaseContext(Request[None], frozen=True):
    """Release all that the program holds."""

    context: int


class Connect(CardRequest[Connected], frozen=True):
    """Ask for a handle of a reader and its card."""

    context: int
    reader: bytes
    share: int
    protocols: int


class Reconnect(CardRequest[int], frozen=True):
    """Change how a handle is held, and learn what happened to the card; returns the protocol."""

    card: int
    share: int
    protocols: int
    initialization: int


class Disconnect(CardRequest[None], frozen=True):
    """Release a handle."""

    card: int
    disposition: int


class Begin(CardRequest[None], frozen=True):
    """Begin a transaction."""

    card: int


class End(CardRequest[None], frozen=True):
    """End a transaction."""

    card: int
    disposition: int


class Transmit(CardRequest[bytes], frozen=True):
    """Send octets to the card; `pci` are three numbers that are given back as they came."""

    card: int
    protocol: int
    octets: bytes
    pci: tuple[int, int, int] = (0, 0, 0)
    max_answer: int = MAX_PAYLOAD_OCTETS


class Control(CardRequest[bytes], frozen=True):
    """Send octets to the reader; control codes are those of Windows, or else of pcsc-lite."""

    card: int
    code: int
    octets: bytes
    max_answer: int = MAX_PAYLOAD_OCTETS
    windows: bool = False


class Status(CardRequest[None], frozen=True):
    """Ask whether a handle is good; all else is in the table of readers."""

    card: int


class GetAttribute(CardRequest[bytes], frozen=True):
    """Ask for an attribute of the reader."""

    card: int
    attribute: int
    max_answer: int = MAX_ATTRIBUTE_OCTETS


class SetAttribute(CardRequest[None], frozen=True):
    """Set an attribute of the reader."""

    card: int
    attribute: int
    value: bytes


class Cancel(Request[None], frozen=True):
    """End the wait of another program, named by its context."""

    context: int


class Version(Request[int], frozen=True):
    """Agree on a version of the protocol; returns the minor one to be spoken."""

    major: int
    minor: int


class GetReaders(Request[Rows], frozen=True):
    """Ask for the table of readers in its old form, of 16 rows."""


class Wait(Request[Rows | None], frozen=True):
    """Ask to be told of the next change; returns the old table up to 4:5, then nothing."""


class StopWaiting(Request[bool], frozen=True):
    """Take that back; returns whether the program did wait, and only then an answer."""


class GetReaderEvents(Request[Events], frozen=True):
    """Ask how often readers came and went (4:5)."""


class GetTableSize(Request[int], frozen=True):
    """Ask how many rows the table has (4:6)."""


class GetTable(Request[Rows], frozen=True):
    """Ask for the table of that many rows (4:6)."""
