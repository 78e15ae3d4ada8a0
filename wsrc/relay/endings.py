# SPDX-License-Identifier: Apache-2.0
"""
How a lease ends.

A card is given to the next user only after its card client said that it was reset.
"""

import math

import msgspec

from wsrc.card.slot import Disposition
from wsrc.errors import ErrorCode, Outcome
from wsrc.policy.words import ALL
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import CloseCode
from wsrc.relay import evidence, leases, positions, queue, rights
from wsrc.relay.claims import Lost
from wsrc.relay.index import matches
from wsrc.relay.records import LEAVING, InFlight, Lease, LeasePhase, Slot, UserPeer
from wsrc.relay.state import RelayState
from wsrc.relay.waiting import Line
from wsrc.selection import Selection


def end(state: RelayState, lease: Lease, now: float, why: m.Error, *, asked: bool = False) -> None:
    """
    Take the card from its user and have it reset.

    Args:
        state: The state.
        lease: The lease to end, which is not ending yet.
        now: Monotonic seconds.
        why: What the user is told.
        asked: Whether the user asked for it, so that only open requests are answered.
    """
    in_flight = lease.in_flight
    busy_s = leases.limit_of(state, in_flight.message) if in_flight is not None else 0.0
    _part(state, lease, why, asked=asked)
    lease.code = why.code if lease.keep_s and not asked else None
    if why.code is ErrorCode.REVOKED:
        lease.code = why.code
        lease.disposition, lease.rights, lease.why = Disposition.RESET, ALL, why.message
    lease.turn("ended")
    clean(state, lease, now + busy_s)


def leave(state: RelayState, lease: Lease, goodbye: m.Detach, now: float) -> None:
    """End a lease whose user is done, and say that this was taken."""
    user = lease.user
    assert user is not None
    evidence.gave_back(state, lease, "its user is done", now)
    lease.disposition = goodbye.disposition
    lease.was_last = goodbye.after_answer and bool(lease.sealed)
    cancelled = m.error(ErrorCode.CANCELLED, "The request was cancelled.")
    end(state, lease, now, cancelled, asked=True)
    state.send(user, m.DetachAck(id=goodbye.id, session=goodbye.session))


def settled(state: RelayState, lease: Lease, in_flight: InFlight, now: float) -> None:
    """Give a card back whose user wanted that once the request in flight was answered."""
    if in_flight.goodbye is not None and lease.phase is LeasePhase.HELD:
        leave(state, lease, msgspec.structs.replace(in_flight.goodbye, after_answer=False), now)


def release(state: RelayState, user: UserPeer, slot: Slot, now: float) -> None:
    """Take back a card that was given to a user whose connection broke before they knew of it."""
    for lease in slot.holders:
        if unheard_of(state, user, lease):
            end_kept(state, lease, "its user selects the card again", now)


def release_any(state: RelayState, user: UserPeer, selection: Selection, now: float) -> None:
    """Do so with cards that a user was given who selected any that match."""
    for lease in list(state.kept.get(user.instance or "", {}).values()):
        was_any = lease.asked is not None and lease.asked.message.pick is m.Pick.ANY
        if was_any and unheard_of(state, user, lease) and matches(selection, lease.slot):
            end_kept(state, lease, "its user selects a card again", now)


def unheard_of(state: RelayState, user: UserPeer, lease: Lease) -> bool:
    """
    Return whether a user who selects cannot know of a lease that is kept for them.

    They would have claimed it before they selected; but over its own connection they are only
    about to, after the card host was lost.
    """
    return lease.last_user != user.number and _left_by(state, user, lease)


def give_back(state: RelayState, user: UserPeer, session: str, now: float) -> bool:
    """
    End a session that was interrupted before its user gave it back; return whether there is one.

    It ends at once, or when its card client brings it. The user is on the connection that had it,
    or on a later one of the same run.
    """
    lease, lost = state.sessions.get(session), state.lost.get(session)
    if lease is not None:
        theirs = lease.last_user == user.number or _left_by(state, user, lease)
        if lease.phase is not LeasePhase.KEPT or not theirs:
            return False
        end_kept(state, lease, "its user is done", now)
    elif lost is None or not _lost_by(user, lost):
        return False
    else:
        over = lost._replace(until=-math.inf, code=ErrorCode.CANCELLED)
        state.lost.put(session, over)
    return True


def give_back_early(state: RelayState, user: UserPeer, session: str, now: float) -> None:
    """As `give_back`; what was never here ends when its card client brings it."""
    known = session in state.sessions or state.lost.get(session) is not None
    if not give_back(state, user, session, now) and not known:
        code = ErrorCode.CANCELLED
        state.lost.put(session, Lost(now, -math.inf, user.instance, user.number, code))


def goodbye(state: RelayState, user: UserPeer, now: float) -> None:
    """
    End what was kept for a user who does not want to go on with it.

    What is out of reach ends when its card client brings it.
    """
    if user.instance is not None:
        state.gone.put(user.instance, True)
        for lease in list(state.kept.get(user.instance, {}).values()):
            if _left_by(state, user, lease):
                end_kept(state, lease, "its user is gone", now)


def clean(state: RelayState, lease: Lease, due: float) -> None:
    """Ask for the reset after a lease that ends; `due` is when its card client can begin."""
    state.timers.set(("clean", lease.session, None), due + state.limits.attach_s)
    state.readers.mark(lease.slot)
    _detach(state, lease)


def lose(state: RelayState, lease: Lease, why: m.Error) -> None:
    """End a lease whose card is out of reach or was reset already."""
    if lease.phase not in LEAVING:
        _part(state, lease, why, asked=False)
    leases.forget(state, lease)


def note_end(state: RelayState, lease: Lease, why: m.Error, now: float) -> None:
    """Tell of the end of a session that was not over already."""
    if lease.phase not in LEAVING:
        code = why.code or ErrorCode.INTERNAL
        evidence.gave_back(state, lease, why.message[:200], now, code)


def strike(state: RelayState, slot: Slot, why: m.Error, now: float) -> list[Line]:
    """Strike a reader that is out of reach; return those who wait for its card."""
    lines = positions.lines_of(state, slot)
    state.strike_slot(slot)
    for lease in list(slot.leases.values()):
        note_end(state, lease, why, now)
        lose(state, lease, why)
    return lines


def cleaned(state: RelayState, lease: Lease, now: float) -> None:
    """Free a card that its card client reset after a lease."""
    leases.forget(state, lease)
    queue.offer(state, lease.slot, now)


def overdue(state: RelayState, lease: Lease, now: float) -> None:
    """
    Deal with a card that is not reset in time.

    A card client of the first form has but this card, and is cut off. Another one is asked again:
    its other readers must not suffer, and nobody gets the card before it answers.
    """
    peer = lease.slot.peer
    why = f"Card host {peer.name} did not reset a card in time."
    state.note(why)
    if peer.first_form:
        state.close(peer, CloseCode.POLICY, why)
        return
    state.timers.set(("clean", lease.session, None), now + state.limits.attach_s)
    _detach(state, lease)


def not_cleaned(state: RelayState, lease: Lease, error: m.Error, now: float) -> None:
    """
    Keep a card from users that its card client could not reset after a lease.

    It is mute until its card client reports it again; one of the first form cannot, and is cut
    off. Where others share the card, the last of them has it powered off. In an empty reader there
    is nothing to keep.
    """
    peer, slot = lease.slot.peer, lease.slot
    why = f"The card could not be reset after a lease: {error.message[:80]}"
    state.note(f"Card host {peer.name}: {why}")
    if peer.first_form:
        state.close(peer, CloseCode.POLICY, why)
        return
    leases.forget(state, lease)
    if slot.has_card and not slot.leases:
        slot.info = msgspec.structs.replace(slot.info, state=m.ReaderState.MUTE)
    queue.offer(state, slot, now)


def said_by_card_client(
    state: RelayState, lease: Lease, said: m.SessionEnded, text: bytes | None
) -> None:
    """
    Pass on how a session ended that could have been resumed.

    It says what became of the request in flight; where it does not, that is unknown.
    """
    in_flight, lease.in_flight = lease.in_flight, None
    if in_flight is not None:
        state.tally.not_answered(Outcome.UNKNOWN)
        if said.seq is None:
            fields = {"session": lease.session, "outcome": Outcome.UNKNOWN}
            state.tell(lease, m.error(said.code, said.message, id=in_flight.id, **fields))
        close_cancel(state, lease, in_flight, cancelled=False)
    state.tell(lease, said, text)
    separate(lease, said)
    leases.forget(state, lease)


def _left_by(state: RelayState, user: UserPeer, lease: Lease) -> bool:
    """Return whether a lease is kept for the run of a user's program, and nobody claims it."""
    if lease.phase is not LeasePhase.KEPT or lease.instance != user.instance:
        return False
    return user.instance is not None and not state.claims.count(lease.session)


def _lost_by(user: UserPeer, lost: Lost) -> bool:
    same_run = user.instance is not None and lost.instance == user.instance
    return same_run or lost.last_user == user.number


def end_kept(state: RelayState, lease: Lease, sentence: str, now: float) -> None:
    """End a lease whose user is out of reach, as a sentence says."""
    evidence.gave_back(state, lease, sentence, now)
    end(state, lease, now, m.error(ErrorCode.CANCELLED, sentence))


def _detach(state: RelayState, lease: Lease) -> None:
    disposition = rights.disposition(lease, lease.disposition)
    why = lease.why if lease.code is not None else None
    detach = m.Detach(
        session=lease.session,
        disposition=disposition,
        code=lease.code,
        message=why,
        after_answer=lease.was_last,
    )
    state.send(lease.slot.peer, detach)


def _part(state: RelayState, lease: Lease, why: m.Error, *, asked: bool) -> None:
    """Separate the user from the lease, and answer what is not answered yet."""
    state.clear_timers(lease)
    state.unkeep(lease)
    code = why.code or ErrorCode.CARD_TRANSMISSION_ERROR
    if lease.phase is LeasePhase.ATTACHING:
        assert lease.asked is not None
        id_, not_executed = lease.asked.message.id, Outcome.NOT_EXECUTED
        refusal = m.error(code, why.message, id=id_, outcome=not_executed)
        state.tell(lease, refusal)
        separate(lease)
        return
    in_flight, lease.in_flight = lease.in_flight, None
    if in_flight is not None:
        outcome = why.outcome or Outcome.UNKNOWN
        state.tally.not_answered(outcome)
        failed = m.error(code, why.message, id=in_flight.id, session=lease.session, outcome=outcome)
        state.tell(lease, failed)
        close_cancel(state, lease, in_flight, cancelled=False)
    said = m.SessionEnded(session=lease.session, code=code, message=why.message)
    if not asked:
        state.tell(lease, said)
    separate(lease, None if asked else said)


def separate(lease: Lease, said: m.SessionEnded | None = None) -> None:
    """Take a lease from its connection, which is told afterwards what was said of its end."""
    user, lease.user = lease.user, None
    if user is None:
        return
    del user.leases[lease.session]
    if said is not None:
        user.remember_end(lease.session, m.error(said.code, said.message))


def close_cancel(state: RelayState, lease: Lease, in_flight: InFlight, *, cancelled: bool) -> None:
    """Answer a cancel that its card client has not answered before the request itself."""
    if in_flight.cancel is not None:
        ack = m.CancelAck(id=in_flight.cancel, session=lease.session, cancelled=cancelled)
        state.tell(lease, ack)
