# SPDX-License-Identifier: Apache-2.0
"""Users who wait for a card that is busy or absent: first come, first served."""

from collections.abc import Iterable

from wsrc.relay.index import matches
from wsrc.relay.records import Slot, Ticket, Waiter
from wsrc.selection import Key, lookups


class WaitingRoom:
    """Waiters by the keys that a card must have to be theirs."""

    def __init__(self) -> None:
        self._by_key: dict[Key, dict[Ticket, Waiter]] = {}
        self._last = 0
        self._count = 0

    def new_ticket(self, since: float) -> Ticket:
        """Return a place behind all who wait since then or for longer."""
        self._last += 1
        return since, self._last

    def add(self, waiter: Waiter) -> None:
        """Put a waiter in the place of their ticket."""
        self._count += 1
        waiter.user.waiting[waiter.message.id] = waiter
        for key in _keys(waiter):
            self._by_key.setdefault(key, {})[waiter.ticket] = waiter

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter out."""
        self._count -= 1
        del waiter.user.waiting[waiter.message.id]
        for key in _keys(waiter):
            bucket = self._by_key[key]
            del bucket[waiter.ticket]
            if not bucket:
                del self._by_key[key]

    def for_slot(self, slot: Slot) -> list[Waiter]:
        """Return those who wait for the card in a slot, the first come first."""
        return [each for each in self.under(slot.keys) if matches(each.selection, slot)]

    def under(self, keys: Iterable[Key]) -> list[Waiter]:
        """Return those whose first condition is one of these keys, the first come first."""
        found = {n: waiter for key in keys for n, waiter in self._by_key.get(key, {}).items()}
        return [found[ticket] for ticket in sorted(found)]

    def rivals(self, waiter: Waiter) -> list[Waiter]:
        """Return the others who wait for a card of the same name, the first come first."""
        found = {
            ticket: other
            for key in _keys(waiter)
            for ticket, other in self._by_key[key].items()
            if other is not waiter
        }
        return [found[ticket] for ticket in sorted(found)]

    def __len__(self) -> int:
        return self._count


def _keys(waiter: Waiter) -> list[Key]:
    kind, value = waiter.selection.items[0]
    return list(dict.fromkeys(lookups(kind, value)))
