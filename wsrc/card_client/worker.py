# SPDX-License-Identifier: Apache-2.0
"""The thread of one reader, and its replacement when a call hangs."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from wsrc.errors import CardUnresponsiveError, Outcome
from wsrc.readers.base import Reader

_log = logging.getLogger(__name__)

T = TypeVar("T")


def _nothing(_: object) -> None:
    """Leave a late result that holds nothing."""


class Steps:
    """Tells when the latest step of a call began; a call of one step need not say."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def next(self) -> None:
        """Note, in the thread, that a step begins."""
        self._since = time.monotonic()

    def lasts_s(self) -> float:
        """Return how long it lasts so far."""
        return time.monotonic() - self._since


class ReaderThread:
    """
    Runs what is done with one reader, one call at a time, each with a limit.

    After a call that hangs, its thread and its PC/SC context are given up and made anew.

    Args:
        name: Of the reader.
        open_reader: Makes it, in the thread.
        prompt: Whether a single command needs no thread now: it is answered at once.
    """

    def __init__(
        self,
        name: str,
        open_reader: Callable[[], Reader],
        prompt: Callable[[], bool] = lambda: False,
    ) -> None:
        self._name = name
        self._open_reader = open_reader
        self._prompt = prompt
        self._renew()

    async def with_reader(
        self,
        function: Callable[[Reader], T],
        limit_s: float,
        late: Callable[[T | None], None] = _nothing,
    ) -> T:
        """Call a function with the reader, which is opened when it is first needed."""
        opened = self._opened
        return await self.call(lambda: function(opened.get(self._open_reader)), limit_s, late)

    async def command(
        self, function: Callable[[], T], limit_s: float, late: Callable[[T | None], None]
    ) -> T:
        """As `call`, for what takes one command: at once, where the reader is prompt."""
        if self._worker.idle and self._prompt():
            return function()
        return await self.call(function, limit_s, late)

    async def call(
        self,
        function: Callable[[], T],
        limit_s: float,
        late: Callable[[T | None], None] = _nothing,
        steps: Steps | None = None,
    ) -> T:
        """
        Call a function; see `Worker.call`.

        Raises:
            CardUnresponsiveError: If it has not ended after `limit_s`.
        """
        worker = self._worker
        try:
            return await worker.call(function, limit_s, late, steps)
        finally:
            if worker.hung and worker is self._worker:
                _log.warning("%s hangs; its thread is replaced", self._name)
                worker.stop(self._opened.close)
                self._renew()

    def stop(self) -> None:
        """Release the reader, and end the thread after the call that it runs."""
        self._worker.stop(self._opened.close)

    def _renew(self) -> None:
        self._worker = Worker(f"reader {self._name}")
        self._opened = _Opened()


class _Opened:
    """The reader as one thread opened it."""

    def __init__(self) -> None:
        self._reader: Reader | None = None

    def get(self, open_reader: Callable[[], Reader]) -> Reader:
        if self._reader is None:
            self._reader = open_reader()
        return self._reader

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


class Worker:
    """
    Runs one call at a time in a thread of its own, which begins with the first.

    A call that does not end in its time leaves the worker `hung`: its owner stops it, so that it
    ends after that call, and makes a new one. The thread does not keep the program from ending.
    All its calls are made in one event loop.
    """

    def __init__(self, name: str) -> None:
        self.hung = False
        self._name = name
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls = 0

    @property
    def idle(self) -> bool:
        """Whether it runs nothing, and is to run nothing."""
        return not self._calls

    async def call(
        self,
        function: Callable[[], T],
        limit_s: float,
        late: Callable[[T | None], None],
        steps: Steps | None = None,
    ) -> T:
        """
        Run a function in the thread and return its result.

        Args:
            function: What to run.
            limit_s: How long it may take; with `steps`, each of its steps.
            late: Run in the thread with the result, or None if it failed, of a call that ends
                after its time: nobody else will clean up after it.
            steps: What the function tells the beginning of each step.

        Raises:
            CardUnresponsiveError: If it has not ended after `limit_s`; the worker is hung.
        """
        if self.hung:
            raise CardUnresponsiveError("The reader hangs.", Outcome.NOT_EXECUTED)
        loop = self._running_loop()
        call = _Call(function, loop, late, self._ended)
        call.limit(limit_s, steps, self._hang)
        self._calls += 1
        self._jobs.put(call.run)
        try:
            return await call.done
        finally:
            call.unlimit()

    def stop(self, last: Callable[[], None] | None = None) -> None:
        """End the thread after the call that it runs, and after a last one."""
        if self._loop is None:
            return
        if last is not None:
            self._jobs.put(last)
        self._jobs.put(None)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return self._loop

    def _ended(self) -> None:
        self._calls -= 1

    def _hang(self) -> None:
        self.hung = True

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class _Call(Generic[T]):
    """
    One call: run in the thread, its result set in the event loop.

    Args:
        function: What to run.
        loop: The event loop.
        late: What is run with a result that comes too late.
        ended: Called in the event loop when the thread is done with it.
    """

    def __init__(
        self,
        function: Callable[[], T],
        loop: asyncio.AbstractEventLoop,
        late: Callable[[T | None], None],
        ended: Callable[[], None],
    ) -> None:
        self.done: asyncio.Future[T] = loop.create_future()
        self._function = function
        self._loop = loop
        self._late = late
        self._ended = ended
        self._timer: asyncio.TimerHandle | None = None
        self._open = [True]
        """Emptied by who decides how it ends: the thread with the result, or the limit."""

    def limit(self, limit_s: float, steps: Steps | None, hung: Callable[[], None]) -> None:
        """Let it end without a result where it, or one of its steps, takes longer."""

        def look() -> None:
            left_s = 0.0 if steps is None else limit_s - steps.lasts_s()
            if left_s > 0:
                self._timer = self._loop.call_later(left_s, look)
            elif not self.done.done() and self._decided_here():
                hung()
                why = f"The card or its reader did not answer within {limit_s:g} s."
                self.done.set_exception(CardUnresponsiveError(why))

        self._timer = self._loop.call_later(limit_s, look)

    def unlimit(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()

    def run(self) -> None:
        """Call the function in this thread, then tell whoever waits."""
        try:
            result = self._function()
        except BaseException as exc:  # noqa: BLE001 - it belongs to whoever waits
            if not self._decided_here():
                self._late(None)
            self._tell(partial(self.done.set_exception, exc))
        else:
            if not self._decided_here():
                self._late(result)
            self._tell(partial(self.done.set_result, result))

    def _decided_here(self) -> bool:
        """Return, to one of the two threads only, that it decides how the call ends."""
        try:
            self._open.pop()
        except IndexError:
            return False
        return True

    def _tell(self, settle: Callable[[], None]) -> None:
        def settle_once() -> None:
            self._ended()
            if not self.done.done():
                settle()

        try:
            self._loop.call_soon_threadsafe(settle_once)
        except RuntimeError:
            return  # the event loop was closed meanwhile, so nobody waits
