# SPDX-License-Identifier: Apache-2.0
"""The life of a lease up to its end: granted, attached, used."""

import msgspec

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay.records import PCSC, RESUME, SHARE, InFlight, Lease, LeasePhase, Slot, Waiter
from wsrc.relay.state import Floor


def grant(floor: Floor, slot: Slot, asked: Waiter, now: float) -> None:
    """
    Take a card that is free for a user and have its card client reset it, or share it.

    A card client that does not know what the user asks for is not asked.
    """
    user, select = asked.user, asked.message
    lacks = _lacks(slot, select)
    if lacks is not None:
        why = f"The card client of {slot.peer.name} does not {lacks}."
        floor.refuse(user, select.id, ErrorCode.NOT_SUPPORTED, why)
        return
    lease = _lease(floor, slot, asked, now)
    slot.leases[lease.session] = lease
    floor.sessions[lease.session] = lease
    user.leases[lease.session] = lease
    floor.timers.set(("attach", lease.session, None), now + floor.limits.attach_s)
    floor.changed(slot)
    floor.send(slot.peer, _attach(lease, select))


def _lease(floor: Floor, slot: Slot, asked: Waiter, now: float) -> Lease:
    user = asked.user
    return Lease(
        session=floor.new_session(),
        slot=slot,
        user=user,
        holder=user.name,
        instance=user.instance,
        last_user=user.number,
        asked=asked,
        since=now,
        used=now,
        keep_s=_kept_for(floor, slot, asked.message),
        share=asked.message.share,
    )


def _attach(lease: Lease, select: m.SelectCard) -> m.Attach:
    """Say what a card client is to do; it learns no more of a session than it needs."""
    info, kept = lease.slot.info, lease.keep_s > 0
    return m.Attach(
        session=lease.session,
        reader=info.reader,
        insertion=info.insertion,
        raw_tpdu=select.raw_tpdu,
        share=select.share,
        protocols=select.protocols,
        secret=select.secret if kept else None,
        keep_s=lease.keep_s,
        holder=lease.holder if kept else None,
        instance=lease.instance if kept else None,
    )


def _kept_for(floor: Floor, slot: Slot, select: m.SelectCard) -> float:
    """Give how long a session can outlive its connection, before its card client is asked."""
    if not select.secret or RESUME not in slot.peer.features:
        return 0.0
    return max(0.0, min(select.keep_s, floor.limits.keep_s))


def _lacks(slot: Slot, select: m.SelectCard) -> str | None:
    """Say what a user asks for that the card client of a slot cannot do."""
    features = slot.peer.features
    if select.protocols and PCSC not in features:
        return "let users choose a protocol"
    if select.share is not Share.EXCLUSIVE and SHARE not in features:
        return f"know the share {select.share.value!r}"
    return None


def attached(floor: Floor, lease: Lease, ack: m.AttachAck, now: float) -> None:
    """Tell the user that the card is theirs."""
    lease.attach_open = False
    if lease.phase is not LeasePhase.ATTACHING:
        return
    assert lease.asked is not None
    lease.phase = LeasePhase.HELD
    lease.used = now
    lease.keep_s = max(0.0, min(lease.keep_s, ack.keep_s))
    floor.timers.clear(("attach", lease.session, None))
    watch_idle(floor, lease, now)
    slot, info = lease.slot, lease.slot.info
    atr, protocol = ack.atr or info.atr, ack.protocol or info.protocol
    slot.info = msgspec.structs.replace(info, atr=atr, protocol=protocol)
    floor.file(slot)
    granted = m.SelectCardAck(
        id=lease.asked.message.id,
        identities=slot.identities(),
        session=lease.session,
        card=floor.card_info(slot),
        keep_s=lease.keep_s,
    )
    floor.tell(lease, granted)


def watch_idle(floor: Floor, lease: Lease, now: float) -> None:
    """Take the card back if it is not used from now on."""
    if floor.limits.lease_idle_s:
        floor.timers.set(("idle", lease.session, None), now + floor.limits.lease_idle_s)


def use(floor: Floor, lease: Lease, request: m.Message, now: float) -> None:
    """Note the request of a session that its card client is about to be sent."""
    lease.used = now
    lease.in_flight = InFlight(request.id, request)
    floor.timers.set(("command", lease.session, None), now + limit_of(floor, request))


def limit_of(floor: Floor, request: m.Message) -> float:
    """
    Give the seconds in which a request must be answered.

    A batch has twice the time: its card client begins no command after the time of one.
    """
    return floor.limits.command_s * (2 if isinstance(request, m.Batch) else 1)


def answered(floor: Floor, lease: Lease, now: float) -> None:
    """Note that the request in flight was answered."""
    lease.in_flight = None
    lease.used = now
    floor.timers.clear(("command", lease.session, None))


def is_idle(floor: Floor, lease: Lease, now: float) -> bool:
    """Tell whether a lease was not used for too long; if it was used, look again later."""
    used = now if lease.in_flight is not None else lease.used
    due = used + floor.limits.lease_idle_s
    if due > now:
        floor.timers.set(("idle", lease.session, None), due)
    return due <= now


def forget(floor: Floor, lease: Lease) -> None:
    """Strike a lease from every list."""
    floor.clear_timers(lease)
    floor.unkeep(lease)
    if lease.keep_s:
        floor.past.put(lease.session, lease.slot.peer.number)
    floor.sessions.pop(lease.session, None)
    if lease.user is not None:
        lease.user.leases.pop(lease.session, None)
    lease.slot.leases.pop(lease.session, None)
