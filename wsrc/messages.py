# SPDX-License-Identifier: Apache-2.0
"""
Every message that crosses a connection.

This module is the protocol, with `parts`, which messages are made of, `verbs` and `reader_events`:
`docs/protocol.schema.json` and the tables of `docs/protocol.md` are generated from them. A message
is one JSON object in one text frame; `msg_type` names it. Octets are lower-case hexadecimal digits.
Unknown fields are ignored.

A peer whose `hello` has no `version` speaks the first form: no request ids, no sessions, and
never a message that it did not ask for. Fields marked *first form* are all that it knows.
"""

from typing import Any

from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.parts import (
    CardInfo as CardInfo,
    CardState as CardState,
    Change as Change,
    ClientType as ClientType,
    Identities as Identities,
    LeaseInfo as LeaseInfo,
    Message as Message,
    ReaderInfo as ReaderInfo,
    ReaderState as ReaderState,
    Step as Step,
    StepResult as StepResult,
)
from wsrc.reader_events import (
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
from wsrc.slot import CardProtocol, Disposition, ResetKind, Share
from wsrc.verbs import (
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
    the same instance.
    """

    client_type: ClientType
    atr: Octets | None = None
    version: int | None = None
    features: tuple[str, ...] = ()
    name: str | None = None
    instance: str | None = None
    readers: tuple[ReaderInfo, ...] = ()


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
    long a card that is busy or absent is waited for. With `raw_tpdu` the card client passes T=0
    blocks as they are and neither fetches responses nor corrects Le.
    """

    id_type: str | None = None
    id_str: str | None = None
    wait_s: float = 0.0
    raw_tpdu: bool = False
    share: Share = Share.EXCLUSIVE
    protocols: tuple[CardProtocol, ...] = ()


class SelectCardAck(Message, frozen=True, tag="select_card_ack", kw_only=True):
    """The card is the asker's; every request for it carries `session` from now on."""

    identities: Identities
    session: str | None = None
    card: CardInfo | None = None


class Waiting(Message, frozen=True, tag="waiting", kw_only=True):
    """The card is not free: the place in the queue, 1 being next, and who holds the card."""

    position: int
    lease: LeaseInfo | None = None


class CApdu(Message, frozen=True, tag="c_apdu", kw_only=True):
    """One command APDU (first form: `command` alone)."""

    command: Octets
    session: str | None = None


class RApdu(Message, frozen=True, tag="r_apdu", kw_only=True):
    """
    The response APDU: its data, which may be empty, and the status word as four digits.

    In a session with raw TPDUs the card client fetches what a 61xx announces at once: `ahead` is
    the card's answer to that GET RESPONSE, and the card has nothing more to give to another.
    """

    response: Octets
    sw: str
    session: str | None = None
    ahead: StepResult | None = None


class Batch(Message, frozen=True, tag="batch", kw_only=True):
    """1 to 256 commands that the card client runs one after the other, in one round trip."""

    session: str
    steps: tuple[Step, ...]


class BatchResp(Message, frozen=True, tag="batch_resp", kw_only=True):
    """
    A result for each command that the card answered.

    `stopped` is the index of the command whose status word did not match. `error` says why the
    command after the last result was not answered.
    """

    session: str
    results: tuple[StepResult, ...]
    stopped: int | None = None
    error: "Error | None" = None


class ResetReq(Message, frozen=True, tag="reset_req", kw_only=True):
    """Reset the card (first form: no fields)."""

    session: str | None = None
    kind: ResetKind = ResetKind.COLD


class ResetResp(Message, frozen=True, tag="reset_resp", kw_only=True):
    """The card was reset; `atr` is the new one."""

    atr: Octets | None = None
    protocol: CardProtocol | None = None
    session: str | None = None


class Attach(Message, frozen=True, tag="attach", kw_only=True):
    """
    The server gives a session to the card in a reader.

    The card is cold reset first, unless sessions that share it are there. With the share `direct`
    the session is for the reader, whatever is in it, and no card is powered.
    """

    session: str
    reader: str
    insertion: int
    raw_tpdu: bool = False
    share: Share = Share.EXCLUSIVE
    protocols: tuple[CardProtocol, ...] = ()


class AttachAck(Message, frozen=True, tag="attach_ack", kw_only=True):
    """The card was reset and waits for the commands of the session."""

    session: str
    atr: Octets
    protocol: CardProtocol | None = None


class Detach(Message, frozen=True, tag="detach", kw_only=True):
    """End a session: by its user, or by the server to the card client."""

    session: str
    disposition: Disposition = Disposition.RESET


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


class SessionEnded(Message, frozen=True, tag="session_ended", kw_only=True):
    """A session ended without being asked to; what the card knew of it is gone."""

    session: str
    code: ErrorCode
    message: str


class Restarting(Message, frozen=True, tag="restarting", kw_only=True):
    """The server is about to close the connection; come back after so many seconds."""

    reconnect_in_s: float


class StateNotification(Message, frozen=True, tag="state_notification", kw_only=True):
    """First form only: the server tells a card client whether a user holds its card."""

    new_state: CardState


class Error(Message, frozen=True, tag="error", kw_only=True):
    """
    A request was not carried out (first form: `message` alone).

    `code` is stable, `pcsc` is the PC/SC error that fits best, `message` is for a person.
    `outcome` tells of a command whether the card may have run it. `candidates` are some of the
    cards that an ambiguous selection matches; `lease` and `others` are who holds a busy card.
    """

    message: str
    code: ErrorCode | None = None
    pcsc: str | None = None
    outcome: Outcome | None = None
    session: str | None = None
    candidates: tuple[CardInfo, ...] = ()
    lease: LeaseInfo | None = None
    others: tuple[LeaseInfo, ...] = ()


AnyMessage = (
    Hello | HelloAck | ListCards | ListCardsAck | SelectCard | SelectCardAck | Waiting
    | CApdu | RApdu | Batch | BatchResp | ResetReq | ResetResp | Attach | AttachAck
    | Reconnect | ReconnectAck
    | BeginTransaction | BeginTransactionAck | EndTransaction | EndTransactionAck
    | Status | StatusAck | Control | ControlAck
    | GetAttribute | GetAttributeAck | SetAttribute | SetAttributeAck
    | Detach | DetachAck | Cancel | CancelAck | Watch | WatchAck | CardEvent
    | ListReaders | ListReadersAck | WatchReaders | WatchReadersAck | ReaderEvent | ReaderMark
    | ReaderReport | ReaderGone | SessionEnded | Restarting | StateNotification | Error
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
    """Give the session that a message belongs to, if any."""
    session: str | None = getattr(message, "session", None)
    return session


def error(code: ErrorCode, sentence: str, **fields: Any) -> Error:
    """Make an `error` whose `pcsc` agrees with its code."""
    return Error(message=sentence, code=code, pcsc=code.pcsc, **fields)
