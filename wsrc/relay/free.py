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
    """
    One card: the rows in which it is, its places there while it is free, if it is about to be.

    It is in no row of a name that it has alone.
    """

    __slots__ = ("free", "keys", "nodes", "rows", "settling", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.keys = slot.keys
        self.rows: list[_Row] = []
        self.nodes: list[_Node] = []
        self.free = False
        self.settling = False

    def join(self, row: _Row) -> None:
        """Enter the card in one row more."""
        row.cards += 1
        self.rows.append(row)
        if self.free:
            self.nodes.append(row.enter(self.slot))
        if self.settling:
            row.settles(self.slot, so=True)

    def is_now(self, *, free: bool, settling: bool) -> None:
        """Enter or strike the card where it became free, or is free no more."""
        if free != self.free:
            self.free = free
            for row, node in zip(self.rows, self.nodes, strict=not free):
                row.strike(node)
            self.nodes = [row.enter(self.slot) for row in self.rows] if free else []
        if settling != self.settling:
            self.settling = settling
            for row in self.rows:
                row.settles(self.slot, so=settling)


class Free:
    """The cards that an audience may take, by their names; most names are of one card."""

    def __init__(self) -> None:
        self._rows: dict[Key, _Row | _Filed] = {}
        self._filed: dict[Slot, _Filed] = {}

    def put(self, slot: Slot) -> None:
        """Enter a card as it is now; a reader without one is struck."""
        filed = self._filed.get(slot)
        if filed is not None and not (slot.has_card and filed.keys == slot.keys):
            self.remove(slot)
            filed = None
        if not slot.has_card:
            return
        if filed is None:
            filed = self._filed[slot] = _Filed(slot)
            for key in (*filed.keys, EVERY):
                self._enter(key, filed)
        filed.is_now(free=slot.free_for(Share.EXCLUSIVE), settling=slot.settling)

    def remove(self, slot: Slot) -> None:
        """Strike a card, if it is here."""
        filed = self._filed.pop(slot, None)
        if filed is None:
            return
        filed.is_now(free=False, settling=False)
        for key in (*filed.keys, EVERY):
            row = self._rows[key]
            if isinstance(row, _Row):
                row.cards -= 1
            if row is filed or (isinstance(row, _Row) and not row.cards):
                del self._rows[key]

    def _enter(self, key: Key, filed: _Filed) -> None:
        """Enter a card under a name, in a row where another has the name as well."""
        row = self._rows.setdefault(key, filed)
        if isinstance(row, _Filed) and row is not filed:
            first, row = row, _Row()
            self._rows[key] = row
            first.join(row)
        if isinstance(row, _Row):
            filed.join(row)

    def count(self, keys: Iterable[Key]) -> int:
        """Return how many cards there are under some names; one with several counts again."""
        return sum(row.cards if isinstance(row, _Row) else 1 for row in self._of(keys))

    def every(self) -> Collection[Slot]:
        """Return all cards, free or not."""
        return self._filed.keys()

    def settling(self, keys: Iterable[Key]) -> Iterator[Slot]:
        """Yield the cards under some names that are about to be free."""
        for row in self._of(keys):
            if isinstance(row, _Row):
                yield from row.settling or ()
            elif row.settling:
                yield row.slot

    def walk(self, keys: Iterable[Key]) -> Iterator[Slot | None]:
        """
        Yield the free cards under some names, those of one after those of another.

        Cards may come and go meanwhile; None stands for one that went.
        """
        for key in tuple(keys):
            row = self._rows.get(key)
            if isinstance(row, _Filed) and row.free:
                yield row.slot
                row = self._rows.get(key)  # others of this name may have come
            if isinstance(row, _Row):
                yield from row.walk()

    def _of(self, keys: Iterable[Key]) -> Iterator[_Row | _Filed]:
        return (self._rows[key] for key in keys if key in self._rows)

    def __len__(self) -> int:
        return len(self._rows) + len(self._filed)
