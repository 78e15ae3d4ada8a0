# SPDX-License-Identifier: Apache-2.0
"""Who may say what, and when, on one connection: one table; and how a connection is closed."""

from enum import IntEnum
from typing import get_args

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
    ABNORMAL = 1006
    POLICY = 1008
    RESTARTING = 1012
    TRY_AGAIN_LATER = 1013


_FORWARDED: tuple[type[m.Message], ...] = get_args(m.Forwarded)
_ANSWERS: tuple[type[m.Message], ...] = get_args(m.ForwardedAck)


def _set(*kinds: type[m.Message]) -> frozenset[type[m.Message]]:
    return frozenset(kinds)


MAY_SAY: dict[tuple[Speaker, Phase], frozenset[type[m.Message]]] = {
    (Speaker.USER, Phase.GREETING): _set(m.Hello),
    (Speaker.CARD, Phase.GREETING): _set(m.Hello),
    (Speaker.USER, Phase.OPEN): _set(
        m.ListCards,
        m.SelectCard,
        m.Resume,
        m.Detach,
        m.Cancel,
        m.ListReaders,
        m.WatchReaders,
        *_FORWARDED,
    ),
    (Speaker.CARD, Phase.OPEN): _set(
        m.ReaderReport,
        m.ReaderGone,
        m.AttachAck,
        m.DetachAck,
        m.CancelAck,
        m.Resumed,
        m.SessionEnded,
        m.Error,
        *_ANSWERS,
    ),
    (Speaker.SERVER_TO_USER, Phase.GREETING): _set(m.HelloAck, m.Error),
    (Speaker.SERVER_TO_CARD, Phase.GREETING): _set(m.HelloAck, m.Error),
    (Speaker.SERVER_TO_USER, Phase.OPEN): _set(
        m.ListCardsAck,
        m.SelectCardAck,
        m.Waiting,
        m.DetachAck,
        m.CancelAck,
        m.ListReadersAck,
        m.WatchReadersAck,
        m.ReaderEvent,
        m.ReaderMark,
        m.StateChange,
        m.ListChange,
        m.Resumed,
        m.SessionInterrupted,
        m.SessionEnded,
        m.Restarting,
        m.Error,
        *_ANSWERS,
    ),
    (Speaker.SERVER_TO_CARD, Phase.OPEN): _set(
        m.Attach,
        m.Resume,
        m.Detach,
        m.Cancel,
        m.StateNotification,
        m.Restarting,
        m.Error,
        *_FORWARDED,
    ),
}
"""The messages that each speaker may send in each phase; `hello_ack` opens the conversation."""

ANSWERS: dict[type[m.Message], type[m.Message]] = {
    m.Hello: m.HelloAck,
    m.ListCards: m.ListCardsAck,
    m.SelectCard: m.SelectCardAck,
    m.CApdu: m.RApdu,
    m.Batch: m.BatchResp,
    m.ResetReq: m.ResetResp,
    m.Reconnect: m.ReconnectAck,
    m.BeginTransaction: m.BeginTransactionAck,
    m.EndTransaction: m.EndTransactionAck,
    m.Status: m.StatusAck,
    m.Control: m.ControlAck,
    m.GetAttribute: m.GetAttributeAck,
    m.SetAttribute: m.SetAttributeAck,
    m.Attach: m.AttachAck,
    m.Resume: m.Resumed,
    m.Detach: m.DetachAck,
    m.Cancel: m.CancelAck,
    m.ListReaders: m.ListReadersAck,
    m.WatchReaders: m.WatchReadersAck,
}
"""The answer to each request; `error` may stand in for any of them."""


def said_by(kind: type[m.Message]) -> dict[Speaker, tuple[Phase, ...]]:
    """Return who may say a message, and in which phases."""
    places = {who: tuple(p for p in Phase if kind in MAY_SAY[who, p]) for who in Speaker}
    return {who: phases for who, phases in places.items() if phases}


def may_say(speaker: Speaker, phase: Phase, message: m.Message) -> bool:
    """Return whether the message is in its place."""
    return type(message) in MAY_SAY[speaker, phase]
