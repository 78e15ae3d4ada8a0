# SPDX-License-Identifier: Apache-2.0
"""
The free cards that an audience may take, under each of their names, the least recently used first.

To enter a card, to strike it and to find the first takes as long with 100,000 as with ten.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from wsrc.card.slot import Share
from wsrc.relay.records import Slot
from wsrc.selection import Key

EVERY: Final[Key] = ("", "")
"""The name that each card has."""


class _Node:
    """
    One card in a row.

    One that is `gone` still knows what was after it, for whoever walks there.
    """

    __slots__ = ("after", "before", "gone", "slot")

    def __init__(self, slot: Slot | None) -> None:
        self.slot = slot
        self.gone = False
        self.before = self.after = self


class _Row:
    """
    The cards of one name: how many there are, which are free, and which are about to be.

    The free ones are linked in a circle that begins and ends at `end`.
    """

    __slots__ = ("cards", "end", "settling")

    def __init__(self) -> None:
        self.cards = 0
        self.end = _Node(None)
        self.settling: dict[Slot, None] | None = None

    def enter(self, slot: Slot) -> _Node:
        """Enter a free card: behind all others if it was used, else before them."""
        node, before = _Node(slot), self.end.before if slot.used else self.end
        node.before, node.after = before, before.after
        before.after.before = before.after = node
        return node

    def strike(self, node: _Node) -> None:
        """Strike a card that is free no more."""
        node.before.after, node.after.before = node.after, node.before
        node.gone = True

    def settles(self, slot: Slot, *, so: bool) -> None:
        """Note whether a card is about to be free."""
        if so:
            self.settling = self.settling or {}
            self.settling[slot] = None
        elif self.settling is not None:
            self.settling.pop(slot, None)
            self.settling = self.settling or None

    def walk(self) -> Iterator[Slot | None]:
        """Yield the free cards, and None for each that went since it was the next."""
        node = self.end.after
        while node is not self.end:
            yield None if node.gone else node.slot
            node = node.after


class _Filed:
    """The rows in which a card is, its places there while it is free, and if it is about to be."""

    __slots__ = ("keys", "nodes", "rows", "settling")

    def __init__(self, keys: tuple[Key, ...], rows: list[_Row]) -> None:
        self.keys = keys
        self.rows = rows
        self.nodes: list[_Node] = []
        self.settling = False

    def is_now(self, slot: Slot, *, free: bool, settling: bool) -> None:
        """Enter or strike the card where it became free, or is free no more."""
        if free != bool(self.nodes):
            if self.nodes:
                for row, node in zip(self.rows, self.nodes, strict=True):
                    row.strike(node)
            self.nodes = [row.enter(slot) for row in self.rows] if free else []
        if settling != self.settling:
            self.settling = settling
            for row in self.rows:
                row.settles(slot, so=settling)


class Free:
    """The cards that an audience may take, by their names."""

    def __init__(self) -> None:
        self._rows: dict[Key, _Row] = {}
        self._filed: dict[Slot, _Filed] = {}

    def put(self, slot: Slot) -> None:
        """Enter a card as it is now; a reader without one is struck."""
        filed = self._filed.get(slot)
        keys = (*slot.keys, EVERY) if slot.has_card else ()
        if filed is not None and filed.keys != keys:
            self.remove(slot)
            filed = None
        if not keys:
            return
        if filed is None:
            rows = [self._rows.setdefault(key, _Row()) for key in keys]
            filed = self._filed[slot] = _Filed(keys, rows)
            for row in rows:
                row.cards += 1
        filed.is_now(slot, free=slot.free_for(Share.EXCLUSIVE), settling=slot.settling)

    def remove(self, slot: Slot) -> None:
        """Strike a card, if it is here."""
        filed = self._filed.pop(slot, None)
        if filed is None:
            return
        filed.is_now(slot, free=False, settling=False)
        for key, row in zip(filed.keys, filed.rows, strict=True):
            row.cards -= 1
            if not row.cards:
                del self._rows[key]

    def count(self, keys: Iterable[Key]) -> int:
        """Return how many cards there are under some names; one with several counts again."""
        return sum(row.cards for row in self._of(keys))

    def every(self) -> Collection[Slot]:
        """Return all cards, free or not."""
        return self._filed.keys()

    def settling(self, keys: Iterable[Key]) -> Iterator[Slot]:
        """Yield the cards under some names that are about to be free."""
        for row in self._of(keys):
            yield from row.settling or ()

    def walk(self, keys: Iterable[Key]) -> Iterator[Slot | None]:
        """
        Yield the free cards under some names, those of one after those of another.

        Cards may come and go meanwhile; None stands for one that went.
        """
        for row in list(self._of(keys)):
            yield from row.walk()

    def _of(self, keys: Iterable[Key]) -> Iterator[_Row]:
        return (self._rows[key] for key in keys if key in self._rows)

    def __len__(self) -> int:
        return len(self._rows) + len(self._filed)
