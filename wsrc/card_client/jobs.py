# SPDX-License-Identifier: Apache-2.0
"""What is to be done for one reader: one thing after the other, by one task."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

Job = Callable[[], Coroutine[Any, Any, None]]


class Jobs:
    """
    A queue of jobs for one task; what fills it has bounds of its own.

    Args:
        loop: The event loop of the task.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Job] = deque()
        self._wanted: asyncio.Future[None] | None = None

    def put(self, job: Job) -> None:
        """Have something done after all that waits already."""
        self._waiting.append(job)
        self._wake()

    async def next(self, due: float | None) -> Job | None:
        """Return the next job; None if there is none by the time that is due."""
        if not self._waiting:
            self._wanted = self._loop.create_future()
            timer = None if due is None else self._loop.call_at(due, self._wake)
            try:
                await self._wanted
            finally:
                self._wanted = None
                if timer is not None:
                    timer.cancel()
        return self._waiting.popleft() if self._waiting else None

    def _wake(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)
