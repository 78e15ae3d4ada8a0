# SPDX-License-Identifier: Apache-2.0
"""
Sessions that outlive connections: kept without their user, claimed, resumed.

The secret of a session is compared by its card client alone; the relay acts on what that answers.
"""

import math
from collections.abc import Iterable, Sequence

import msgspec

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.relay import endings, leases, queue, sharing
from wsrc.relay.claims import Lost, Sign
from wsrc.relay.records import (
    MAX_HOLDERS,
    RESUME,
    SERVED,
    CardPeer,
    Claim,
    Lease,
    LeasePhase,
    Slot,
    UserPeer,
)
from wsrc.relay.state import RelayState, printable

MAX_CLAIMS = 8
"""Claims to one session at a time."""

MAX_SESSION_NAME = 64
"""Characters of the name of a session that a card client says it has."""

_NO_SUCH_SESSION = "There is no such session, or it cannot be resumed."


def away(state: RelayState, lease: Lease, now: float) -> None:
    """
    Keep a card whose user is out of reach.

    The request in flight goes on: its answer tells how the card is shared, and its user is told
    it by the card client's own copy.
    """
    endings.separate(lease)
    lease.turn("user lost")
    state.timers.clear(("idle", lease.session, None))
    _keep(state, lease, now + lease.keep_s)
    sentence = f"its user is out of reach, and the card is kept for {lease.keep_s:g} s"
    state.note(f"Session {lease.session[:8]} of {lease.holder}: {sentence}")
    state.readers.mark(lease.slot)


def interrupt(state: RelayState, lease: Lease, why: m.Error) -> None:
    """
    Release a lease whose card client is out of reach, and may come back with the session.

    One that is not held yet, or not any more, is only remembered: it cannot go on.
    """
    until = lease.kept_until if lease.phase in SERVED else -math.inf
    run = lease.slot.peer.instance
    lost = Lost(lease.since, until, lease.instance, lease.last_user, lease.code, run)
    state.lost.put(lease.session, lost)
    if lease.phase not in SERVED:
        return
    state.note(f"Session {lease.session[:8]} of {lease.holder} is interrupted: {why.message}")
    in_flight, lease.in_flight = lease.in_flight, None
    if in_flight is not None:
        endings.close_cancel(state, lease, in_flight, cancelled=False)
    state.tell(lease, m.SessionInterrupted(session=lease.session, message=why.message))
    endings.separate(lease)
    leases.forget(state, lease)


def adopt(
    state: RelayState, peer: CardPeer, sessions: Sequence[m.RunningSession], now: float
) -> list[Lease]:
    """
    Make leases of the sessions that a card client kept; return those that end at once.

    Their cards are not free before `end_adopted`. Nobody is told yet, for the readers of the card
    client were not announced.
    """
    over: list[Lease] = []
    for running in sessions:
        slot = _place_of(state, peer, running)
        if slot is None:
            code = ErrorCode.CARD_NOT_PRESENT
            state.send(peer, m.Detach(session=running.session, code=code))
            continue
        lease = _adopted(state, slot, running, now)
        user = state.instances.get((UserPeer, lease.instance or ""))
        if (
            isinstance(user, UserPeer)
            and endings.unheard_of(state, user, lease)
            and queue.waits_for(state, user, slot)
        ):
            lease.turn("ended")
            lease.code = ErrorCode.CANCELLED
        if lease.phase is not LeasePhase.KEPT:
            over.append(lease)
            continue
        _keep(state, lease, lease.kept_until)
        sentence = f"came back with card host {peer.name} and waits for its user"
        state.note(f"Session {lease.session[:8]} of {lease.holder} {sentence}")
    return over


def end_adopted(state: RelayState, lease: Lease, now: float) -> None:
    """Ask for the reset of a card that its card client kept for nobody."""
    lease.code = lease.code or ErrorCode.LEASE_EXPIRED
    late = lease.code is ErrorCode.LEASE_EXPIRED
    why = "it came back too late" if late else "its user does not want it any more"
    state.note_end(lease, why)
    endings.clean(state, lease, now)


def arrived(
    state: RelayState,
    peer: CardPeer,
    readers: Iterable[Slot],
    sessions: Iterable[m.RunningSession],
    now: float,
) -> None:
    """Ask a card client that came, or has one more reader, what users waited to ask."""
    if RESUME not in peer.features:
        return
    signs: list[Sign] = [(running.session,) for running in sessions]
    signs += [(peer.name, id_) for slot in readers for id_ in slot.ids]
    for claim in state.claims.waiting_for(signs):
        _ask(state, claim, peer, now)


def claim_session(state: RelayState, user: UserPeer, message: m.Resume, now: float) -> None:
    """Ask the card client of a session whether it is the user's; wait for it if need be."""
    wrong = _refusal(state, user, message)
    if wrong is not None:
        code, why = wrong
        state.refuse(user, message.id, code, why, session=message.session)
        return
    _route(state, state.claims.add(user, message), now)


def claim_of(peer: CardPeer, answer: m.Message) -> Claim | None:
    """Return the claim that a message of a card client answers, if any."""
    claim = peer.claims.get(answer.id) if answer.id is not None else None
    if claim is None or m.session_of(answer) not in {None, claim.message.session}:
        return None
    if isinstance(answer, m.Error) and answer.seq is not None:
        return None
    return claim


def answered(state: RelayState, claim: Claim, answer: m.Message, now: float) -> None:
    """
    Tell a user what became of a claim; a session that is theirs is theirs from now on.

    Where another card client came with the session meanwhile, that one is asked.
    """
    session = claim.message.session
    lease = state.sessions.get(session)
    if lease is not None and lease.slot.peer is not claim.peer:
        _route(state, claim, now)
        return
    if isinstance(answer, m.Resumed):
        if lease is not None and lease.phase in SERVED:
            _take_over(state, lease, claim.user, answer, now)
        else:
            answer = _too_late(state, claim, lease, answer)
    elif isinstance(answer, m.Error) and lease is not None:
        sentence = f"is not given to {claim.user.name}: {answer.message[:200]}"
        state.note(f"Session {session[:8]} of {lease.holder} {sentence}")
    elif isinstance(answer, m.Error) and _was_restarted(state, claim, answer):
        assert claim.peer is not None
        why = f"{claim.peer.name} was restarted and the card was reset."
        answer = msgspec.structs.replace(answer, message=why)
    _settle(state, claim, answer)


def _was_restarted(state: RelayState, claim: Claim, answer: m.Error) -> bool:
    """Return whether a session is unknown because its card client is another run by now."""
    lost = state.lost.get(claim.message.session)
    run = claim.peer.instance if claim.peer is not None else None
    unknown = answer.code is ErrorCode.NO_SUCH_SESSION
    return (
        unknown and lost is not None and None not in {run, lost.host_run} and run != lost.host_run
    )


def expired(state: RelayState, number: int) -> None:
    """Answer a claim whose time is over."""
    claim = state.claims.numbered(number)
    if claim.peer is None:
        host = printable(claim.message.host) or "of the session"
        code, why = ErrorCode.CARD_CLIENT_GONE, f"Card host {host} did not come back in time."
    else:
        why = f"Card host {claim.peer.name} did not answer in time."
        code = ErrorCode.COMMAND_TIMEOUT
    _refuse(state, claim, code, why)


def cancel(state: RelayState, claim: Claim) -> None:
    """Cancel a claim for its user."""
    _refuse(state, claim, ErrorCode.CANCELLED, "The request was cancelled.")


def drain(state: RelayState, user: UserPeer) -> None:
    """Tell a user to repeat all claims to the next run of the server."""
    for claim in list(user.claims.values()):
        _refuse(state, claim, ErrorCode.SHUTTING_DOWN, queue.RESTARTS)


def forget_user(state: RelayState, user: UserPeer) -> None:
    """Strike the claims of a user who is gone; what they are answered is dropped."""
    for claim in list(user.claims.values()):
        state.timers.clear(_timer(claim))
        state.claims.remove(claim)


def card_client_lost(state: RelayState, peer: CardPeer, now: float) -> None:
    """Make claims wait that a card client did not answer before it was gone."""
    for claim in list(peer.claims.values()):
        _route(state, claim, now)


def _keep(state: RelayState, lease: Lease, until: float) -> None:
    lease.kept_until = until
    state.keep(lease)
    state.timers.set(("away", lease.session, None), until)


def _place_of(state: RelayState, peer: CardPeer, running: m.RunningSession) -> Slot | None:
    """Return the reader of a session that a card client kept, if it can have one."""
    session, slot = running.session, peer.slots.get(running.reader)
    if slot is None or RESUME not in peer.features or session in state.sessions:
        return None
    if not session or len(session) > MAX_SESSION_NAME or not session.isprintable():
        return None
    same = slot.has_card and slot.info.insertion == running.insertion
    return slot if same or running.share is Share.DIRECT else None


def _adopted(state: RelayState, slot: Slot, running: m.RunningSession, now: float) -> Lease:
    keep_s = max(0.0, min(running.keep_s, state.limits.keep_s))
    lost = state.lost.pop(running.session) or Lost(now, math.inf, running.instance, 0, None)
    if state.gone.get(lost.instance or ""):
        lost = lost._replace(until=-math.inf, code=ErrorCode.CANCELLED)
    until = min(now + keep_s, lost.until)
    lease = Lease(
        session=running.session,
        slot=slot,
        user=None,
        holder=printable(running.holder) or "a user",
        asked=None,
        since=lost.since,
        used=now,
        instance=lost.instance,
        last_user=lost.last_user,
        keep_s=keep_s,
        phase=LeasePhase.KEPT,
        share=running.share,
        kept_until=until,
        code=lost.code,
    )
    shares = {each.share for each in (lease, *slot.leases.values())}
    excluded = slot.leases and (shares != {Share.SHARED} or len(slot.leases) >= MAX_HOLDERS)
    if excluded or until <= now:
        lease.turn("ended")
    slot.leases[lease.session] = lease
    state.sessions[lease.session] = lease
    return lease


def _refusal(state: RelayState, user: UserPeer, message: m.Resume) -> tuple[ErrorCode, str] | None:
    """Return why a claim is refused without asking its card client, if it is."""
    if state.draining:
        return ErrorCode.SHUTTING_DOWN, queue.RESTARTS
    if message.id in user.claims:
        return ErrorCode.REQUEST_IN_FLIGHT, "A resume with this id is not answered yet."
    if user.engaged >= state.limits.max_sessions_per_user:
        why = f"This connection already holds or waits for {user.engaged} cards, the limit."
        return ErrorCode.TOO_MANY, why
    if state.claims.count(message.session) >= MAX_CLAIMS:
        return ErrorCode.TOO_MANY, "Too many want to resume the session already; try again later."
    lease = state.sessions.get(message.session)
    if not state.limits.keep_s or (lease is not None and not lease.keep_s):
        return ErrorCode.NO_SUCH_SESSION, _NO_SUCH_SESSION
    return None


def _route(state: RelayState, claim: Claim, now: float) -> None:
    peer = _whereabouts(state, claim.message)
    if peer is not None:
        _ask(state, claim, peer, now)
        return
    state.claims.wait(claim)
    state.timers.set(_timer(claim), now + state.limits.keep_s)


def _whereabouts(state: RelayState, message: m.Resume) -> CardPeer | None:
    """Return the card client that has a session, had it, or has the reader that it was on."""
    lease = state.sessions.get(message.session)
    if lease is not None:
        return lease.slot.peer
    peer = state.peers.get(state.past.get(message.session) or 0)
    if isinstance(peer, CardPeer):
        return peer
    for slot in state.places.of(message.reader) if message.reader is not None else ():
        if slot.peer.name == message.host and RESUME in slot.peer.features:
            return slot.peer
    return None


def _ask(state: RelayState, claim: Claim, peer: CardPeer, now: float) -> None:
    """Ask a card client, which answers when the command that it runs is over."""
    state.claims.ask(claim, peer)
    limits = state.limits
    state.timers.set(_timer(claim), now + 2 * limits.command_s + limits.attach_s)
    state.send(peer, msgspec.structs.replace(claim.message, id=claim.number))


def _take_over(
    state: RelayState, lease: Lease, user: UserPeer, resumed: m.Resumed, now: float
) -> None:
    """
    Make a lease the claimant's.

    What its card client has not answered before is sent again by the claimant, or not begun.
    """
    in_flight = lease.in_flight
    if in_flight is not None:
        leases.answered(state, lease, now)
        sharing.settled(state, lease, in_flight, resumed, now)
        endings.close_cancel(state, lease, in_flight, cancelled=False)
    if lease.user is not user:
        why = "The session goes on over another connection."
        code = ErrorCode.RESUMED_ELSEWHERE
        if in_flight is not None:
            fields = {"id": in_flight.id, "session": lease.session, "outcome": Outcome.UNKNOWN}
            state.tell(lease, m.error(code, why, **fields))
        said = m.SessionEnded(session=lease.session, code=code, message=why)
        state.tell(lease, said)
        endings.separate(lease, said)
    state.unkeep(lease)
    lease.user, lease.holder, lease.instance = user, user.name, user.instance
    lease.last_user = user.number
    user.leases[lease.session] = lease
    lease.turn("resumed")
    lease.kept_until, lease.used = math.inf, now
    state.timers.clear(("away", lease.session, None))
    leases.watch_idle(state, lease, now)
    state.note(f"Session {lease.session[:8]} of {lease.holder} is resumed")
    state.readers.mark(lease.slot)
    queue.joinable(state, lease.slot, now)


def _too_late(
    state: RelayState, claim: Claim, lease: Lease | None, resumed: m.Resumed
) -> m.SessionEnded:
    """Tell the rightful user of a session that ended before their card client had answered."""
    assert claim.peer is not None
    session = claim.message.session
    code = (lease.code if lease is not None else None) or ErrorCode.LEASE_EXPIRED
    if lease is None:
        state.send(claim.peer, m.Detach(session=session, code=code))
    why = "The session ended before it was resumed."
    return m.SessionEnded(
        session=session, code=code, message=why, seq=resumed.seq, answer=resumed.answer
    )


def _refuse(state: RelayState, claim: Claim, code: ErrorCode, why: str) -> None:
    _settle(state, claim, m.error(code, why, session=claim.message.session))


def _settle(state: RelayState, claim: Claim, answer: m.Message) -> None:
    state.timers.clear(_timer(claim))
    state.claims.remove(claim)
    state.send(claim.user, msgspec.structs.replace(answer, id=claim.message.id))


def _timer(claim: Claim) -> tuple[str, int, None]:
    return "claim", claim.number, None
