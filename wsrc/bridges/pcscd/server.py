# SPDX-License-Identifier: Apache-2.0
"""
A socket that libpcsclite takes for that of pcscd; the readers behind it are those of a source.

    async with serving(path, source):
        ...  # programs whose PCSCLITE_CSOCK_NAME is `path` see the readers

`pcscd_machine` decides, `pcscd_wire` reads and writes; here are the socket, the clock and the
tasks.
"""

import asyncio
import inspect
import secrets
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from wsrc.bridges.pcscd.machine import Machine
from wsrc.bridges.pcscd.needs import (
    Close,
    ControlReader,
    Exchange,
    Need,
    Open,
    Park,
    ReadAttribute,
    Reset,
    Steps,
    WriteAttribute,
)
from wsrc.bridges.pcscd.path import BACKLOG, listen, unlink
from wsrc.bridges.pcscd.requests import Request
from wsrc.bridges.pcscd.source import CardSource, Session, failure_of
from wsrc.bridges.pcscd.waiting import Program
from wsrc.bridges.pcscd.wire import Reading, WireError
from wsrc.errors import WsrcError

MAX_PROGRAMS = 1_000
"""Connections at a time; pcscd has 200. More are closed at once."""

MAX_UNREAD_OCTETS = 1 << 18
"""Octets that a program may send before its request is answered; then it is not read from."""

STOP_S, STOP_OUT_OF_REACH_S = 15.0, 1.0
"""How long cards may take to be given back at the end, and while they are out of reach."""


@asynccontextmanager
async def serving(path: Path, source: CardSource, mode: int = 0o600) -> AsyncGenerator["Server"]:
    """
    Serve the readers of a source at a path, which is free again afterwards.

    Raises:
        PathTakenError: If another program serves there, or something else is there.
    """
    listener, made = listen(path, mode)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.TaskGroup() as tasks:
            server = Server(loop, tasks)
            sockets = await loop.create_unix_server(
                server.connection, sock=listener, backlog=BACKLOG
            )
            watching = tasks.create_task(source.run(server.readers_are), name="source")
            server.begin(source)
            try:
                yield server
            finally:
                sockets.close()
                await server.stop()
                watching.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
    finally:
        listener.close()
        unlink(path, made)


class Server:
    """Runs the calls of all programs; made by `serving`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tasks: asyncio.TaskGroup) -> None:
        self.readers_seen = 0
        self._loop = loop
        self._tasks = tasks
        self._source: CardSource | None = None
        self._machine = Machine(lambda: secrets.randbelow(0x7FFFFFFF) + 1)
        self._lines: dict[int, _Line] = {}
        self._parked: list[_Job] = []
        self._running = 0
        self._quiet = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0

    def begin(self, source: CardSource) -> None:
        """Say who opens cards."""
        self._source = source

    def connection(self) -> "_Line":
        """Make what serves one connection."""
        return _Line(self)

    def readers_are(self, seen: Any) -> None:
        """Take all readers that the source sees now."""
        self.readers_seen = len(seen)
        self._machine.readers_are(seen)
        self._settle()

    async def stop(self) -> None:
        """End all connections and give all cards back, after the exchanges in flight."""
        for line in list(self._lines.values()):
            line.end()
        self._machine.stop()
        self._settle()
        if self._running:
            self._quiet.clear()
            reachable = self._source is not None and self._source.reachable
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S if reachable else STOP_OUT_OF_REACH_S):
                    await self._quiet.wait()
        if self._timer is not None:
            self._timer.cancel()

    def opened(self, line: "_Line") -> Program | None:
        """Take a new connection, if there is room."""
        if len(self._lines) >= MAX_PROGRAMS:
            return None
        program = self._machine.connected()
        self._lines[program.number] = line
        return program

    def closed(self, program: Program, job: "_Job | None") -> None:
        """
        Let go of a connection that was closed.

        What waits for others is given up; what the card is doing is left to end first.
        """
        self._lines.pop(program.number, None)
        if job is not None and job in self._parked:
            self._unpark(job)
            job.steps.close()
            job = None
        if job is None:
            self._machine.disconnected(program, self._loop.time())
            self._settle()

    def ask(self, line: "_Line", program: Program, request: Request) -> None:
        """Run a call; the line is given the answer, now or later."""
        job = _Job(self._machine.asked(program, request, self._loop.time()), line)
        line.job = job
        self._drive(job, None)
        self._settle()

    def _drive(self, job: "_Job", value: Any, failure: WsrcError | None = None) -> None:
        """Run a call until it ends, or waits."""
        need = self._step(job, value, failure)
        while need is not None:
            if isinstance(need, Park):
                self._park(job, need)
                return
            value, failure = None, None
            try:
                value = self._perform(need)
            except WsrcError as exc:
                failure = exc
            if inspect.isawaitable(value):
                self._running += 1
                self._tasks.create_task(self._wait_for(job, value), name="card")
                return
            need = self._step(job, value, failure)

    def _step(self, job: "_Job", value: Any, failure: WsrcError | None) -> Need | None:
        """Go on with a call; give what it needs next, or None where it has ended."""
        try:
            if failure is not None:
                return job.steps.throw(failure_of(failure))
            return job.steps.send(value)
        except StopIteration as done:
            self._ended(job, done.value)
        except WireError:
            self._ended(job, None)
            if job.line is not None:
                job.line.end()
        return None

    def _perform(self, need: Need) -> Any:
        match need:
            case Exchange(session=session, octets=octets):
                return session.transmit(octets)
            case Open(reader=name, direct=direct):
                return self._open(name, direct=direct)
            case Reset(session=session, kind=kind):
                return session.reset(kind)
            case Close(session=session):
                return session.close()
            case _:
                return self._ask_reader(need)

    @staticmethod
    def _ask_reader(need: Need) -> Any:
        match need:
            case ControlReader(session=session, number=number, octets=octets):
                return session.control(number, octets)
            case ReadAttribute(session=session, name=name):
                return session.get_attribute(name)
            case WriteAttribute(session=session, name=name, value=value):
                return session.set_attribute(name, value)
            case _:
                raise AssertionError(need)

    async def _open(self, name: bytes, *, direct: bool) -> Session:
        """Make a card ours, and hear of it when it stops being so."""
        assert self._source is not None
        opened = self._source.open(name, direct=direct)
        session = await opened if inspect.isawaitable(opened) else opened

        def over(why: WsrcError) -> None:
            self._loop.call_soon(self._session_over, session, why)

        session.when_over(over)
        return session

    def _session_over(self, session: Session, why: WsrcError) -> None:
        self._machine.session_over(session, failure_of(why))
        self._settle()

    async def _wait_for(self, job: "_Job", coming: Awaitable[Any]) -> None:
        value: Any = None
        failure: WsrcError | None = None
        try:
            value = await coming
        except WsrcError as exc:
            failure = exc
        finally:
            self._running -= 1
        self._drive(job, value, failure)
        self._settle()
        if not self._running:
            self._quiet.set()

    def _ended(self, job: "_Job", answer: bytes | None) -> None:
        line = job.line
        if line is None or line.program is None:
            return
        line.job = None
        if line.closed:
            self._machine.disconnected(line.program, self._loop.time())
            return
        if answer is not None:
            line.write(answer)
        line.advance()

    def _park(self, job: "_Job", need: Park) -> None:
        self._parked.append(job)
        if need.until is not None:
            job.timer = self._loop.call_at(need.until, self._resume, job)

    def _unpark(self, job: "_Job") -> None:
        self._parked.remove(job)
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None

    def _resume(self, job: "_Job") -> None:
        self._unpark(job)
        self._drive(job, self._loop.time())
        self._settle()

    def _settle(self) -> None:
        """Do what the machine wants done by now."""
        while True:
            for program, octets in self._machine.take_outgoing():
                line = self._lines.get(program.number)
                if line is not None:
                    line.write(octets)
            for steps in self._machine.take_begun():
                self._drive(_Job(steps, None), None)
            if not self._machine.take_let_go():
                break
            for job in list(self._parked):
                if job in self._parked:
                    self._unpark(job)
                    self._drive(job, self._loop.time())
        self._set_timer()

    def _set_timer(self) -> None:
        deadline = self._machine.deadline()
        if self._timer is not None:
            if self._timer_due == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer_due = deadline
            self._timer = self._loop.call_at(deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        self._machine.due(self._loop.time())
        self._settle()


class _Job:
    """One call on its way, and the connection that wants the answer, if any."""

    def __init__(self, steps: Steps, line: "_Line | None") -> None:
        self.steps = steps
        self.line = line
        self.timer: asyncio.TimerHandle | None = None


class _Line(asyncio.Protocol):
    """One connection: requests are answered one at a time, in their order."""

    def __init__(self, server: Server) -> None:
        self.program: Program | None = None
        self.job: _Job | None = None
        self.closed = False
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._reading = Reading()
        self._advancing = False
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it where there are too many."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.program = self._server.opened(self)
        if self.program is None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._reading.feed(data)
        self.advance()
        if self._reading.unread > MAX_UNREAD_OCTETS and self._transport is not None:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Answer no more: the program does not read what it asked for."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False
        self.advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        del exc
        self.closed = True
        if self.program is not None:
            self._server.closed(self.program, self.job)

    def write(self, octets: bytes) -> None:
        """Send octets."""
        if self._transport is not None and not self.closed:
            self._transport.write(octets)

    def end(self) -> None:
        """Close the connection, after what was written."""
        if self._transport is not None:
            self._transport.close()

    def advance(self) -> None:
        """Answer requests until one must wait, or none is complete."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._may_go_on() and (request := self._reading.next()) is not None:
                assert self.program is not None
                self._server.ask(self, self.program, request)
        except WireError:
            self.end()
        finally:
            self._advancing = False
        if self._transport is not None and self._reading.unread <= MAX_UNREAD_OCTETS:
            self._transport.resume_reading()

    def _may_go_on(self) -> bool:
        at_work = self.job is not None or self._full
        return not at_work and self._transport is not None and not self._transport.is_closing()
