# SPDX-License-Identifier: Apache-2.0
"""What the relay asks its shell to do."""

import msgspec

from wsrc.audit.events import Event
from wsrc.protocol.conversation import CloseCode
from wsrc.protocol.messages import Message
from wsrc.relay.kept import Change
from wsrc.relay.reservations import Booking
from wsrc.relay.standing import Standing


class Send(msgspec.Struct, frozen=True):
    """Send a peer a message; where `text` is given, as that text."""

    peer: int
    message: Message
    text: bytes | None = None


class Close(msgspec.Struct, frozen=True):
    """Send what is queued for a peer, then close its connection with this WebSocket code."""

    peer: int
    code: CloseCode
    reason: str


class Note(msgspec.Struct, frozen=True):
    """
    Log a sentence for the operator, who should act on it where it `warns`.

    With `limit`, the name of one that was reached, it is counted, and logged once a minute. One
    with `by`, the number of a peer, is what that can cause at will: of many, the log need not have
    all.
    """

    sentence: str
    warns: bool = False
    limit: str | None = None
    by: int | None = None


class Audit(msgspec.Struct, frozen=True):
    """Have an event in the audit log; `by` is the number of the peer that caused it, if one did."""

    event: Event
    by: int | None = None


class Stop(msgspec.Struct, frozen=True):
    """End the server, as a signal would."""


class Keep(msgspec.Struct, frozen=True):
    """
    Have a change kept of what users noted under an identity, and then tell the relay by `kept`.

    `number` is one that no other change has.
    """

    number: int
    identity: str
    change: Change


class Book(msgspec.Struct, frozen=True):
    """
    Have a reservation kept, or with `drops` not any more, and then tell the relay by `booked`.

    `number` is one that no other change has, or 0 where the relay need not be told.
    """

    number: int
    booking: Booking
    drops: bool = False


class Uphold(msgspec.Struct, frozen=True):
    """
    Have an order kept, or with `drops` not any more, and then tell the relay by `upheld`.

    `number` is one that no other change has, or 0 where the relay need not be told.
    """

    number: int
    order: Standing
    drops: bool = False


class Carry(msgspec.Struct, frozen=True):
    """Have what carries messages between servers do something; only a node of a cluster asks so."""

    what: object


Effect = Send | Close | Note | Audit | Stop | Keep | Book | Uphold | Carry
