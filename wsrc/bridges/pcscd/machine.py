# SPDX-License-Identifier: Apache-2.0
"""
The machine behind the socket: programs, readers, and who may do what when.

It takes requests of programs and what its source sees. It returns steps to be taken, see `source`,
and tells programs of changes unasked. Time is an argument; octets of the socket are `wire`'s.
"""

from collections.abc import Callable, Sequence
from typing import Any

from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.calls import Calls
from wsrc.bridges.pcscd.reader import Reader
from wsrc.bridges.pcscd.requests import (
    MAJOR,
    NEWEST_MINOR,
    OLD_TABLE_READERS,
    OLDEST_MINOR,
    CardRequest,
    Events,
    Refused,
    RequestError,
    Rows,
)
from wsrc.bridges.pcscd.source import Failure, Park, Seen, Session, Steps
from wsrc.bridges.pcscd.table import Program, Table, Waiting
from wsrc.bridges.pcscd.turns import Turns
from wsrc.card.pcsc_numbers import Code

_OF_READERS = (
    asks.GetReaders,
    asks.Wait,
    asks.GetReaderEvents,
    asks.GetTableSize,
    asks.GetTable,
    asks.Connect,
)
"""Requests that cannot be answered before it is known which readers there are."""

KEEP_S = 0.4
"""How long a card that no program uses stays ours, as pcscd keeps it powered for a while."""


class Machine:
    """
    All readers and all programs.

    Args:
        draw: Returns random numbers of 31 bits, for contexts and handles.
        listed: Whether it is known which readers there are; else it is told by `readers_listed`.
    """

    def __init__(self, draw: Callable[[], int], *, listed: bool = True) -> None:
        self._draw = draw
        self._listed = listed
        self._table = Table()
        self._waiting = Waiting(self._table)
        self._turns = Turns(self._waiting)
        self._calls = Calls(self._table, self._waiting, self._turns, draw)
        self._contexts: dict[int, Program] = {}
        self._last_program = 0
        self._away: dict[bytes, Reader] = {}
        """Readers that are out of reach, those first that have been so for longest."""

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
            self._note_away(reader)
        for each in seen:
            if self._table.find(each.name) is None and not each.unavailable:
                self._make_room()
                self._table.add(Reader(each))
                changed = True
        if changed:
            self._turns.let_go = True
            self._waiting.changed()

    def readers_listed(self) -> None:
        """Answer programs that asked for readers by those that were told, if any."""
        self._listed = True
        self._turns.let_go = True

    def _note_away(self, reader: Reader) -> None:
        if reader.seen.unavailable and not reader.gone:
            self._away.setdefault(reader.name, reader)
        else:
            self._away.pop(reader.name, None)

    def _make_room(self) -> None:
        """
        Give up a reader that is out of reach where the old table has no room for another one.

        Some never come back; none is given up that a program has a handle of. One that does come
        back is a new one.
        """
        if len(self._table.readers) >= OLD_TABLE_READERS:
            unused = (r for r in self._away.values() if not r.handles and not r.busy)
            reader = next(unused, None)
            if reader is not None:
                self._unplugged(reader)
                self._note_away(reader)

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

    def take_outgoing(self) -> list[tuple[Program, Events]]:
        """Return, once, the programs whose wait is over, each with what it is told."""
        outgoing, self._waiting.outgoing = self._waiting.outgoing, []
        return outgoing

    def take_begun(self) -> list[Steps[None]]:
        """Return the calls that are to be run though no program asked, once."""
        begun, self._turns.begun = self._turns.begun, []
        return begun

    def take_let_go(self) -> bool:
        """Return, once, whether calls that are parked should look again."""
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
        """Release all that a program had; its calls have ended."""
        self._waiting.unregister(program)
        self._contexts.pop(program.context, None)
        self._calls.give_up(program, now)

    def asked(self, program: Program, request: asks.Request[Any], now: float) -> Steps[Any]:
        """
        Return the steps in which a request is carried out; they return its result.

        Raises:
            Refused: By the steps, if it is not done.
            RequestError: By the steps, if the connection of the program must be closed.
        """
        if not self._listed and isinstance(request, _OF_READERS):
            return self._once_listed(program, request)
        if isinstance(request, CardRequest):
            return self._calls.asked(program, request, now)
        return self._asked_at_once(program, request, now)

    def _once_listed(self, program: Program, request: asks.Request[Any]) -> Steps[Any]:
        now = 0.0
        while not self._listed:
            now = yield Park()
        return (yield from self.asked(program, request, now))

    def _asked_at_once(  # noqa: PLR0911 - a line for each request
        self, program: Program, request: asks.Request[Any], now: float
    ) -> Steps[Any]:
        yield from ()
        match request:
            case asks.Version():
                return _agree(program, request)
            case asks.EstablishContext():
                return self._establish(program)
            case asks.ReleaseContext():
                return self._release(program, request, now)
            case asks.Cancel():
                return self._cancel(request)
            case asks.GetReaders():
                return self._table.old_rows()
            case asks.Wait():
                return self._wait(program)
            case asks.StopWaiting():
                return self._stop_waiting(program)
            case asks.GetReaderEvents():
                return Events(self._table.events, program.waited)
            case asks.GetTableSize():
                program.told_rows = self._table.capacity
                return program.told_rows
            case asks.GetTable():
                return self._give_table(program)
            case _:
                raise RequestError(f"{type(request).__name__} has no place here")

    def _give_table(self, program: Program) -> Rows:
        """Return as many rows as were told; a program that misses some is told to read again."""
        rows = program.told_rows or self._table.capacity
        self._waiting.arm(program)
        if program.armed and rows < self._table.capacity:
            self._waiting.tell(program, Code.SCARD_S_SUCCESS)
        return self._table.rows(rows)

    def _wait(self, program: Program) -> Rows | None:
        old = program.minor < 6
        self._waiting.register(program, armed=old)
        return self._table.old_rows() if old else None

    def _stop_waiting(self, program: Program) -> bool:
        """Take a wait back, or tell that it was cancelled: there is one message in all."""
        self._waiting.arm(program)
        return self._waiting.unregister(program)

    def _establish(self, program: Program) -> int:
        if program.context:
            raise Refused(Code.SCARD_E_INVALID_VALUE)
        while not program.context or program.context in self._contexts:
            program.context = self._draw()
        self._contexts[program.context] = program
        return program.context

    def _release(self, program: Program, asked: asks.ReleaseContext, now: float) -> None:
        if not program.context:
            raise Refused(Code.SCARD_E_INVALID_HANDLE)
        if asked.context != program.context:
            raise Refused(Code.SCARD_E_INVALID_VALUE)
        self._calls.give_up(program, now)
        del self._contexts[program.context]
        program.context = 0

    def _cancel(self, asked: asks.Cancel) -> None:
        target = self._contexts.get(asked.context)
        if target is None:
            raise Refused(Code.SCARD_E_INVALID_HANDLE)
        self._waiting.cancel(target)


def _agree(program: Program, asked: asks.Version) -> int:
    """
    Agree on a version: the program's, or the newest that we know.

    Older libraries look at the code alone; newer ones speak the version of the answer, and ask
    again with it where the code is SERVICE_STOPPED.
    """
    if asked.major != MAJOR or asked.minor < OLDEST_MINOR:
        raise Refused(Code.SCARD_E_SERVICE_STOPPED)
    program.minor = min(asked.minor, NEWEST_MINOR)
    return program.minor
