# SPDX-License-Identifier: Apache-2.0
"""
Every message that crosses a connection.

This module is the protocol, with `parts`, which messages are made of, `commands`, `verbs` and
`reader_events`: `docs/protocol.schema.json` and the tables of `docs/protocol.md` are generated
from them. A message is one JSON object in one text frame; `msg_type` names it. Octets are
lower-case hexadecimal digits. Unknown fields are ignored.

A peer whose `hello` has no `version` speaks the first form: no request ids, no sessions, and
never a message that it did not ask for. Fields marked *first form* are all that it knows.
"""

from typing import Any

from wsrc.card.slot import CardProtocol, Disposition, Share
from wsrc.errors import ErrorCode
from wsrc.octets import Octets
from wsrc.protocol.commands import (
    Answer as Answer,
    Batch as Batch,
    BatchResp as BatchResp,
    CApdu as CApdu,
    Error as Error,
    RApdu as RApdu,
    ResetReq as ResetReq,
    ResetResp as ResetResp,
)
from wsrc.protocol.parts import (
    CardInfo as CardInfo,
    CardState as CardState,
    Change as Change,
    ClientType as ClientType,
    Identities as Identities,
    LeaseInfo as LeaseInfo,
    Message as Message,
    ReaderInfo as ReaderInfo,
    ReaderState as ReaderState,
    RunningSession as RunningSession,
    Step as Step,
    StepResult as StepResult,
)
from wsrc.protocol.reader_events import (
    UNLISTED as UNLISTED,
    ListChange as ListChange,
    ListReaders as ListReaders,
    ListReadersAck as ListReadersAck,
    ReaderEvent as ReaderEvent,
    ReaderForm as ReaderForm,
    ReaderMark as ReaderMark,
    ReaderView as ReaderView,
    StateChange as StateChange,
    WatchReaders as WatchReaders,
    WatchReadersAck as WatchReadersAck,
    list_change as list_change,
    state_change as state_change,
)
from wsrc.protocol.verbs import (
    BeginTransaction as BeginTransaction,
    BeginTransactionAck as BeginTransactionAck,
    Control as Control,
    ControlAck as ControlAck,
    EndTransaction as EndTransaction,
    EndTransactionAck as EndTransactionAck,
    GetAttribute as GetAttribute,
    GetAttributeAck as GetAttributeAck,
    Reconnect as Reconnect,
    ReconnectAck as ReconnectAck,
    SetAttribute as SetAttribute,
    SetAttributeAck as SetAttributeAck,
    Status as Status,
    StatusAck as StatusAck,
)

VERSION = 1
"""Version of the protocol that `hello` and `hello_ack` tell; raised by incompatible changes."""

MAX_BATCH = 256
"""Commands in one batch."""


class _Selection(Message, frozen=True, kw_only=True):
    """Which cards are meant: all given fields must hold; `any` matches any of them."""

    iccid: str | None = None
    eid: str | None = None
    atr: str | None = None
    reader: str | None = None
    label: str | None = None
    any: str | None = None


class Hello(Message, frozen=True, tag="hello", kw_only=True):
    """
    The first message of a connection.

    First form: `client_type`, and `atr` of a card client. `name` is what others are shown.
    `instance` is random for each start of a program: a connection replaces the earlier one of
    the same instance. `sessions` are those that a card client kept while it had no server.
    """

    client_type: ClientType
    atr: Octets | None = None
    version: int | None = None
    features: tuple[str, ...] = ()
    name: str | None = None
    instance: str | None = None
    readers: tuple[ReaderInfo, ...] = ()
    sessions: tuple[RunningSession, ...] = ()


class HelloAck(Message, frozen=True, tag="hello_ack", kw_only=True):
    """The answer to `hello`: the lower of both versions, and what this server can do."""

    version: int | None = None
    features: tuple[str, ...] = ()
    server: str | None = None


class ListCards(_Selection, frozen=True, tag="list_cards", kw_only=True):
    """Ask for the cards; `*` in a filter stands for any text, `after` continues a list."""

    after: int = 0


class ListCardsAck(Message, frozen=True, tag="list_cards_ack", kw_only=True):
    """Some or all cards; where `next` is given, `list_cards` with `after` set to it goes on."""

    cards: tuple[CardInfo, ...]
    next: int | None = None


class SelectCard(_Selection, frozen=True, tag="select_card", kw_only=True):
    """
    Ask for the lease of one card, freshly reset.

    First form: `id_type` (`ICCID`, `EID` or `ATR` in either case) and `id_str`. `wait_s` is how
    long a card that is busy or absent is waited for, and `waited_s` how long it was before, on
    connections that were lost: so long ago the asker came to the queue. `secret` is what the
    session is resumed by, and `keep_s` how long it is to be kept when its user is out of reach.
    With `raw_tpdu` the card client passes T=0 blocks as they are and neither fetches responses
    nor corrects Le; with `look_ahead` beside it, it sends the GET RESPONSE for `61xx` where that
    can harm nobody.
    """

    id_type: str | None = None
    id_str: str | None = None
    wait_s: float = 0.0
    waited_s: float = 0.0
    raw_tpdu: bool = False
    look_ahead: bool = False
    share: Share = Share.EXCLUSIVE
    protocols: tuple[CardProtocol, ...] = ()
    secret: str | None = None
    keep_s: float = 0.0


class SelectCardAck(Message, frozen=True, tag="select_card_ack", kw_only=True):
    """
    The card is the asker's; every request for it carries `session` from now on.

    `keep_s` is how long the session outlives its connection; 0 where it does not.
    """

    identities: Identities
    session: str | None = None
    card: CardInfo | None = None
    keep_s: float = 0.0


class Waiting(Message, frozen=True, tag="waiting", kw_only=True):
    """The card is not free: the place in the queue, 1 being next, and who holds the card."""

    position: int
    lease: LeaseInfo | None = None


class Attach(Message, frozen=True, tag="attach", kw_only=True):
    """
    The server gives a session to the card in a reader.

    The card is cold reset first, unless sessions that share it are there. With the share `direct`
    the session is for the reader, whatever is in it, and no card is powered. `secret` and `keep_s`
    are those of `select_card`, within the server's bounds; `holder` names the user, and `instance`
    tells runs of user clients apart. A session that the reader has and that cannot share it ends.
    `iccid` and `label` are there where the card was found by them, and it must still have them.
    """

    session: str
    reader: str
    insertion: int
    raw_tpdu: bool = False
    look_ahead: bool = False
    share: Share = Share.EXCLUSIVE
    protocols: tuple[CardProtocol, ...] = ()
    secret: str | None = None
    keep_s: float = 0.0
    holder: str | None = None
    instance: str | None = None
    iccid: str | None = None
    label: str | None = None


class AttachAck(Message, frozen=True, tag="attach_ack", kw_only=True):
    """
    The card was reset and waits for the commands of the session.

    `keep_s` is how long the card client keeps the session while it has no server.
    """

    session: str
    atr: Octets
    protocol: CardProtocol | None = None
    keep_s: float = 0.0


class Detach(Message, frozen=True, tag="detach", kw_only=True):
    """
    End a session: by its user, or by the server to the card client.

    `code` is why the server ends a session that could be resumed; absent where its user gave it
    back.
    """

    session: str
    disposition: Disposition = Disposition.RESET
    code: ErrorCode | None = None


class DetachAck(Message, frozen=True, tag="detach_ack", kw_only=True):
    """The session is over; from a card client also: the card was cold reset and identified."""

    session: str


class Cancel(Message, frozen=True, tag="cancel", kw_only=True):
    """
    Give up the request `target`.

    A command that the card is running is not interrupted: it is answered as usual.
    """

    target: int
    session: str | None = None


class CancelAck(Message, frozen=True, tag="cancel_ack", kw_only=True):
    """Whether the request was given up; if so, it is answered with the error `cancelled`."""

    cancelled: bool
    session: str | None = None


class Watch(_Selection, frozen=True, tag="watch", kw_only=True):
    """Ask for `card_event` from now on; filters are those of `list_cards`."""


class WatchAck(Message, frozen=True, tag="watch_ack", kw_only=True):
    """Events follow; `list_cards` now gives what they start from."""


class CardEvent(Message, frozen=True, tag="card_event", kw_only=True):
    """A card came, changed or went."""

    change: Change
    card: CardInfo


class ReaderReport(Message, frozen=True, tag="reader_state", kw_only=True):
    """A reader of the card client is new, or it or its card changed."""

    reader: ReaderInfo


class ReaderGone(Message, frozen=True, tag="reader_gone", kw_only=True):
    """A reader was unplugged."""

    reader: str


class Resume(Message, frozen=True, tag="resume", kw_only=True):
    """
    Go on with a session on another connection; the card client compares the secret.

    On the same connection it follows `session_interrupted`.
    `seq` is the number of the last request that was sent, 0 if none was: nothing up to it is
    begun any more. `host` and `reader` are those of the card: a server that knows nothing of the
    session, for it has just started, asks there, and waits for a card host that is not connected
    yet.
    """

    session: str
    secret: str
    seq: int = 0
    host: str | None = None
    reader: str | None = None


class Resumed(Message, frozen=True, tag="resumed", kw_only=True):
    """
    The session goes on.

    `seq` is the number of the last request that the card client took in hand, 0 if none, and
    `answer` what it answered, if it did.
    """

    session: str
    seq: int
    answer: Answer | None = None


class SessionInterrupted(Message, frozen=True, tag="session_interrupted", kw_only=True):
    """The card host is out of reach; `resume` is answered when it is back, or not in time."""

    session: str
    message: str


class SessionEnded(Message, frozen=True, tag="session_ended", kw_only=True):
    """
    A session ended without being asked to, or ended before it was to be resumed.

    The latter answers `resume` and has its `id`.
    What the card knew of it is gone. `seq` and `answer` are those of `resumed`; without `seq` it
    is not known whether the last request was taken in hand.
    """

    session: str
    code: ErrorCode
    message: str
    seq: int | None = None
    answer: Answer | None = None


class Restarting(Message, frozen=True, tag="restarting", kw_only=True):
    """The server is about to close the connection; come back after so many seconds."""

    reconnect_in_s: float


class StateNotification(Message, frozen=True, tag="state_notification", kw_only=True):
    """First form only: the server tells a card client whether a user holds its card."""

    new_state: CardState


AnyMessage = (
    Hello | HelloAck | ListCards | ListCardsAck | SelectCard | SelectCardAck | Waiting
    | CApdu | RApdu | Batch | BatchResp | ResetReq | ResetResp | Attach | AttachAck
    | Reconnect | ReconnectAck
    | BeginTransaction | BeginTransactionAck | EndTransaction | EndTransactionAck
    | Status | StatusAck | Control | ControlAck
    | GetAttribute | GetAttributeAck | SetAttribute | SetAttributeAck
    | Detach | DetachAck | Cancel | CancelAck | Watch | WatchAck | CardEvent
    | ListReaders | ListReadersAck | WatchReaders | WatchReadersAck | ReaderEvent | ReaderMark
    | ReaderReport | ReaderGone
    | Resume | Resumed | SessionInterrupted | SessionEnded | Restarting | StateNotification | Error
)  # fmt: skip
"""Every message; the tag `msg_type` tells which."""


ReaderQuestion = Status | Control | GetAttribute | SetAttribute
"""What is asked of a reader rather than of the card in it."""

PcscVerb = ReaderQuestion | Reconnect | BeginTransaction | EndTransaction
"""Requests that a card client without the feature `pcsc` does not know."""

Forwarded = CApdu | Batch | ResetReq | PcscVerb
"""Requests for a session, which the server passes to the card client as they came."""

ForwardedAck = (
    RApdu | BatchResp | ResetResp | ReconnectAck | BeginTransactionAck | EndTransactionAck
    | StatusAck | ControlAck | GetAttributeAck | SetAttributeAck
)  # fmt: skip
"""The answers to them."""

COMMANDS = (CApdu, Batch, ResetReq, Reconnect, EndTransaction, Control, SetAttribute)
"""Requests that change what is in a card or reader, so that their outcome matters."""


def session_of(message: Message) -> str | None:
    """Return the session that a message belongs to, if any."""
    session: str | None = getattr(message, "session", None)
    return session


def error(code: ErrorCode, sentence: str, **fields: Any) -> Error:
    """Make an `error` whose `pcsc` agrees with its code."""
    return Error(message=sentence, code=code, pcsc=code.pcsc, **fields)
