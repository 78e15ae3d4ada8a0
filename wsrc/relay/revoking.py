# SPDX-License-Identifier: Apache-2.0
"""Cards are taken from those who have them, by who may."""

from collections.abc import Callable, Iterable, Sequence

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, RefusedError
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.relay import endings, evidence, operators, queue, uses
from wsrc.relay.index import everything
from wsrc.relay.names import printable
from wsrc.relay.records import Lease, Slot, UserPeer
from wsrc.relay.state import RelayState
from wsrc.selection import Selection, matching, selection_of

MAX_WHY = 200
"""Characters of the reason that are told."""


def revoke(state: RelayState, user: UserPeer, asked: m.Revoke, now: float) -> None:
    """End the sessions on one card, which who waits for it is given next, or raise RefusedError."""
    selection = selection_of(m.SelectCard(**{kind: getattr(asked, kind) for kind in _KINDS}))
    slot = _found(state, user, asked, selection)
    if slot is None:
        return
    meant = named(asked.holder)
    leases = [lease for lease in slot.holders if meant(lease)]
    if not operators.may_revoke(state, user, slot) and not _are_theirs(leases, user):
        why = operators.forbidden(state, user, Verb.REVOKE, slot)
        evidence.refused(state, user, f"revoke of the card {selection}", why)
        raise RefusedError(ErrorCode.FORBIDDEN, why)
    told = tuple(uses.holder(state, lease, now, of_operator=True) for lease in leases)
    place = f"the card {selection}"
    evidence.operated(state, user, "revoke", place, printable(asked.why, MAX_WHY))
    end_all(state, leases, sentence(user, asked.why), now)
    state.send(user, m.RevokeAck(id=asked.id, holders=told))


_KINDS = ("iccid", "eid", "atr", "reader", "label", "any")


def sentence(user: UserPeer, why: str) -> str:
    """Return what those are told who lose a card."""
    reason = printable(why, MAX_WHY)
    return f"Revoked by {user.name}{f': {reason}' if reason else ''}."


def end_all(state: RelayState, leases: Iterable[Lease], why: str, now: float) -> int:
    """End sessions whose cards are taken back; return how many."""
    ended = 0
    for lease in list(leases):
        evidence.gave_back(state, lease, why, now, ErrorCode.REVOKED)
        endings.end(state, lease, now, m.error(ErrorCode.REVOKED, why))
        ended += 1
    return ended


def named(holder: str | None) -> Callable[[Lease], bool]:
    """Return what tells whether a lease is of a principal, or of who is shown by a name."""
    if holder is None:
        return lambda _lease: True
    fits = matching(holder)
    return lambda lease: (
        fits(lease.holder) or (lease.principal is not None and fits(lease.principal.name))
    )


def _are_theirs(leases: Sequence[Lease], user: UserPeer) -> bool:
    """Return whether all leases, of which there are some, are known to be of a user's principal."""
    who = user.principal
    return bool(leases) and who is not None and all(each.principal == who for each in leases)


def _found(state: RelayState, user: UserPeer, asked: m.Revoke, selection: Selection) -> Slot | None:
    """Return the card that is meant, or refuse it to the user."""
    sees = user.audience.sees if user.audience is not None else everything
    found = state.index.find(selection, sees) or state.places.find(selection, sees)
    wish = m.SelectCard(id=asked.id, share=Share.EXCLUSIVE)
    if len(found) > 1:
        queue.refuse_ambiguous(state, user, wish, selection, found)
        return None
    if not found:
        queue.refuse(state, user, wish, selection, None)
        return None
    return found[0]
