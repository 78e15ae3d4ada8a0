# SPDX-License-Identifier: Apache-2.0
"""How a session gets a card, and what it may ask for after another session reset it."""

from typing import NamedTuple

from wsrc.card.slot import Initialization, Share
from wsrc.card_client import blocking
from wsrc.card_client.attachment import Attachment, Call, Held, Room
from wsrc.card_client.blocking import Line
from wsrc.card_client.guarding import Guards
from wsrc.card_client.worker import ReaderThread
from wsrc.errors import ErrorCode, RefusedError
from wsrc.protocol import messages as m
from wsrc.readers.base import Direct

ATTACH_S = 25.0
"""Longest reset for a new holder; the server gives up a little later."""

_DESPITE_RESET = (m.ResetReq, m.Reconnect, m.Control, m.GetAttribute, m.SetAttribute)


class Way(NamedTuple):
    """How a reader is reached: its thread, and the guard for what `info` says of it."""

    thread: ReaderThread
    guards: Guards
    info: m.ReaderInfo


async def take(asked: m.Attach, sharing: Held | None, way: Way, call: Call, room: Room) -> Held:
    """
    Take a card, cold reset, or join those who share it; or take the reader alone.

    Args:
        asked: What is wanted.
        sharing: A session that has the card already and shares it.
        way: How the reader is reached.
        call: How the session reaches it.
        room: What a batch may take.

    Raises:
        RefusedError: If the card does not run in any of the protocols.
        CardError: If the card or the reader cannot be had.
    """
    if asked.share is Share.DIRECT:
        direct = await way.thread.with_reader(
            lambda reader: reader.connect_direct(), ATTACH_S, _close
        )
        return Held(asked, way.guards.reader(direct, way.info), call)
    if isinstance(sharing, Attachment):
        line, protocol = sharing.line, sharing.connection.protocol
        if asked.protocols and protocol not in asked.protocols:
            why = f"The card runs in {protocol} for those who share it."
            raise RefusedError(ErrorCode.PROTOCOL_MISMATCH, why)
    else:
        line = await way.thread.with_reader(
            lambda reader: blocking.take(
                reader,
                asked.protocols,
                lambda bare: way.guards.card(bare, way.info),
                read_ahead=asked.read_ahead,
            ),
            ATTACH_S,
            _power_off,
        )
    return Attachment(asked, line, call, room)


def resets(asked: m.Forwarded) -> bool:
    """Return whether a request resets the card."""
    if isinstance(asked, m.Reconnect):
        return asked.initialization is not Initialization.LEAVE
    return isinstance(asked, m.ResetReq)


def check_reset(held: Held, asked: m.Forwarded) -> None:
    """
    Check that a session knows that another reset the card, before it goes on with it.

    Raises:
        RefusedError: If it does not, and this is not how it would go on; code `card_was_reset`.
    """
    if held.was_reset and not isinstance(asked, _DESPITE_RESET):
        why = "The card was reset by another, or for a transaction left open; reconnect to go on."
        raise RefusedError(ErrorCode.CARD_WAS_RESET, why)


def _power_off(line: Line | None) -> None:
    _close(None if line is None else line.connection)


def _close(held: Direct | None) -> None:
    if held is not None:
        held.close()
