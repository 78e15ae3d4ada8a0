# SPDX-License-Identifier: Apache-2.0
"""
What each call on a handle does: connect, reconnect, disconnect, transactions, exchanges.

Each call that may have to wait is a generator of what it needs, see `pcscd_needs`.
"""

from collections.abc import Callable, Generator
from typing import Any

from wsrc.bridges.pcscd import requests as asks, wire
from wsrc.bridges.pcscd.attributes import is_known, known_attribute
from wsrc.bridges.pcscd.needs import Exchange, Inner, Need, Park, Steps
from wsrc.bridges.pcscd.questions import control, name_of, read, write
from wsrc.bridges.pcscd.reader import Handle, Reader, Refused
from wsrc.bridges.pcscd.table import Table
from wsrc.bridges.pcscd.turns import Turns
from wsrc.bridges.pcscd.waiting import Program, Waiting
from wsrc.bridges.pcscd.wire import WireError
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
        draw: Gives random numbers of 31 bits, for handles.
    """

    def __init__(
        self, table: Table, waiting: Waiting, turns: Turns, draw: Callable[[], int]
    ) -> None:
        self._table = table
        self._waiting = waiting
        self._turns = turns
        self._draw = draw
        self._handles: dict[int, Handle] = {}

    def connect(self, program: Program, asked: asks.Connect, now: float) -> Steps:
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
        return wire.connected(asked, Code.SCARD_S_SUCCESS, handle.number, reader.protocol)

    def _hold(self, program: Program, reader: Reader, asked: asks.Connect) -> Handle:
        if asked.share != ShareMode.DIRECT or asked.protocols & PROTOCOL_RAW:
            reader.choose_protocol(asked.protocols)
        if len(program.cards) >= MAX_HANDLES:
            raise Refused(Code.SCARD_E_NO_MEMORY)
        handle = Handle(self._number(self._handles), reader, program)
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

    def _admit(self, program: Program, asked: asks.Connect) -> Generator[Need, Any, Reader]:
        """Wait for the transactions of others, and see that the card is ours."""
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

    def reconnect(self, program: Program, asked: asks.Reconnect, now: float) -> Steps:
        """SCardReconnect; a reset is done at once, for the program wants the ATR."""
        del now
        handle = self._handle(program, asked.card)
        reader = handle.reader
        if asked.initialization not in {*_KINDS, Disposition.LEAVE}:
            raise Refused(Code.SCARD_E_INVALID_VALUE)
        _check_wish(asked.share, asked.protocols)
        reader.check_there()
        reader.check_lock(handle)
        if asked.initialization != Disposition.LEAVE:
            reader.flag(Code.SCARD_W_RESET_CARD)
            reader.protocol = 0
        _check_inside(reader)
        yield from self._renew(reader, asked)
        reader.check_there()
        _check_inside(reader)
        if asked.share != ShareMode.DIRECT or asked.protocols & PROTOCOL_RAW:
            reader.choose_protocol(asked.protocols)
        reader.share_as(handle, asked.share)
        handle.event = None
        self._changed()
        return wire.reconnected(asked, Code.SCARD_S_SUCCESS, reader.protocol)

    def _renew(self, reader: Reader, asked: asks.Reconnect) -> Inner:
        """Have the card reset, or ours, as a program that reconnects needs it."""
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

    def disconnect(self, program: Program, asked: asks.Disconnect, now: float) -> Steps:
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
        return wire.disposed(asked, Code.SCARD_S_SUCCESS)

    def begin(self, program: Program, asked: asks.Begin, now: float) -> Steps:
        """SCardBeginTransaction."""
        handle = self._handle(program, asked.card)
        until = now + BEGIN_PARK_S
        while True:
            handle.reader.check_there()
            handle.check_event()
            if handle.reader.lock(handle):
                return wire.told(asked, Code.SCARD_S_SUCCESS)
            if now >= until:
                raise Refused(Code.SCARD_E_SHARING_VIOLATION)
            now = yield Park(until)

    def end(self, program: Program, asked: asks.End) -> bytes:
        """SCardEndTransaction; a reset strikes the program that asks for it, too."""
        handle = self._handle(program, asked.card)
        if asked.disposition not in set(Disposition):
            raise Refused(Code.SCARD_E_INVALID_VALUE)
        handle.reader.check_there()
        handle.check_event()
        handle.reader.unlock(handle)
        if asked.disposition in _KINDS:
            handle.reader.reset_later(_KINDS[Disposition(asked.disposition)])
            self._waiting.changed()
        self._turns.let_go = True
        return wire.disposed(asked, Code.SCARD_S_SUCCESS)

    def status(self, program: Program, asked: asks.Status) -> bytes:
        """SCardStatus; all but whether the handle is good is in the table."""
        self._usable(program, asked.card)
        return wire.told(asked, Code.SCARD_S_SUCCESS)

    def control(self, program: Program, asked: asks.Control, now: float) -> Steps:
        """SCardControl, which what happened to the card does not end."""
        del now
        reader = yield from self._at_rest(lambda: self._controllable(program, asked.card))
        answer = yield from self._turns.ask(reader, control(self._turns, reader, asked))
        return wire.controlled(asked, Code.SCARD_S_SUCCESS, answer)

    def get_attribute(self, program: Program, asked: asks.GetAttribute, now: float) -> Steps:
        """SCardGetAttrib; what is known here is not asked for."""
        del now
        reader = self._usable(program, asked.card).reader
        name = name_of(asked.attribute)
        if is_known(name):
            value = known_attribute(reader, name)
        else:
            yield from self._at_rest(lambda: self._usable(program, asked.card).reader)
            value = yield from self._turns.ask(reader, read(self._turns, reader, name))
        return wire.attribute(asked, Code.SCARD_S_SUCCESS, value)

    def set_attribute(self, program: Program, asked: asks.SetAttribute, now: float) -> Steps:
        """SCardSetAttrib; what the reader does not let be set is SCARD_E_NOT_TRANSACTED."""
        del now
        reader = yield from self._at_rest(lambda: self._usable(program, asked.card).reader)
        yield from self._turns.ask(reader, write(self._turns, reader, asked))
        return wire.attribute(asked, Code.SCARD_S_SUCCESS)

    def transmit(self, program: Program, asked: asks.Transmit, now: float) -> Steps:
        """SCardTransmit."""
        del now
        reader = yield from self._at_rest(lambda: self._talking(program, asked))
        answer = yield from self._turns.ask(reader, self._exchange(program, asked))
        return wire.transmitted(asked, Code.SCARD_S_SUCCESS, answer)

    def _exchange(self, program: Program, asked: asks.Transmit) -> Generator[Need, Any, bytes]:
        handle = self._handle(program, asked.card)
        session = yield from self._turns.ready(handle.reader)
        handle.check_event()
        answer: bytes = yield Exchange(session, asked.octets)
        return answer

    def _talking(self, program: Program, asked: asks.Transmit) -> Reader:
        reader = self._usable(program, asked.card).reader
        if asked.protocol != PROTOCOL_RAW:
            reader.check_present()
            if asked.protocol not in {PROTOCOL_ANY_OLD, reader.protocol}:
                raise Refused(Code.SCARD_E_PROTO_MISMATCH)
        return reader

    def _controllable(self, program: Program, card: int) -> Reader:
        handle = self._handle(program, card)
        handle.reader.check_there()
        handle.reader.check_lock(handle)
        return handle.reader

    def _at_rest(self, check: Callable[[], Reader]) -> Generator[Need, Any, Reader]:
        """Wait until nobody else asks anything of a reader, checking each time that it may be."""
        while (reader := check()).busy:
            yield Park()
        return reader

    def give_up(self, program: Program, now: float) -> None:
        """Drop all handles of a program; one that had a transaction leaves the card reset."""
        for number in list(program.cards):
            handle = self._handles[number]
            locked = handle.reader.locked_by is handle
            reset = locked and handle.event is None
            disposition = Disposition.RESET if reset else Disposition.LEAVE
            self._drop(program, handle, disposition, now)

    def _usable(self, program: Program, card: int) -> Handle:
        handle = self._handle(program, card)
        handle.reader.check_there()
        handle.reader.check_lock(handle)
        handle.check_event()
        return handle

    def _handle(self, program: Program, card: int) -> Handle:
        if card not in program.cards:
            raise WireError("a program has used a handle that is not its own")
        return self._handles[card]

    def _number(self, taken: dict[int, Handle]) -> int:
        number = 0
        while not number or number in taken:
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


def _check_inside(reader: Reader) -> None:
    if not reader.seen.present:
        raise Refused(Code.SCARD_E_NO_SMARTCARD)


def _check_wish(share: int, protocols: int) -> None:
    if share != ShareMode.DIRECT and not protocols & _WISHES:
        raise Refused(Code.SCARD_E_PROTO_MISMATCH)
    if share not in set(ShareMode):
        raise Refused(Code.SCARD_E_INVALID_VALUE)
