# SPDX-License-Identifier: Apache-2.0
"""Sessions that outlive connections: kept without their user, or brought by their card client."""

import math
from collections.abc import Sequence

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.policy.machine import OPEN
from wsrc.principal import run_and_owner
from wsrc.protocol import messages as m
from wsrc.relay import endings, evidence, leases, queue
from wsrc.relay.claims import Lost
from wsrc.relay.names import MAX_SHOWN, printable, shown_name
from wsrc.relay.records import (
    MAX_HOLDERS,
    RESUME,
    SERVED,
    CardPeer,
    Lease,
    LeasePhase,
    Slot,
    UserPeer,
)
from wsrc.relay.state import RelayState
from wsrc.relay.tags import identity_of

RESERVED = "The card is reserved for another from now on."
"""What those are told who lose a card when the time of a reservation begins."""

MAX_SESSION_NAME = 64
"""Characters of the name of a session that a card client says it has."""


def away(state: RelayState, lease: Lease, now: float) -> None:
    """
    Keep a card whose user is out of reach.

    The request in flight goes on: its answer tells how the card is shared, and its user is told
    it by the card client's own copy.
    """
    endings.separate(lease)
    lease.turn("user lost")
    state.timers.clear(("idle", lease.session, None))
    _keep(state, lease, now + lease.keep_s)
    evidence.turned(state, lease, f"is kept for {lease.keep_s:g} s: its user is out of reach")
    state.readers.mark(lease.slot)


def left(state: RelayState, peer: CardPeer) -> None:
    """Note that a card client does not come back with the sessions that it had."""
    state.left.put(str(peer.number), peer.name)


def interrupt(state: RelayState, lease: Lease, why: m.Error, *, back: bool) -> None:
    """
    Release a lease whose card client is out of reach, and may come `back` with the session.

    One that is not held yet, or not any more, or whose card client said goodbye, is only
    remembered: it cannot go on.
    """
    goes_on = back and lease.phase in SERVED
    until = lease.kept_until if goes_on else -math.inf
    run, code = lease.slot.peer.instance, lease.code if back else why.code
    whose = lease.owner, lease.principal, lease.commands, lease.holder
    rest = lease.why, lease.sealed, lease.guests, lease.knew
    lost = Lost(lease.since, until, lease.instance, lease.last_user, code, run, *whose, *rest)
    state.lost.put(lease.session, lost)
    if not goes_on:
        return
    evidence.turned(state, lease, f"is interrupted: {why.message}")
    in_flight, lease.in_flight = lease.in_flight, None
    if in_flight is not None:
        endings.close_cancel(state, lease, in_flight, cancelled=False)
    state.tell(lease, m.SessionInterrupted(session=lease.session, message=why.message))
    endings.separate(lease)
    leases.forget(state, lease)


def adopt(
    state: RelayState, peer: CardPeer, sessions: Sequence[m.RunningSession], now: float
) -> list[Lease]:
    """
    Make leases of the sessions that a card client kept; return those that end at once.

    Their cards are not free before `end_adopted`. Nobody is told yet, for the readers of the card
    client were not announced.
    """
    over: list[Lease] = []
    for running in sessions:
        slot = _place_of(state, peer, running)
        if slot is None:
            code = ErrorCode.CARD_NOT_PRESENT
            state.send(peer, m.Detach(session=running.session, code=code))
            continue
        lease = _adopted(state, slot, running, now)
        user = state.instances.get((UserPeer, lease.instance or ""))
        if (
            isinstance(user, UserPeer)
            and endings.unheard_of(state, user, lease)
            and queue.waits_for(state, user, slot)
        ):
            lease.turn("ended")
            lease.code = ErrorCode.CANCELLED
        if lease.phase is not LeasePhase.KEPT:
            over.append(lease)
            continue
        _keep(state, lease, lease.kept_until)
        evidence.turned(
            state, lease, f"came back with card host {peer.name} and waits for its user"
        )
    return over


def end_adopted(state: RelayState, lease: Lease, now: float) -> None:
    """Ask for the reset of a card that its card client kept for nobody."""
    lease.code = lease.code or ErrorCode.LEASE_EXPIRED
    late = lease.code is ErrorCode.LEASE_EXPIRED
    why = "it came back too late" if late else "its user does not want it any more"
    taken = late or lease.why is not None
    evidence.gave_back(state, lease, lease.why or why, now, lease.code if taken else None)
    endings.clean(state, lease, now)


def _said(state: RelayState, holder: str) -> str:
    """Return how a user is shown whom a card client alone names, who may be anybody."""
    free = printable(holder, MAX_SHOWN - 2) or "a user"
    return shown_name(None, free, known=state.readers.policy is not OPEN)


def _keep(state: RelayState, lease: Lease, until: float) -> None:
    lease.kept_until = until
    state.keep(lease)
    state.timers.set(("away", lease.session, None), until)


def _place_of(state: RelayState, peer: CardPeer, running: m.RunningSession) -> Slot | None:
    """Return the reader of a session that a card client kept, if it can have one."""
    session, slot = running.session, peer.slots.get(running.reader)
    if slot is None or RESUME not in peer.features or session in state.sessions:
        return None
    if not session or len(session) > MAX_SESSION_NAME or not session.isprintable():
        return None
    if len(slot.leases) >= MAX_HOLDERS:
        return None
    same = slot.has_card and slot.info.insertion == running.insertion
    return slot if same or running.share is Share.DIRECT else None


def _reserved(state: RelayState, lease: Lease) -> None:
    """Know by which reservation a session has its card, which a card host does not."""
    booking = state.reservations.of_session(lease.session)
    same = booking is not None and booking.owner == lease.owner
    if booking is not None and same and booking.identity == identity_of(lease.slot):
        lease.reservation = booking.number
        state.reservations.take(booking.number, lease)


def _unknown(state: RelayState, slot: Slot, running: m.RunningSession, now: float) -> Lost:
    """Return what is known of a session that only its card client has."""
    instance, owner = run_and_owner(running.instance)
    closed = set[str]() if running.share is Share.SHARED else None
    knew = state.reservations.last_known(identity_of(slot), running.session)
    return Lost(now, math.inf, instance, 0, None, owner=owner, guests=closed, knew=knew)


def _adopted(state: RelayState, slot: Slot, running: m.RunningSession, now: float) -> Lease:
    keep_s = max(0.0, min(running.keep_s, state.limits.keep_s))
    lost = state.lost.pop(running.session) or _unknown(state, slot, running, now)
    if state.gone.get(lost.instance or ""):
        lost = lost._replace(until=-math.inf, code=ErrorCode.CANCELLED)
    until = min(now + keep_s, lost.until)
    lease = Lease(
        session=running.session,
        slot=slot,
        user=None,
        holder=lost.holder or _said(state, running.holder),
        asked=None,
        since=lost.since,
        used=now,
        instance=lost.instance,
        last_user=lost.last_user,
        keep_s=keep_s,
        phase=LeasePhase.KEPT,
        share=running.share,
        kept_until=until,
        code=lost.code,
        commands=lost.commands,
        owner=lost.owner,
        principal=lost.principal,
        why=lost.why,
        sealed=lost.sealed,
        guests=lost.guests,
        knew=lost.knew,
    )
    _reserved(state, lease)
    shares = {each.share for each in (lease, *slot.leases.values())}
    excluded = slot.leases and shares != {Share.SHARED}
    if slot.reserved is not None and lease.loses_to(slot.reserved):
        lease.code, lease.why = ErrorCode.RESERVED, RESERVED
    if excluded or until <= now or lease.code is ErrorCode.RESERVED:
        lease.turn("ended")
    slot.leases[lease.session] = lease
    slot.peer.sessions += 1
    state.sessions[lease.session] = lease
    return lease
