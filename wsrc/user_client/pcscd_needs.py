# SPDX-License-Identifier: Apache-2.0
"""
What a call on a handle needs of the outside before it can go on.

A call is a generator. It yields what it needs and is sent what came of it, or has a `Failure`
thrown into it; it returns the octets of the answer. `Park` is sent the time.
"""

from collections.abc import Generator
from typing import Any

import msgspec

from wsrc.slot import ResetKind
from wsrc.user_client.pcscd_source import Session


class Park(msgspec.Struct, frozen=True):
    """Go on when something was let go of, or at a time."""

    until: float | None = None


class Open(msgspec.Struct, frozen=True):
    """Make the card of a reader ours; gives the session."""

    reader: bytes


class Exchange(msgspec.Struct, frozen=True):
    """Send octets to a card; gives its answer."""

    session: Session
    octets: bytes


class Reset(msgspec.Struct, frozen=True):
    """Reset a card; gives its ATR."""

    session: Session
    kind: ResetKind


class Close(msgspec.Struct, frozen=True):
    """Give a card back."""

    session: Session


Need = Park | Open | Exchange | Reset | Close
Steps = Generator[Need, Any, bytes | None]
Inner = Generator[Need, Any, None]
