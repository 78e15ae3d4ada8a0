# SPDX-License-Identifier: Apache-2.0
"""Who gets a card: at once, or in turn."""

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay import leases
from wsrc.relay.records import Lease, LeasePhase, Slot, UserPeer, Waiter
from wsrc.relay.state import RelayState
from wsrc.selection import Selection

RESTARTS = "The server is about to restart; connect again and repeat this."
"""What a request is answered with that would begin while the server stops."""

MAX_CANDIDATES = 10
"""Cards that an ambiguous selection is answered with."""


def ask(
    state: RelayState, user: UserPeer, select: m.SelectCard, selection: Selection, now: float
) -> None:
    """Answer a select with the card, a place in its queue, or the reason why not."""
    found = find(state, select, selection)
    if len(found) > 1:
        refuse_ambiguous(state, user, select, selection, found)
        return
    slot = found[0] if found else None
    waiter = _waiter(state, user, select, selection, now)
    if slot is not None and slot.free_for(select.share) and not _overtakes(state, slot):
        leases.grant(state, slot, waiter, now)
        return
    if slot is not None and slot.settling:
        waiter.until = max(waiter.until, now + state.limits.settle_s)
    if waiter.until <= now:
        refuse(state, user, select, selection, slot)
    else:
        _wait(state, waiter)


def find(state: RelayState, select: m.SelectCard, selection: Selection) -> list[Slot]:
    """Return the cards that are selected; direct use is given empty readers as well."""
    found = state.index.find(selection)
    if not found and select.share is Share.DIRECT:
        return state.places.find(selection)
    return found


def waiting_for(state: RelayState, slot: Slot) -> list[Waiter]:
    """Return those who wait for a card, or for an empty reader, the first come first."""
    if slot.has_card:
        return state.waiting.for_slot(slot)
    those = state.waiting.under(state.places.keys_of(slot))
    return [each for each in those if slot in find(state, each.message, each.selection)]


def refuse(
    state: RelayState, user: UserPeer, select: m.SelectCard, selection: Selection, slot: Slot | None
) -> None:
    """Refuse a select, with the reason why the card cannot be had now."""
    if slot is None:
        code, why = ErrorCode.NO_SUCH_CARD, f"No card here has {selection}."
    elif slot.state is m.CardState.MUTE:
        code, why = ErrorCode.CARD_UNRESPONSIVE, f"The card in {slot.info.name} gives no ATR."
    elif slot.state is m.CardState.IN_USE:
        code = ErrorCode.READER_IN_USE
        why = f"Another program on {slot.peer.name} uses the card in {slot.info.name}."
    elif slot.settling:
        code = ErrorCode.CARD_BUSY
        why = f"The card in {slot.info.name} is still being reset or identified; try again."
    else:
        code, why = ErrorCode.CARD_BUSY, held(state, slot)
    infos = state.lease_infos(slot) if slot is not None else ()
    lease = infos[0] if infos else None
    state.refuse(user, select.id, code, why, lease=lease, others=infos[1:])


def refuse_ambiguous(
    state: RelayState, user: UserPeer, select: m.SelectCard, selection: Selection, found: list[Slot]
) -> None:
    """Name the cards among which a selection does not decide."""
    candidates = tuple(state.card_info(slot) for slot in found[:MAX_CANDIDATES])
    places = ", ".join(f"{card.host}/{card.reader_name}" for card in candidates)
    more = f" and {len(found) - MAX_CANDIDATES} more" if len(found) > MAX_CANDIDATES else ""
    why = f"{len(found)} cards have {selection}: {places}{more}. Select by reader as well."
    state.refuse(user, select.id, ErrorCode.AMBIGUOUS, why, candidates=candidates)


def offer(state: RelayState, slot: Slot, now: float) -> None:
    """
    Grant a card that became free to whoever waits for it longest.

    Nobody who would share it goes before one who waits to have it alone.
    """
    blocked = False
    for waiter in waiting_for(state, slot):
        found = find(state, waiter.message, waiter.selection)
        if len(found) > 1:
            _leave(state, waiter)
            refuse_ambiguous(state, waiter.user, waiter.message, waiter.selection, found)
        elif found != [slot]:
            continue
        elif not blocked and slot.free_for(waiter.message.share):
            _leave(state, waiter)
            leases.grant(state, slot, waiter, now)
        elif _only_settles(waiter) and not slot.settling:
            _leave(state, waiter)
            refuse(state, waiter.user, waiter.message, waiter.selection, slot)
        else:
            blocked = True
    tell_positions(state, slot)


def reconsider(state: RelayState, waiters: list[Waiter], now: float) -> None:
    """Look again at those who waited for a card that went or is called otherwise now."""
    for waiter in waiters:
        if waiter.user.waiting.get(waiter.message.id) is not waiter:
            continue
        found = find(state, waiter.message, waiter.selection)
        if not found and _only_settles(waiter):
            give_up(state, waiter, now)
            refuse(state, waiter.user, waiter.message, waiter.selection, None)
        elif len(found) > 1 or (found and found[0].free_for(waiter.message.share)):
            offer(state, found[0], now)


def give_up(state: RelayState, waiter: Waiter, now: float) -> None:
    """Take a waiter out, and move up those behind; they may be able to share the card."""
    behind = _behind(state, waiter)
    _leave(state, waiter)
    _move_up(state, waiter, behind, now)


def forget_user(state: RelayState, user: UserPeer, now: float) -> None:
    """Take out all waiters of a user who is gone, before anybody moves up."""
    gone = [(waiter, _behind(state, waiter)) for waiter in user.waiting.values()]
    for waiter, _ in gone:
        _leave(state, waiter)
    for waiter, behind in gone:
        _move_up(state, waiter, behind, now)


def _behind(state: RelayState, waiter: Waiter) -> list[Waiter]:
    return [each for each in state.waiting.rivals(waiter) if each.ticket > waiter.ticket]


def _move_up(state: RelayState, waiter: Waiter, behind: list[Waiter], now: float) -> None:
    """Tell those who waited behind one who left, or give them the card where they can share it."""
    found = find(state, waiter.message, waiter.selection)
    for slot in found:
        if slot.leases:
            offer(state, slot, now)
        else:
            tell_positions(state, slot)
    for other in behind if not found else ():
        if not find(state, other.message, other.selection):
            _tell(state, other, max(1, other.position - 1), None)


def drain(state: RelayState, user: UserPeer) -> None:
    """Send a user away from every queue, for the server stops."""
    for waiter in list(user.waiting.values()):
        _leave(state, waiter)
        state.refuse(user, waiter.message.id, ErrorCode.SHUTTING_DOWN, RESTARTS)


def expire(state: RelayState, waiter: Waiter, now: float) -> None:
    """Refuse a waiter whose time is over."""
    give_up(state, waiter, now)
    found = find(state, waiter.message, waiter.selection)
    if len(found) > 1:
        refuse_ambiguous(state, waiter.user, waiter.message, waiter.selection, found)
        return
    slot = found[0] if found else None
    refuse(state, waiter.user, waiter.message, waiter.selection, slot)


def tell_positions(state: RelayState, slot: Slot) -> None:
    """Tell those who wait for a card their place where it changed."""
    infos = state.lease_infos(slot)
    lease = infos[0] if infos else None
    for position, waiter in enumerate(waiting_for(state, slot), start=1):
        if waiter.position != position:
            _tell(state, waiter, position, lease)


def wait_again(state: RelayState, waiter: Waiter) -> None:
    """Put a waiter who had the card almost back into their place."""
    if state.draining:
        state.refuse(waiter.user, waiter.message.id, ErrorCode.SHUTTING_DOWN, RESTARTS)
    else:
        _wait(state, waiter)


def _waiter(
    state: RelayState, user: UserPeer, select: m.SelectCard, selection: Selection, now: float
) -> Waiter:
    longest = state.limits.wait_max_s
    since = now - min(max(0.0, select.waited_s), longest)
    until = now + min(select.wait_s, longest)
    return Waiter(user, select, selection, until, state.waiting.new_ticket(since))


def _wait(state: RelayState, waiter: Waiter) -> None:
    user, select = waiter.user, waiter.message
    if len(state.waiting) >= state.limits.max_waiting:
        why = f"{len(state.waiting)} users are waiting already; try again later."
        state.refuse(user, select.id, ErrorCode.TOO_MANY, why)
        return
    if select.id in user.waiting:
        why = "A select with this id is waiting already."
        state.refuse(user, select.id, ErrorCode.REQUEST_IN_FLIGHT, why)
        return
    state.waiting.add(waiter)
    state.timers.set(("wait", user.number, select.id), waiter.until)
    found = find(state, waiter.message, waiter.selection)
    if found:
        tell_positions(state, found[0])
        return
    behind = _behind(state, waiter)
    _tell(state, waiter, len(state.waiting.rivals(waiter)) - len(behind) + 1, None)
    for other in behind:
        if not find(state, other.message, other.selection):
            _tell(state, other, other.position + 1, None)


def _only_settles(waiter: Waiter) -> bool:
    """Return whether a waiter is there only because a card was being reset or identified."""
    return waiter.message.wait_s <= 0


def _leave(state: RelayState, waiter: Waiter) -> None:
    state.waiting.remove(waiter)
    state.timers.clear(("wait", waiter.user.number, waiter.message.id))


def _tell(state: RelayState, waiter: Waiter, position: int, lease: m.LeaseInfo | None) -> None:
    waiter.position = position
    state.send(waiter.user, m.Waiting(id=waiter.message.id, position=position, lease=lease))


def held(state: RelayState, slot: Slot) -> str:
    """Return a sentence on who holds a card; all of them, where it is shared."""
    infos = state.lease_infos(slot)
    holders = [_holder(*each) for each in zip(slot.holders, infos, strict=True)]
    return f"The card in {slot.info.name} is held by {'; and by '.join(holders)}."


def _holder(lease: Lease, info: m.LeaseInfo) -> str:
    """Return who has a card, and until when if they do nothing."""
    who = f"{info.holder} since {info.since}"
    if lease.phase is LeasePhase.KEPT:
        return f"{who}, who is out of reach and for whom it is kept until {info.until}"
    return who + (f", until {info.until} unless used" if info.until else "")


def _overtakes(state: RelayState, slot: Slot) -> bool:
    """Return whether others wait for a card that is in use."""
    return bool(slot.leases) and bool(waiting_for(state, slot))
