# SPDX-License-Identifier: Apache-2.0
"""
Those who wait are told their place: each at most once a second, and few in one turn.

Where a queue changed, a round through it begins. It looks at some of those who wait in a turn,
and is gone on with a little later, so that a long queue keeps nobody from their answers.
"""

import math
from collections.abc import Sequence

from wsrc.protocol import messages as m
from wsrc.relay import leases, rights
from wsrc.relay.audience import Audience
from wsrc.relay.free import EVERY
from wsrc.relay.index import matches
from wsrc.relay.records import Slot, Waiter
from wsrc.relay.state import RelayState, TimerKey
from wsrc.relay.waiting import Line, Round, in_order
from wsrc.selection import Key

EACH_S = 1.0
"""Seconds between two messages to one waiter, at least."""

VISITS = 64
"""Waiters that a round looks at in one turn."""

STEP_S = 0.02
"""How long after that it goes on."""

QUEUE, ABSENT, LENGTH = "queue", "absent", "length"
"""
Kinds of rounds: for a card, by the number of its slot, and for one that is not here, by key. One of
the last kind only counts those who wait for a card.
"""


def found_by(state: RelayState, line: Line) -> list[Slot]:
    """
    Return the cards that a line waits for; those who want no card are given readers as well.

    Who waits for any card waits for none of them: there is no need to know which there are.
    """
    if line.needs is not None:
        return []
    found = state.index.find(line.selection, line.sees)
    return found or (state.places.find(line.selection, line.sees) if line.direct else found)


def lines_of(state: RelayState, slot: Slot) -> list[Line]:
    """Return the lines that wait for a card, for any that it is one of, or for an empty reader."""
    return [line for line in state.waiting.under(keys_of(state, slot)) if waits(state, line, slot)]


def waits(state: RelayState, line: Line, slot: Slot) -> bool:
    """Return whether a line waits for a card, or for any that it is one of."""
    if line.needs is not None:
        return fits(line, slot)
    return slot in found_by(state, line)


def fits(line: Line, slot: Slot) -> bool:
    """Return whether a card is one of those that a line waits for, be it free or not."""
    needs = line.needs
    return (
        needs is not None
        and matches(line.selection, slot)
        and slot.has_card
        and line.sees(slot)
        and rights.lacking(line.audience, slot, needs.share) is None
        and leases.lacks(slot, needs) is None
    )


def keys_of(state: RelayState, slot: Slot) -> tuple[Key, ...]:
    """Return the keys under which the lines are that may wait for a card, or an empty reader."""
    return (*slot.keys, EVERY) if slot.has_card else state.places.keys_of(slot)


def absent_lines(state: RelayState, keys: Sequence[Key]) -> list[Line]:
    """Return the lines under these keys whose card is not here, or hidden from them."""
    return [line for line in state.waiting.under(keys) if not found_by(state, line)]


def queue_of_absent(state: RelayState, line: Line) -> list[Line]:
    """
    Return the lines among which those of one that waits for an absent card have their place.

    They are of one audience: for another the card may be there, which is not to be noticed.
    """
    return [each for each in absent_lines(state, line.keys) if each.audience is line.audience]


def place_of(lines: Sequence[Line], waiter: Waiter) -> int:
    """Return the place of a waiter in a queue that is made of these lines."""
    return 1 + sum(line.ahead(waiter.ticket) for line in lines)


def queue_changed(state: RelayState, slot: Slot, now: float) -> None:
    """Begin to tell those who wait for a card."""
    if len(state.waiting):
        _begin(state, (QUEUE, slot.number, None), now)


def longer(state: RelayState, slot: Slot, now: float) -> None:
    """Begin to show that one more waits for a card, behind all others."""
    _begin(state, (LENGTH, slot.number, None), now)


def absent_changed(state: RelayState, line: Line, now: float) -> None:
    """Begin to tell those who wait for a card that is not here, by the names of a line."""
    if len(state.waiting):
        for kind, value in line.keys:
            _begin(state, (ABSENT, f"{kind} {value}", None), now)


def tell(
    state: RelayState, waiter: Waiter, position: int, lease: m.LeaseInfo | None, now: float
) -> None:
    """Tell a waiter their place, and who has the card."""
    waiter.position, waiter.told_at = position, now
    state.send(waiter.user, m.Waiting(id=waiter.message.id, position=position, lease=lease))


def nobody_waits(state: RelayState) -> None:
    """Forget all rounds, and show that nobody waits for any card."""
    for key in state.rounds:
        state.timers.clear(key)
    state.rounds.clear()
    state.sought.clear()
    for slot in list(state.awaited):
        _shown(state, slot, 0)


def go_on(state: RelayState, key: TimerKey, now: float) -> None:
    """Go on with a round, or end it."""
    round_ = state.rounds[key]
    if not round_.running:
        del state.rounds[key]
        return
    if key[0] == LENGTH:
        over = _count(state, int(key[1]))
    elif key[0] == QUEUE:
        over = _tell_queue(state, int(key[1]), round_, now)
    else:
        kind, _, value = str(key[1]).partition(" ")
        over = _tell_absent(state, (kind, value), round_, now)
    if not over:
        state.timers.set(key, now + STEP_S)
        return
    if round_.again < math.inf:
        state.rounds[key] = Round()
        state.timers.set(key, max(round_.again, now + STEP_S))
    else:
        round_.running = False
        state.timers.set(key, now + EACH_S)


def _begin(state: RelayState, key: TimerKey, now: float) -> None:
    round_ = state.rounds.get(key)
    if round_ is None:
        state.rounds[key] = Round()
        state.timers.set(key, now)
    elif round_.running:
        round_.again = min(round_.again, now + EACH_S)
    else:
        state.rounds[key] = Round()  # its deadline is that of the round before


def _tell_queue(state: RelayState, number: int, round_: Round, now: float) -> bool:
    slot = state.slots.get(number)
    if slot is None:
        return True
    infos = state.lease_infos(slot)
    lease = infos[0] if infos else None
    lines = lines_of(state, slot)
    _shown(state, slot, _length(lines))
    for visited, waiter in enumerate(in_order(lines, round_.after), start=1):
        round_.ahead += 1
        if waiter.message.pick is m.Pick.ANY:
            round_.after = waiter.ticket  # they are told their place among those who wait for any
        elif _is_due(round_, waiter, round_.ahead, now):
            tell(state, waiter, round_.ahead, lease, now)
        if visited == VISITS:
            return False
    return True


def _count(state: RelayState, number: int) -> bool:
    slot = state.slots.get(number)
    if slot is not None:
        _shown(state, slot, _length(lines_of(state, slot)))
    return True


def _length(lines: Sequence[Line]) -> int:
    """Return how many wait for a card; not those who would have any."""
    return sum(len(line) for line in lines if line.needs is None)


def _shown(state: RelayState, slot: Slot, waiting: int) -> None:
    """Show how many wait for a card."""
    if slot.waiting == waiting:
        return
    slot.waiting = waiting
    state.readers.mark(slot)
    if waiting:
        state.awaited[slot] = None
    else:
        state.awaited.pop(slot, None)


def _tell_absent(state: RelayState, key: Key, round_: Round, now: float) -> bool:
    queues: dict[tuple[tuple[Key, ...], Audience | None], list[Line]] = {}
    lines = absent_lines(state, (key,))
    for visited, waiter in enumerate(in_order(lines, round_.after), start=1):
        line = state.waiting.line_of(waiter)
        assert line is not None
        queue = queues.get((line.keys, line.audience))
        if queue is None:
            queue = queues[line.keys, line.audience] = queue_of_absent(state, line)
        place = place_of(queue, waiter)
        if _is_due(round_, waiter, place, now):
            tell(state, waiter, place, None, now)
        if visited == VISITS:
            return False
    return True


def _is_due(round_: Round, waiter: Waiter, position: int, now: float) -> bool:
    """Return whether a waiter is to be told their place; if it is too soon, look again later."""
    round_.after = waiter.ticket
    if waiter.position == position:
        return False
    due = waiter.told_at + EACH_S
    if now < due:
        round_.again = min(round_.again, due)
    return now >= due
