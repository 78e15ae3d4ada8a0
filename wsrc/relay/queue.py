# SPDX-License-Identifier: Apache-2.0
"""Who gets a card: at once, or in turn."""

from collections.abc import Iterable, Iterator, Sequence

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, RefusedError
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import SOON_S
from wsrc.relay import accounts, draining, evidence, leases, picking, positions, rights
from wsrc.relay.index import everything
from wsrc.relay.records import Lease, LeasePhase, Slot, UserPeer, Waiter
from wsrc.relay.state import RelayState, TimerKey
from wsrc.relay.tags import identity_of
from wsrc.relay.waiting import Line, Round, in_order
from wsrc.selection import Selection

# Longer than the aim: all by which somebody is given a card, or is not.

RESTARTS = "The server is about to restart; connect again and repeat this."
"""What a request is answered with that would begin while the server stops."""

BY_READER = "Select by reader as well, by its id where names are alike."

OR_ANY = "Select by reader as well, by its id where names are alike, or with --any one of them."

MAX_CANDIDATES = 10
"""Cards that an ambiguous selection is answered with."""

ANSWERS_A_TURN = 64
"""Waiters who are given a card or refused in one turn; the others follow a little later."""

TAKING = frozenset(rights.TAKES.values())
"""Verbs of which one is needed to have a card at all."""

OFFER = "offer"
"""Kind of a round that answers the others."""


def ask(
    state: RelayState,
    user: UserPeer,
    select: m.SelectCard,
    selection: Selection,
    now: float,
) -> None:
    """Answer a select with the card, a place in its queue, or the reason why not."""
    if select.pick is m.Pick.ANY:
        _ask_any(state, _waiter(state, user, select, selection, now), now)
        return
    found = find(state, user, select, selection)
    if len(found) > 1:
        refuse_ambiguous(state, user, select, selection, found)
        return
    slot = found[0] if found else None
    if slot is not None and (verb := rights.lacking(user.audience, slot, select.share)) is not None:
        forbid(state, _waiter(state, user, select, selection, now), slot, verb)
        return
    if slot is not None and _is_owed(state, slot):
        offer(state, slot, now)
    waiter = _waiter(state, user, select, selection, now)
    if slot is not None and _is_free(state, slot, waiter):
        leases.grant(state, slot, waiter, now)
        return
    if slot is not None and slot.settling and slot.peer.drained is None:
        waiter.until = max(waiter.until, now + state.limits.settle_s)
    if waiter.until <= now:
        refuse(state, user, select, selection, slot)
    else:
        _wait(state, waiter, now)


def _ask_any(state: RelayState, waiter: Waiter, now: float) -> None:
    """Answer a select of any card with the first that is free, or a place in the queue."""
    line = state.waiting.line_for(waiter)
    if not line:
        slot = picking.first(state, line)
        if slot is not None and _is_owed(state, slot):
            offer(state, slot, now)  # who waits for it came before
            picking.again(state, line)
        elif slot is not None:
            leases.grant(state, slot, waiter, now)
            return
    if picking.may_come(state, line):
        waiter.until = max(waiter.until, now + state.limits.settle_s)
    if waiter.until <= now:
        picking.refuse(state, waiter, line)
        return
    _wait(state, waiter, now)
    there = state.waiting.line_of(waiter)
    if there is not None and picking.looks(state, line):
        there.seeking = there.seeking or line.seeking
        picking.seek(state, there, now)


def _is_owed(state: RelayState, slot: Slot) -> bool:
    """Return whether a card is about to be offered to those who wait, or found for one of them."""
    return (OFFER, slot.number, None) in state.rounds or picking.is_sought(state, slot)


def ask_again(state: RelayState, waiter: Waiter, now: float) -> None:
    """Answer a select of any card once more, after the card that it was given failed."""
    if state.draining:
        refused = waiter.message.id, ErrorCode.SHUTTING_DOWN, RESTARTS
        state.refuse(waiter.user, *refused)
        return
    waiter.message = leases.without_then(waiter.message)
    _ask_any(state, waiter, now)


def find(
    state: RelayState, user: UserPeer, select: m.SelectCard, selection: Selection
) -> list[Slot]:
    """Return the cards that a user selects; direct use is given empty readers as well."""
    sees = user.audience.sees if user.audience is not None else everything
    found = state.index.find(selection, sees)
    if not found and select.share is Share.DIRECT:
        return state.places.find(selection, sees)
    return found


def forbid(state: RelayState, asked: Waiter, slot: Slot, verb: Verb) -> None:
    """Refuse a card that a user sees and may not have so."""
    user, id_, code = asked.user, asked.message.id, ErrorCode.FORBIDDEN
    why = rights.forbidden(user.principal, verb, slot)
    evidence.denied(state, user, str(asked.selection), code, why)
    state.refuse(user, id_, code, why)


def refuse(
    state: RelayState, user: UserPeer, select: m.SelectCard, selection: Selection, slot: Slot | None
) -> None:
    """Refuse a select, with the reason why the card cannot be had now."""
    if slot is None:
        code, why = ErrorCode.NO_SUCH_CARD, f"No card here has {selection}."
    elif slot.peer.drained is not None:
        code, why = ErrorCode.DRAINING, draining.sentence(slot.peer.drained)
    elif slot.state is m.CardState.MUTE:
        code, why = ErrorCode.CARD_UNRESPONSIVE, f"The card in {slot.info.name} gives no ATR."
    elif slot.state is m.CardState.IN_USE:
        code, why = ErrorCode.READER_IN_USE, _in_use(slot)
    elif slot.reserved is not None and not slot.leases:
        code, why = ErrorCode.RESERVED, reserved(state, slot, slot.reserved)
    elif slot.settling:
        code = ErrorCode.CARD_BUSY
        why = f"The card in {slot.info.name} is still being reset or identified; try again."
    else:
        code, why = ErrorCode.CARD_BUSY, held(state, slot)
    infos = state.lease_infos(slot) if slot is not None else ()
    lease = infos[0] if infos else None
    soon = slot is not None and (slot.settling or slot.state is m.CardState.IN_USE)
    again_s = SOON_S if soon else None
    evidence.denied(state, user, str(selection), code, why)
    state.refuse(user, select.id, code, why, lease=lease, others=infos[1:], retry_after_s=again_s)


def _in_use(slot: Slot) -> str:
    host, reader, state = slot.peer.name, slot.info.name, slot.info.state
    if not state.known:
        return f"The card in {reader} cannot be had now: {host} says that it is {str(state)!r}."
    return f"Another program on {host} uses the card in {reader}."


def refuse_ambiguous(
    state: RelayState, user: UserPeer, select: m.SelectCard, selection: Selection, found: list[Slot]
) -> None:
    """Name the cards among which a selection does not decide."""
    shown = state.readers.in_order(user, found)[:MAX_CANDIDATES]
    candidates = tuple(state.card_info(slot) for slot in shown)
    places = ", ".join(f"{card.host}/{card.reader_name}" for card in candidates)
    more = f" and {len(found) - MAX_CANDIDATES} more" if len(found) > MAX_CANDIDATES else ""
    why = f"{len(found)} cards have {selection}: {places}{more}. {OR_ANY}"
    evidence.denied(state, user, str(selection), ErrorCode.AMBIGUOUS, why)
    state.refuse(user, select.id, ErrorCode.AMBIGUOUS, why, candidates=candidates)


def offer(state: RelayState, slot: Slot, now: float) -> None:
    """
    Grant a card that became free to whoever waits for it longest.

    Nobody who would share it goes before one who waits to have it alone. Where many are to be
    answered, the rest is a little later.
    """
    mine: list[Line] = []
    anyone: list[Line] = []
    answers = _Answers()
    _give_reserved(state, slot, now)
    _give_favoured(state, slot, now)
    for line in state.waiting.under(positions.keys_of(state, slot)):
        if line.needs is not None:
            if positions.fits(line, slot):
                anyone.append(line)
            continue
        found = positions.found_by(state, line)
        if slot not in found:
            continue
        if len(found) == 1:
            mine.append(line)
            _turn_away(state, slot, line, answers)
            continue
        for waiter in answers.of((line,)):
            _leave(state, waiter)
            refuse_ambiguous(state, waiter.user, waiter.message, waiter.selection, found)
    _give(state, slot, mine, anyone, answers, now)
    _settled(state, anyone, answers, now)
    if answers.left <= 0:
        offer_soon(state, slot, now)
    positions.queue_changed(state, slot, now)


def _give_favoured(state: RelayState, slot: Slot, now: float) -> None:
    """Give a card to those who wait for nobody else who wants it."""
    users = {user.number: user for name in slot.favoured for user in state.roll.users(name)}
    for user in users.values():
        for waiter in list(user.waiting.values()):
            if not state.readers.is_current(waiter.audience):
                continue  # they are offered the card when they are looked at
            line = state.waiting.line_of(waiter)
            if line is None or line.needs or positions.found_by(state, line) != [slot]:
                continue
            if slot.free_for(waiter.message.share, user) and not _refuse_for_good(
                state, waiter, slot
            ):
                _leave(state, waiter)
                leases.grant(state, slot, waiter, now)


def _give_reserved(state: RelayState, slot: Slot, now: float) -> None:
    """Give a card to who waits for it with the token of the reservation whose time it is."""
    waiter = state.waiting.booked.get(slot.reserved) if slot.reserved is not None else None
    if waiter is None or not state.readers.is_current(waiter.audience):
        return
    free = slot.free_for(waiter.message.share, waiter.user, waiter.reservation)
    if free and not _refuse_for_good(state, waiter, slot):
        _leave(state, waiter)
        leases.grant(state, slot, waiter, now)


def _is_free(state: RelayState, slot: Slot, asked: Waiter) -> bool:
    """Return whether whoever asks now can be given a card, past nobody who waits for it."""
    user = asked.user
    free = slot.free_for(asked.message.share, user, asked.reservation)
    first = slot.favours(user) or slot.reserved is not None
    return free and (first or not _overtakes(state, slot))


def _turn_away(state: RelayState, slot: Slot, line: Line, answers: "_Answers") -> None:
    """Refuse those of a line who may not have the card for which they wait, where none may."""
    if line.audience is None or line.audience.rights(slot) & TAKING:
        return
    for waiter in answers.of((line,)):
        _refuse_for_good(state, waiter, slot)


def _refuse_for_good(state: RelayState, waiter: Waiter, slot: Slot) -> bool:
    """Refuse a waiter who may not have the card for which they wait; return whether that is so."""
    verb = rights.lacking(waiter.audience, slot, waiter.message.share)
    if verb is None:
        return False
    _leave(state, waiter)
    forbid(state, waiter, slot, verb)
    return True


def regroup(state: RelayState, user: UserPeer, now: float) -> None:
    """Let a user wait as one who may do something else from now on."""
    lines: list[Line] = []
    for waiter in list(user.waiting.values()):
        lines.append(state.waiting.remove(waiter))
        waiter.audience = user.audience
        line = state.waiting.add(waiter)
        found = positions.found_by(state, line)
        if len(found) != 1 or not _refuse_for_good(state, waiter, found[0]):
            lines.append(line)
    reconsider(state, lines, now)


def joinable(state: RelayState, slot: Slot, now: float) -> None:
    """Offer a shared card, one of whose holders is there now, to those who would join."""
    if slot.free_for(Share.SHARED) or slot.guests:
        offer(state, slot, now)


def _give(  # noqa: PLR0913, PLR0917 - the card, and who may have it
    state: RelayState,
    slot: Slot,
    lines: list[Line],
    anyone: list[Line],
    answers: "_Answers",
    now: float,
) -> None:
    """
    Give a card to those who need not wait for others, and refuse those who will not wait.

    `anyone` are the lines of those who would have any card: they join nobody, and a card that is
    not free is none of theirs.
    """
    competing = anyone if slot.free_for(Share.EXCLUSIVE) else []
    for waiter in answers.of([*lines, *competing]):
        if not state.readers.is_current(waiter.audience):
            answers.left += 1  # they are offered the card when they are looked at
            break
        if _refuse_for_good(state, waiter, slot):
            continue
        if slot.free_for(waiter.message.share, waiter.user, waiter.reservation):
            line = _leave(state, waiter)
            leases.grant(state, slot, waiter, now)
            if competing:
                _told_any(state, line, now)
                _give(state, slot, lines, [], answers, now)
                return
        elif _only_settles(waiter) and not slot.settling:
            _leave(state, waiter)
            refuse(state, waiter.user, waiter.message, waiter.selection, slot)
        else:
            answers.left += 1
            break
    if slot.settling:
        return
    for waiter in answers.of([line for line in lines if line.hasty]):
        _leave(state, waiter)
        refuse(state, waiter.user, waiter.message, waiter.selection, slot)


def _told_any(state: RelayState, line: Line, now: float) -> None:
    """Tell those who moved up that wait for any card."""
    if line.needs is not None:
        positions.absent_changed(state, line, now)


def _settled(state: RelayState, anyone: list[Line], answers: "_Answers", now: float) -> None:
    """Refuse those who would have any card and not wait, where none is about to be free."""
    hasty = [line for line in anyone if line and line.hasty]
    for line in hasty:
        if picking.may_come(state, line):
            continue
        for waiter in answers.of((line,)):
            _leave(state, waiter)
            picking.refuse(state, waiter, line)
        if line:
            picking.seek(state, line, now)


class _Answers:
    """How many of those who wait are answered in one turn."""

    def __init__(self) -> None:
        self.left = ANSWERS_A_TURN

    def of(self, lines: Sequence[Line]) -> Iterator[Waiter]:
        """Yield those who stand in these lines, the first come first, while any may be answered."""
        for waiter in in_order(lines) if self.left > 0 else ():
            self.left -= 1
            yield waiter
            if self.left <= 0:
                return


def offer_soon(state: RelayState, slot: Slot, now: float) -> None:
    """Offer a card a little later, if anybody waits for any."""
    key = (OFFER, slot.number, None)
    if len(state.waiting):
        state.rounds[key] = Round()
        state.timers.set(key, now + positions.STEP_S)


def go_on(state: RelayState, key: TimerKey, now: float) -> None:
    """Go on with what was begun for those who wait."""
    if key[0] == picking.PICK:
        _look_on(state, key, now)
        return
    if key[0] != OFFER:
        positions.go_on(state, key, now)
        return
    del state.rounds[key]
    slot = state.slots.get(int(key[1]))
    if slot is not None:
        offer(state, slot, now)


def _look_on(state: RelayState, key: TimerKey, now: float) -> None:
    """Look at more free cards for a line; those who will not wait are refused at the end."""
    del state.rounds[key]
    line = state.sought.get(int(key[1]))
    slot = picking.first(state, line) if line else None
    if slot is not None:
        offer(state, slot, now)
    if not line:
        state.sought.pop(int(key[1]), None)
    elif slot is not None or picking.looks(state, line):
        picking.seek(state, line, now)
    else:
        picking.stop(state, line)
        _settled(state, [line], _Answers(), now)


def reconsider(state: RelayState, lines: Iterable[Line], now: float) -> None:
    """Look again at those who waited for a card that went or is called otherwise now."""
    slots: dict[Slot, None] = {}
    for line in dict.fromkeys(lines):
        if line.needs is not None:
            picking.seek(state, line, now)
            continue
        found = positions.found_by(state, line)
        slots.update(dict.fromkeys(found[:1]))
        if found or not line:
            continue
        for waiter in _Answers().of((line,)) if line.hasty else ():
            _leave(state, waiter)
            refuse(state, waiter.user, waiter.message, waiter.selection, None)
        positions.absent_changed(state, line, now)
    for slot in slots:
        offer(state, slot, now)


def give_up(state: RelayState, waiter: Waiter, now: float) -> None:
    """Take a waiter out, and move up those behind; they may be able to share the card."""
    _moved(state, [_leave(state, waiter)], now)


def forget_user(state: RelayState, user: UserPeer, now: float) -> None:
    """Take out all waiters of a user who is gone, before anybody moves up."""
    _moved(state, [_leave(state, waiter) for waiter in list(user.waiting.values())], now)


def _moved(state: RelayState, lines: Iterable[Line], now: float) -> None:
    """Tell or serve those who moved up, or who stand before others now."""
    slots: dict[Slot, None] = {}
    for line in dict.fromkeys(lines):
        found = positions.found_by(state, line)
        slots.update(dict.fromkeys(found))
        if not found:
            positions.absent_changed(state, line, now)
    for slot in slots:
        if slot.leases:
            offer(state, slot, now)
        else:
            positions.queue_changed(state, slot, now)


def drain(state: RelayState, user: UserPeer) -> None:
    """Send a user away from every queue, for the server stops."""
    for waiter in list(user.waiting.values()):
        _leave(state, waiter)
        state.refuse(user, waiter.message.id, ErrorCode.SHUTTING_DOWN, RESTARTS)


def expire(state: RelayState, waiter: Waiter, now: float) -> None:
    """Refuse a waiter whose time is over."""
    line = state.waiting.line_of(waiter)
    give_up(state, waiter, now)
    if line is not None and line.needs is not None:
        picking.refuse(state, waiter, line)
        return
    found = find(state, waiter.user, waiter.message, waiter.selection)
    if len(found) > 1:
        refuse_ambiguous(state, waiter.user, waiter.message, waiter.selection, found)
        return
    slot = found[0] if found else None
    refuse(state, waiter.user, waiter.message, waiter.selection, slot)


def waits_for(state: RelayState, user: UserPeer, slot: Slot) -> bool:
    """Return whether a user waits for the card in a slot."""
    lines = (state.waiting.line_of(waiter) for waiter in user.waiting.values())
    return any(line is not None and positions.waits(state, line, slot) for line in lines)


def wait_again(state: RelayState, waiter: Waiter, now: float) -> None:
    """Put a waiter who had the card almost back into their place."""
    if state.draining:
        state.refuse(waiter.user, waiter.message.id, ErrorCode.SHUTTING_DOWN, RESTARTS)
    else:
        _wait(state, waiter, now)


def _waiter(
    state: RelayState, user: UserPeer, select: m.SelectCard, selection: Selection, now: float
) -> Waiter:
    longest = state.limits.wait_max_s
    since = now - min(max(0.0, select.waited_s), longest)
    until = now + min(select.wait_s, longest)
    ticket = state.waiting.new_ticket(since)
    waiter = Waiter(user, select, selection, until, ticket, audience=user.audience)
    if select.reservation is not None:
        booking = state.reservations.of_token(select.reservation)
        waiter.reservation = booking.number if booking is not None else None
    return waiter


def _wait(state: RelayState, waiter: Waiter, now: float) -> None:
    waiter.message = leases.without_then(waiter.message)
    user, select = waiter.user, waiter.message
    full = accounts.no_more_waiting(state, user)
    if len(state.waiting) >= state.limits.max_waiting:
        full = "max_waiting", f"{len(state.waiting)} users are waiting already; try again later."
    if full is not None:
        wanted = str(waiter.selection)
        evidence.too_many(state, user, select.id, wanted, full, retry_after_s=SOON_S)
        return
    if select.id in user.waiting:
        why = "A select with this id is waiting already."
        state.refuse(user, select.id, ErrorCode.REQUEST_IN_FLIGHT, why)
        return
    line = state.waiting.add(waiter)
    state.timers.set(("wait", user.number, select.id), waiter.until)
    found = positions.found_by(state, line)
    queue = positions.lines_of(state, found[0]) if found else positions.queue_of_absent(state, line)
    infos = state.lease_infos(found[0]) if found else ()
    place = positions.place_of(queue, waiter)
    positions.tell(state, waiter, place, infos[0] if infos else None, now)
    evidence.waits(state, user, str(waiter.selection), place)
    if place < sum(map(len, queue)):
        _moved_back(state, line, found, now)
    elif found:
        positions.longer(state, found[0], now)


def _moved_back(state: RelayState, line: Line, found: list[Slot], now: float) -> None:
    """Tell those whom somebody who waits for longer came before."""
    if found:
        positions.queue_changed(state, found[0], now)
    else:
        positions.absent_changed(state, line, now)


def _only_settles(waiter: Waiter) -> bool:
    """Return whether a waiter is there only because a card was being reset or identified."""
    return waiter.message.wait_s <= 0


def _leave(state: RelayState, waiter: Waiter) -> Line:
    line = state.waiting.remove(waiter)
    state.timers.clear(("wait", waiter.user.number, waiter.message.id))
    if not len(state.waiting):
        positions.nobody_waits(state)
    return line


def held(state: RelayState, slot: Slot) -> str:
    """Return a sentence on who holds a card; all of them, where it is shared."""
    if slot.lent is not None and slot.lent_to is not None:
        lent, until = slot.lent, state.utc(slot.lent.until)
        return f"The card in {slot.info.name} is lent to {lent.to} by {lent.by.name} until {until}."
    infos = state.lease_infos(slot)
    holders = [_holder(*each) for each in zip(slot.holders, infos, strict=True)]
    return f"The card in {slot.info.name} is held by {'; and by '.join(holders)}."


def reserved(state: RelayState, slot: Slot, number: int) -> str:
    """Return a sentence on the reservation whose time it is, and how long."""
    booking = state.reservations.get(number)
    until = f" until {state.utc(booking.ends - state.epoch())}" if booking is not None else ""
    return f"The card in {slot.info.name} is reserved for another{until}."


def _holder(lease: Lease, info: m.LeaseInfo) -> str:
    """Return who has a card, and until when if they do nothing."""
    who = f"{info.holder} since {info.since}"
    if lease.phase is LeasePhase.KEPT:
        return f"{who}, who is out of reach and for whom it is kept until {info.until}"
    return who + (f", until {info.until} unless used" if info.until else "")


def _overtakes(state: RelayState, slot: Slot) -> bool:
    """Return whether others wait for a card that is in use; not those who would have any."""
    lines = positions.lines_of(state, slot) if slot.leases else ()
    return any(line.needs is None for line in lines)


def the_one(user: UserPeer, verb: Verb, selection: Selection, found: Sequence[Slot]) -> Slot:
    """Return the one card that was found, if its user may do that; raises RefusedError if not."""
    if not found:
        raise RefusedError(ErrorCode.NO_SUCH_CARD, f"No card here has {selection}.")
    if len({identity_of(slot) for slot in found}) > 1:
        which = OR_ANY if verb is Verb.RESERVE else BY_READER
        why = f"{len(found)} cards have {selection}. {which}"
        raise RefusedError(ErrorCode.AMBIGUOUS, why)
    slot = found[0]
    if verb not in rights.of(user.audience, slot):
        raise RefusedError(ErrorCode.FORBIDDEN, rights.forbidden(user.principal, verb, slot))
    return slot
