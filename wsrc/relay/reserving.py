# SPDX-License-Identifier: Apache-2.0
"""
What users ask about reservations, and what happens when their times begin and are over.

From its beginning on, a card is given to whoever has the token, and to nobody else. Who had it when
it was reserved keeps it until they give it back; who was given it later knew of that, and loses it.
Deadlines are set anew at least once a minute, so that a clock that was set is noticed.
"""

# Longer than the aim: the requests about reservations are one table, and what follows from time.

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Final

import msgspec

from wsrc.errors import ErrorCode, RefusedError
from wsrc.policy.words import Verb
from wsrc.principal import owner_of
from wsrc.protocol import messages as m
from wsrc.relay import (
    endings,
    evidence,
    keeping,
    leases,
    noting,
    operators,
    picking,
    precedence,
    queue,
    quotas,
    rights,
)
from wsrc.relay.effects import Book
from wsrc.relay.index import everything, matches
from wsrc.relay.kept import Kept
from wsrc.relay.precedence import Wanted
from wsrc.relay.recalled import Recalled
from wsrc.relay.records import LEAVING, MAX_HOLDERS, LeasePhase, Peer, Slot, UserPeer
from wsrc.relay.reservations import ALONE, MOST, Booked, Booking, digest_of, shown_of
from wsrc.relay.state import RelayState, TimerKey
from wsrc.relay.tags import identity_of
from wsrc.selection import Selection, selection_of

TIMER: Final = "reserve"
"""Kind of the deadline at which the next time begins or is over."""

_KEY: Final[TimerKey] = (TIMER, 0, None)

LOOK_S: Final = 60.0
"""How long at most until the clock is looked at again."""

MAX_FOR_S, MAX_AHEAD_S, PAST_S = 31 * 86_400.0, 366 * 86_400.0, 60.0
"""How long one lasts and is ahead at most, and how far in the past it may begin."""

PAGE: Final = 500
"""Reservations in one `list_reservations_ack`."""

LOOKED_AT: Final = 1_024
"""Cards that are looked at for one that any would do for."""

_TAKING: Final = frozenset((Verb.USE, Verb.SHARE))
"""Verbs of which one is needed to take a card with a token."""

TURNS: Final = 64
"""Reservations whose time begins or is over that are acted on in one turn."""

MAX_PENDING: Final = 1_000
"""Reservations that are not written yet; one more is refused."""


def ask(state: RelayState, user: UserPeer, asked: m.Reserving, now: float) -> None:
    """Answer a request; raises RefusedError if it cannot be done."""
    try:
        match asked:
            case m.Reserve():
                _reserve(state, user, asked, now)
            case m.ListReservations():
                _list(state, user, asked, now)
            case m.CancelReservation():
                _cancel(state, user, asked, now)
    except RefusedError as exc:
        evidence.denied(state, user, evidence.RESERVATION, exc.code, str(exc))
        raise


def kept(state: RelayState, number: int, why: str, now: float) -> None:
    """Go on after a `Book` of this number; `why` says why it was not written, if so."""
    pending = state.booked.pop(number, None)
    if pending is None:
        return
    user, asked, booking, token = pending
    making, there = token is not None, user.number in state.peers
    state.reservations.unwritten.discard(booking.number)
    if why:
        if making:  # another that was kept meanwhile may have begun its time
            _gone(state, booking, now)
        state.refuse(user, asked.id, ErrorCode.NOT_KEPT, why)
        return
    evidence.booked(state, user, booking, "reserved" if making else "cancelled")
    if not making:
        _gone(state, booking, now)
        state.send(user, m.CancelReservationAck(id=asked.id, number=booking.shown))
        return
    if not there:  # nobody knows the token
        state.effects.append(Book(0, booking, drops=True))
        _gone(state, booking, now)
        return
    state.reservations.note(booking)
    look(state, now)
    info = _info(state, user, booking, now)
    state.send(user, m.ReserveAck(id=asked.id, reservation=info, token=token or ""))


def since(state: RelayState, peer: Peer | None, seen: int) -> tuple[int, bool]:
    """Return the changes until now, and whether one after `seen` is to be noticed by a user."""
    table = state.reservations
    if table.changes == seen or not isinstance(peer, UserPeer):
        return table.changes, False
    news = table.news(seen)
    if news is None or operators.may_operate(state, peer.principal, direct=peer.direct):
        return table.changes, True
    own = owner_of(peer.principal)
    noticed = any(
        (owner and owner == own) or _visible(state, peer, identity)
        for identity, owner in dict.fromkeys(news)
    )
    return table.changes, noticed


def look(state: RelayState, now: float) -> None:
    """Act on what has begun or is over by the clock as it is now, some in a turn."""
    table, utc = state.reservations, _utc(state, now)
    table.is_set(state.epoch(), utc)
    for _ in range(TURNS):
        booking = table.turn(utc)
        if booking is None:
            break
        if table.is_gone(booking, utc):
            state.effects.append(Book(0, booking, drops=True))
            _gone(state, booking, now)
            continue
        _shown(state, booking.identity, now)
        if table.is_near(booking, utc):
            _warn(state, booking, now)
    due = table.next_turn()
    if due is None:
        state.timers.clear(_KEY)
    else:
        state.timers.set(_KEY, now + min(LOOK_S, max(0.0, due - utc)))


def recall(state: RelayState, recalled: Recalled, now: float) -> None:
    """Know what an earlier run has kept; no peer is here yet."""
    state.reservations.recall(recalled.bookings, recalled.last)
    state.reservations.numbering = recalled.numbering
    for _ in range(0, len(recalled.bookings), TURNS):
        look(state, now)


def told(state: RelayState, identity: str, kept: Kept | Sequence[Booking], now: float) -> None:
    """
    Know what users noted of a card, or all its reservations, which another server may have changed.

    Reservations that nobody was told of yet stay.
    """
    if isinstance(kept, Kept):
        noting.told(state, identity, kept, now)
        return
    table, utc = state.reservations, _utc(state, now)
    live = [each for each in kept if each.ends > utc]
    numbers = {each.number for each in live} | table.unwritten
    for each in table.of_card(identity):
        if each.number not in numbers:
            table.remove(each.number)
    for each in live:
        if table.get(each.number) != each:
            lease = table.lease_of(each.number)
            table.add(each)
            if lease is not None and identity_of(lease.slot) == each.identity:
                table.take(each.number, lease)
    _shown(state, identity, now)
    look(state, now)


def claimed(state: RelayState, user: UserPeer, select: m.SelectCard, now: float) -> m.SelectCard:
    """
    Return a select with a token as one of its card.

    A session of the same token whose user is out of reach ends.

    Raises:
        RefusedError: If the token is none or is in use, or the card is not here to wait for.
    """
    booking = _of_token(state, user, select, now)
    _free_token(state, booking, now)
    booking = _moved(state, user, booking, now)
    if booking.gave_way:
        why = "This reservation gave way to one of a higher priority; no other card is free."
        raise RefusedError(ErrorCode.RESERVED, why)
    if not _there(state, user, booking) and select.wait_s <= 0:
        why = f"The card that is reserved, {_card(booking)}, is not here now."
        raise RefusedError(ErrorCode.NO_SUCH_CARD, why)
    kind, value = _name(booking)
    named = {"iccid": None, "eid": None, "reader": None, kind: value}
    return msgspec.structs.replace(select, pick=m.Pick.ONE, **named)


def card_of(state: RelayState, token: str) -> Selection | None:
    """
    Return how the card of a reservation is selected, by its token, which other servers know too.

    None where there is none, or where no other server knows it.
    """
    booking = state.reservations.of_token(token)
    if booking is None or booking.gave_way or state.reservations.numbering == ALONE:
        return None
    return Selection((_name(booking),))


def _of_token(state: RelayState, user: UserPeer, select: m.SelectCard, now: float) -> Booking:
    booking = state.reservations.of_token(select.reservation or "")
    if booking is None or not _is_own(user, booking, by_token=True):
        why = "No reservation has this token. `wsrc reservations` shows which there are."
        raise RefusedError(ErrorCode.NO_SUCH_RESERVATION, why)
    if booking.ends <= _utc(state, now):
        why = f"The time of this reservation was over at {_time(booking.ends)}."
        raise RefusedError(ErrorCode.NO_SUCH_RESERVATION, why)
    given = (select.iccid, select.eid, select.atr, select.reader, select.label, select.any)
    if any(given) or select.tags or select.id_type is not None:
        why = "The reservation says which card; give no selection beside it."
        raise RefusedError(ErrorCode.BAD_MESSAGE, why)
    return booking


def _free_token(state: RelayState, booking: Booking, now: float) -> None:
    """Refuse a token that is in use, and end a session of it whose user is out of reach."""
    waits = "is being waited for" if booking.number in state.waiting.booked else None
    lease = state.reservations.lease_of(booking.number)
    if lease is not None and lease.phase is LeasePhase.KEPT:
        endings.end_kept(state, lease, "its user takes the card with the token again", now)
    elif lease is not None:
        waits = "was taken"
    if waits is not None:
        why = f"The card {waits} with this token already; a token is for one session at a time."
        raise RefusedError(ErrorCode.CARD_BUSY, why)


def _moved(state: RelayState, user: UserPeer, booking: Booking, now: float) -> Booking:
    """Return a reservation of any card with another one, where its own cannot be had."""
    there = () if booking.gave_way else _there(state, user, booking)
    if booking.wish is None or any(not slot.leases for slot in there):
        return booking
    selection, begins = Selection(booking.wish), _utc(state, now)
    for slot in _candidates(state, user, selection):
        begins = min(booking.begins, begins)
        identity = identity_of(slot)
        if slot.leases or state.reservations.in_the_way(identity, begins, booking.ends):
            continue
        moved = msgspec.structs.replace(booking, identity=identity, gave_way=False)
        state.reservations.add(moved)
        state.effects.append(Book(0, moved))
        _left(state, booking.identity, now)
        look(state, now)
        return moved
    return booking


def _reserve(state: RelayState, user: UserPeer, asked: m.Reserve, now: float) -> None:
    wanted = Wanted(*_interval(asked, _utc(state, now)), asked.priority, _utc(state, now))
    selection = selection_of(asked)
    _check_room(state)
    quotas.check(state, user, asked)
    slot = (_any if asked.pick is m.Pick.ANY else _one)(state, user, selection, wanted)
    precedence.make_way(state, identity_of(slot), wanted)
    token = _new_token(state)
    number = state.reservations.numbering.after(state.reservations.last)
    booking = Booking(
        number=number,
        digest=digest_of(token),
        owner=owner_of(user.principal),
        holder=user.name,
        identity=identity_of(slot),
        begins=wanted.begins,
        ends=wanted.ends,
        wish=selection.items if asked.pick is m.Pick.ANY else None,
        priority=asked.priority,
        before=_holders(state, identity_of(slot)),
    )
    state.reservations.add(booking)
    state.reservations.unwritten.add(number)
    _book(state, Booked(user, asked, booking, token), drops=False)


def _new_token(state: RelayState) -> str:
    """Return a token whose reservation has a number that no other has now."""
    while True:
        token = state.new_session()
        if state.reservations.of_shown(shown_of(digest_of(token))) is None:
            return token


def _holders(state: RelayState, identity: str) -> bytes:
    """Return whose the card of an identity is that may outlive this run, as a booking has it."""
    every = (lease for slot in state.slots_of(identity) for lease in slot.holders if lease.keep_s)
    return b"".join(digest_of(lease.session) for lease in islice(every, MAX_HOLDERS))


def _book(state: RelayState, booked: Booked, *, drops: bool) -> None:
    state.last_change += 1
    state.booked[state.last_change] = booked
    state.effects.append(Book(state.last_change, booked.booking, drops=drops))


def _interval(asked: m.Reserve, utc: float) -> tuple[float, float]:
    """Return when what is asked for begins and ends."""
    begins = utc
    if asked.begins is not None:
        try:
            when = datetime.fromisoformat(asked.begins)
            begins = when.timestamp() if when.tzinfo is not None else math.nan
        except (ValueError, OverflowError):
            begins = math.nan
    if math.isnan(begins):
        why = "'begins' is no time with its offset, such as 2026-01-31T13:00:00+01:00."
    elif not 0 < asked.for_s <= MAX_FOR_S:
        why = f"A reservation lasts more than 0 s and at most {MAX_FOR_S / 86_400:.0f} days."
    elif begins < utc - PAST_S:
        why = f"The time begins in the past: here it is {_time(utc)}."
    elif begins > utc + MAX_AHEAD_S:
        why = f"The time begins more than {MAX_AHEAD_S / 86_400:.0f} days from now."
    else:
        begins = max(begins, utc)
        return begins, begins + asked.for_s
    raise RefusedError(ErrorCode.BAD_MESSAGE, why)


def _check_room(state: RelayState) -> None:
    _check_pending(state)
    if len(state.reservations) >= MOST:
        why = f"There are {MOST} reservations already; cancel some, or try again later."
        raise RefusedError(ErrorCode.TOO_MANY, why)


def _check_pending(state: RelayState) -> None:
    if state.draining:
        raise RefusedError(ErrorCode.SHUTTING_DOWN, queue.RESTARTS)
    if len(state.booked) >= MAX_PENDING:
        why = "Too many reservations are being written; try again later."
        raise RefusedError(ErrorCode.TOO_MANY, why)


def _one(state: RelayState, user: UserPeer, selection: Selection, wanted: Wanted) -> Slot:
    """Return the one card that is meant and can be reserved then."""
    sees = user.audience.sees if user.audience is not None else everything
    found = state.index.find(selection, sees)
    slot = queue.the_one(user, Verb.RESERVE, selection, found)
    other = precedence.in_the_way(state, identity_of(slot), wanted)
    if other is not None:
        raise RefusedError(ErrorCode.RESERVED, _reserved(slot, other))
    return slot


def _any(state: RelayState, user: UserPeer, selection: Selection, wanted: Wanted) -> Slot:
    """
    Return a card that can be reserved then, one that is free now before all others.

    One for which another reservation gives way is the last resort.
    """
    table, seen, outranked = state.reservations, 0, None
    for slot in _candidates(state, user, selection):
        seen += 1
        identity = identity_of(slot)
        if table.in_the_way(identity, wanted.begins, wanted.ends) is None:
            return slot
        if outranked is None and precedence.in_the_way(state, identity, wanted) is None:
            outranked = slot
    if outranked is not None:
        return outranked
    shown = picking.shown(selection)
    if not seen:
        why = f"No card that may be reserved is here: {shown}."
        raise RefusedError(ErrorCode.NO_SUCH_CARD, why)
    why = f"All {seen} cards that may be reserved are reserved then: {shown}."
    raise RefusedError(ErrorCode.RESERVED, why)


def _candidates(state: RelayState, user: UserPeer, selection: Selection) -> Iterator[Slot]:
    """
    Yield cards that a user may reserve and take, the free ones first, the one that rests longest.

    Where they may take few cards all of these are looked at, whatever others there are.
    """
    free, keys = state.readers.free_of(user.audience), picking.narrowest(state, user, selection)
    others: Iterable[Slot] = free.every()
    if state.readers.is_behind(user.audience):
        others = state.slots.values()
    if selection.items and len(free.every()) > LOOKED_AT:
        others = chain.from_iterable(map(state.index.under, keys))
    done: set[Slot] = set()
    for slot in [*islice(free.walk(keys), LOOKED_AT), *islice(others, LOOKED_AT)]:
        if slot is None or slot in done or not slot.has_card:
            continue
        done.add(slot)
        may = rights.of(user.audience, slot)
        if Verb.RESERVE in may and may & _TAKING and matches(selection, slot):
            yield slot


def _list(state: RelayState, user: UserPeer, asked: m.ListReservations, now: float) -> None:
    table = state.reservations
    found: list[Booking] = []
    more = None
    if asked.token is not None:
        booking = table.of_token(asked.token)
        told = booking is not None and booking.number not in table.unwritten
        if booking is not None and told and _is_own(user, booking, by_token=True):
            found.append(booking)
    else:
        found, more = _page(state, user, asked.after)
    infos = tuple(_info(state, user, each, now) for each in found)
    state.send(user, m.ListReservationsAck(id=asked.id, reservations=infos, next=more))


def _page(state: RelayState, user: UserPeer, after: int) -> tuple[list[Booking], int | None]:
    """
    Return reservations that a user is told of, and the number after which to go on, if so.

    Neither tells anything of others, but where more than `LOOKED_AT` are made.
    """
    table = state.reservations
    operates = operators.may_operate(state, user.principal, direct=user.direct)
    found: list[Booking] = []
    some = list(islice(table.after(after), LOOKED_AT + 1))
    for each in some[:LOOKED_AT]:
        if each.number in table.unwritten:
            continue
        if operates or _is_own(user, each) or _there(state, user, each):
            found.append(each)
            if len(found) > PAGE:
                return found[:PAGE], found[PAGE - 1].shown
    return found, some[LOOKED_AT - 1].shown if len(some) > LOOKED_AT else None


def _cancel(state: RelayState, user: UserPeer, asked: m.CancelReservation, now: float) -> None:
    table = state.reservations
    if asked.token is not None:
        booking = table.of_token(asked.token)
        may = booking is not None and _is_own(user, booking, by_token=True)
    else:
        booking = table.of_shown(asked.number)
        operates = operators.may_operate(state, user.principal, direct=user.direct)
        may = booking is not None and (operates or _is_own(user, booking))
    if booking is None or not may or booking.number in table.unwritten:
        why = "No reservation that is yours has this number or token. `wsrc reservations` has all."
        raise RefusedError(ErrorCode.NO_SUCH_RESERVATION, why)
    _check_pending(state)
    _book(state, Booked(user, asked, booking, None), drops=True)


def _is_own(user: UserPeer, booking: Booking, *, by_token: bool = False) -> bool:
    """Return whether a reservation is a user's; without an owner it is whose the token is."""
    if not booking.owner:
        return by_token
    return booking.owner == owner_of(user.principal)


def _gone(state: RelayState, booking: Booking, now: float) -> None:
    state.reservations.remove(booking.number)
    _left(state, booking.identity, now)


def _left(state: RelayState, identity: str, now: float) -> None:
    """Keep a card for those next that a reservation has left: who gave way has it again."""
    if precedence.give_back(state, identity, _utc(state, now)):
        state.timers.set(_KEY, now)
    _shown(state, identity, now)


def _shown(state: RelayState, identity: str, now: float) -> None:
    """Keep the card of an identity for whom it is reserved now, if for anybody."""
    number = state.reservations.active.get(identity)
    for slot in state.slots_of(identity):
        if slot.reserved == number:
            continue
        slot.reserved = number
        state.readers.mark(slot)
        if number is not None:
            _end_others(state, slot, number, now)
        queue.offer(state, slot, now)


def _warn(state: RelayState, booking: Booking, now: float) -> None:
    """Tell those who lose the card of a reservation when its time begins, which is soon."""
    for slot in state.slots_of(booking.identity):
        for lease in slot.holders:
            leases.warn_of_reservation(state, lease, now)


def _end_others(state: RelayState, slot: Slot, number: int, now: float) -> None:
    """End the sessions that were begun when it was known that the card is reserved from now on."""
    why = keeping.RESERVED
    for lease in list(slot.leases.values()):
        if lease.phase in LEAVING or not lease.loses_to(number):
            continue
        evidence.gave_back(state, lease, why, now, ErrorCode.RESERVED)
        endings.end(state, lease, now, m.error(ErrorCode.RESERVED, why))


def _info(state: RelayState, user: UserPeer, booking: Booking, now: float) -> m.ReservationInfo:
    slots = _there(state, user, booking)
    shown = slots[0] if slots else None
    own, wish = _is_own(user, booking), booking.wish
    knows = own or operators.may_operate(state, user.principal, direct=user.direct)
    return m.ReservationInfo(
        number=booking.shown,
        card=" ".join(_name(booking)),
        begins=_time(booking.begins),
        ends=_time(booking.ends),
        state=_state(state, booking, slots, now),
        holder=booking.holder,
        host=shown.peer.name if shown is not None else None,
        reader=shown.info.name if shown is not None else None,
        any=wish is not None,
        wish=picking.shown(Selection(wish)) if wish is not None and knows else None,
        own=own,
        priority=booking.priority,
    )


def _there(state: RelayState, user: UserPeer, booking: Booking) -> list[Slot]:
    """Return where a reserved card is, as far as it exists for a user."""
    return _visible(state, user, booking.identity)


def _visible(state: RelayState, user: UserPeer, identity: str) -> list[Slot]:
    sees = user.audience.sees if user.audience is not None else everything
    return list(filter(sees, state.slots_of(identity)))


def _state(
    state: RelayState, booking: Booking, slots: list[Slot], now: float
) -> m.ReservationState:
    if state.reservations.lease_of(booking.number) is not None:
        return m.ReservationState.TAKEN
    if booking.gave_way:
        return m.ReservationState.GAVE_WAY
    if not slots:
        return m.ReservationState.AWAY
    if not booking.has(_utc(state, now)):
        return m.ReservationState.COMING
    held = all(slot.leases for slot in slots)
    return m.ReservationState.HELD if held else m.ReservationState.READY


def _name(booking: Booking) -> tuple[str, str]:
    """Return kind and value of the name of a card."""
    kind, _, name = booking.identity.partition(" ")
    return kind, name.rpartition("@")[0] if kind == "reader" else name


def _card(booking: Booking) -> str:
    kind, value = _name(booking)
    return str(Selection(((kind, value),)))


def _reserved(slot: Slot, booking: Booking) -> str:
    times = f"from {_time(booking.begins)} until {_time(booking.ends)}"
    return f"The card in {slot.info.name} is reserved {times} already."


def _utc(state: RelayState, now: float) -> float:
    return state.epoch() + now


def _time(utc: float) -> str:
    return datetime.fromtimestamp(utc, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
