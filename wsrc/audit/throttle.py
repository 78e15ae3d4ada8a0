# SPDX-License-Identifier: Apache-2.0
"""How much of what anybody can cause at will has a line of its own."""

from typing import Final

RATE: Final = 10.0
"""Lines a second."""

BURST: Final = 100.0
"""Lines at once."""


class Throttle:
    """
    Says which events are recorded, and counts the others; time is in monotonic seconds.

    `silent` is how many were counted only since the last that is recorded.
    """

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._seen = 0.0
        self.silent = 0

    def take(self, now: float) -> int | None:
        """Return None for an event that is counted only, else how many were before this one."""
        self._left = min(self._burst, self._left + max(0.0, now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1.0:
            self.silent += 1
            return None
        self._left -= 1.0
        silent, self.silent = self.silent, 0
        return silent
