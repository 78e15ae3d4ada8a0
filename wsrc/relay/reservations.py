# SPDX-License-Identifier: Apache-2.0
"""
Cards that are kept for a time to come: whose, when, and which of them it is the time of.

Times here are seconds since 1970 by the clock of the host, which may be set: nothing follows from
a time that was, but from what it is now. What is done for a card, and what comes next, is found as
fast among 10,000 as among ten.
"""

import hashlib
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from wsrc.protocol.messages import CancelReservation, Reserve
from wsrc.relay.records import LEAVING, Lease, LeasePhase, UserPeer
from wsrc.relay.timers import Timers

MOST: Final = 10_000
"""Reservations of all; one more is refused."""

GRACE_S: Final = 90_000.0
"""How long one is kept that is over because the clock was set, which may be set back: 25 hours."""

SET_S: Final = 1.0
"""A clock that is off by more than this was set."""

EARLY_S: Final = 0.001
"""What begins within this has begun: a deadline is no more exact."""


class Booking(msgspec.Struct, frozen=True):
    """
    One card that is kept from `begins` to `ends`.

    `digest` is what `digest_of` makes of the token. `owner` is a digest of the principal whose it
    is, empty where nobody is known, and `holder` a name of them. `identity` is the card as
    `tags.identity_of` names it. `wish` is the selection where any card would do, else None.
    """

    number: int
    digest: bytes
    owner: str
    holder: str
    identity: str
    begins: float
    ends: float
    wish: tuple[tuple[str, str], ...] | None = None

    def has(self, utc: float) -> bool:
        """Return whether a time is within."""
        return self.begins <= utc + EARLY_S and utc + EARLY_S < self.ends


class Booked(NamedTuple):
    """A reservation that is to be written or struck, for whom, and its token where it is new."""

    user: UserPeer
    request: Reserve | CancelReservation
    booking: Booking
    token: str | None


def digest_of(token: str) -> bytes:
    """Return what tells a token from others without having it."""
    return hashlib.sha256(token.encode()).digest()


class Reservations:
    """
    All reservations.

    `active` has the one whose time it is, by the card. `unwritten` are those that nobody was told
    of yet. `last` is the number of the last that was made.
    """

    def __init__(self) -> None:
        self.active: dict[str, int] = {}
        self.unwritten: set[int] = set()
        self.last = 0
        self._all: dict[int, Booking] = {}
        self._by_digest: dict[bytes, int] = {}
        self._of_card: dict[str, list[tuple[float, int]]] = {}
        self._of_owner: Counter[str] = Counter()
        self._turns: Timers[int] = Timers()
        self._grace: dict[int, float] = {}
        self._leases: dict[int, Lease] = {}
        self._epoch: float | None = None

    def add(self, booking: Booking) -> None:
        """Enter one that overlaps no other of its card, or in place of one of its number."""
        self.remove(booking.number)
        self.last = max(self.last, booking.number)
        self._all[booking.number] = booking
        self._by_digest[booking.digest] = booking.number
        insort(self._of_card.setdefault(booking.identity, []), (booking.begins, booking.number))
        self._of_owner[booking.owner] += 1
        self._turns.set(booking.number, booking.begins)

    def remove(self, number: int) -> None:
        """Strike one, if it is there."""
        booking = self._all.pop(number, None)
        if booking is None:
            return
        del self._by_digest[booking.digest]
        of_card = self._of_card[booking.identity]
        of_card.remove((booking.begins, number))
        if not of_card:
            del self._of_card[booking.identity]
        self._of_owner[booking.owner] -= 1
        self._of_owner += Counter()
        self._turns.clear(number)
        self._grace.pop(number, None)
        self._leases.pop(number, None)
        self.unwritten.discard(number)
        if self.active.get(booking.identity) == number:
            del self.active[booking.identity]

    def get(self, number: int | None) -> Booking | None:
        """Return the one of a number."""
        return self._all.get(number) if number is not None else None

    def of_token(self, token: str) -> Booking | None:
        """Return the one of a token."""
        return self.get(self._by_digest.get(digest_of(token)))

    def after(self, number: int) -> Iterator[Booking]:
        """Yield those of greater numbers, in their order, that somebody was told of."""
        for each in sorted(self._all):
            if each > number and each not in self.unwritten:
                yield self._all[each]

    def count_of(self, owner: str) -> int:
        """Count those of an owner."""
        return self._of_owner[owner]

    def in_the_way(self, identity: str, begins: float, ends: float) -> Booking | None:
        """Return the first of a card that overlaps a time."""
        of_card = self._of_card.get(identity, [])
        at = bisect_right(of_card, (begins, self.last))
        for _, number in of_card[max(0, at - 1) : at + 1]:
            each = self._all[number]
            if each.begins < ends and begins < each.ends:
                return each
        return None

    def next_of(self, identity: str, utc: float) -> Booking | None:
        """Return the next of a card that begins after a time."""
        of_card = self._of_card.get(identity, [])
        at = bisect_right(of_card, (utc, self.last))
        return self._all[of_card[at][1]] if at < len(of_card) else None

    def take(self, number: int, lease: Lease) -> None:
        """Note that the card was taken with a token."""
        if number in self._all:
            self._leases[number] = lease

    def lease_of(self, number: int) -> Lease | None:
        """Return the lease that has the card by a token; not one that is ending."""
        lease = self._leases.get(number)
        if lease is not None and (lease.phase in LEAVING or lease.phase is LeasePhase.OVER):
            del self._leases[number]
            return None
        return lease

    def is_set(self, epoch: float, utc: float) -> None:
        """Look at every one again if the clock was set since the last time, or is new."""
        if self._epoch is not None and abs(epoch - self._epoch) <= SET_S:
            return
        self._epoch = epoch
        for number, booking in self._all.items():
            self._turns.set(number, utc)
            if booking.ends <= utc:
                self._grace[number] = utc + GRACE_S
            else:
                self._grace.pop(number, None)

    def turn(self, utc: float) -> Booking | None:
        """
        Return the next for which something is to be done: its time began or is over.

        It is `active` then, or not any more; where it `is_gone`, it is to be removed.
        """
        number = self._turns.pop(utc + EARLY_S)
        if number is None:
            return None
        booking = self._all[number]
        identity = booking.identity
        if booking.has(utc):
            self.active[identity] = number
            self._turns.set(number, booking.ends)
        elif self.active.get(identity) == number:
            del self.active[identity]
        if utc + EARLY_S < booking.begins:
            self._turns.set(number, booking.begins)
        elif not booking.has(utc) and not self.is_gone(booking, utc):
            self._turns.set(number, self._grace[number])
        return booking

    def is_gone(self, booking: Booking, utc: float) -> bool:
        """Return whether one is over for good."""
        return utc + EARLY_S >= self._grace.get(booking.number, booking.ends)

    def next_turn(self) -> float | None:
        """Return when something is to be done next."""
        return self._turns.next()

    def recall(self, bookings: Iterable[Booking], last: int) -> None:
        """Know what was kept by an earlier run, the last number of which is given."""
        self.last = last
        for booking in bookings:
            self.add(booking)

    def __len__(self) -> int:
        return len(self._all)
