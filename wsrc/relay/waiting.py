# SPDX-License-Identifier: Apache-2.0
"""
Users who wait for a card that is busy or absent: first come, first served.

Those who ask for the same card in the same words, and may do the same with it, stand in one line,
whose order is kept from the
first to the last of them. What is done for a card looks at its lines and at their heads, so it
takes no longer where more users wait.
"""

import heapq
import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from wsrc.card.slot import Pick, Share
from wsrc.relay.audience import Audience
from wsrc.relay.free import EVERY
from wsrc.relay.records import Needs, Slot, Ticket, Waiter
from wsrc.selection import Key, Selection, lookups

_Words = tuple[tuple[tuple[Key, ...], ...], bool, bool, Audience | None, Needs | None, int | None]
"""
The keys of each condition, whether an empty reader will do, whether nobody waits long, who, what is
needed where any card will do, and the number of a reservation.
"""


@dataclass(slots=True, eq=False)
class Line:
    """
    Waiters who are the same to every card, in the order of their tickets.

    `keys` are those by which a card finds the line. `direct` tells that an empty reader will do,
    `hasty` that they wait only for a card that is being reset or identified. `seeking` is what is
    left of the free cards that it looks through, None while it does not.
    """

    words: _Words
    selection: Selection
    keys: tuple[Key, ...]
    number: int = 0
    seeking: Iterator[Slot | None] | None = None
    _tickets: list[Ticket] = field(default_factory=list[Ticket])
    _waiters: dict[Ticket, Waiter] = field(default_factory=dict[Ticket, Waiter])

    @property
    def direct(self) -> bool:
        """Whether an empty reader will do."""
        return self.words[1]

    @property
    def conditions(self) -> tuple[tuple[Key, ...], ...]:
        """The keys of each condition, of which a card must have one."""
        return self.words[0]

    @property
    def needs(self) -> Needs | None:
        """What any card must be good for; None where they wait for the one that matches."""
        return self.words[4]

    @property
    def audience(self) -> Audience | None:
        """Who they are to a policy."""
        return self.words[3]

    def sees(self, slot: Slot) -> bool:
        """Return whether a card exists for them."""
        return self.audience is None or self.audience.sees(slot)

    @property
    def hasty(self) -> bool:
        """Whether they wait only for a card that is about to be free."""
        return self.words[2]

    def add(self, waiter: Waiter) -> None:
        """Put a waiter in the place of their ticket."""
        insort(self._tickets, waiter.ticket)
        self._waiters[waiter.ticket] = waiter

    def remove(self, waiter: Waiter) -> None:
        """Take a waiter out."""
        del self._waiters[waiter.ticket]
        del self._tickets[bisect_left(self._tickets, waiter.ticket)]

    def ahead(self, ticket: Ticket) -> int:
        """Count those before a ticket."""
        return bisect_left(self._tickets, ticket)

    def after(self, ticket: Ticket | None = None) -> Iterator[Waiter]:
        """Yield those behind a ticket, or all; those who leave meanwhile are passed over."""
        while True:
            at = 0 if ticket is None else bisect_right(self._tickets, ticket)
            if at == len(self._tickets):
                return
            ticket = self._tickets[at]
            yield self._waiters[ticket]

    def __len__(self) -> int:
        return len(self._tickets)


@dataclass(slots=True, eq=False)
class Round:
    """
    A round through a queue: `after` is the last ticket that was looked at, `ahead` how many were.

    `again` is when another round is needed, `math.inf` if none is. One that does not run only
    keeps the next from beginning too soon.
    """

    running: bool = True
    after: Ticket | None = None
    ahead: int = 0
    again: float = math.inf


def _none(_key: Key, _audience: Audience | None) -> int:
    return 0


class WaitingRoom:
    """
    All lines, by keys that a card must have to be theirs.

    A line is filed under the keys of one of its conditions: the one that the fewest cards meet,
    and of those the one under which the fewest lines are. Only cards and lines count of which
    those who stand in it may know.

    `booked` has those who wait with the token of a reservation, by its number. `anyone` counts
    those who would have any card, of each audience. `changes` counts who came and who went.

    Args:
        cards: How many cards have a key, of those that an audience sees.
    """

    def __init__(self, cards: Callable[[Key, Audience | None], int] = _none) -> None:
        self._cards = cards
        self._lines: dict[_Words, Line] = {}
        self._by_key: dict[Key, dict[Line, None]] = {}
        self._counts: Counter[tuple[Key, Audience | None]] = Counter()
        self.booked: dict[int, Waiter] = {}
        self.anyone: Counter[Audience | None] = Counter()
        self._line_of: dict[Waiter, Line] = {}
        self.changes = self._last = self._lines_made = 0

    def new_ticket(self, since: float) -> Ticket:
        """Return a place behind all who wait since then or for longer."""
        self._last += 1
        return since, self._last

    def add(self, waiter: Waiter) -> Line:
        """Put a waiter in the place of their ticket."""
        line = self.line_for(waiter)
        if line.words not in self._lines:
            self._lines[line.words] = line
            for key in line.keys:
                self._by_key.setdefault(key, {})[line] = None
                self._counts[key, line.audience] += 1
        line.add(waiter)
        if line.needs is not None:
            self.anyone[line.audience] += 1
        waiter.user.waiting[waiter.message.id] = waiter
        waiter.user.waits(1)
        self._line_of[waiter] = line
        self.changes += 1
        if waiter.reservation is not None:
            self.booked[waiter.reservation] = waiter
        return line

    def line_for(self, waiter: Waiter) -> Line:
        """Return the line in which a waiter has their place; a new one is nowhere filed yet."""
        words = _words(waiter)
        line = self._lines.get(words)
        if line is None:
            self._lines_made += 1
            line = Line(words, waiter.selection, self._keys(words), self._lines_made)
        return line

    def remove(self, waiter: Waiter) -> Line:
        """Take a waiter out; return the line in which they stood."""
        line = self._line_of.pop(waiter)
        self.changes += 1
        if waiter.reservation is not None:
            del self.booked[waiter.reservation]
        del waiter.user.waiting[waiter.message.id]
        waiter.user.waits(-1)
        line.remove(waiter)
        if line.needs is not None:
            self.anyone[line.audience] -= 1
            if not self.anyone[line.audience]:
                del self.anyone[line.audience]
        if not line:
            del self._lines[line.words]
            for key in line.keys:
                del self._by_key[key][line]
                self._counts[key, line.audience] -= 1
                if not self._counts[key, line.audience]:
                    del self._counts[key, line.audience]
                if not self._by_key[key]:
                    del self._by_key[key]
        return line

    def line_of(self, waiter: Waiter) -> Line | None:
        """Return the line in which a waiter stands, if they wait."""
        return self._line_of.get(waiter)

    def under(self, keys: Iterable[Key]) -> list[Line]:
        """Return the lines that are filed under any of these keys."""
        return list(dict.fromkeys(line for key in keys for line in self._by_key.get(key, ())))

    def __len__(self) -> int:
        return len(self._line_of)

    def _keys(self, words: _Words) -> tuple[Key, ...]:
        audience = words[3]

        def weight(keys: tuple[Key, ...]) -> tuple[int, int]:
            lines = sum(self._counts[key, audience] for key in keys)
            return sum(self._cards(key, audience) for key in keys), lines

        return min(words[0], key=weight, default=(EVERY,))


def in_order(lines: Sequence[Line], after: Ticket | None = None) -> Iterator[Waiter]:
    """Yield those who stand in any of these lines, the first come first."""
    return heapq.merge(*(line.after(after) for line in lines), key=lambda each: each.ticket)


def _words(waiter: Waiter) -> _Words:
    conditions = tuple(
        tuple(dict.fromkeys(lookups(kind, value))) for kind, value in waiter.selection.items
    )
    message = waiter.message
    needs = None
    if message.pick is Pick.ANY:
        needs = Needs(message.share, message.raw_tpdu, bool(message.protocols))
    direct = message.share is Share.DIRECT
    hasty = message.wait_s <= 0
    return conditions, direct, hasty, waiter.audience, needs, waiter.reservation
