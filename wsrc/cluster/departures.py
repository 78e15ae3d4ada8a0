# SPDX-License-Identifier: Apache-2.0
"""Items that wait to be sent to a node: as many are on their way as it surely takes."""

from collections import deque
from typing import Final

WINDOW: Final = 2_048, 4 * 2**20
"""Items, and octets of them, up to which more is sent before what was sent is acknowledged."""

MOST: Final = 100_000, 64 * 2**20
"""Items, and octets of them, that wait for one node; with more it is too slow."""


class Departures:
    """What waits for one node, in its order."""

    def __init__(self) -> None:
        self._items: deque[bytes] = deque()
        self._octets = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def too_many(self) -> bool:
        """Whether more waits than may."""
        return len(self._items) > MOST[0] or self._octets > MOST[1]

    def put(self, item: bytes) -> None:
        """Have an item wait."""
        self._items.append(item)
        self._octets += len(item)

    def take(self, unacked: tuple[int, int]) -> list[bytes]:
        """Return what may be sent where so many items and octets are not acknowledged."""
        items, octets = unacked
        taken: list[bytes] = []
        while self._items and len(taken) + items < WINDOW[0] and octets < WINDOW[1]:
            item = self._items.popleft()
            octets += len(item)
            self._octets -= len(item)
            taken.append(item)
        return taken

    def take_all(self) -> list[bytes]:
        """Return all that waits."""
        taken = list(self._items)
        self._items.clear()
        self._octets = 0
        return taken
