# SPDX-License-Identifier: Apache-2.0
"""
Readers that users see, in the order of their numbers, and those of them that a filter lets through.

Numbers and names are those of these users' readers alone: neither what is on a page nor where it
ends tells anything of readers that are hidden from them, and no work is done for those.

A filter that names a card or reader exactly is answered by look-ups. Any other looks through the
readers; so many at a time that nobody else waits for long.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from wsrc.protocol.codec import encode
from wsrc.protocol.messages import CardInfo, CardUse, ReaderView
from wsrc.relay.index import Places
from wsrc.relay.records import Slot
from wsrc.relay.several import Several
from wsrc.selection import Filter, Key

LOOKED_AT = 2_000
"""Readers that are looked at for one page; the next goes on from there."""

T = TypeVar("T", CardInfo, CardUse, ReaderView)


class Bounds(NamedTuple):
    """Most things on a page, and the octets beyond which no further one is put on it."""

    most: int
    octets: int


class Shelves:
    """
    Readers by number, and by the names of each and of its card.

    Args:
        places: Has the names of readers.
    """

    def __init__(self, places: Places) -> None:
        self._slots: dict[int, Slot] = {}
        self._number_of: dict[Slot, int] = {}
        self._keys: dict[int, tuple[Key, ...]] = {}
        self._filed: Several[Key, int] = Several()
        self._places = places
        self._numbers: list[int] = []
        self._last = 0

    def put(self, slot: Slot) -> int:
        """
        Enter a reader if it is new, under the names that it has now.

        Returns:
            Its number, which no other has or had.
        """
        number = self._number_of.get(slot)
        if number is None:
            self._last = number = self._last + 1
            self._slots[number] = slot
            self._number_of[slot] = number
            self._numbers.append(number)
        keys = slot.keys
        if any(key not in keys for key in self._places.keys_of(slot)):
            keys = tuple(dict.fromkeys((*keys, *self._places.keys_of(slot))))
        if keys != self._keys.get(number):
            self._take_out(number)
            self._keys[number] = keys
            for key in keys:
                self._filed.enter(key, number)
        return number

    def remove(self, slot: Slot) -> None:
        """Strike a reader, if it is here."""
        number = self._number_of.pop(slot, None)
        if number is None:
            return
        self._take_out(number)
        del self._slots[number]
        if len(self._numbers) > 2 * len(self._slots):
            self._numbers = list(self._slots)

    def _take_out(self, number: int) -> None:
        for key in self._keys.pop(number, ()):
            self._filed.strike(key, number)

    def number_of(self, slot: Slot) -> int | None:
        """Return the number of a reader that is here."""
        return self._number_of.get(slot)

    def copy(self) -> "Shelves":
        """Return the same readers with the same numbers."""
        other = Shelves(self._places)
        other._slots, other._number_of = dict(self._slots), dict(self._number_of)
        other._numbers, other._last = list(self._numbers), self._last
        other._keys, other._filed = dict(self._keys), self._filed.copy()
        return other

    def page(
        self, wanted: Filter, after: int, describe: Callable[[Slot], T | None], bounds: Bounds
    ) -> tuple[tuple[T, ...], int | None]:
        """
        Return what describes the readers that a filter lets through, from a number on.

        With it comes the number after which to go on, if there may be more.
        """
        page: list[T] = []
        size, last, looked = 0, after, 0
        for number in self._after(wanted, after):
            if looked >= LOOKED_AT or len(page) >= bounds.most or size >= bounds.octets:
                return tuple(page), last
            slot = self._slots.get(number)
            if slot is None:
                continue
            looked, last = looked + 1, number
            if not wanted.fits(slot.names) or (thing := describe(slot)) is None:
                continue
            page.append(thing)
            size += len(encode(thing))
        return tuple(page), None

    def _after(self, wanted: Filter, after: int) -> Iterable[int]:
        """Return the numbers that are greater, of all readers that a filter may let through."""
        found = min((self._under(keys) for keys in wanted.keys), key=len, default=self._numbers)
        numbers = found if found is self._numbers else sorted(found)
        first = bisect_right(numbers, after)
        return (numbers[at] for at in range(first, len(numbers)))

    def _under(self, keys: Iterable[Key]) -> list[int]:
        """Return the numbers of readers under any of these keys; all, where those are too many."""
        found: set[int] = set()
        for key in keys:
            filed = self._filed.under(key)
            if len(filed) > LOOKED_AT:
                return self._numbers
            found.update(filed)
        return list(found) if len(found) <= LOOKED_AT else self._numbers
