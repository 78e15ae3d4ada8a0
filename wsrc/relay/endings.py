# SPDX-License-Identifier: Apache-2.0
"""
How a lease ends.

A card is given to the next user only after its card client said that it was reset.
"""

from wsrc import messages as m
from wsrc.errors import ErrorCode, Outcome
from wsrc.relay import leases, queue
from wsrc.relay.floor import Floor
from wsrc.relay.records import Lease, LeasePhase


def end(floor: Floor, lease: Lease, now: float, why: m.Error | None = None) -> None:
    """
    Take the card from its user and have it reset.

    Args:
        floor: The state.
        lease: The lease to end; one that is ending already is left alone.
        now: Monotonic seconds.
        why: What the user is told; None where the user is gone or asked for it.
    """
    if lease.phase is LeasePhase.ENDING:
        return
    busy_s = floor.limits.command_s if lease.in_flight is not None else 0.0
    _part(floor, lease, why)
    lease.phase = LeasePhase.ENDING
    floor.timers.set(("clean", lease.session, None), now + busy_s + floor.limits.attach_s)
    floor.announce(lease.slot, m.Change.CHANGED)
    floor.send(lease.slot.peer, m.Detach(session=lease.session))


def drop(floor: Floor, lease: Lease, now: float, why: m.Error) -> None:
    """End a lease whose card is out of reach or was reset already."""
    if lease.phase is not LeasePhase.ENDING:
        _part(floor, lease, why)
    leases.forget(floor, lease)
    if lease.slot.number in floor.slots:
        floor.announce(lease.slot, m.Change.CHANGED)
        queue.offer(floor, lease.slot, now)


def cleaned(floor: Floor, lease: Lease, now: float) -> None:
    """Free a card that its card client reset after a lease."""
    leases.forget(floor, lease)
    floor.announce(lease.slot, m.Change.CHANGED)
    queue.offer(floor, lease.slot, now)


def _part(floor: Floor, lease: Lease, why: m.Error | None) -> None:
    """Separate the user from the lease, and answer what is not answered yet."""
    user = lease.user
    attaching = lease.phase is LeasePhase.ATTACHING
    for kind in ("attach", "command", "idle"):
        floor.timers.clear((kind, lease.session, None))
    user.leases.pop(lease.session, None)
    in_flight, lease.in_flight = lease.in_flight, None
    if why is None or why.code is None:
        return
    if attaching:
        floor.send(user, _addressed(why, lease.request_id, Outcome.NOT_EXECUTED))
        return
    user.remember_end(lease.session, why)
    if in_flight is not None:
        outcome = why.outcome or Outcome.UNKNOWN
        floor.send(user, _addressed(why, in_flight.id, outcome, lease.session))
    floor.send(user, m.SessionEnded(session=lease.session, code=why.code, message=why.message))


def _addressed(
    why: m.Error, id_: int | None, outcome: Outcome, session: str | None = None
) -> m.Error:
    code = why.code or ErrorCode.INTERNAL
    return m.error(code, why.message, id=id_, outcome=outcome, session=session)
