# SPDX-License-Identifier: Apache-2.0
"""Time limits of requests to a card, not counting the time that it is out of reach."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Limits:
    """The limits of one session; all are stopped and restarted together."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Timeout, float] = {}
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

    def hold(self) -> None:
        """Stop all limits, also those to come."""
        if not self._held:
            self._held = True
            self._set(None)

    def begin_anew(self) -> None:
        """Restart all limits from their full time, if they are stopped."""
        if self._held:
            self._held = False
            self._set(asyncio.get_running_loop().time())

    def _set(self, now: float | None) -> None:
        for running, limit_s in self._running.items():
            if not running.expired():  # then its task is about to be told
                running.reschedule(None if now is None else now + limit_s)
