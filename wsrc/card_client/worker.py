# SPDX-License-Identifier: Apache-2.0
"""The thread of one reader, and its replacement when a call hangs."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from wsrc.errors import CardUnresponsiveError, Outcome
from wsrc.readers.base import Reader

_log = logging.getLogger(__name__)

T = TypeVar("T")


def _nothing(_: object) -> None:
    """Leave a late result that holds nothing."""


class ReaderThread:
    """
    Runs what is done with one reader, one call at a time, each with a limit.

    After a call that hangs, its thread and its PC/SC context are given up and made anew.
    """

    def __init__(self, name: str, open_reader: Callable[[], Reader]) -> None:
        self._name = name
        self._open_reader = open_reader
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

    async def call(
        self,
        function: Callable[[], T],
        limit_s: float,
        late: Callable[[T | None], None] = _nothing,
    ) -> T:
        """
        Call a function; see `Worker.call`.

        Raises:
            CardUnresponsiveError: If it has not ended after `limit_s`.
        """
        worker = self._worker
        try:
            return await worker.call(function, limit_s, late)
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
    Runs one call at a time in a thread of its own.

    A call that does not end in its time leaves the worker `hung`: its owner stops it, so that it
    ends after that call, and makes a new one. The thread does not keep the program from ending.
    """

    def __init__(self, name: str) -> None:
        self.hung = False
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def call(
        self, function: Callable[[], T], limit_s: float, late: Callable[[T | None], None]
    ) -> T:
        """
        Run a function in the thread and return its result.

        Args:
            function: What to run.
            limit_s: How long it may take.
            late: Run in the thread with the result, or None if it failed, of a call that ends
                after its time: nobody else will clean up after it.

        Raises:
            CardUnresponsiveError: If it has not ended after `limit_s`; the worker is hung.
        """
        if self.hung:
            raise CardUnresponsiveError("The reader hangs.", Outcome.NOT_EXECUTED)
        pending = _Call(function, asyncio.get_running_loop())
        self._jobs.put(lambda: pending.run(lambda result: late(result) if self.hung else None))
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.shield(pending.done)
        except TimeoutError as exc:
            self.hung = True
            why = f"The card or its reader did not answer within {limit_s:g} s."
            raise CardUnresponsiveError(why) from exc
        finally:
            pending.done.cancel()

    def stop(self, last: Callable[[], None] | None = None) -> None:
        """End the thread after the call that it runs, and after a last one."""
        if last is not None:
            self._jobs.put(last)
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class _Call(Generic[T]):
    """One call: run in the thread, its result set in the event loop."""

    def __init__(self, function: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[T] = loop.create_future()
        self._function = function
        self._loop = loop

    def run(self, ended: Callable[[T | None], None]) -> None:
        """Call the function in this thread, then tell whoever waits."""
        try:
            result = self._function()
        except BaseException as exc:  # noqa: BLE001 - it belongs to whoever waits
            ended(None)
            self._tell(partial(self.done.set_exception, exc))
        else:
            ended(result)
            self._tell(partial(self.done.set_result, result))

    def _tell(self, settle: Callable[[], None]) -> None:
        def settle_once() -> None:
            if not self.done.done():
                settle()

        try:
            self._loop.call_soon_threadsafe(settle_once)
        except RuntimeError:
            return  # the event loop was closed meanwhile, so nobody waits
