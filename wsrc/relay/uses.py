# SPDX-License-Identifier: Apache-2.0
"""Who has which card, since when, and who waits for it: what `who` is answered with."""

import math
from itertools import islice

import msgspec

from wsrc.protocol import messages as m
from wsrc.relay import operators, positions
from wsrc.relay.records import Lease, LeasePhase, Slot, UserPeer
from wsrc.relay.state import RelayState
from wsrc.relay.waiting import in_order
from wsrc.selection import matching

MAX_WAITERS = 16
"""Those who wait for one card that are named."""

_STATES = {
    LeasePhase.ATTACHING: m.HolderState.ATTACHING,
    LeasePhase.KEPT: m.HolderState.KEPT,
}


class Uses:
    """
    Describes cards to one user as it asks for them.

    Args:
        state: What the relay knows.
        user: Who asks.
        asked: For which of the cards.
        now: Monotonic seconds.
    """

    def __init__(self, state: RelayState, user: UserPeer, asked: m.Who, now: float) -> None:
        self._state = state
        self._user = user
        self._asked = asked
        self._now = now
        self._fits = None if asked.holder is None else matching(asked.holder)

    def describe(self, slot: Slot) -> m.CardUse | None:
        """Describe a card, or a reader that is used without one, if it is asked for."""
        if not (slot.has_card or slot.leases) or not self._is_asked_for(slot):
            return None
        state, now = self._state, self._now
        knows = operators.may_revoke(state, self._user, slot)
        card = msgspec.structs.replace(state.card_info(slot), lease=None, others=())
        lines = positions.lines_of(state, slot) if len(state.waiting) else []
        first = islice(in_order(lines), MAX_WAITERS if knows else 0)
        return m.CardUse(
            card=card,
            holders=tuple(holder(state, each, now, of_operator=knows) for each in slot.holders),
            waiting=sum(map(len, lines)),
            waiters=tuple(
                m.WaiterInfo(
                    name=waiter.user.name,
                    since=state.utc(waiter.ticket[0]),
                    share=waiter.message.share,
                )
                for waiter in first
            ),
            lent=slot.lent_to,
        )

    def _is_asked_for(self, slot: Slot) -> bool:
        holders, asked, fits = slot.holders, self._asked, self._fits
        if (asked.free and holders) or (asked.busy and not holders):
            return False
        return fits is None or any(
            fits(each.holder) or (each.principal is not None and fits(each.principal.name))
            for each in holders
        )


def holder(state: RelayState, lease: Lease, now: float, *, of_operator: bool) -> m.HolderInfo:
    """Describe one who has a card, to an operator by the session as well."""
    open_ = lease.in_flight is not None or lease.phase is LeasePhase.ATTACHING
    idle_s = 0.0 if open_ else max(0.0, now - lease.used)
    return m.HolderInfo(
        holder=lease.holder,
        since=state.utc(lease.since),
        idle_s=math.floor(idle_s * 10) / 10,
        state=_STATES.get(lease.phase, m.HolderState.HELD),
        until=state.until(lease),
        share=lease.share,
        sealed=lease.sealed,
        session=lease.session[:8] if of_operator else None,
    )
