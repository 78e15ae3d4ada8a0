# SPDX-License-Identifier: Apache-2.0
"""How much of what anybody can cause at will has a line of its own."""

from collections.abc import Hashable
from typing import Final

RATE: Final = 10.0
"""Lines a second."""

BURST: Final = 100.0
"""Lines at once."""

OWN: Final = 5.0
"""Lines that each who causes some has beyond those that all share."""

OWN_AGAIN_S: Final = 60.0
"""Seconds after which such a line may be another one."""

MAX_CAUSES: Final = 1_000
"""Who has lines of their own; whoever comes beyond these has those that all share."""


class _Budget:
    """Lines that there are, and that come again."""

    __slots__ = ("_burst", "_left", "_rate", "_seen")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._left, self._seen = rate, burst, burst, 0.0

    def take(self, now: float) -> bool:
        """Take one if there is one."""
        self._fill(now)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def is_full(self, now: float) -> bool:
        """Return whether none is missing."""
        self._fill(now)
        return self._left >= self._burst

    def _fill(self, now: float) -> None:
        self._left = min(self._burst, self._left + max(0.0, now - self._seen) * self._rate)
        self._seen = now


class Throttle:
    """
    Says which events are recorded, and counts the others; time is in monotonic seconds.

    All share a rate, and each of those who cause them has a few lines besides: whoever causes many
    hides nothing of what another does. `silent` is how many were counted only since the last that
    is recorded.
    """

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self._shared = _Budget(rate, burst)
        self._own: dict[Hashable, _Budget] = {}
        self.silent = 0

    def take(self, now: float, cause: Hashable = None) -> int | None:
        """
        Return None for an event that is counted only, else how many were before this one.

        Args:
            now: Monotonic seconds.
            cause: Who caused it; None where nobody in particular did.
        """
        if not self._shared.take(now) and not self._has_own(cause, now):
            self.silent += 1
            return None
        silent, self.silent = self.silent, 0
        return silent

    def _has_own(self, cause: Hashable, now: float) -> bool:
        """Take one of the lines of one's own, if there is one."""
        if cause is None:
            return False
        own = self._own.pop(cause, None)
        if own is None:
            if len(self._own) >= MAX_CAUSES:
                oldest = next(iter(self._own))
                if not self._own[oldest].is_full(now):
                    return False
                del self._own[oldest]
            own = _Budget(1.0 / OWN_AGAIN_S, OWN)
        self._own[cause] = own
        return own.take(now)

    def __len__(self) -> int:
        return len(self._own)
