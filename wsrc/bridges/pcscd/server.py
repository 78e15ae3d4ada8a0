# SPDX-License-Identifier: Apache-2.0
"""
A socket that libpcsclite takes for that of pcscd; the readers behind it are those of a source.

    async with serving(path, source):
        ...  # programs whose PCSCLITE_CSOCK_NAME is `path` see the readers

`machine` decides, `wire` reads and writes; here are the socket, the clock and the tasks. Programs
in this process need no socket: each is a `Caller` of a server that is `running`.
"""

import asyncio
import inspect
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

from wsrc.bridges.pcscd import wire
from wsrc.bridges.pcscd.machine import Machine
from wsrc.bridges.pcscd.path import BACKLOG, listen, unlink
from wsrc.bridges.pcscd.requests import (
    OLD_TABLE_READERS,
    Events,
    Refused,
    Request,
    RequestError,
)
from wsrc.bridges.pcscd.source import (
    Ask,
    CardSource,
    Need,
    Open,
    Park,
    Seen,
    Session,
    Steps,
    failure_of,
)
from wsrc.bridges.pcscd.table import Program
from wsrc.errors import WsrcError
from wsrc.process.loop import ungrouped

# Longer than the aim: what runs the calls and the line that asks for them are read together.

MAX_PROGRAMS = 1_000
"""Connections at a time; pcscd has 200. More are closed at once."""

MAX_UNREAD_OCTETS = 1 << 18
"""Octets that a program may send before its request is answered; then it is not read from."""

Listed = Callable[[], Awaitable[None]]

STOP_S, STOP_OUT_OF_REACH_S = 15.0, 1.0
"""How long cards may take to be given back at the end, and while they are out of reach."""


@asynccontextmanager
async def serving(
    path: Path,
    source: CardSource,
    mode: int = 0o600,
    say: Callable[[str], None] = lambda _: None,
    listed: Listed | None = None,
) -> AsyncGenerator["Server"]:
    """
    Serve the readers of a source at a path, which is free again afterwards.

    Args:
        path: Of the socket.
        source: Where the readers are.
        mode: Of the socket's file.
        say: Told in a sentence when there are more readers than some programs are shown.
        listed: See `running`.

    Raises:
        PathTakenError: If another program serves there, or something else is there.
    """
    listener, made = listen(path, mode)
    loop = asyncio.get_running_loop()
    try:
        async with running(source, _left_out(say), listed) as server:
            sockets = await loop.create_unix_server(
                lambda: _Line(server), sock=listener, backlog=BACKLOG
            )
            try:
                yield server
            finally:
                sockets.close()
    finally:
        listener.close()
        unlink(path, made)


def _left_out(say: Callable[[str], None]) -> Callable[[Sequence[Seen]], None]:
    """Return what says, each time it begins, that the old table has no room for all readers."""
    was_full = False

    def look(seen: Sequence[Seen]) -> None:
        nonlocal was_full
        full = len(seen) > OLD_TABLE_READERS
        if full and not was_full:
            say(
                f"Programs with a libpcsclite before 2.5 see {OLD_TABLE_READERS} of these "
                f"{len(seen)} readers: narrow the selection, or serve the others at other sockets."
            )
        was_full = full

    return look


@asynccontextmanager
async def running(
    source: CardSource,
    report: Callable[[Sequence[Seen]], None] = lambda _: None,
    listed: Listed | None = None,
) -> AsyncGenerator["Server"]:
    """
    Carry out calls to the readers of a source; at the end all cards are given back.

    Args:
        source: Where the readers are.
        report: Called with all readers after each change.
        listed: Returns once it is known which readers there are, or that this is not known in
            time. Programs that ask for readers wait for that, as for a pcscd that is started.
    """

    def readers_are(seen: Sequence[Seen]) -> None:
        server.readers_are(seen)
        report(seen)

    with ungrouped():
        async with asyncio.TaskGroup() as tasks:
            server = Server(tasks, source, listed=listed is None)
            mine = [tasks.create_task(source.run(readers_are), name="source")]
            if listed is not None:
                mine.append(tasks.create_task(server.once_listed(listed), name="listed"))
            try:
                yield server
            finally:
                await server.stop()
                for task in mine:
                    task.cancel()


class Caller(ABC):
    """Whoever makes the calls of one program, one at a time; `joins` a server before the first."""

    def __init__(self, server: "Server") -> None:
        self.program: Program | None = None
        self.job: _Job | None = None
        self.closed = False
        self._server = server

    @abstractmethod
    def given(self, result: Any) -> None:
        """Take the result of the request."""

    @abstractmethod
    def refused(self, why: Refused) -> None:
        """Note that the request is refused."""

    @abstractmethod
    def waited(self, told: Events) -> None:
        """Note that the wait for a change is over."""

    @abstractmethod
    def end(self) -> None:
        """Stop making calls; tell the server that it has `left`, but not before this ends."""


class Server:
    """Runs the calls of all programs; made by `running`."""

    def __init__(
        self, tasks: asyncio.TaskGroup, source: CardSource, *, listed: bool = True
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks = tasks
        self._source = source
        self._machine = Machine(lambda: secrets.randbelow(0x7FFFFFFF) + 1, listed=listed)
        self._callers: dict[int, Caller] = {}
        self._parked: list[_Job] = []
        self._running = 0
        self._quiet = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0

    def readers_are(self, seen: Sequence[Seen]) -> None:
        """Take all readers that the source sees now."""
        self._machine.readers_are(seen)
        self._settle()

    async def once_listed(self, listed: Listed) -> None:
        """Let programs ask for readers once `listed` has returned."""
        await listed()
        self._machine.readers_listed()
        self._settle()

    async def stop(self) -> None:
        """End all connections and give all cards back, after the exchanges in flight."""
        for caller in list(self._callers.values()):
            caller.end()
        self._machine.stop()
        self._settle()
        if self._running:
            self._quiet.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    STOP_S if self._source.reachable else STOP_OUT_OF_REACH_S
                ):
                    await self._quiet.wait()
        if self._timer is not None:
            self._timer.cancel()

    def joins(self, caller: Caller) -> bool:
        """Take a new program; return whether there is room for it."""
        if len(self._callers) >= MAX_PROGRAMS:
            return False
        caller.program = self._machine.connected()
        self._callers[caller.program.number] = caller
        return True

    def left(self, caller: Caller) -> None:
        """
        Release a program that has ended, once.

        What waits for others is given up; what the card is doing is left to end first.
        """
        caller.closed = True
        if caller.program is None:
            return
        self._callers.pop(caller.program.number, None)
        job = caller.job
        if job is not None and job in self._parked:
            self._unpark(job)
            job.steps.close()
            job = None
        if job is None:
            self._machine.disconnected(caller.program, self._loop.time())
            self._settle()

    def ask(self, caller: Caller, request: Request[Any]) -> None:
        """Run a call; the caller is given what comes of it, now or later."""
        assert caller.program is not None
        steps = self._machine.asked(caller.program, request, self._loop.time())
        caller.job = _Job(steps, caller)
        self._drive(caller.job, None)
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
        """Go on with a call; return what it needs next, or None where it has ended."""
        try:
            if failure is not None:
                return job.steps.throw(failure_of(failure))
            return job.steps.send(value)
        except StopIteration as done:
            if (caller := self._asker_of(job)) is not None:
                caller.given(done.value)
        except Refused as why:
            if (caller := self._asker_of(job)) is not None:
                caller.refused(why)
        except RequestError:
            if (caller := self._asker_of(job)) is not None:
                caller.end()
        return None

    def _perform(self, need: Open | Ask) -> Any:
        if isinstance(need, Ask):
            return need.method(*need.arguments)
        return self._open(need.reader, direct=need.direct)

    async def _open(self, name: bytes, *, direct: bool) -> Session:
        """Make a card ours, and be called when it stops being so."""
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

    def _asker_of(self, job: "_Job") -> Caller | None:
        """Return who is to be told what came of a call that has ended, if anybody."""
        caller = job.caller
        if caller is None or caller.program is None:
            return None
        caller.job = None
        if caller.closed:
            self._machine.disconnected(caller.program, self._loop.time())
            return None
        return caller

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
            for program, told in self._machine.take_outgoing():
                if (caller := self._callers.get(program.number)) is not None:
                    caller.waited(told)
            for steps in self._machine.take_begun():
                self._drive(_Job(steps), None)
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
    """One call on its way, and who wants to know what comes of it, if anybody."""

    def __init__(self, steps: Steps[Any], caller: Caller | None = None) -> None:
        self.steps = steps
        self.caller = caller
        self.timer: asyncio.TimerHandle | None = None


class _Line(Caller, asyncio.Protocol):
    """One connection: requests are answered one at a time, in their order."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._transport: asyncio.Transport | None = None
        self._reading = wire.Reading()
        self._request: Request[Any] | None = None
        self._advancing = False
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it where there are too many."""
        # Those of uvloop are no `asyncio.Transport` by class.
        self._transport = cast("asyncio.Transport", transport)
        if not self._server.joins(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        self._reading.feed(data)
        self._advance()
        if self._reading.unread > MAX_UNREAD_OCTETS and self._transport is not None:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Answer no more: the program does not read what it asked for."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everything."""
        del exc
        self._server.left(self)

    def given(self, result: Any) -> None:
        """Send the result of the request."""
        assert self._request is not None
        self._write(wire.answer(self._request, result))
        self._advance()

    def refused(self, why: Refused) -> None:
        """Send why the request is not done."""
        assert self._request is not None
        self._write(wire.refusal(self._request, why.code, why.octets))
        self._advance()

    def waited(self, told: Events) -> None:
        """Send that the wait for a change is over."""
        self._write(wire.event(told))

    def end(self) -> None:
        """Close the connection, after what was written; that it is closed is told later."""
        if self._transport is not None:
            self._transport.close()

    def _write(self, octets: bytes) -> None:
        if self._transport is not None and octets and not self.closed:
            self._transport.write(octets)

    def _advance(self) -> None:
        """Answer requests until one must wait, or none is complete."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._may_go_on():
                self._request = self._reading.next()
                if self._request is None:
                    break
                self._server.ask(self, self._request)
        except RequestError:
            self.end()
        finally:
            self._advancing = False
        if self._transport is not None and self._reading.unread <= MAX_UNREAD_OCTETS:
            self._transport.resume_reading()

    def _may_go_on(self) -> bool:
        at_work = self.job is not None or self._full
        return not at_work and self._transport is not None and not self._transport.is_closing()
