# SPDX-License-Identifier: Apache-2.0
"""Holders who let somebody else share their card, or have it next."""

from collections.abc import Sequence

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.relay import endings, evidence, queue, rights
from wsrc.relay.records import SHARE, Lease, Lent, Slot, UserPeer
from wsrc.relay.state import RelayState

MAX_GUESTS = 16
"""Those who may share one card that is not shared with all."""

Refusal = tuple[ErrorCode, str]

_LENT = m.error(ErrorCode.CANCELLED, "The card was lent to another user.")


def allow(state: RelayState, lease: Lease, user: UserPeer, asked: m.Allow, now: float) -> None:
    """Let somebody share a card; once it is shared, they and no others are let in."""
    refusal = _not_allowed(state, lease, asked.who)
    if refusal is not None:
        _refuse(state, user, asked, *refusal)
        return
    if lease.guests is None and lease.share is not Share.SHARED:
        lease.guests = set()
    if lease.guests is not None and asked.who not in lease.guests:
        lease.guests.add(asked.who)
        evidence.turned(state, lease, f"may be shared by {asked.who}")
    state.send(user, m.AllowAck(id=asked.id, session=lease.session))
    queue.joinable(state, lease.slot, now)


def _not_allowed(state: RelayState, lease: Lease, who: str) -> Refusal | None:
    if lease.share is Share.DIRECT:
        return ErrorCode.NOT_SUPPORTED, "A reader that is used without its card is not shared."
    if SHARE not in lease.slot.peer.features:
        why = f"The card client of {lease.slot.peer.name} cannot share a card."
        return ErrorCode.NOT_SUPPORTED, why
    if not _is_name(who):
        return ErrorCode.BAD_MESSAGE, "Say who may share the card, by a name that can be shown."
    guests = lease.guests or ()
    if len(guests) >= MAX_GUESTS and who not in guests:
        return ErrorCode.TOO_MANY, f"{MAX_GUESTS} users are let share the card already."
    return _may_not(state, lease.slot, who, Share.SHARED)


def remembered(state: RelayState, lease: Lease, told: Sequence[str]) -> None:
    """
    Let those share a card, and no others, whom its holder let in an earlier run of the server.

    Until each who has the card is back from that run, nobody joins them: any of them may be the
    one who knows. The holder is not asked again whether they may; whoever joins is.
    """
    if lease.last_user or lease.share is Share.DIRECT:
        return
    rest = [each for each in lease.slot.leases.values() if each is not lease]
    known = next((each.guests for each in rest if each.guests), None)
    names = set(filter(_is_name, told[:MAX_GUESTS]))
    lease.guests = known or names or None
    if names and known is None:
        for each in rest:
            each.guests = each.guests or lease.guests
        evidence.turned(state, lease, f"may be shared by {', '.join(sorted(names))}")


def lend(state: RelayState, lease: Lease, user: UserPeer, asked: m.Lend, now: float) -> None:
    """End a session, and keep its card for another user."""
    refusal = _not_lent(state, lease, asked.who)
    if refusal is not None:
        _refuse(state, user, asked, *refusal)
        return
    slot, until = lease.slot, now + state.limits.lend_s
    evidence.gave_back(state, lease, f"its user lends it to {asked.who}", now)
    endings.end(state, lease, now, _LENT, asked=True)
    state.lend(slot, Lent(asked.who, user, until, slot.info.insertion))
    state.send(user, m.LendAck(id=asked.id, session=lease.session, until=state.utc(until)))


def _not_lent(state: RelayState, lease: Lease, who: str) -> Refusal | None:
    if lease.in_flight is not None:
        return ErrorCode.REQUEST_IN_FLIGHT, "The request before it is not answered yet."
    if lease.slot.reserved is not None:
        why = "The card is reserved: give who is to have it the token of the reservation."
        return ErrorCode.RESERVED, why
    if not _is_name(who):
        return ErrorCode.BAD_MESSAGE, "Say who is to have the card, by a name that can be shown."
    if len(lease.slot.leases) > 1:
        return ErrorCode.CARD_BUSY, queue.held(state, lease.slot)
    return _may_not(state, lease.slot, who, lease.share)


def lapsed(state: RelayState, slot: Slot, now: float) -> None:
    """Give a card to those who wait for it that was not taken by whom it was lent to."""
    lent = slot.lent
    state.lend(slot, None)
    if lent is not None:
        lender = lent.by.name
        state.note(f"{lent.to} did not take the card in {slot.info.name} that {lender} lent")
    queue.offer(state, slot, now)


def _is_name(who: str) -> bool:
    return bool(who.strip()) and who.isprintable()


def _may_not(state: RelayState, slot: Slot, who: str, share: Share) -> Refusal | None:
    """Return why a user may not have a card so, where that is known: nobody so called may."""
    users = state.roll.users(who)
    lacking = [rights.lacking(each.audience, slot, share) for each in users]
    if not lacking or None in lacking:
        return None
    verb = next(filter(None, lacking))
    return ErrorCode.FORBIDDEN, rights.forbidden(users[0].principal, verb, slot)


def _refuse(state: RelayState, user: UserPeer, asked: m.Making, code: ErrorCode, why: str) -> None:
    fields = {"session": asked.session, "outcome": Outcome.NOT_EXECUTED}
    state.refuse(user, asked.id, code, why, **fields)
