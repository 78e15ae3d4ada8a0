# SPDX-License-Identifier: Apache-2.0
"""
What a call on a handle needs of the outside before it can go on.

A call is a generator. It yields what it needs and is sent what came of it, or has a `Failure`
thrown into it; it returns the octets of the answer. `Park` is sent the time.
"""

from collections.abc import Generator
from typing import Any

import msgspec

from wsrc.bridges.pcscd.source import Session
from wsrc.card.slot import ResetKind


class Park(msgspec.Struct, frozen=True):
    """Go on when something was let go of, or at a time."""

    until: float | None = None


class Open(msgspec.Struct, frozen=True):
    """Make the card of a reader ours, or the reader alone; gives the session."""

    reader: bytes
    direct: bool = False


class Exchange(msgspec.Struct, frozen=True):
    """Send octets to a card; gives its answer."""

    session: Session
    octets: bytes


class Reset(msgspec.Struct, frozen=True):
    """Reset a card; gives its ATR."""

    session: Session
    kind: ResetKind


class ControlReader(msgspec.Struct, frozen=True):
    """Ask something of a reader itself, by a number that all platforms know; gives its answer."""

    session: Session
    number: int
    octets: bytes


class ReadAttribute(msgspec.Struct, frozen=True):
    """Ask a reader for an attribute by name; gives its value."""

    session: Session
    name: str


class WriteAttribute(msgspec.Struct, frozen=True):
    """Set an attribute of a reader."""

    session: Session
    name: str
    value: bytes


class Close(msgspec.Struct, frozen=True):
    """Give a card back."""

    session: Session


Need = Park | Open | Exchange | Reset | ControlReader | ReadAttribute | WriteAttribute | Close
Steps = Generator[Need, Any, bytes | None]
Inner = Generator[Need, Any, None]
