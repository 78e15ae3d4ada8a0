# SPDX-License-Identifier: Apache-2.0
"""Time limits of requests to a card, not counting the time that it is out of reach."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Protocol


class _Limit(Protocol):
    """What runs out at a time, in the terms of `asyncio.Timeout`."""

    def expired(self) -> bool:
        """Return whether it did."""
        ...

    def reschedule(self, when: float | None) -> None:
        """Let it run out at another time, or never."""
        ...


class Limits:
    """
    The limits of one session; all are stopped and restarted together.

    Args:
        loop: The event loop of the session.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: dict[_Limit, float] = {}
        self._held = False

    @asynccontextmanager
    async def of(self, limit_s: float) -> AsyncGenerator[None, None]:
        """
        Limit a block.

        Raises:
            TimeoutError: If it takes longer than `limit_s` without an interruption.
        """
        async with asyncio.timeout(None if self._held else limit_s) as running:
            self._running[running] = limit_s
            try:
                yield
            finally:
                del self._running[running]

    async def wait(self, waiting: "asyncio.Future[None]", limit_s: float) -> None:
        """
        Wait for a future that nobody else waits for; what it takes is one timer.

        Raises:
            TimeoutError: If it takes longer than `limit_s` without an interruption.
        """
        limit = _Wait(self._loop, waiting)
        self._running[limit] = limit_s
        limit.reschedule(None if self._held else self._loop.time() + limit_s)
        try:
            await waiting
        finally:
            del self._running[limit]
            limit.reschedule(None)

    def hold(self) -> None:
        """Stop all limits, also those to come."""
        if not self._held:
            self._held = True
            self._set(None)

    def begin_anew(self) -> None:
        """Restart all limits from their full time, if they are stopped."""
        if self._held:
            self._held = False
            self._set(self._loop.time())

    def _set(self, now: float | None) -> None:
        for running, limit_s in self._running.items():
            if not running.expired():  # then its task is about to be told
                running.reschedule(None if now is None else now + limit_s)


class _Wait:
    """The limit of a wait for a future."""

    def __init__(self, loop: asyncio.AbstractEventLoop, waiting: "asyncio.Future[None]") -> None:
        self._loop = loop
        self._waiting = waiting
        self._timer: asyncio.TimerHandle | None = None

    def expired(self) -> bool:
        return self._waiting.done()

    def reschedule(self, when: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if when is None else self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        if not self._waiting.done():
            self._waiting.set_exception(TimeoutError())
