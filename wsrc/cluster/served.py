# SPDX-License-Identifier: Apache-2.0
"""What is found with this node: the numbers of its cards, and the names of its card hosts."""

from collections import Counter
from collections.abc import Container, Iterator

from wsrc.relay.index import Index
from wsrc.relay.records import Slot
from wsrc.selection import Key


class Served:
    """Counts what has a key, and tells which keys are new and gone."""

    def __init__(self) -> None:
        self._counts: Counter[Key] = Counter()
        self._changed: dict[Key, bool] = {}

    def enter(self, key: Key) -> None:
        """Count one more that has a key."""
        self._counts[key] += 1
        if self._counts[key] == 1:
            self._change(key, is_there=True)

    def leave(self, key: Key) -> None:
        """Count one less."""
        self._counts[key] -= 1
        if self._counts[key] <= 0:
            del self._counts[key]
            self._change(key, is_there=False)

    def _change(self, key: Key, *, is_there: bool) -> None:
        if self._changed.get(key) is (not is_there):
            del self._changed[key]
        else:
            self._changed[key] = is_there

    @property
    def changed(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self._changed)

    def changes(self) -> dict[Key, bool]:
        """Return which keys have come since the last look, and which have gone."""
        changed, self._changed = self._changed, {}
        return changed

    def __contains__(self, key: Key) -> bool:
        return key in self._counts

    def __iter__(self) -> Iterator[Key]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)


class ServedIndex(Index):
    """
    The cards of a node by their keys, which tells what of it is served.

    Args:
        served: Told of keys.
        kinds: Of those that are.
    """

    def __init__(self, served: Served, kinds: Container[str]) -> None:
        super().__init__()
        self._served = served
        self._kinds = kinds

    def put(self, slot: Slot, keys: tuple[Key, ...]) -> None:
        """File a slot under these keys and no others."""
        before = slot.keys
        if before == keys:
            return
        super().put(slot, keys)
        for key in set(keys).difference(before):
            if key[0] in self._kinds:
                self._served.enter(key)
        for key in set(before).difference(keys):
            if key[0] in self._kinds:
                self._served.leave(key)
