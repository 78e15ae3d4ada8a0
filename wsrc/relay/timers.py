# SPDX-License-Identifier: Apache-2.0
"""Deadlines by key: set, clear and due in logarithmic time."""

import heapq
import math
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Protocol):
    """What has deadlines; none is before `soonest`, in monotonic seconds."""

    @property
    def soonest(self) -> float:
        """Infinite where there is none; it may be too early."""
        ...


class Soonest:
    """All deadlines of several that have some."""

    def __init__(self, *of: Deadlines) -> None:
        self._of = of

    @property
    def soonest(self) -> float:
        """None is before it."""
        return min(each.soonest for each in self._of)


class Timers(Generic[K]):
    """
    At most one deadline for each key; times are monotonic seconds.

    No deadline is before `soonest`, which is infinite where there is none; it is earlier than the
    first one where another was cleared since `next` was asked.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._by_key: dict[K, int] = {}
        self._by_serial: dict[int, K] = {}
        self._serial = 0
        self.soonest = math.inf

    def set(self, key: K, when: float) -> None:
        """Set or move the deadline of a key."""
        self.clear(key)
        self._serial += 1
        self._by_key[key] = self._serial
        self._by_serial[self._serial] = key
        heapq.heappush(self._heap, (when, self._serial))
        self.soonest = min(self.soonest, when)

    def clear(self, key: K) -> None:
        """Forget the deadline of a key, if it has one."""
        serial = self._by_key.pop(key, None)
        if serial is not None:
            del self._by_serial[serial]
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._by_serial):
            self._heap = [entry for entry in self._heap if entry[1] in self._by_serial]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """Return the earliest deadline."""
        while self._heap and self._heap[0][1] not in self._by_serial:
            heapq.heappop(self._heap)
        self.soonest = self._heap[0][0] if self._heap else math.inf
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> K | None:
        """Remove and return the key with the earliest deadline, if that has come."""
        when = self.next()
        if when is None or when > now:
            return None
        _, serial = heapq.heappop(self._heap)
        key = self._by_serial.pop(serial)
        del self._by_key[key]
        return key

    def __contains__(self, key: K) -> bool:
        return key in self._by_key

    def __len__(self) -> int:
        return len(self._by_key)
