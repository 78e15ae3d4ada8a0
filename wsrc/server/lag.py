# SPDX-License-Identifier: Apache-2.0
"""How late the loop is: a heartbeat that notes by how much it came too late."""

import asyncio
from collections import deque

STEP_S = 1.0
"""Seconds between two beats."""

KEPT = 60
"""Beats that are remembered."""


class Lag:
    """Measures the loop that runs, from `start` to `stop`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late: deque[float] = deque(maxlen=KEPT)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._beat_at(self._loop.time() + STEP_S)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def worst_s(self) -> float:
        """By how much the latest of the last `KEPT` beats came too late, in seconds."""
        return max(self._late, default=0.0)

    def _beat_at(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self._beat, when)

    def _beat(self, due: float) -> None:
        now = self._loop.time()
        self._late.append(max(0.0, now - due))
        self._beat_at(now + STEP_S)
