# SPDX-License-Identifier: Apache-2.0
"""
Users note something of a card: tags and a comment, which the shell keeps before anybody sees them.

What is to be kept otherwise is told as an effect; when the shell has done that, cards are shown
with it, are found by it, and are given to those who wait for it.
"""

from collections.abc import Mapping
from typing import Final

from wsrc.errors import ErrorCode, RefusedError
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.relay import evidence, positions, queue
from wsrc.relay.effects import Keep
from wsrc.relay.index import everything
from wsrc.relay.kept import Change, Kept
from wsrc.relay.records import Pending, Slot, UserPeer
from wsrc.relay.state import RelayState
from wsrc.relay.tags import identity_of
from wsrc.selection import selection_of
from wsrc.tags import wrong, wrong_comment, wrong_key

MAX_PENDING: Final = 1_000
"""Changes that are not kept yet; one more is refused."""

MAX_KEPT: Final = 100_000
"""Cards and readers of which something is kept; of one more it is refused."""

Request = m.SetTags | m.SetComment


def ask(state: RelayState, user: UserPeer, request: Request) -> None:
    """Have a change kept; raises RefusedError if it is not to be."""
    try:
        change = _change(request)
        slot = _found(state, user, request)
        _check_room(state, slot, change)
    except RefusedError as exc:
        evidence.denied(state, user, evidence.NOTES, exc.code, str(exc))
        raise
    state.last_change += 1
    state.pending[state.last_change] = Pending(user, request, slot, change)
    state.effects.append(Keep(state.last_change, identity_of(slot), change))


def kept(state: RelayState, number: int, now_kept: Kept | None, why: str, now: float) -> None:
    """
    Go on after a change.

    Args:
        state: The state.
        number: That of the effect.
        now_kept: What is kept of the card from now on; None if the change was not kept.
        why: A sentence that says why not.
        now: Monotonic seconds.
    """
    user, request, slot, change = state.pending.pop(number)
    if now_kept is None:
        state.refuse(user, request.id, ErrorCode.NOT_KEPT, why)
        return
    _shown(state, identity_of(slot), now_kept, now)
    evidence.noted(state, user, slot, (*(change.set or ()), *change.unset), request)
    ack = m.SetTagsAck if isinstance(request, m.SetTags) else m.SetCommentAck
    if user.number in state.peers and user.audience is not None and user.audience.sees(slot):
        view = state.view_of(slot)
        state.send(user, ack(id=request.id, reader=state.readers.of(user).numbered(slot, view)))


def told(state: RelayState, identity: str, now_kept: Kept, now: float) -> None:
    """Know what is kept of a card now, which another server may have changed."""
    if now_kept != state.kept_tags.get(identity, Kept()):
        _shown(state, identity, now_kept, now)


def recall(state: RelayState, everything_kept: Mapping[str, Kept]) -> None:
    """Know what was kept before; no card is here yet."""
    state.kept_tags.update(everything_kept)


def _change(request: Request) -> Change:
    if isinstance(request, m.SetComment):
        why = wrong_comment(request.comment)
        if why is not None:
            raise RefusedError(ErrorCode.BAD_MESSAGE, f"It cannot be noted: {why}.")
        return Change(comment=request.comment.strip())
    tags = request.set or {}
    why = wrong(tags) or next(filter(None, map(wrong_key, request.unset)), None)
    if not tags and not request.unset:
        why = "there is no tag to set, and none to go"
    if why is not None:
        raise RefusedError(ErrorCode.BAD_MESSAGE, f"The tags cannot be set: {why}.")
    return Change(tags, request.unset)


def _found(state: RelayState, user: UserPeer, request: Request) -> Slot:
    """Return the card, or the reader, that a user means and may note something of."""
    sees = user.audience.sees if user.audience is not None else everything
    selection = selection_of(request)
    found = state.index.find(selection, sees) or state.places.find(selection, sees)
    return queue.the_one(user, Verb.TAG, selection, found)


def _check_room(state: RelayState, slot: Slot, change: Change) -> None:
    if state.draining:
        raise RefusedError(ErrorCode.SHUTTING_DOWN, queue.RESTARTS)
    before = state.kept_tags.get(identity_of(slot))
    if len(state.pending) >= MAX_PENDING or (before is None and len(state.kept_tags) >= MAX_KEPT):
        why = "Of too many cards something is noted, or is being written; take away what is old."
        raise RefusedError(ErrorCode.TOO_MANY, why)
    try:
        change.of(before or Kept())
    except ValueError as exc:
        raise RefusedError(ErrorCode.TOO_MANY, str(exc)) from exc


def _shown(state: RelayState, identity: str, now_kept: Kept, now: float) -> None:
    """Show every card of an identity with what is kept of it now."""
    if now_kept.empty:
        state.kept_tags.pop(identity, None)
    else:
        state.kept_tags[identity] = now_kept
    for slot in state.slots_of(identity):
        lines = positions.lines_of(state, slot)
        state.file(slot)
        queue.offer(state, slot, now)
        queue.reconsider(state, lines, now)
