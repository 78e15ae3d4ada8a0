# SPDX-License-Identifier: Apache-2.0
"""The life of a lease up to its end: granted, attached, used."""

import msgspec

from wsrc import messages as m
from wsrc.octets import Octets
from wsrc.relay.floor import Floor
from wsrc.relay.records import InFlight, Lease, LeasePhase, Slot, UserPeer


def grant(floor: Floor, slot: Slot, user: UserPeer, select: m.SelectCard, now: float) -> None:
    """Take a free card for a user and have its card client reset it."""
    lease = Lease(
        session=floor.new_session(), slot=slot, user=user, request_id=select.id, since=now, used=now
    )
    slot.lease = lease
    floor.sessions[lease.session] = lease
    user.leases[lease.session] = lease
    floor.timers.set(("attach", lease.session, None), now + floor.limits.attach_s)
    floor.announce(slot, m.Change.CHANGED)
    attach = m.Attach(
        session=lease.session,
        reader=slot.info.reader,
        insertion=slot.info.insertion,
        raw_tpdu=select.raw_tpdu,
    )
    floor.send(slot.peer, attach)


def attached(floor: Floor, lease: Lease, atr: bytes | None, now: float) -> None:
    """Tell the user that the card is theirs."""
    if lease.phase is not LeasePhase.ATTACHING:
        return
    lease.phase = LeasePhase.HELD
    lease.used = now
    floor.timers.clear(("attach", lease.session, None))
    if floor.limits.lease_idle_s:
        floor.timers.set(("idle", lease.session, None), now + floor.limits.lease_idle_s)
    slot, user = lease.slot, lease.user
    if atr:
        slot.info = msgspec.structs.replace(slot.info, atr=Octets(atr))
        floor.file(slot)
    ack = m.SelectCardAck(
        id=lease.request_id,
        identities=slot.identities(),
        session=lease.session,
        card=floor.card_info(slot),
    )
    floor.send(user, ack)


def use(floor: Floor, lease: Lease, request: m.Message, now: float) -> None:
    """Note the request of a session that its card client is about to be sent."""
    lease.used = now
    lease.in_flight = InFlight(request.id, request)
    floor.timers.set(("command", lease.session, None), now + floor.limits.command_s)


def answered(floor: Floor, lease: Lease, now: float) -> InFlight | None:
    """Note that the request in flight was answered."""
    in_flight, lease.in_flight = lease.in_flight, None
    lease.used = now
    floor.timers.clear(("command", lease.session, None))
    return in_flight


def forget(floor: Floor, lease: Lease) -> None:
    """Strike a lease from every list."""
    for kind in ("attach", "command", "idle", "clean"):
        floor.timers.clear((kind, lease.session, None))
    floor.sessions.pop(lease.session, None)
    lease.user.leases.pop(lease.session, None)
    if lease.slot.lease is lease:
        lease.slot.lease = None
