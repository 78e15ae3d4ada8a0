# SPDX-License-Identifier: Apache-2.0
"""An event loop in a thread of its own, for programs that do not use asyncio."""

import asyncio
import concurrent.futures
import os
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Generic, TypeVar

from wsrc.errors import ConnectionLostError
from wsrc.process.loop import run_main

JOIN_S = 10.0
"""How long the thread of a closed client may take to end."""

LOOK_S = 1.0
"""How often a thread that waits looks for a signal that came just before it began to."""

TLS_REST_S = 0.1
"""How long a loop goes on after a connection was closed: the end of TLS takes a round trip."""

_CLOSED = "The client was closed by another thread."

T = TypeVar("T")


class Portal:
    """
    An event loop in a thread of its own, and the way to it from other threads.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str = "wsrc-client") -> None:
        self._forks = _forks.count
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._holding: asyncio.Task[None] | None = None
        self._entered = False
        self._lock = threading.Lock()
        self._calls: set[_Call[Any]] = set()
        """What was handed to the loop and is not over."""
        self._looks = False
        self._bells: list[_Bell] = []
        """Those that nobody waits for: at most one for each thread that ever waited."""
        self._ended = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._started.wait(JOIN_S)

    def submit(self, doing: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """
        Start a coroutine in the loop; it is cancelled if it has not ended with the loop.

        Raises:
            ConnectionLostError: If the loop has ended, or is another process's.
        """
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        call = _Call(doing, lambda: call.settle(future))
        self._hand_over(call)
        return future

    def call(self, doing: Coroutine[Any, Any, T]) -> T:
        """
        Run a coroutine in the loop and return its result.

        An interrupt cancels it, also one that comes while it is being handed over.

        Raises:
            ConnectionLostError: If the loop has ended, or ends before that does.
        """
        bell = self._free_bell()
        call = _Call(doing, bell.ring, bell.ring)
        try:
            self._hand_over(call)
            while not call.is_over:
                bell.wait()
        except BaseException:
            self.soon(call.abandon)  # which rings the bell, so that it is no other's
            raise
        self._bells.append(bell)
        return call.result()

    def _free_bell(self) -> "_Bell":
        """Return a bell that nobody waits for; those of another process are its own."""
        if self.usable:
            with suppress(IndexError):
                return self._bells.pop()
        return _Bell()

    def _hand_over(self, call: "_Call[Any]") -> None:
        if self.usable and self._loop is not None:
            with self._lock:
                if not self._ended:
                    self._calls.add(call)
                    call.over = self._calls.discard
                    self._loop.call_soon_threadsafe(self._begin, call, self._loop)
                    return
        call.close()
        raise ConnectionLostError(
            "The client is closed, or was opened before a fork; open another one here."
        )

    def _begin(self, call: "_Call[Any]", loop: asyncio.AbstractEventLoop) -> None:
        if not self._looks:
            self._looks = True
            loop.call_later(LOOK_S, self._look, loop)
        call.begin(loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let threads that wait look for signals, as long as any does."""
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.nudge()
        self._looks = bool(calls)
        if calls:
            loop.call_later(LOOK_S, self._look, loop)

    def soon(self, doing: Callable[[], None]) -> None:
        """Call a function in the loop, without waiting; nothing happens if the loop has ended."""
        if self.usable and self._loop is not None:
            with suppress(RuntimeError):  # it has ended since
                self._loop.call_soon_threadsafe(doing)

    def hold(self, manager: AbstractAsyncContextManager[T]) -> T:
        """
        Enter a context manager in the loop, and leave it as the loop is stopped.

        The loop is for what it holds, one thing at most: it ends with that, whatever the reason.

        Returns:
            What entering returns; what it raises is raised here, and the loop ends.
        """
        entered: concurrent.futures.Future[T] = concurrent.futures.Future()

        def ended(held: "concurrent.futures.Future[None]") -> None:
            if not entered.done():
                why = None if held.cancelled() else held.exception()
                entered.set_exception(why or ConnectionLostError(_CLOSED))

        self.submit(self._hold(manager, entered)).add_done_callback(ended)
        try:
            while not entered.done():
                concurrent.futures.wait([entered], LOOK_S)
            return entered.result()
        except BaseException:
            self.stop()
            raise

    async def _hold(
        self, manager: AbstractAsyncContextManager[T], entered: "concurrent.futures.Future[T]"
    ) -> None:
        assert self._stopping is not None
        self._holding = asyncio.current_task()
        try:
            async with manager as held:
                entered.set_result(held)
                self._entered = True
                await self._stopping.wait()
        finally:
            self._stopping.set()

    @property
    def usable(self) -> bool:
        """Whether the loop runs, and in this process."""
        return self._forks == _forks.count and self._thread.is_alive() and not self._ended

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs in the thread of the loop, where nothing may wait for it."""
        return threading.current_thread() is self._thread

    def stop(self, limit_s: float = JOIN_S) -> None:
        """End the loop and wait for its thread, unless called from there; it may be repeated."""
        if self._stopping is not None:
            self.soon(self._stopping.set)
        if self._forks == _forks.count and not self.is_own_thread:
            self._thread.join(limit_s)
        self._bells.clear()

    def _run(self) -> None:
        try:
            run_main(self._serve())
        except RuntimeError as exc:
            # Closing a loop takes a thread, which Python 3.12 does not begin at its end.
            if not (self._ended and "interpreter shutdown" in str(exc)):
                raise
        finally:
            for call in list(self._calls):
                call.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._started.set()
        try:
            await self._stopping.wait()
            if self._holding is not None:
                await self._let_go(self._holding)
        finally:
            with self._lock:
                self._ended = True

    async def _let_go(self, holding: asyncio.Task[None]) -> None:
        if not self._entered:
            holding.cancel()
        await asyncio.wait([holding])
        await asyncio.sleep(TLS_REST_S)
        if self._entered:
            holding.result()


_RING = (1).to_bytes(8, sys.byteorder)
"""What is written to an eventfd, and read from it."""


class _Bell:
    """
    Wakes a thread; it may be rung before, and once too often.

    Who waits for a descriptor finds the interpreter's lock free when it is woken, for whoever
    writes to one lets go of that lock. A lock of `threading` wakes a thread too early, and both
    then make further system calls; so does a socket.
    """

    def __init__(self) -> None:
        self._ends: tuple[int, ...] = ()
        self._none = threading.Semaphore(0)
        with suppress(OSError):  # there is no descriptor left: the semaphore will do
            self._ends = (os.eventfd(0),) if sys.platform == "linux" else os.pipe()
        for end in self._ends:
            weakref.finalize(self, os.close, end).atexit = False

    def ring(self) -> None:
        """Wake the thread."""
        if self._ends:
            os.write(self._ends[-1], _RING)
        else:
            self._none.release()

    def wait(self) -> None:
        """Wait until it is rung; a signal handler may raise."""
        if self._ends:
            os.read(self._ends[0], len(_RING))
        else:
            self._none.acquire()


class _Call(Generic[T]):
    """
    What is handed to a loop, and used in its thread.

    Args:
        doing: What to do.
        tell: Called once, in that thread, when it is over or will never begin.
        nudge: Wakes who waits for it.
    """

    def __init__(
        self,
        doing: Coroutine[Any, Any, T],
        tell: Callable[[], None],
        nudge: Callable[[], None] = lambda: None,
    ) -> None:
        self.nudge = nudge
        self.over: Callable[[_Call[Any]], None] = _nothing
        self._doing = doing
        self._tell: Callable[[], None] | None = tell
        self._task: asyncio.Task[None] | None = None
        self._abandoned = False
        self._results: list[T] = []
        self._failure: BaseException | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is awaited any more."""
        return self._tell is None

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do it, unless it was abandoned before it began."""
        if self._abandoned:
            self.close()
        elif sys.version_info >= (3, 12):
            self._task = asyncio.Task(self._run(), loop=loop, eager_start=True)
        else:
            self._task = loop.create_task(self._run())

    def abandon(self) -> None:
        """Cancel what goes on, or what is about to begin."""
        self._abandoned = True
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Let it be over without a result, where it never begins or its loop has ended."""
        self._doing.close()
        self._end()

    def result(self) -> T:
        """
        Return the result of what is over.

        Raises:
            ConnectionLostError: If it was cancelled, which is done where the loop ends.
        """
        if self._failure is not None:
            raise self._failure
        if not self._results:
            raise ConnectionLostError(_CLOSED)
        return self._results[0]

    def settle(self, future: "concurrent.futures.Future[T]") -> None:
        """Give a future the result of what is over."""
        if self._failure is None and not self._results:
            future.cancel()
        if not future.set_running_or_notify_cancel():
            return
        if self._failure is not None:
            future.set_exception(self._failure)
        else:
            future.set_result(self._results[0])

    async def _run(self) -> None:
        try:
            self._results.append(await self._doing)
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            self._failure = exc
            if not isinstance(exc, Exception):
                raise
        finally:
            self._end()

    def _end(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            self.over(self)
            tell()


def _nothing(_: object) -> None:
    """Leave a call that no loop has."""


class _Forks:
    """How many forks there were between the first process and this one."""

    def __init__(self) -> None:
        self.count = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def _forked(self) -> None:
        self.count += 1


_forks = _Forks()
