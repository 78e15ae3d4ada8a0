# SPDX-License-Identifier: Apache-2.0
"""
What each call on a handle does: connect, reconnect, disconnect, transactions, exchanges.

Each call that may have to wait is a generator of what it needs, see `source`.
"""

import math
from collections.abc import Callable
from typing import Any

from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.questions import control, is_known, known_attribute, name_of, read, write
from wsrc.bridges.pcscd.reader import Handle, HandleEvent, HandleState, Reader
from wsrc.bridges.pcscd.requests import Connected, Refused, RequestError
from wsrc.bridges.pcscd.source import Ask, Park, Steps
from wsrc.bridges.pcscd.table import Program, Table, Waiting
from wsrc.bridges.pcscd.turns import Turns
from wsrc.card.pcsc_numbers import (
    PROTOCOL_ANY,
    PROTOCOL_ANY_OLD,
    PROTOCOL_RAW,
    Code,
    Disposition,
    ShareMode,
)
from wsrc.card.slot import ResetKind

BEGIN_PARK_S = 0.1
"""How long BEGIN_TRANSACTION waits for another's to end; the library then asks again."""

MAX_HANDLES = 200
"""Handles of one context."""

_WISHES = PROTOCOL_ANY | PROTOCOL_RAW | PROTOCOL_ANY_OLD
_KINDS = {Disposition.RESET: ResetKind.WARM, Disposition.UNPOWER: ResetKind.COLD}


class Calls:
    """
    The calls of all programs on the readers of one table.

    Args:
        table: The readers.
        waiting: Who is told of changes.
        turns: The exchanges with them.
        draw: Returns random numbers of 31 bits, for handles.
    """

    def __init__(
        self, table: Table, waiting: Waiting, turns: Turns, draw: Callable[[], int]
    ) -> None:
        self._table = table
        self._waiting = waiting
        self._turns = turns
        self._draw = draw
        self._handles: dict[int, Handle] = {}

    def asked(  # noqa: PLR0911 - a line for each request
        self, program: Program, request: asks.CardRequest[Any], now: float
    ) -> Steps[Any]:
        """
        Return the steps in which a request is carried out; they return its result.

        Raises:
            Refused: By the steps, if it is not done.
            RequestError: By the steps, if the program may not make it.
        """
        match request:
            case asks.Transmit():
                return self._transmit(program, request)
            case asks.Status():
                return self._status(program, request)
            case asks.Begin():
                return self._begin(program, request, now)
            case asks.End():
                return self._end(program, request, now)
            case asks.Connect():
                return self._connect(program, request, now)
            case asks.Reconnect():
                return self._reconnect(program, request)
            case asks.Disconnect():
                return self._disconnect(program, request, now)
            case asks.Control():
                return self._control(program, request)
            case asks.GetAttribute():
                return self._get_attribute(program, request)
            case asks.SetAttribute():
                return self._set_attribute(program, request)
            case _:
                raise AssertionError(request)

    def _connect(self, program: Program, asked: asks.Connect, now: float) -> Steps[Connected]:
        """SCardConnect; the first one makes the card ours."""
        _check_wish(asked.share, asked.protocols)
        if asked.context != program.context or not program.context:
            raise Refused(Code.SCARD_E_INVALID_HANDLE)
        try:
            reader = yield from self._admit(program, asked)
            handle = self._hold(program, reader, asked)
        except Refused:
            self._unused(asked.reader, now)
            raise
        self._waiting.changed()
        return Connected(handle.number, reader.protocol)

    def _hold(self, program: Program, reader: Reader, asked: asks.Connect) -> Handle:
        if asked.share != ShareMode.DIRECT or asked.protocols & PROTOCOL_RAW:
            reader.choose_protocol(asked.protocols)
        if len(program.cards) >= MAX_HANDLES:
            raise Refused(Code.SCARD_E_NO_MEMORY)
        handle = Handle(self._unused_number(), reader, program)
        reader.add(handle, asked.share)
        if asked.share != ShareMode.DIRECT:
            reader.unpowered = False
        self._handles[handle.number] = handle
        program.cards.add(handle.number)
        return handle

    def _unused(self, name: bytes, now: float) -> None:
        """Note since when a card is ours that nobody came to use."""
        reader = self._table.find(name)
        if reader is not None and reader.session is not None and not reader.handles:
            reader.idle_since = now

    def _admit(self, program: Program, asked: asks.Connect) -> Steps[Reader]:
        """Wait for the transactions of others, and make the card ours."""
        while True:
            reader = self._table.find(asked.reader)
            if reader is None:
                raise Refused(Code.SCARD_E_UNKNOWN_READER)
            reader.check_there()
            if reader.exclusive:
                raise Refused(Code.SCARD_E_SHARING_VIOLATION)
            holder = reader.locked_by
            if holder is not None and holder.owner is not program:
                yield Park()
                continue
            if asked.share == ShareMode.DIRECT:
                return reader
            reader.check_present()
            if reader.session is not None:
                return reader
            if asked.share == ShareMode.EXCLUSIVE and reader.handles:
                raise Refused(Code.SCARD_E_SHARING_VIOLATION)
            yield from self._turns.take(reader, self._turns.open(reader))

    def _reconnect(self, program: Program, asked: asks.Reconnect) -> Steps[int]:
        """SCardReconnect; a reset is done at once, for the program wants the ATR."""
        handle = self._handle(program, asked.card)
        reader = handle.reader
        if asked.initialization not in {*_KINDS, Disposition.LEAVE}:
            raise Refused(Code.SCARD_E_INVALID_VALUE)
        _check_wish(asked.share, asked.protocols)
        reader.check_there()
        reader.check_lock(handle)
        if asked.initialization != Disposition.LEAVE:
            reader.strike(Code.SCARD_W_RESET_CARD)
            reader.protocol = 0
        _check_inside(reader)
        yield from self._renew(reader, asked)
        reader.check_there()
        _check_inside(reader)
        if asked.share != ShareMode.DIRECT or asked.protocols & PROTOCOL_RAW:
            reader.choose_protocol(asked.protocols)
        reader.share_as(handle, asked.share)
        handle.note(HandleEvent.RECONNECT)
        self._changed()
        return reader.protocol

    def _renew(self, reader: Reader, asked: asks.Reconnect) -> Steps[None]:
        """Reset the card, or make it ours, as a program that reconnects needs it."""
        if asked.initialization != Disposition.LEAVE:
            kind = _KINDS[Disposition(asked.initialization)]
            yield from self._turns.take(reader, self._turns.reset_or_open(reader, kind))
        elif reader.seen.mute:
            raise Refused(Code.SCARD_W_UNRESPONSIVE_CARD)
        elif asked.share != ShareMode.DIRECT and reader.session is None:
            yield from self._turns.take(reader, self._turns.open(reader))
        else:
            return
        if reader.session is None and reader.has_card():  # lost while it was reset
            raise Refused(Code.SCARD_W_REMOVED_CARD)

    def _disconnect(self, program: Program, asked: asks.Disconnect, now: float) -> Steps[None]:
        """SCardDisconnect; the reset that it asks for is done before the next command."""
        handle = self._handle(program, asked.card)
        if asked.disposition not in set(Disposition):
            raise Refused(Code.SCARD_E_INVALID_VALUE)
        reader = handle.reader
        while asked.disposition != Disposition.LEAVE:
            holder = reader.locked_by
            if holder is None or holder is handle:
                break
            if holder.owner is program:  # it would wait for itself
                raise Refused(Code.SCARD_E_SHARING_VIOLATION)
            now = yield Park()
        self._drop(program, handle, asked.disposition, now)

    def _begin(self, program: Program, asked: asks.Begin, now: float) -> Steps[None]:
        """SCardBeginTransaction."""
        handle = self._handle(program, asked.card)
        until = now + BEGIN_PARK_S
        while True:
            handle.reader.check_there()
            handle.check_card()
            turn = handle.reader.begin(handle, now)
            if turn is None:
                return
            if turn < math.inf:
                until = turn
            elif now >= until:
                raise Refused(Code.SCARD_E_SHARING_VIOLATION)
            now = yield Park(until)

    def _end(self, program: Program, asked: asks.End, now: float) -> Steps[None]:
        """SCardEndTransaction; a reset strikes the program that asks for it, too."""
        yield from ()
        handle = self._handle(program, asked.card)
        if asked.disposition not in set(Disposition):
            raise Refused(Code.SCARD_E_INVALID_VALUE)
        handle.reader.check_there()
        handle.check_card()
        handle.reader.unlock(handle, now)
        if asked.disposition in _KINDS:
            handle.reader.reset_later(_KINDS[Disposition(asked.disposition)])
            self._waiting.changed()
        self._turns.let_go = True

    def _status(self, program: Program, asked: asks.Status) -> Steps[None]:
        """SCardStatus; all but whether the handle is good is in the table."""
        yield from ()
        self._usable(program, asked.card)

    def _control(self, program: Program, asked: asks.Control) -> Steps[bytes]:
        """SCardControl, which what happened to the card does not end."""
        reader = yield from self._at_rest(lambda: self._controllable(program, asked.card).reader)
        answer = yield from self._turns.ask(reader, control(self._turns, reader, asked))
        return _fitting(answer, asked.max_answer)

    def _get_attribute(self, program: Program, asked: asks.GetAttribute) -> Steps[bytes]:
        """SCardGetAttrib; what is known here is not asked for."""
        reader = self._usable(program, asked.card).reader
        name = name_of(asked.attribute)
        if is_known(name):
            value = known_attribute(reader, name)
        else:
            yield from self._at_rest(lambda: self._usable(program, asked.card).reader)
            value = yield from self._turns.ask(reader, read(self._turns, reader, name))
        return _fitting(value, asked.max_answer)

    def _set_attribute(self, program: Program, asked: asks.SetAttribute) -> Steps[None]:
        """SCardSetAttrib; what the reader does not let be set is SCARD_E_NOT_TRANSACTED."""
        reader = yield from self._at_rest(lambda: self._usable(program, asked.card).reader)
        yield from self._turns.ask(reader, write(self._turns, reader, asked))

    def _transmit(self, program: Program, asked: asks.Transmit) -> Steps[bytes]:
        """SCardTransmit."""
        reader = yield from self._at_rest(lambda: self._talking(program, asked))
        answer = yield from self._turns.ask(reader, self._exchange(program, asked))
        return _fitting(answer, asked.max_answer)

    def _exchange(self, program: Program, asked: asks.Transmit) -> Steps[bytes]:
        handle = self._handle(program, asked.card)
        session = yield from self._turns.ready(handle.reader)
        handle.check_card()
        answer: bytes = yield Ask(session.transmit, (asked.octets,))
        return answer

    def _talking(self, program: Program, asked: asks.Transmit) -> Reader:
        reader = self._usable(program, asked.card).reader
        if asked.protocol != PROTOCOL_RAW:
            reader.check_present()
            if asked.protocol not in {PROTOCOL_ANY_OLD, reader.protocol}:
                raise Refused(Code.SCARD_E_PROTO_MISMATCH)
        return reader

    def _controllable(self, program: Program, card: int) -> Handle:
        handle = self._handle(program, card)
        handle.reader.check_there()
        handle.reader.check_lock(handle)
        return handle

    def _at_rest(self, check: Callable[[], Reader]) -> Steps[Reader]:
        """Wait until nobody else asks anything of a reader, checking each time that it may be."""
        while (reader := check()).busy:
            yield Park()
        return reader

    def give_up(self, program: Program, now: float) -> None:
        """Drop all handles of a program; one that had a transaction leaves the card reset."""
        for number in list(program.cards):
            handle = self._handles[number]
            locked = handle.reader.locked_by is handle
            reset = locked and handle.state is HandleState.USABLE
            disposition = Disposition.RESET if reset else Disposition.LEAVE
            self._drop(program, handle, disposition, now)

    def _usable(self, program: Program, card: int) -> Handle:
        handle = self._controllable(program, card)
        handle.check_card()
        return handle

    def _handle(self, program: Program, card: int) -> Handle:
        if card not in program.cards:
            raise RequestError("a program has used a handle that is not its own")
        return self._handles[card]

    def _unused_number(self) -> int:
        number = 0
        while not number or number in self._handles:
            number = self._draw()
        return number

    def _drop(self, program: Program, handle: Handle, disposition: int, now: float) -> None:
        reader = handle.reader
        reader.unlock_all(handle)
        if disposition in _KINDS and not reader.gone:
            reader.reset_later(_KINDS[Disposition(disposition)])
            reader.unpowered = disposition == Disposition.UNPOWER
        reader.drop(handle, now)
        program.cards.discard(handle.number)
        del self._handles[handle.number]
        self._changed()

    def _changed(self) -> None:
        self._turns.let_go = True
        self._waiting.changed()


def _fitting(answer: bytes, room: int) -> bytes:
    """Return an answer that the program has room for; refuse a longer one."""
    if len(answer) > room:
        raise Refused(Code.SCARD_E_INSUFFICIENT_BUFFER, octets=len(answer))
    return answer


def _check_inside(reader: Reader) -> None:
    if not reader.seen.present:
        raise Refused(Code.SCARD_E_NO_SMARTCARD)


def _check_wish(share: int, protocols: int) -> None:
    if share != ShareMode.DIRECT and not protocols & _WISHES:
        raise Refused(Code.SCARD_E_PROTO_MISMATCH)
    if share not in set(ShareMode):
        raise Refused(Code.SCARD_E_INVALID_VALUE)
