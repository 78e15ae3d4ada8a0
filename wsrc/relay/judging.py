# SPDX-License-Identifier: Apache-2.0
"""
The policy is asked again: of a card whose facts changed, of a user, of a session, of a card host.

What is allowed no longer ends, with the reason.
"""

from wsrc.card.identity import shorten
from wsrc.errors import ErrorCode
from wsrc.policy.facts import Facts, in_reader
from wsrc.policy.machine import OPEN
from wsrc.protocol import messages as m
from wsrc.relay import endings, evidence, queue, rights, tags
from wsrc.relay.records import LEAVING, NO_CARD, CardPeer, Lease, Slot, UserPeer
from wsrc.relay.state import RelayState, Unjudged
from wsrc.selection import names_of, reader_names

TIMER = "policy"
"""Kind of the deadline at which what is not looked at yet is gone on with."""

STEP_S = 0.001
"""How long after some of it that is."""


def keep_up(state: RelayState, user: UserPeer, now: float) -> int:
    """
    Let a user who asks for something have what the policy that is in force now gives.

    Returns:
        As much work as how many users that was, of those who are not the first of an audience.
    """
    audience = user.audience
    if audience is None or state.readers.is_current(audience):
        return 1
    made = state.readers.move(user)
    if made is not None:
        later(state, made, now)
    _end_watch(state, user)
    for lease in list(user.leases.values()):
        look_at_lease(state, lease, now)
    queue.regroup(state, user, now)
    return 1 if made is None else 1 + made.weight


def _end_watch(state: RelayState, user: UserPeer) -> None:
    """Tell a user who watches and may not any more, whatever readers there are."""
    readers, why = state.readers.of(user), rights.no_events(user)
    if why is not None and readers.watches(user):
        readers.forget(user)
        state.refuse(user, None, ErrorCode.FORBIDDEN, why)


def later(state: RelayState, what: Unjudged, now: float) -> None:
    """Look at something soon; what was to be looked at before is not put off."""
    state.unjudged.append(what)
    if (TIMER, 0, None) not in state.timers:
        state.timers.set((TIMER, 0, None), now + STEP_S)


def look_at(state: RelayState, slot: Slot, now: float) -> None:
    """End what is not allowed any more with a card that is another, or is known as another now."""
    if state.readers.policy is OPEN or slot.judged is slot.facts:
        return
    if slot.info.reader not in slot.peer.slots:
        return
    slot.judged = slot.facts
    if not may_announce(state, slot.peer, slot.info, now):
        return
    for lease in list(slot.leases.values()):
        look_at_lease(state, lease, now)


def look_at_lease(state: RelayState, lease: Lease, now: float) -> None:
    """Decide anew what a user may do with a card; end the lease where that is not to have it."""
    if lease.phase in LEAVING or not _is_known(lease):
        return
    policy, user = state.readers.policy, lease.user
    if user is not None:
        lease.rights = rights.of(user.audience, lease.slot)
    else:
        lease.rights = policy.rights(lease.principal, lease.slot.facts)
    verb = rights.TAKES.get(lease.share)
    if verb is None or verb in lease.rights:
        return
    why = m.error(ErrorCode.FORBIDDEN, rights.forbidden(lease.principal, verb, lease.slot))
    evidence.gave_back(state, lease, why.message[:200], now, why.code or ErrorCode.INTERNAL)
    endings.end(state, lease, now, why)


def _is_known(lease: Lease) -> bool:
    """Return whether it is known whose a lease is, not only by a digest."""
    return lease.principal is not None or not lease.owner


def facts_of(peer: CardPeer, info: m.ReaderInfo) -> Facts:
    """
    Return what a policy looks at of a reader that a card client tells of.

    Of its tags those are not among it that follow from what is known of the card, for the rules
    for hosts are of those that a host has set.
    """
    full = info.state not in NO_CARD
    names = names_of(info) if full else reader_names(info.reader, info.name)
    return in_reader(info, names, peer.host, tags.of_host(info))


def may_announce(state: RelayState, peer: CardPeer, info: m.ReaderInfo, now: float) -> bool:
    """
    Return whether a card client may announce a reader, with its card if it has one.

    If not, the reader is struck where it is known, and kept in mind for another policy.
    """
    policy = state.readers.policy
    if policy is OPEN or policy.announces(peer.principal, facts_of(peer, info)):
        peer.withheld.pop(info.reader, None)
        return True
    slot, before = peer.slots.get(info.reader), peer.withheld.get(info.reader)
    peer.withheld[info.reader] = info
    sentence = _withheld(peer, info)
    if _poses(info) and (before is None or facts_of(peer, before) != facts_of(peer, info)):
        evidence.withheld(state, peer, info, sentence)
        if not peer.first_form:
            state.refuse(peer, None, ErrorCode.FORBIDDEN, sentence)
    if slot is not None:
        for lease in slot.leases.values():
            if lease.phase not in LEAVING:
                code = ErrorCode.FORBIDDEN if lease.keep_s else None
                state.send(peer, m.Detach(session=lease.session, code=code))
        lines = endings.strike(state, slot, m.error(ErrorCode.FORBIDDEN, _WITHDRAWN), now)
        queue.reconsider(state, lines, now)
    return False


def _poses(info: m.ReaderInfo) -> bool:
    """Return whether a card is said to be in a reader, and which."""
    identified = bool(info.iccid or info.eids) or info.state is m.ReaderState.READY
    return info.state not in NO_CARD and identified


_WITHDRAWN = "The policy of the server does not let the card host offer this card any more."


def _withheld(peer: CardPeer, info: m.ReaderInfo) -> str:
    card = f"the card {shorten(info.iccid)}" if info.iccid else "a card without ICCID"
    what = f"Card host {peer.name} may not announce {card} in {info.name}"
    return f"{what}: no rule for hosts of the server's policy lets it; users do not see the card."
