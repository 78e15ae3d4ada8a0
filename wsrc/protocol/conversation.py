# SPDX-License-Identifier: Apache-2.0
"""Who may say what, and when, on one connection: one table; and how a connection is closed."""

from enum import IntEnum
from typing import NamedTuple, get_args

from wsrc.protocol import messages as m
from wsrc.words import Word

SUBPROTOCOL = "wsrc.v1"
"""Name of the protocol for WebSocket (RFC 6455 section 1.9)."""


SOON_S = 1.0
"""When what is refused because others are served first may be asked again, in seconds."""


class Speaker(Word):
    """Who sent a message."""

    USER = "user client", "user clients"
    CARD = "card client", "card clients"
    SERVER_TO_USER = "server to user client", "the server to user clients"
    SERVER_TO_CARD = "server to card client", "the server to card clients"


class Phase(Word):
    """How far a connection is."""

    GREETING = "greeting", "until `hello_ack`"
    OPEN = "open", "from `hello_ack` on"


class CloseCode(IntEnum):
    """WebSocket close codes (RFC 6455 section 7.4.1 and the IANA registry of section 11.7)."""

    DONE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NO_TEXT = 1003
    NONE = 1005
    ABNORMAL = 1006
    INVALID_TEXT = 1007
    POLICY = 1008
    TOO_LONG = 1009
    RESTARTING = 1012
    TRY_AGAIN_LATER = 1013


class Parting(Word):
    """What the end of a connection says of the end that closed it."""

    GOODBYE = "goodbye", "It is done, and does not come back for what it had"
    LOSS = "loss", "It may be back: what can be resumed is kept"
    RESTART = "restart", "A loss, before which all was said: a `then` without answer is not begun"
    COMPLAINT = "complaint", "It could not take what it was sent; it may be back all the same"


class Closing(NamedTuple):
    """
    How a connection ends: who sends the code, and when.

    `then` is what the other end does, and `sessions` what becomes of its sessions.
    """

    by: str
    when: str
    parting: Parting
    then: str
    sessions: str


_BACK = "A client connects again"
_KEPT = "Kept for `keep_s`, and resumed; over at once where they cannot be"
_OVER = (
    "Of a user client: over at once, also what is kept for its `instance`. "
    "Of a card client: over at once, with `card_client_gone`"
)
_IN_DOUBT = (
    "A user client fails what it had sent, which is in doubt, and connects again; where nothing "
    "was open it does not. A card client connects again"
)

CLOSINGS: dict[CloseCode, Closing] = {
    CloseCode.DONE: Closing(
        "a client",
        "It is done",
        Parting.GOODBYE,
        "The server takes back what it had; from a server it is a loss",
        _OVER,
    ),
    CloseCode.GOING_AWAY: Closing(
        "a client; of this project the card client",
        "It stops",
        Parting.GOODBYE,
        "As after 1000",
        _OVER,
    ),
    CloseCode.PROTOCOL_ERROR: Closing(
        "any",
        "A message or a frame breaks the protocol; `error` with `bad_message` comes before, unless "
        "it is a frame that RFC 6455 does not have",
        Parting.COMPLAINT,
        _IN_DOUBT,
        _KEPT,
    ),
    CloseCode.NO_TEXT: Closing(
        "any",
        "A binary frame; `error` with `bad_message` comes before",
        Parting.COMPLAINT,
        "As after 1002",
        _KEPT,
    ),
    CloseCode.NONE: Closing(
        "nobody",
        "The closing frame of a client is empty, as that of a browser's `close()`",
        Parting.GOODBYE,
        "As after 1000",
        _OVER,
    ),
    CloseCode.ABNORMAL: Closing(
        "nobody",
        "The connection broke, or pings were not answered",
        Parting.LOSS,
        _BACK,
        _KEPT,
    ),
    CloseCode.INVALID_TEXT: Closing(
        "any",
        "A text is not UTF-8; `error` with `bad_message` comes before",
        Parting.COMPLAINT,
        "As after 1002",
        _KEPT,
    ),
    CloseCode.POLICY: Closing(
        "any",
        "No `hello`, or no answer to it, in time; a first-form card that is not identified or not "
        "reset in time; the earlier connection of a client whose `instance` has said `hello` "
        "again; a client whose certificate or token is revoked, or whose token has ended, or that "
        "was let in for the first form of the protocol and says another; one that an operator has "
        "kicked or banned",
        Parting.LOSS,
        _BACK + ", unless a later connection of the same `instance` is there",
        _KEPT,
    ),
    CloseCode.TOO_LONG: Closing(
        "any",
        "A message is longer than 1 MiB",
        Parting.COMPLAINT,
        "As after 1002",
        _KEPT,
    ),
    CloseCode.RESTARTING: Closing(
        "the server",
        "It restarts",
        Parting.RESTART,
        _BACK + ", after `reconnect_in_s` of `restarting`",
        _KEPT,
    ),
    CloseCode.TRY_AGAIN_LATER: Closing(
        "any",
        "The peer reads too slowly: more than 10 000 messages or 16 MiB wait for it, or 64 MiB for "
        "all peers; or there is no memory for its message",
        Parting.LOSS,
        _BACK,
        _KEPT,
    ),
}
"""How connections end; any other code is a loss."""


def parting(code: int | None) -> Parting:
    """Return what a close code says of whoever closed; None is that of a broken connection."""
    closing = CLOSINGS.get(CloseCode(code)) if code in CLOSINGS else None
    return closing.parting if closing is not None else Parting.LOSS


ANSWERS: dict[type[m.Message], type[m.Message]] = {
    m.CApdu: m.RApdu,
    m.Batch: m.BatchResp,
    m.ResetReq: m.ResetResp,
    m.Sealed: m.SealedResp,
    m.Resume: m.Resumed,
    **{kind: m.BY_TAG[f"{tag}_ack"] for tag, kind in m.BY_TAG.items() if f"{tag}_ack" in m.BY_TAG},
}
"""The answer to each request; `error` may stand in for any of them."""

_FORWARDED: tuple[type[m.Message], ...] = get_args(m.Forwarded)


def _set(*kinds: type[m.Message]) -> frozenset[type[m.Message]]:
    return frozenset(kinds)


_OF_USER = _set(
    m.ListCards,
    m.SelectCard,
    m.Resume,
    m.Detach,
    m.Cancel,
    m.ListReaders,
    m.WatchReaders,
    m.Who,
    m.Revoke,
    m.Allow,
    m.Lend,
    *get_args(m.Operator),
    m.SetTags,
    m.SetComment,
    *get_args(m.Reserving),
    *_FORWARDED,
)
"""What a user asks the server."""

_OF_CARD = _set(m.Attach, m.Resume, m.Detach, m.Cancel, *_FORWARDED)
"""What the server asks a card client."""

MAY_SAY: dict[tuple[Speaker, Phase], frozenset[type[m.Message]]] = {
    (Speaker.USER, Phase.GREETING): _set(m.Hello),
    (Speaker.CARD, Phase.GREETING): _set(m.Hello),
    (Speaker.USER, Phase.OPEN): _OF_USER,
    (Speaker.CARD, Phase.OPEN): _set(
        *(ANSWERS[kind] for kind in _OF_CARD),
        m.ReaderReport,
        m.ReaderGone,
        m.SessionEnded,
        m.Error,
    ),
    (Speaker.SERVER_TO_USER, Phase.GREETING): _set(m.HelloAck, m.Error),
    (Speaker.SERVER_TO_CARD, Phase.GREETING): _set(m.HelloAck, m.Error),
    (Speaker.SERVER_TO_USER, Phase.OPEN): _set(
        *(ANSWERS[kind] for kind in _OF_USER),
        m.Waiting,
        m.ReaderEvent,
        m.ReaderMark,
        m.StateChange,
        m.ListChange,
        m.SessionInterrupted,
        m.SessionEnded,
        m.SessionIdle,
        m.Restarting,
        m.Error,
    ),
    (Speaker.SERVER_TO_CARD, Phase.OPEN): _set(
        *_OF_CARD,
        m.StateNotification,
        m.Restarting,
        m.Error,
    ),
}
"""The messages that each speaker may send in each phase; `hello_ack` opens the conversation."""


def said_by(kind: type[m.Message]) -> dict[Speaker, tuple[Phase, ...]]:
    """Return who may say a message, and in which phases."""
    places = {who: tuple(p for p in Phase if kind in MAY_SAY[who, p]) for who in Speaker}
    return {who: phases for who, phases in places.items() if phases}


def may_say(speaker: Speaker, phase: Phase, message: m.Message) -> bool:
    """Return whether the message is in its place."""
    return type(message) in MAY_SAY[speaker, phase]
