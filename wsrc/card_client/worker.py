# SPDX-License-Identifier: Apache-2.0
"""A thread for the blocking calls of one reader."""

import asyncio
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from wsrc.errors import CardUnresponsiveError, Outcome

T = TypeVar("T")


class Worker:
    """
    Runs one call at a time in a thread of its own.

    A call that does not end in its time leaves the worker `hung`: its thread is given up, and the
    owner makes a new worker. The thread does not keep the program from ending.
    """

    def __init__(self, name: str) -> None:
        self.hung = False
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def call(
        self, function: Callable[[], T], limit_s: float, late: Callable[[T | None], None]
    ) -> T:
        """
        Run a function in the thread and give its result.

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
            self.stop()
            why = f"The card or its reader did not answer within {limit_s:g} s."
            raise CardUnresponsiveError(why) from exc

    def stop(self) -> None:
        """End the thread after the call that it runs."""
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
