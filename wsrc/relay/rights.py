# SPDX-License-Identifier: Apache-2.0
"""
Which verb of the policy a user needs for what it asks, and what it is told where that is lacking.

What may be done with a card is decided when a session begins, when the facts of the card change and
when the policy does. A command APDU asks nothing of this module.
"""

from collections.abc import Mapping
from typing import Final, get_args

from wsrc.card.slot import Disposition, Share
from wsrc.errors import ErrorCode
from wsrc.policy.words import ALL, Verb
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.protocol.kinds import kind_of, resets, wish_of
from wsrc.relay.audience import Audience
from wsrc.relay.names import written
from wsrc.relay.records import Lease, Slot, UserPeer

TAKES: Final = {Share.EXCLUSIVE: Verb.USE, Share.SHARED: Verb.SHARE, Share.DIRECT: Verb.DIRECT}
"""What is needed to have a card in each way of sharing it."""


NEEDS: Final[Mapping[type[m.Message], str]] = {
    m.Hello: "Nothing",
    m.ListCards: "`list`, of each card that is told of",
    m.ListReaders: "`list`, of each reader that is told of",
    m.WatchReaders: "`events` in any grant, and of each reader that is told of",
    m.SetTags: "`tag`",
    m.SetComment: "`tag`",
    m.SelectCard: "`use`, `share` or `direct`, as `share` of the request is",
    m.Resume: "What `select_card` needed",
    m.CApdu: "Nothing beyond what the session was begun with",
    m.Batch: "Nothing beyond what the session was begun with",
    m.ResetReq: "`reset`",
    m.Reconnect: (
        "`use` or `share`, as the card is used from then on; with a reset, `reset` as well"
    ),
    m.BeginTransaction: "Nothing beyond what the session was begun with",
    m.EndTransaction: "`reset`, where the disposition is another than `leave`",
    m.Status: "Nothing beyond what the session was begun with",
    m.Control: "`control`",
    m.GetAttribute: "`attributes`",
    m.SetAttribute: "`attributes`",
    m.Sealed: "What the request that is in the box needs",
    m.Detach: (
        "Nothing; without `reset`, a card that others share is left as it is whatever the "
        "disposition"
    ),
    m.Cancel: "Nothing",
    m.Who: "`list`, of each card that is told of; who waits for it is told with `revoke`",
    m.Revoke: "`revoke` or `admin`; nothing where all whom it is taken from are the same principal",
    m.Allow: "Nothing; whoever is let in needs `share`",
    m.Lend: "Nothing; whoever it is lent to needs what `select_card` does",
    m.Reserve: "`reserve`",
    m.ListReservations: "`list`, of each card whose reservation is told of; nothing of one's own",
    m.CancelReservation: (
        "Nothing of one's own, or of one that was made without a principal with its token; else "
        "`admin`, of every card"
    ),
    **dict.fromkeys(get_args(m.Operator), "`admin`, of every card"),
}
"""What a user needs for each message, for people; `needed_for` has what a session's need."""

_ALWAYS: Final[Mapping[type[m.Message], Verb]] = {
    m.ResetReq: Verb.RESET,
    m.Control: Verb.CONTROL,
    m.GetAttribute: Verb.ATTRIBUTES,
    m.SetAttribute: Verb.ATTRIBUTES,
}


def needed_for(message: m.Forwarded, share: Share) -> tuple[Verb, ...]:
    """
    Return the verbs that a user needs for a request of a session.

    Args:
        message: What is asked.
        share: How the session has the card.
    """
    always = _ALWAYS.get(kind_of(message))
    if always is not None:
        return (always,)
    reset = (Verb.RESET,) if resets(message) else ()
    if kind_of(message) is not m.Reconnect:
        return reset
    taken = TAKES.get(wish_of(message) or share)
    return (taken, *reset) if taken is not None else reset


def of(audience: Audience | None, slot: Slot) -> frozenset[Verb]:
    """Return what users may do with a reader and its card."""
    return audience.rights(slot) if audience is not None else ALL


def lacking(audience: Audience | None, slot: Slot, share: Share) -> Verb | None:
    """Return the verb that users lack who would have a card in this way, None if they may."""
    verb = TAKES.get(share)
    if audience is None or verb is None:
        return None
    return None if verb in audience.rights(slot) else verb


def refusal(lease: Lease, message: m.Forwarded) -> tuple[ErrorCode, str] | None:
    """Return why a request of a session is refused for what its user may do, if so."""
    for verb in needed_for(message, lease.share):
        if verb not in lease.rights:
            return ErrorCode.FORBIDDEN, forbidden(lease.principal, verb, lease.slot)
    return None


def disposition(lease: Lease, wish: Disposition) -> Disposition:
    """Return what is done with a card that others share when a user who wishes this leaves it."""
    may = Verb.RESET in lease.rights or lease.share is not Share.SHARED
    return wish if may or not wish.known else Disposition.LEAVE


def forbidden(who: Principal | None, verb: Verb, slot: Slot) -> str:
    """Return a sentence on what is lacking, and whom to ask."""
    what = f"{str(verb)!r} what is in {slot.info.name} on {slot.peer.name}"
    return _lacking(who, what)


def no_events(user: UserPeer) -> str | None:
    """Return why a user is told of no changes, whatever readers there are, if that is so."""
    if user.audience is None or user.audience.may_ever(Verb.EVENTS):
        return None
    return _lacking(user.principal, f"watch any reader, which needs {str(Verb.EVENTS)!r}")


def _lacking(who: Principal | None, what: str) -> str:
    known = f"{written(who.name)} may" if who is not None else "Who has no name here may"
    why = "no grant of the server's policy gives it. Ask the operator of the server."
    return f"{known} not {what}: {why}"
