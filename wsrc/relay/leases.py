# SPDX-License-Identifier: Apache-2.0
"""The life of a lease up to its end: granted, attached, used."""

import math

import msgspec

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.principal import owner_of
from wsrc.protocol import messages as m
from wsrc.protocol.kinds import kind_of
from wsrc.relay import draining, evidence, rights
from wsrc.relay.claims import Past
from wsrc.relay.effects import Book
from wsrc.relay.index import kinds
from wsrc.relay.records import (
    PCSC,
    RAW_TPDU,
    READ_AHEAD,
    RESUME,
    SEAL,
    SHARE,
    InFlight,
    Lease,
    LeasePhase,
    Needs,
    Slot,
    Waiter,
    proof_of,
)
from wsrc.relay.state import RelayState
from wsrc.relay.tags import identity_of
from wsrc.selection import TAG, selection_of


def grant(state: RelayState, slot: Slot, asked: Waiter, now: float) -> None:
    """
    Take a free card for a user; its card client is asked to reset or to share it.

    A card client that does not know what the user asks for is not asked.
    """
    user, select = asked.user, asked.message
    lacking = lacks(slot, needs_of(select))
    if lacking is not None:
        why = f"The card client of {slot.peer.name} does not {lacking}."
        wanted = str(asked.selection)
        evidence.denied(state, user, wanted, ErrorCode.NOT_SUPPORTED, why)
        state.refuse(user, select.id, ErrorCode.NOT_SUPPORTED, why)
        return
    lease = _lease(state, slot, asked, now)
    state.lend(slot, None)
    state.uses(slot)
    slot.leases[lease.session] = lease
    slot.peer.sessions += 1
    state.sessions[lease.session] = lease
    user.leases[lease.session] = lease
    state.timers.set(("attach", lease.session, None), now + state.limits.attach_s)
    state.readers.mark(slot)
    state.send(slot.peer, _attach(state, lease, select))


def _lease(state: RelayState, slot: Slot, asked: Waiter, now: float) -> Lease:
    user, secret = asked.user, asked.message.secret
    lease = Lease(
        session=state.new_session(),
        slot=slot,
        user=user,
        holder=user.name,
        instance=user.instance,
        last_user=user.number,
        asked=asked,
        since=now,
        used=now,
        keep_s=_kept_for(state, slot, asked.message),
        share=asked.message.share,
        proof=proof_of(secret) if secret else None,
        owner=owner_of(user.principal),
        principal=user.principal,
        rights=rights.of(user.audience, slot),
        guests=slot.guests,
        reservation=asked.reservation,
        knew=state.reservations.last,
    )
    if asked.reservation is not None:
        state.reservations.take(asked.reservation, lease)
    lease.count_for(user.account)
    return lease


def _attach(state: RelayState, lease: Lease, select: m.SelectCard) -> m.Attach:
    """Return the request to the card client; it learns no more of a session than it needs."""
    info, kept = lease.slot.info, lease.keep_s > 0
    seal = select.seal if SEAL in lease.slot.peer.features else None
    who = lease.principal
    found_by = kinds(selection_of(select), lease.slot)
    return m.Attach(
        session=lease.session,
        reader=info.reader,
        insertion=info.insertion,
        raw_tpdu=select.raw_tpdu,
        look_ahead=select.look_ahead,
        read_ahead=select.read_ahead and READ_AHEAD in lease.slot.peer.features,
        share=select.share,
        protocols=select.protocols,
        secret=select.secret if kept and state.limits.resume_by_secret else None,
        keep_s=lease.keep_s,
        holder=lease.holder if kept or seal is not None else None,
        instance=_run_of(lease) if kept else None,
        iccid=info.iccid if found_by & {"iccid", TAG} else None,
        label=info.label if "label" in found_by else None,
        seal=seal,
        principal=who.name if who is not None and seal is not None else None,
    )


def _run_of(lease: Lease) -> str | None:
    """Return what a card client is told of the run of a user's program, and of whose it is."""
    return f"{lease.instance or ''}.{lease.owner}" if lease.owner else lease.instance


def _kept_for(state: RelayState, slot: Slot, select: m.SelectCard) -> float:
    """Return how long a session can outlive its connection, before its card client is asked."""
    sealed = select.seal is not None and SEAL in slot.peer.features
    by_secret = bool(select.secret) and state.limits.resume_by_secret
    if not (by_secret or sealed) or RESUME not in slot.peer.features:
        return 0.0
    return max(0.0, min(select.keep_s, state.limits.keep_s))


def needs_of(select: m.SelectCard) -> Needs:
    """Return what a card client must be able to do for who asks so."""
    return Needs(select.share, select.raw_tpdu, bool(select.protocols))


def lacks(slot: Slot, needs: Needs) -> str | None:
    """Return what a user asks for that the card client of a slot cannot do, if anything."""
    features = slot.peer.features
    if needs.protocols and PCSC not in features:
        return "let users choose a protocol"
    if needs.raw_tpdu and RAW_TPDU not in features:
        return "pass TPDUs as they are"
    if needs.share is not Share.EXCLUSIVE and SHARE not in features:
        return f"know the share {needs.share.value!r}"
    return None


def powered(state: RelayState, lease: Lease, ack: m.AttachAck) -> None:
    """Note how a card is that was reset for a lease."""
    if lease.phase is not LeasePhase.ATTACHING:
        return
    slot, info = lease.slot, lease.slot.info
    atr, protocol = ack.atr or info.atr, ack.protocol or info.protocol
    slot.info = msgspec.structs.replace(info, atr=atr, protocol=protocol)
    state.file(slot)


def attached(state: RelayState, lease: Lease, ack: m.AttachAck, now: float) -> m.Following | None:
    """
    Tell the user that the card is theirs, unless the lease ended meanwhile.

    What the user wants done next is returned, once.
    """
    withdrawn = lease.phase is LeasePhase.WITHDRAWN
    if not withdrawn and lease.phase is not LeasePhase.ATTACHING:
        return None
    assert lease.asked is not None
    lease.turn("attached")
    if withdrawn:
        return None
    lease.used = now
    lease.keep_s = max(0.0, min(lease.keep_s, ack.keep_s))
    if ack.seal is None and not (state.limits.resume_by_secret and lease.asked.message.secret):
        lease.keep_s = 0.0
    lease.sealed = ack.seal is not None
    state.timers.clear(("attach", lease.session, None))
    watch(state, lease, now)
    _link(state, lease)
    slot = lease.slot
    then, lease.asked.message = lease.asked.message.then, without_then(lease.asked.message)
    granted = m.SelectCardAck(
        id=lease.asked.message.id,
        identities=slot.identities(),
        session=lease.session,
        card=state.card_info(slot),
        keep_s=lease.keep_s,
        then=then is not None,
        features=ack.features,
        seal=ack.seal,
    )
    state.tell(lease, granted)
    evidence.took(state, lease, ack.seal)
    return None if then is None else msgspec.structs.replace(then, session=lease.session)


def without_then(select: m.SelectCard) -> m.SelectCard:
    """Return a select without what was to follow it."""
    return select if select.then is None else msgspec.structs.replace(select, then=None)


def watch(state: RelayState, lease: Lease, now: float) -> None:
    """
    Take the card back if it is not used from now on, and tell its user before.

    Who loses it soon because it is reserved is told at once, after what is answered now.
    """
    if state.limits.lease_idle_s:
        due = now + state.limits.lease_idle_s
        state.timers.set(("idle", lease.session, None), due - _warned_before_s(state))
    if next_reservation(state, lease, now) is not None:
        state.timers.set(("reserved", lease.session, None), now)


def _link(state: RelayState, lease: Lease) -> None:
    """Have it kept which session took a card by a reservation, where that may outlive the run."""
    if lease.reservation is not None and lease.keep_s:
        linked = state.reservations.link(lease.reservation, lease.session)
        if linked is not None:
            state.effects.append(Book(0, linked))


def next_reservation(state: RelayState, lease: Lease, now: float) -> float | None:
    """Return in how many seconds a lease ends for the reservation of another, if that is soon."""
    table, utc = state.reservations, state.epoch() + now
    after = table.next_of(identity_of(lease.slot), utc)
    if after is None or not table.is_near(after, utc) or not lease.loses_to(after.number):
        return None
    return after.begins - utc


def warn_of_reservation(state: RelayState, lease: Lease, now: float) -> None:
    """Tell the user of a lease that loses the card soon, for it is reserved, if that is so."""
    in_s = next_reservation(state, lease, now)
    if in_s is None:
        return
    until = state.utc(now + in_s)
    why = f"The card is taken back in {in_s:.0f} s, at {until}: it is reserved for another."
    evidence.loses(state, lease, in_s)
    _tell_end(state, lease, (until, in_s, why), ErrorCode.RESERVED)


def use(state: RelayState, lease: Lease, request: m.Message, now: float) -> None:
    """Note the request of a session that its card client is about to be sent."""
    lease.used = now
    if isinstance(request, m.CApdu):
        lease.commands += 1
        limit_s = state.limits.command_s
    else:
        lease.commands += _commands_in(request)
        limit_s = limit_of(state, request)
    lease.in_flight = InFlight(request.id, request, now + limit_s)
    key = "command", lease.session, None
    if key not in state.timers:  # one serves the requests that follow as well
        state.timers.set(key, now + state.limits.command_s)


def _commands_in(request: m.Message) -> int:
    """Return as how many commands a request counts; a batch in a box is one."""
    if isinstance(request, m.Batch):
        return len(request.steps)
    return int(isinstance(request, m.Sealed) and kind_of(request) in {m.CApdu, m.Batch})


def is_late(state: RelayState, lease: Lease, now: float) -> bool:
    """Return whether the request in flight is not answered in time; if not yet, look again."""
    due = lease.in_flight.due if lease.in_flight is not None else math.inf
    if now < due < math.inf:
        state.timers.set(("command", lease.session, None), due)
    return due <= now


def limit_of(state: RelayState, request: m.Message) -> float:
    """
    Return the seconds in which a request must be answered.

    A batch has twice the time: its card client begins no command after the time of one.
    """
    return state.limits.command_s * (2 if kind_of(request) is m.Batch else 1)


def answered(state: RelayState, lease: Lease, now: float) -> None:
    """Note that the request in flight was answered."""
    lease.in_flight = None
    lease.used = now


def is_idle(state: RelayState, lease: Lease, now: float) -> bool:
    """Return whether a lease was not used for too long; if it was used, look again later."""
    used = now if lease.in_flight is not None else lease.used
    due = used + state.limits.lease_idle_s
    warning = due - _warned_before_s(state)
    if due > now:
        state.timers.set(("idle", lease.session, None), due if warning <= now else warning)
    if warning <= now < due:
        _warn(state, lease, due, now)
    return due <= now


def _warned_before_s(state: RelayState) -> float:
    """Return how long before the end of an idle lease its user is told."""
    return min(state.limits.lease_warn_s, state.limits.lease_idle_s / 2)


def _warn(state: RelayState, lease: Lease, due: float, now: float) -> None:
    """Tell the user of a lease that it ends soon."""
    in_s = due - now
    why = f"The card is taken back in {in_s:.0f} s, at {state.utc(due)}, unless it is used."
    evidence.idles(state, lease, now - lease.used, in_s)
    _tell_end(state, lease, (state.utc(due), in_s, why), ErrorCode.LEASE_EXPIRED)


def _tell_end(
    state: RelayState, lease: Lease, when: tuple[str, float, str], code: ErrorCode
) -> None:
    if lease.user is not None and lease.user.warned:
        until, in_s, why = when
        said = m.SessionIdle(session=lease.session, until=until, in_s=in_s, message=why, code=code)
        state.tell(lease, said)


def forget(state: RelayState, lease: Lease) -> None:
    """Strike a lease from every list."""
    lease.turn("struck")
    state.readers.mark(lease.slot)
    state.clear_timers(lease)
    state.unkeep(lease)
    if lease.keep_s:
        state.past.put(lease.session, Past(lease.slot.peer.number, lease.owner))
    state.sessions.pop(lease.session, None)
    if lease.user is not None:
        lease.user.leases.pop(lease.session, None)
    if lease.slot.leases.pop(lease.session, None) is not None:
        lease.slot.peer.sessions -= 1
        draining.left(state, lease.slot.peer)
