# SPDX-License-Identifier: Apache-2.0
"""What messages are made of: their base, states, descriptions of cards, readers, commands."""

from enum import StrEnum

import msgspec

from wsrc.card.slot import CardProtocol, Share
from wsrc.octets import Octets


class Message(msgspec.Struct, frozen=True, tag_field="msg_type", kw_only=True, omit_defaults=True):
    """Base: `id` is chosen by whoever asks and comes back with the answer."""

    id: int | None = None


class Numbered(Message, frozen=True, kw_only=True):
    """
    Base of requests that a session carries, and of their answers.

    `seq` is higher than that of all requests of the session before, the first being 1. An answer,
    an `error` too, has the number of its request if the card client took the request in hand.
    """

    seq: int | None = None


class ClientType(StrEnum):
    """What a peer is to the server."""

    CARD = "card"
    USER = "user"


class CardState(StrEnum):
    """What a card is doing; the first form knows `ready` and `associated`."""

    IDENTIFYING = "identifying"
    READY = "ready"
    ASSOCIATED = "associated"
    RESETTING = "resetting"
    MUTE = "mute"
    IN_USE = "in_use"


class ReaderState(StrEnum):
    """What a card client says of one of its readers."""

    EMPTY = "empty"
    IDENTIFYING = "identifying"
    READY = "ready"
    MUTE = "mute"
    IN_USE = "in_use"
    UNAVAILABLE = "unavailable"


class Change(StrEnum):
    """What happened to a card or a reader."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class Identities(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The identities of a card as the first form names them."""

    atr: str = msgspec.field(default="", name="ATR")
    eid: str | None = msgspec.field(default=None, name="EID")
    iccid: str | None = msgspec.field(default=None, name="ICCID")


class LeaseInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who holds a card; times are RFC 3339 in UTC, `until` is absent where use has no limit."""

    holder: str
    since: str
    until: str | None = None
    share: Share = Share.EXCLUSIVE


class CardInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """
    One card.

    `remote_addr`, `identities` and `state` are the first form. `remote_addr` carries the name of
    the card host and 0: where a host is on the network is nobody's business.
    """

    remote_addr: tuple[str, int]
    identities: Identities
    state: CardState
    host: str | None = None
    reader: str | None = None
    reader_name: str | None = None
    eids: tuple[str, ...] = ()
    label: str | None = None
    protocol: CardProtocol | None = None
    lease: LeaseInfo | None = None
    others: tuple[LeaseInfo, ...] = ()


class ReaderInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """
    One reader of a card client, and the card in it.

    `reader` is the stable id. `insertion` grows with each card put in, so that a request for one
    card never reaches the next. `in_use` tells that another program of the host has the card
    open, and `exclusive` that it does not let others have it.
    """

    reader: str
    name: str
    state: ReaderState
    insertion: int = 0
    atr: Octets | None = None
    protocol: CardProtocol | None = None
    iccid: str | None = None
    eids: tuple[str, ...] = ()
    label: str | None = None
    in_use: bool = False
    exclusive: bool = False


class RunningSession(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """
    A session that a card client kept while it had no server.

    `holder` and `instance` are those of `attach`.
    """

    session: str
    reader: str
    insertion: int
    holder: str
    keep_s: float
    share: Share = Share.EXCLUSIVE
    instance: str | None = None


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    One command of a batch.

    `expect` lists status words as four hexadecimal digits, `x` for any; the batch stops after
    this command if none matches. An empty list goes on whatever the card answers.
    """

    command: Octets
    expect: tuple[str, ...] = ()


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the card answered to one command of a batch."""

    response: Octets
    sw: str
