# SPDX-License-Identifier: Apache-2.0
"""How much goes through a server, minute by minute, over one day."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

MINUTE_S: Final = 60.0
"""Seconds of one count."""

MINUTES: Final = 24 * 60
"""Counts that are kept."""


class Now(NamedTuple):
    """Requests of sessions since the start of the server, and sessions that there are."""

    requests: int
    sessions: int


class Activity:
    """
    Counts of the last day.

    `requests` and `sessions` have one number for each whole minute, the oldest first: requests in
    that minute, and sessions at its end. `ended` is when the last one ended, in loop time.

    Args:
        now: Returns what there is to count.
    """

    def __init__(self, now: Callable[[], Now]) -> None:
        self.requests: deque[int] = deque(maxlen=MINUTES)
        self.sessions: deque[int] = deque(maxlen=MINUTES)
        self._now = now
        self._before = 0
        self._loop = asyncio.get_running_loop()
        self.ended = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to count; for this call and `stop`, once each."""
        self._before = self._now().requests
        self._timer = self._loop.call_at(self.ended + MINUTE_S, self._tick)

    def stop(self) -> None:
        """Count no more."""
        if self._timer is not None:
            self._timer.cancel()

    def so_far(self) -> Now:
        """Return the requests of the minute that is not over, and the sessions now."""
        now = self._now()
        return Now(now.requests - self._before, now.sessions)

    def _tick(self) -> None:
        now = self._now()
        self.requests.append(now.requests - self._before)
        self.sessions.append(now.sessions)
        self._before = now.requests
        self.ended = self._loop.time()
        self._timer = self._loop.call_at(self.ended + MINUTE_S, self._tick)
