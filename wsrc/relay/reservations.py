# SPDX-License-Identifier: Apache-2.0
"""
Cards that are kept for a time to come: whose, when, and which of them it is the time of.

Times here are seconds since 1970 by the clock of the host, which may be set: nothing follows from
a time that was, but from what it is now. What is done for a card, and what comes next, is found as
fast among 10,000 as among ten.
"""

import hashlib
from bisect import bisect_left, bisect_right, insort
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from wsrc.protocol.messages import CancelReservation, Reserve
from wsrc.relay.records import LEAVING, Lease, LeasePhase, UserPeer
from wsrc.relay.timers import Timers

MOST: Final = 10_000
"""Reservations of all; one more is refused."""

GRACE_S: Final = 90_000.0
"""How long one is kept that is over because the clock was set, which may be set back: 25 hours."""

FIRST: Final = 100_000
"""The lowest number of a reservation that users are shown."""

SET_S: Final = 1.0
"""A clock that is off by more than this was set."""

EARLY_S: Final = 0.001
"""What begins within this has begun: a deadline is no more exact."""

NEWS: Final = 1_024
"""Latest changes that are known one by one."""


class Booking(msgspec.Struct, frozen=True):
    """
    One card that is kept from `begins` to `ends`; its `number` is greater than those before.

    `digest` is what `digest_of` makes of the token. `owner` is a digest of the principal whose it
    is, empty where nobody is known, and `holder` a name of them. `identity` is the card as
    `tags.identity_of` names it. `wish` is the selection where any card would do, else None.
    `session` is what `digest_of` makes of the session that took the card last, empty before.
    One that `gave_way` has no card: another of a greater `priority` has it. `before` has what
    `digest_of` makes of each session that had the card when it was reserved, and keeps it.
    """

    number: int
    digest: bytes
    owner: str
    holder: str
    identity: str
    begins: float
    ends: float
    wish: tuple[tuple[str, str], ...] | None = None
    session: bytes = b""
    priority: int = 0
    gave_way: bool = False
    before: bytes = b""

    @property
    def shown(self) -> int:
        """The number that users know it by, of six digits: it tells nothing of other ones."""
        return shown_of(self.digest)

    def has(self, utc: float) -> bool:
        """Return whether a time is within."""
        return self.begins <= utc + EARLY_S and utc + EARLY_S < self.ends


class Numbering(NamedTuple):
    """
    Which numbers reservations are given: each is more than all that are known, and nobody else's.

    Of several that give numbers each has a `place` below `step`, which is the rest of its numbers.
    """

    step: int = 1
    place: int = 0

    def after(self, last: int) -> int:
        """Return the number that follows, where `last` is the greatest that is known."""
        return (last // self.step + 1) * self.step + self.place


ALONE: Final = Numbering()
"""That of whoever gives all numbers: one after the other."""


class Booked(NamedTuple):
    """A reservation that is to be written or struck, for whom, and its token where it is new."""

    user: UserPeer
    request: Reserve | CancelReservation
    booking: Booking
    token: str | None


def shown_of(digest: bytes) -> int:
    """Return the number that users are shown of a reservation, whose token has this digest."""
    return FIRST + int.from_bytes(digest[:8]) % (9 * FIRST)


def _digests(joined: bytes) -> Iterator[bytes]:
    size = hashlib.sha256().digest_size
    return (joined[at : at + size] for at in range(0, len(joined), size))


def digest_of(token: str) -> bytes:
    """Return what tells a token, or a session, from others without having it."""
    return hashlib.sha256(token.encode()).digest()


class Reservations:
    """
    All reservations.

    `active` has the one whose time it is, by the card. `unwritten` are those that nobody was told
    of yet. `last` is the number of the last that was made, `numbering` says which comes next.
    `changes` counts what `note` was told.

    Args:
        warn_s: How long before the beginning of one `turn` returns it, so that others are told.
    """

    def __init__(self, warn_s: float = 0.0) -> None:
        self.active: dict[str, int] = {}
        self.unwritten: set[int] = set()
        self.last = 0
        self.changes = 0
        self._news: deque[tuple[str, str]] = deque(maxlen=NEWS)
        self.numbering = ALONE
        self._warn_s = warn_s
        self._all: dict[int, Booking] = {}
        self._shown: list[tuple[int, int]] = []
        self._by_session: dict[bytes, int] = {}
        self._by_digest: dict[bytes, int] = {}
        self._of_card: dict[str, list[tuple[float, int]]] = {}
        self._gave_way: dict[str, set[int]] = {}
        self._of_owner: Counter[str] = Counter()
        self._turns: Timers[int] = Timers()
        self._grace: dict[int, float] = {}
        self._leases: dict[int, Lease] = {}
        self._epoch: float | None = None

    def add(self, booking: Booking) -> None:
        """Enter one that has its card alone, or gave way, or in place of one of its number."""
        self.remove(booking.number)
        self.last = max(self.last, booking.number)
        self._all[booking.number] = booking
        insort(self._shown, (booking.shown, booking.number))
        self._by_digest[booking.digest] = booking.number
        if booking.session:
            self._by_session[booking.session] = booking.number
        if booking.gave_way:
            self._gave_way.setdefault(booking.identity, set()).add(booking.number)
        else:
            of_card = self._of_card.setdefault(booking.identity, [])
            insort(of_card, (booking.begins, booking.number))
        self._of_owner[booking.owner] += 1
        self._turns.set(booking.number, booking.begins - self._warn_s)
        self.note(booking)

    def remove(self, number: int) -> None:
        """Strike one, if it is there."""
        booking = self._all.pop(number, None)
        if booking is None:
            return
        del self._shown[bisect_left(self._shown, (booking.shown, number))]
        del self._by_digest[booking.digest]
        self._by_session.pop(booking.session, None)
        self._free(booking)
        self._of_owner[booking.owner] -= 1
        self._of_owner += Counter()
        self._turns.clear(number)
        self._grace.pop(number, None)
        self._leases.pop(number, None)
        self.unwritten.discard(number)
        if self.active.get(booking.identity) == number:
            del self.active[booking.identity]
        self.note(booking)

    def _free(self, booking: Booking) -> None:
        """Take one from its card."""
        identity, number = booking.identity, booking.number
        if booking.gave_way:
            self._gave_way[identity].remove(number)
            if not self._gave_way[identity]:
                del self._gave_way[identity]
            return
        of_card = self._of_card[identity]
        del of_card[bisect_left(of_card, (booking.begins, number))]
        if not of_card:
            del self._of_card[identity]

    def note(self, booking: Booking) -> None:
        """Note that one is another than before, or elsewhere in its time."""
        self.changes += 1
        self._news.append((booking.identity, booking.owner))

    def news(self, seen: int) -> list[tuple[str, str]] | None:
        """
        Return cards and owners of those that changed since `changes` was `seen`.

        None where more changed than are known.
        """
        new = self.changes - seen
        if new > len(self._news):
            return None
        return list(islice(self._news, len(self._news) - new, None))

    def get(self, number: int | None) -> Booking | None:
        """Return the one of a number."""
        return self._all.get(number) if number is not None else None

    def of_token(self, token: str) -> Booking | None:
        """Return the one of a token."""
        return self.get(self._by_digest.get(digest_of(token)))

    def after(self, shown: int) -> Iterator[Booking]:
        """Yield those of greater numbers, as users are shown them, in their order."""
        for at in range(bisect_left(self._shown, (shown + 1, 0)), len(self._shown)):
            yield self._all[self._shown[at][1]]

    def of_shown(self, shown: int | None) -> Booking | None:
        """Return the one that users are shown a number of."""
        found = next(self.after(shown - 1), None) if shown is not None else None
        return found if found is not None and found.shown == shown else None

    def of_card(self, identity: str) -> list[Booking]:
        """Return those of a card, and those that would have it but gave way."""
        of_card = [self._all[number] for _, number in self._of_card.get(identity, ())]
        return of_card + self.that_gave_way(identity)

    def count_of(self, owner: str) -> int:
        """Count those of an owner."""
        return self._of_owner[owner]

    def in_the_way(self, identity: str, begins: float, ends: float) -> Booking | None:
        """Return the first of a card that overlaps a time."""
        return next(self.all_in_the_way(identity, begins, ends), None)

    def all_in_the_way(self, identity: str, begins: float, ends: float) -> Iterator[Booking]:
        """Yield those of a card that overlap a time, the first before all others."""
        of_card = self._of_card.get(identity, [])
        at = max(0, bisect_right(of_card, (begins, self.last)) - 1)
        while at < len(of_card) and of_card[at][0] < ends:
            each = self._all[of_card[at][1]]
            if each.begins < ends and begins < each.ends:
                yield each
            at += 1

    def that_gave_way(self, identity: str) -> list[Booking]:
        """Return those that would have a card but for others, the oldest first."""
        return [self._all[number] for number in sorted(self._gave_way.get(identity, ()))]

    def next_of(self, identity: str, utc: float) -> Booking | None:
        """Return the next of a card that begins after a time."""
        of_card = self._of_card.get(identity, [])
        at = bisect_right(of_card, (utc, self.last))
        return self._all[of_card[at][1]] if at < len(of_card) else None

    def take(self, number: int, lease: Lease) -> None:
        """Note that the card was taken with a token."""
        if number in self._all:
            self._leases[number] = lease

    def link(self, number: int, session: str) -> Booking | None:
        """Note the session that took the card with a token; return what is to be written."""
        booking = self._all.get(number)
        if booking is None:
            return None
        self._by_session.pop(booking.session, None)
        linked = msgspec.structs.replace(booking, session=digest_of(session))
        self._all[number] = linked
        self._by_session[linked.session] = number
        return linked

    def of_session(self, session: str) -> Booking | None:
        """Return the one with whose token a session took its card last."""
        return self.get(self._by_session.get(digest_of(session)))

    def last_known(self, identity: str, session: str) -> int:
        """Return the last of a card of which a session knew that an earlier run has begun."""
        had = digest_of(session)
        of_card = [number for _, number in self._of_card.get(identity, ())]
        every = map(self._all.__getitem__, [*of_card, *self._gave_way.get(identity, ())])
        later = [each.number for each in every if had in _digests(each.before)]
        return min(later) - 1 if later else self.last

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
        Return the next for which something is to be done: its time begins, began or is over.

        It is `active` then, or not any more; where it `is_gone`, it is to be removed, and where
        it `is_near`, others are to be told.
        """
        number = self._turns.pop(utc + EARLY_S)
        if number is None:
            return None
        booking = self._all[number]
        self.note(booking)
        identity = booking.identity
        if booking.has(utc):
            if not booking.gave_way:
                self.active[identity] = number
            self._turns.set(number, booking.ends)
        elif self.active.get(identity) == number:
            del self.active[identity]
        if utc + EARLY_S < booking.begins:
            near = self.is_near(booking, utc)
            self._turns.set(number, booking.begins if near else booking.begins - self._warn_s)
        elif not booking.has(utc) and not self.is_gone(booking, utc):
            self._turns.set(number, self._grace[number])
        return booking

    def is_near(self, booking: Booking, utc: float) -> bool:
        """Return whether the time of one begins so soon that others are told."""
        if booking.gave_way:
            return False
        return utc + EARLY_S < booking.begins <= utc + EARLY_S + self._warn_s

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
