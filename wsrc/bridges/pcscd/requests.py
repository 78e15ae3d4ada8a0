# SPDX-License-Identifier: Apache-2.0
"""What programs ask of pcscd, and a row of the table that they are shown; without any octets."""

import msgspec


class Request(msgspec.Struct, frozen=True):
    """Base of what a program asks."""


class EstablishContext(Request, frozen=True):
    """Begin to use PC/SC over this connection."""

    scope: int


class ReleaseContext(Request, frozen=True):
    """Let go of all that the connection holds."""

    context: int


class Connect(Request, frozen=True):
    """Ask for a handle of a reader and its card."""

    context: int
    reader: bytes
    share: int
    protocols: int


class Reconnect(Request, frozen=True):
    """Change how a handle is held, and learn of what happened to the card."""

    card: int
    share: int
    protocols: int
    initialization: int


class Disconnect(Request, frozen=True):
    """Give a handle back."""

    card: int
    disposition: int


class Begin(Request, frozen=True):
    """Begin a transaction."""

    card: int


class End(Request, frozen=True):
    """End a transaction."""

    card: int
    disposition: int


class Transmit(Request, frozen=True):
    """Send octets to the card; `pci` are the four numbers that are given back as they came."""

    card: int
    protocol: int
    pci: tuple[int, int, int]
    max_answer: int
    octets: bytes


class Control(Request, frozen=True):
    """Send octets to the reader; `code` is of this platform."""

    card: int
    code: int
    max_answer: int
    octets: bytes


class Status(Request, frozen=True):
    """Ask whether a handle is good; all else is in the table of readers."""

    card: int


class Cancel(Request, frozen=True):
    """End the wait of another connection, named by its context."""

    context: int


class GetAttribute(Request, frozen=True):
    """Ask for an attribute of the reader."""

    card: int
    attribute: int
    max_answer: int


class SetAttribute(Request, frozen=True):
    """Set an attribute of the reader."""

    card: int
    attribute: int
    value: bytes


class Version(Request, frozen=True):
    """Say which version of this protocol the program speaks."""

    major: int
    minor: int


class GetReaders(Request, frozen=True):
    """Ask for the table of readers in its old form, of 16 rows."""


class Wait(Request, frozen=True):
    """Ask to be told of the next change."""


class StopWaiting(Request, frozen=True):
    """Take that back."""


class GetReaderEvents(Request, frozen=True):
    """Ask how often readers came and went (4:5)."""


class GetTableSize(Request, frozen=True):
    """Ask how many rows the table has (4:6)."""


class GetTable(Request, frozen=True):
    """Ask for the table of that many rows (4:6)."""


class Row(msgspec.Struct, frozen=True):
    """One reader as the table shows it; one without name is free."""

    name: bytes = b""
    event_counter: int = 0
    state: int = 0
    sharing: int = 0
    atr: bytes = b""
    protocol: int = 0
