# SPDX-License-Identifier: Apache-2.0
"""
Any free card that matches: the least recently used one, or the first that becomes free.

Who waits for any stands in a line of the waiting room as everybody else. Where all cards of a name
match, the first free one is at hand; where a selection has several conditions, the free cards of
one of them are looked at, some in a turn, and whoever came first is given what is found.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay import evidence, positions
from wsrc.relay.free import EVERY, Free
from wsrc.relay.index import matches
from wsrc.relay.records import Slot, UserPeer, Waiter
from wsrc.relay.state import RelayState, TimerKey
from wsrc.relay.waiting import Line, Round
from wsrc.selection import Key, Selection, lookups

LOOKED_AT: Final = 128
"""Free cards that are looked at in one turn for those who stand in a line."""

STEP_S: Final = 0.001
"""How long after that it is gone on with."""

PICK: Final = "pick"
"""Kind of the round in which a line looks for a card."""


def can_have(state: RelayState, line: Line, slot: Slot) -> bool:
    """Return whether a card is free for who stands in a line; nobody who has it is joined."""
    there = state.slots.get(slot.number) is slot
    return there and slot.free_for(Share.EXCLUSIVE) and positions.fits(line, slot)


def first(state: RelayState, line: Line) -> Slot | None:
    """
    Return a card that a line can have, if one of the next that are looked at is.

    The line goes on `seeking` where there are more to look at.
    """
    if line.seeking is None:
        line.seeking = _begun(state, line)
    for _ in range(LOOKED_AT):
        slot = next(line.seeking, _END)
        if slot is _END:
            line.seeking = None
            return None
        if isinstance(slot, Slot) and can_have(state, line, slot):
            return slot
    return None


_END: Final = object()


def _free(state: RelayState, line: Line) -> Free:
    return state.readers.free_of(line.audience)


def _narrowest(free: Free, line: Line) -> tuple[Key, ...]:
    """Return the names of one condition, under which the fewest cards are."""
    return min(line.conditions or ((EVERY,),), key=free.count)


def narrowest(state: RelayState, user: UserPeer, selection: Selection) -> tuple[Key, ...]:
    """Return the names of one condition of a selection, under which the fewest cards are."""
    free = state.readers.free_of(user.audience)
    conditions = [lookups(kind, value) for kind, value in selection.items]
    return min(map(tuple, conditions), key=free.count, default=(EVERY,))


def how_many(state: RelayState, user: UserPeer, selection: Selection) -> tuple[int, int]:
    """
    Return how many cards a user sees that a selection may mean, and how many it means are free.

    Of many free ones as many are looked at as in one turn.
    """
    free = state.readers.free_of(user.audience)
    keys = narrowest(state, user, selection)
    some = (slot for slot in islice(free.walk(keys), LOOKED_AT) if slot is not None)
    fit = (s for s in some if s.free_for(Share.EXCLUSIVE) and matches(selection, s))
    return free.count(keys), sum(1 for _ in fit)


def _begun(state: RelayState, line: Line) -> Iterator[Slot | None]:
    free = _free(state, line)
    return free.walk(_narrowest(free, line))


def is_sought(state: RelayState, slot: Slot) -> bool:
    """Return whether a line that looks for a card has not come to this one yet."""
    if not state.sought:
        return False
    lines = state.waiting.under(positions.keys_of(state, slot))
    return any(line.seeking is not None and can_have(state, line, slot) for line in lines)


def seek(state: RelayState, line: Line, now: float, after_s: float = STEP_S) -> None:
    """Have a line look through the free cards, soon; one that does already goes on."""
    key: TimerKey = (PICK, line.number, None)
    if key in state.rounds or not line:
        return
    if line.seeking is None:
        line.seeking = _begun(state, line)
    state.sought[line.number] = line
    state.rounds[key] = Round()
    state.timers.set(key, now + after_s)


def stop(state: RelayState, line: Line) -> None:
    """Have a line look no more."""
    line.seeking = None
    state.sought.pop(line.number, None)


def again(state: RelayState, line: Line) -> None:
    """Have a line look through all free cards once more."""
    line.seeking = _begun(state, line)


def looks(state: RelayState, line: Line) -> bool:
    """Return whether there may be free cards that a line has not looked at."""
    return line.seeking is not None or state.readers.is_behind(line.audience)


def may_come(state: RelayState, line: Line) -> bool:
    """Return whether a card is about to be free, or may be found, for who will not wait."""
    if looks(state, line):
        return True
    free = _free(state, line)
    near = islice(free.settling(_narrowest(free, line)), LOOKED_AT)
    return any(
        slot.settling and slot.peer.drained is None and positions.fits(line, slot) for slot in near
    )


def refuse(state: RelayState, waiter: Waiter, line: Line) -> None:
    """Refuse a select of any card, for none is free, or there is none."""
    code, why = _why(_free(state, line), line.conditions, waiter.selection)
    if waiter.message.wait_s > 0:
        why += f" None came in {waiter.message.wait_s:.0f} s."
    evidence.denied(state, waiter.user, shown(waiter.selection), code, why)
    state.refuse(waiter.user, waiter.message.id, code, why)


def shown(selection: Selection) -> str:
    """Return in words which cards a select of any means."""
    return f"any with {selection}" if selection.items else "any"


def _why(
    free: Free, conditions: Sequence[tuple[Key, ...]], selection: Selection
) -> tuple[ErrorCode, str]:
    counts = [free.count(keys) for keys in conditions or ((EVERY,),)]
    that = f" that has {selection}" if selection.items else ""
    if not min(counts):
        return ErrorCode.NO_SUCH_CARD, f"No card{that} is here that you may take."
    if len(counts) == 1 and all(len(keys) == 1 for keys in conditions):
        return ErrorCode.CARD_BUSY, f"No card{that} is free; there are {counts[0]}."
    return ErrorCode.CARD_BUSY, f"No card{that} is free, or there is none."


def wrong(select: m.SelectCard) -> str | None:
    """Return why any card cannot be selected so, if so."""
    if select.pick is m.Pick.ANY and select.share is Share.DIRECT:
        return "A reader without its card is selected by name; 'pick' cannot be 'any' there."
    return None
