# SPDX-License-Identifier: Apache-2.0
"""What messages are made of: their base, states, descriptions of cards, readers, commands."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from wsrc.card.slot import Share
from wsrc.protocol.fields import (
    Atr,
    Command,
    Comment,
    Draining,
    Eids,
    Holder,
    HostName,
    Iccid,
    Insertion,
    Label,
    ProtocolInForce,
    ReaderId,
    ReaderName,
    Reserved,
    ResponseData,
    Session,
    ShareMode,
    StatusPattern,
    StatusWord,
    Tags,
    Whole,
    means,
)
from wsrc.words import OpenWord


class Message(msgspec.Struct, frozen=True, tag_field="msg_type", kw_only=True, omit_defaults=True):
    """Base of all messages."""

    id: Annotated[
        Whole | None,
        means("Chosen by whoever asks, the same in the answer; absent where nothing is asked"),
    ] = None


class Numbered(Message, frozen=True, kw_only=True):
    """Base of requests that a session carries, and of their answers."""

    seq: Annotated[
        Whole | None, means("Number of the request in its session, 1 or higher; see Numbers")
    ] = None


class InSession(Message, frozen=True, kw_only=True):
    """Base of what is said of one session."""

    session: Session


class OfSession(Numbered, frozen=True, kw_only=True):
    """Base of the requests of one session, and of their answers, that always name it."""

    session: Session


class Selecting(Message, frozen=True, kw_only=True):
    """Base: which cards are meant. All given fields must hold."""

    iccid: Annotated[str | None, means("ICCID of the card, with or without its check digit")] = None
    eid: Annotated[str | None, means("Any EID of the card, 32 digits")] = None
    atr: Annotated[str | None, means("Answer to reset of the card, in hexadecimal digits")] = None
    reader: Annotated[str | None, means("Id or name of the reader")] = None
    label: Annotated[str | None, means("Label of the card")] = None
    any: Annotated[str | None, means("Any of the five above")] = None
    tags: Annotated[
        Mapping[str, str] | None,
        means("Value of each tag that the card must have, by its key; see Tags"),
    ] = None


class ClientType(OpenWord):
    """What a peer is to the server."""

    CARD = "card", "Has readers"
    USER = "user", "Wants cards"


class CardState(OpenWord):
    """What a card is doing; the first form knows `ready` and `associated`."""

    IDENTIFYING = "identifying", "Is being identified; selecting it waits"
    READY = "ready", "Free"
    ASSOCIATED = "associated", "Held by a user"
    RESETTING = "resetting", "Was held, and is being reset for the next user; selecting it waits"
    MUTE = "mute", "Gives no ATR, or could not be reset; cannot be selected"
    IN_USE = "in_use", "Held by another program of its host; cannot be selected"


class ReaderState(OpenWord):
    """What a card client says of one of its readers."""

    EMPTY = "empty", "No card"
    IDENTIFYING = "identifying", "A card that is being identified"
    READY = "ready", "A card that is known and free to be attached"
    MUTE = "mute", "A card that gives no ATR"
    IN_USE = "in_use", "A card that another program of the host holds"
    UNAVAILABLE = "unavailable", "The reader does not work"


class Change(OpenWord):
    """What happened to a card or a reader."""

    ADDED = "added", "Came, or came into the filter"
    CHANGED = "changed", "Has another state, holder, identity or label"
    REMOVED = "removed", "Went, or left the filter; the card is described as it was"


class Identities(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The identities of a card as the first form names them."""

    atr: Annotated[str, means("Answer to reset, in hexadecimal digits")] = msgspec.field(
        default="", name="ATR"
    )
    eid: Annotated[str | None, means("The first EID, 32 digits")] = msgspec.field(
        default=None, name="EID"
    )
    iccid: Iccid | None = msgspec.field(default=None, name="ICCID")


class LeaseInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Who holds a card, since when and until when."""

    holder: Holder
    since: Annotated[str, means("When the lease began, RFC 3339 in UTC")]
    until: Annotated[
        str | None,
        means("When it ends unless used before, RFC 3339 in UTC; absent where that has no limit"),
    ] = None
    share: ShareMode = Share.EXCLUSIVE


class CardInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One card; the first form knows `remote_addr`, `identities` and `state`."""

    remote_addr: Annotated[
        tuple[str, Whole],
        means("Name of the card host, and 0: its network address is not disclosed"),
    ]
    identities: Annotated[Identities, means("The card as the first form names it")]
    state: Annotated[CardState, means("What the card is doing")]
    host: HostName | None = None
    reader: ReaderId | None = None
    reader_name: ReaderName | None = None
    eids: Eids = ()
    label: Label | None = None
    tags: Tags | None = None
    comment: Comment | None = None
    protocol: ProtocolInForce | None = None
    lease: Annotated[LeaseInfo | None, means("Who holds the card; absent while nobody does")] = None
    others: Annotated[tuple[LeaseInfo, ...], means("Further holders of a card that is shared")] = ()
    draining: Draining = False
    reserved: Reserved = False


class ReaderInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One reader of a card client, and the card in it."""

    reader: ReaderId
    name: ReaderName
    state: Annotated[ReaderState, means("What the reader and its card are doing")]
    insertion: Insertion = 0
    atr: Atr | None = None
    protocol: ProtocolInForce | None = None
    iccid: Iccid | None = None
    eids: Eids = ()
    label: Label | None = None
    tags: Annotated[
        Mapping[str, str] | None, means("What the operator set, by key; none is derived")
    ] = None
    in_use: Annotated[bool, means("Another program of the card host has the card open")] = False
    exclusive: Annotated[bool, means("That program does not let others have the card")] = False


class RunningSession(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A session that a card client kept while it had no server."""

    session: Annotated[str, means("Name of the session")]
    reader: ReaderId
    insertion: Annotated[Whole, means("`insertion` of the card that the session is with")]
    holder: Annotated[str, means("Name of the user, as in `attach`")]
    keep_s: Annotated[
        float, means("`keep_s` of its `attach_ack`, in seconds, however much of it is over")
    ]
    share: ShareMode = Share.EXCLUSIVE
    instance: Annotated[str | None, means("The run of the user client, as in `attach`")] = None


BURST_S = 5
"""For how many seconds requests and octets can be saved up."""


class ServerLimits(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """
    What a server takes and grants; of a limit that is absent nothing is told.

    Who asks for more seconds is given as many as there are; any other limit is one of messages
    that are refused.
    """

    message_octets: Annotated[
        Whole | None, means("Octets of the longest message that the server takes")
    ] = None
    batch_commands: Annotated[Whole | None, means("To a user: commands in one `batch`")] = None
    sessions: Annotated[
        Whole | None,
        means("To a user: cards that one connection has, waits for, or resumes"),
    ] = None
    sessions_of_all: Annotated[
        Whole | None,
        means("To a user: cards that all its connections together have, wait for, or resume"),
    ] = None
    waiting_of_all: Annotated[
        Whole | None,
        means("To a user: cards and sessions that all its connections together wait for"),
    ] = None
    readers: Annotated[Whole | None, means("To a card client: readers that it may have")] = None
    connections: Annotated[
        Whole | None,
        means("Connections at a time of its principal, or of its address where it has none"),
    ] = None
    requests_per_s: Annotated[
        float | None,
        means(
            "To a user: requests a second of all its connections together, a list as many as it "
            f"has pages; {BURST_S} times as many at once; what comes sooner is read later"
        ),
    ] = None
    octets_per_s: Annotated[
        float | None,
        means(
            "Octets of messages a second of all its connections together, as many times as many "
            "at once; what comes sooner is read later"
        ),
    ] = None
    wait_max_s: Annotated[float | None, means("To a user: longest `wait_s`, in seconds")] = None
    keep_s: Annotated[
        float | None, means("Longest `keep_s`, in seconds; 0 where no session is resumed")
    ] = None
    lease_idle_s: Annotated[
        float | None,
        means("To a user: seconds after which an unused card is taken back; 0 is no limit"),
    ] = None
    command_s: Annotated[
        float | None,
        means("Seconds for which the server waits for the answer to a command, twice for a batch"),
    ] = None
    attach_s: Annotated[
        float | None,
        means("To a card client: seconds to answer `attach`, and `detach`"),
    ] = None


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command of a batch."""

    command: Command
    expect: Annotated[
        tuple[StatusPattern, ...],
        means(
            "Status words as four hexadecimal digits, `x` for any: the batch stops after this "
            "command if none matches; without any it goes on whatever the card answers"
        ),
    ] = ()


class ReadAhead(msgspec.Struct, frozen=True, kw_only=True):
    """A command that a card client ran before its user asked for it, and the answer."""

    command: Command
    response: ResponseData
    sw: StatusWord


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the card answered to one command of a batch."""

    response: ResponseData
    sw: StatusWord
