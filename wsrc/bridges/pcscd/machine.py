# SPDX-License-Identifier: Apache-2.0
"""
The machine behind the socket: programs, readers, and who may do what when.

It takes requests of programs and what the source sees. It gives calls to be run, see
`pcscd_calls`, and messages that are sent unasked, `outgoing`. Time is an argument.
"""

from collections.abc import Callable, Sequence
from typing import Any

from wsrc.bridges.pcscd import requests as asks, wire
from wsrc.bridges.pcscd.calls import Calls
from wsrc.bridges.pcscd.needs import Steps
from wsrc.bridges.pcscd.reader import Reader, Refused
from wsrc.bridges.pcscd.source import Failure, Seen, Session
from wsrc.bridges.pcscd.table import Table
from wsrc.bridges.pcscd.turns import Turns
from wsrc.bridges.pcscd.waiting import Program, Waiting
from wsrc.bridges.pcscd.wire import WireError
from wsrc.card.pcsc_numbers import Code

KEEP_S = 0.4
"""How long a card that no program uses stays ours, as pcscd keeps it powered for a while."""

_Answer = Callable[[Code], bytes]


class Machine:
    """
    All readers and all programs.

    Args:
        draw: Gives random numbers of 31 bits, for contexts and handles.
    """

    def __init__(self, draw: Callable[[], int]) -> None:
        self._draw = draw
        self._table = Table()
        self._waiting = Waiting()
        self._turns = Turns(self._waiting)
        self._calls = Calls(self._table, self._waiting, self._turns, draw)
        self._contexts: dict[int, Program] = {}
        self._last_program = 0

    # What the source sees

    def readers_are(self, seen: Sequence[Seen]) -> None:
        """Take all readers that there are now."""
        now = {each.name: each for each in seen}
        changed = False
        for reader in self._table.readers:
            if reader.name not in now:
                self._unplugged(reader)
                changed = True
            elif reader.update(now[reader.name]):
                self._turns.close_stale(reader)
                changed = True
        for each in seen:
            if self._table.find(each.name) is None:
                self._table.add(Reader(each))
                changed = True
        if changed:
            self._turns.let_go = True
            self._waiting.changed()

    def _unplugged(self, reader: Reader) -> None:
        reader.gone = True
        reader.removed()
        self._table.remove(reader)
        self._turns.close_stale(reader)

    def session_over(self, session: Session, why: Failure) -> None:
        """Note that a card is not ours any more; one of which that is known is no news."""
        for reader in self._table.readers:
            if reader.session is session:
                reader.lost(why.sticky or Code.SCARD_W_RESET_CARD)
                self._turns.close_stale(reader)
                self._turns.let_go = True
                self._waiting.changed()

    # What is to be done outside

    def take_outgoing(self) -> list[tuple[Program, bytes]]:
        """Return the messages that are to be sent, once."""
        outgoing, self._waiting.outgoing = self._waiting.outgoing, []
        return outgoing

    def take_begun(self) -> list[Steps]:
        """Return the calls that are to be run though no program asked, once."""
        begun, self._turns.begun = self._turns.begun, []
        return begun

    def take_let_go(self) -> bool:
        """Tell, once, whether calls that are parked should look again."""
        let_go, self._turns.let_go = self._turns.let_go, False
        return let_go

    def deadline(self) -> float | None:
        """Return when `due` has something to do, if ever."""
        idle = [r.idle_since for r in self._table.readers if r.idle_since is not None]
        return min(idle) + KEEP_S if idle else None

    def due(self, now: float) -> None:
        """Begin to give back the cards that were not used for long enough."""
        for reader in self._table.readers:
            if reader.idle_since is not None and now >= reader.idle_since + KEEP_S:
                reader.idle_since = None
                self._turns.release(reader)

    def stop(self) -> None:
        """Begin to give back all cards."""
        for reader in self._table.readers:
            reader.session_over()
            self._turns.close_stale(reader)

    # What programs say

    def connected(self) -> Program:
        """Take a new connection."""
        self._last_program += 1
        return Program(self._last_program)

    def disconnected(self, program: Program, now: float) -> None:
        """Let go of all that a program had; its calls have ended."""
        self._waiting.unregister(program)
        self._contexts.pop(program.context, None)
        self._calls.give_up(program, now)

    def asked(self, program: Program, request: asks.Request, now: float) -> Steps:
        """
        Begin a call; its result is the answer, or None where there is none.

        Raises:
            WireError: While it runs, if the connection must be closed.
        """
        call = _LONG.get(type(request))
        if call is None:
            return self._at_once(program, request, now)
        return self._carry_out(call(self._calls, program, request, now), request)

    def _carry_out(self, steps: Steps, request: Any) -> Steps:
        try:
            return (yield from steps)
        except Refused as refused:
            return _ANSWERS[type(request)](request, refused.code)

    def _at_once(self, program: Program, request: asks.Request, now: float) -> Steps:
        yield from ()
        call = _SHORT.get(type(request))
        if call is None:
            return self._answer(program, request, now)
        try:
            return call(self._calls, program, request)
        except Refused as refused:
            return _ANSWERS[type(request)](request, refused.code)

    def _answer(self, program: Program, request: asks.Request, now: float) -> bytes | None:
        match request:
            case asks.Version():
                return _version(program, request)
            case asks.EstablishContext():
                return self._establish(program, request)
            case asks.ReleaseContext():
                return self._release(program, request, now)
            case asks.Cancel():
                return self._cancel(request)
            case _:
                return self._table_request(program, request)

    def _table_request(self, program: Program, request: asks.Request) -> bytes | None:
        match request:
            case asks.GetReaders():
                return self._table.encode(wire.OLD_TABLE_ROWS)
            case asks.Wait():
                return self._wait(program)
            case asks.StopWaiting():
                waited = self._waiting.unregister(program)
                return wire.waited(Code.SCARD_S_SUCCESS) if waited else None
            case asks.GetReaderEvents():
                return wire.reader_events(self._table.events)
            case asks.GetTableSize():
                program.told_rows = self._table.capacity
                return wire.table_size(program.told_rows)
            case asks.GetTable():
                return self._give_table(program)
            case _:
                raise WireError(f"{type(request).__name__} has no place here")

    def _give_table(self, program: Program) -> bytes:
        """Return as many rows as were told; a program that misses some is told to read again."""
        rows = program.told_rows or self._table.capacity
        program.armed = program.registered
        if program.armed and rows < self._table.capacity:
            self._waiting.tell(program, Code.SCARD_S_SUCCESS)
        return self._table.encode(rows)

    def _wait(self, program: Program) -> bytes | None:
        old = program.minor < 6
        self._waiting.register(program, armed=old)
        return self._table.encode(wire.OLD_TABLE_ROWS) if old else None

    def _establish(self, program: Program, asked: asks.EstablishContext) -> bytes:
        if program.context:
            return wire.established(asked, 0, Code.SCARD_E_INVALID_VALUE)
        while not program.context or program.context in self._contexts:
            program.context = self._draw()
        self._contexts[program.context] = program
        return wire.established(asked, program.context, Code.SCARD_S_SUCCESS)

    def _release(self, program: Program, asked: asks.ReleaseContext, now: float) -> bytes:
        if not program.context:
            return wire.released(asked, Code.SCARD_E_INVALID_HANDLE)
        if asked.context != program.context:
            return wire.released(asked, Code.SCARD_E_INVALID_VALUE)
        self._calls.give_up(program, now)
        del self._contexts[program.context]
        program.context = 0
        return wire.released(asked, Code.SCARD_S_SUCCESS)

    def _cancel(self, asked: asks.Cancel) -> bytes:
        target = self._contexts.get(asked.context)
        if target is None or not target.registered:
            return wire.cancelled(asked, Code.SCARD_E_INVALID_HANDLE)
        self._waiting.tell(target, Code.SCARD_E_CANCELLED)
        return wire.cancelled(asked, Code.SCARD_S_SUCCESS)


_LONG: dict[type[asks.Request], Callable[..., Steps]] = {
    asks.Transmit: Calls.transmit,
    asks.Begin: Calls.begin,
    asks.Connect: Calls.connect,
    asks.Reconnect: Calls.reconnect,
    asks.Disconnect: Calls.disconnect,
    asks.Control: Calls.control,
    asks.GetAttribute: Calls.get_attribute,
    asks.SetAttribute: Calls.set_attribute,
}
"""Calls that may need something of the outside."""

_SHORT: dict[type[asks.Request], Callable[..., bytes]] = {
    asks.Status: Calls.status,
    asks.End: Calls.end,
}
"""Calls that are answered at once."""

_ANSWERS: dict[type[asks.Request], Callable[..., bytes]] = {
    asks.Transmit: wire.transmitted,
    asks.Status: wire.told,
    asks.Begin: wire.told,
    asks.End: wire.disposed,
    asks.Connect: wire.connected,
    asks.Reconnect: wire.reconnected,
    asks.Disconnect: wire.disposed,
    asks.Control: wire.controlled,
    asks.GetAttribute: wire.attribute,
    asks.SetAttribute: wire.attribute,
}
"""How a call is answered with a code and nothing else."""


def _version(program: Program, asked: asks.Version) -> bytes:
    """
    Agree on a version: the program's, or the newest that we know.

    Older libraries look at the code alone; newer ones speak the version of the answer, and ask
    again with it where the code is SERVICE_STOPPED.
    """
    if asked.major != wire.MAJOR or asked.minor < wire.OLDEST_MINOR:
        return wire.version(wire.MAJOR, wire.OLDEST_MINOR, Code.SCARD_E_SERVICE_STOPPED)
    program.minor = min(asked.minor, wire.NEWEST_MINOR)
    return wire.version(wire.MAJOR, program.minor, Code.SCARD_S_SUCCESS)
