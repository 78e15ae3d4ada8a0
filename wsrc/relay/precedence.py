# SPDX-License-Identifier: Apache-2.0
"""
Which reservations give way to one of a higher priority, and when they have their card again.

One gives way whose time has not begun and whose card was not taken with its token. It is kept: it
has its card again once that is not in its way any more.
"""

from itertools import islice
from typing import Final, NamedTuple

import msgspec

from wsrc.relay import evidence
from wsrc.relay.effects import Book
from wsrc.relay.reservations import EARLY_S, Booking
from wsrc.relay.state import RelayState

MOST: Final = 16
"""Reservations that give way to one; those of a card for which more would are not outranked."""


class Wanted(NamedTuple):
    """From when to when a card is to be reserved, with which priority, and what time it is."""

    begins: float
    ends: float
    priority: int
    utc: float


def in_the_way(state: RelayState, identity: str, wanted: Wanted) -> Booking | None:
    """Return a reservation of a card that does not give way, if one of that time does not."""
    found = _overlapping(state, identity, wanted)
    if len(found) > MOST:
        return found[0]
    return next((each for each in found if not _yields(state, each, wanted)), None)


def make_way(state: RelayState, identity: str, wanted: Wanted) -> None:
    """Have those of a card give way that would overlap; none is `in_the_way`."""
    for each in _overlapping(state, identity, wanted):
        _now(state, each, gave_way=True)
        evidence.gave_way(state, each)


def give_back(state: RelayState, identity: str, utc: float) -> bool:
    """Have those have a card again that gave way and overlap no other; return whether any does."""
    again = False
    for each in state.reservations.that_gave_way(identity):
        free = state.reservations.in_the_way(identity, each.begins, each.ends) is None
        if free and utc < each.ends:
            _now(state, each, gave_way=False)
            again = True
    return again


def _overlapping(state: RelayState, identity: str, wanted: Wanted) -> list[Booking]:
    found = state.reservations.all_in_the_way(identity, wanted.begins, wanted.ends)
    return list(islice(found, MOST + 1))


def _yields(state: RelayState, booking: Booking, wanted: Wanted) -> bool:
    table = state.reservations
    begun = booking.begins <= wanted.utc + EARLY_S
    settled = booking.number not in table.unwritten and table.lease_of(booking.number) is None
    waits = booking.number in state.waiting.booked
    return booking.priority < wanted.priority and settled and not begun and not waits


def _now(state: RelayState, booking: Booking, *, gave_way: bool) -> None:
    changed = msgspec.structs.replace(booking, gave_way=gave_way)
    state.reservations.add(changed)
    state.effects.append(Book(0, changed))
