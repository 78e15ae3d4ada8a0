# SPDX-License-Identifier: Apache-2.0
"""
Sessions that are claimed: whom the relay asks, and how each claim is answered.

The secret of a session is compared by its card client; the relay acts on what that answers. Where
it saw the secret, it refuses others itself, so that no number of them is in the owner's way.
"""

import math
from collections.abc import Iterable

import msgspec

from wsrc.errors import ErrorCode, Outcome
from wsrc.principal import owner_of
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import SOON_S
from wsrc.relay import accounts, endings, evidence, leases, lending, queue, rights, sharing
from wsrc.relay.effects import Note
from wsrc.relay.names import printable
from wsrc.relay.records import (
    RESUME,
    SERVED,
    CardPeer,
    Claim,
    Lease,
    Slot,
    UserPeer,
    proof_of,
)
from wsrc.relay.state import RelayState

MAX_CLAIMS = 8
"""Claims of one connection to one session at a time; those of others are in nobody's way."""

MAX_ASKED = 1_000
"""Claims to sessions that are not known which one card client is asked at a time."""

NOT_GIVEN, UNKNOWN = "resumes_not_given", "resumes_of_unknown_sessions"
"""Under which claims are counted, and logged, that have a wrong secret, or a wrong name."""

_NO_SUCH_SESSION = "There is no such session, or it cannot be resumed."

LEFT = "Card host {} has said goodbye."


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
    named = state.claims.waiting_for((running.session,) for running in sessions)
    found = {claim.number: claim for claim in named}
    for slot in readers:
        for claim in state.claims.waiting_for((peer.name, id_) for id_ in slot.ids):
            if _sees(claim.user, slot):
                found[claim.number] = claim
    for number in sorted(found):
        claim = found[number]
        if not _divert(state, claim) or _whereabouts(state, claim) is peer:
            _ask(state, claim, peer, now)
        else:
            state.claims.wait(claim)


def claim_session(state: RelayState, user: UserPeer, message: m.Resume, now: float) -> None:
    """Ask the card client of a session whether it is the user's; wait for it if need be."""
    wrong = _refusal(state, user, message)
    if wrong is not None:
        code, why = wrong
        state.refuse(user, message.id, code, why, session=message.session)
        return
    full = _is_full(state, user, message)
    if full is not None:
        fields = {"session": message.session, "retry_after_s": SOON_S}
        wanted = f"session {message.session[:8]}"
        evidence.too_many(state, user, message.id, wanted, full, **fields)
        return
    anothers = _is_anothers(state, user, message.session)
    lease = None if anothers else state.sessions.get(message.session)
    if lease is not None and not lease.may_be_of(message):
        _not_given(state, lease, user, _NO_SUCH_SESSION)
        code = ErrorCode.NO_SUCH_SESSION
        state.refuse(user, message.id, code, _NO_SUCH_SESSION, session=message.session)
        return
    _route(state, state.claims.add(user, message), now)


def _is_anothers(state: RelayState, user: UserPeer, session: str) -> bool:
    """Return whether a session is known to be of another principal than a user."""
    lease, lost = state.sessions.get(session), state.lost.get(session)
    known = lease or lost or state.past.get(session)
    return known is not None and known.owner != owner_of(user.principal)


def _divert(state: RelayState, claim: Claim) -> bool:
    """
    Let a claim to a session that is another's be one to a session that does not exist.

    Returns:
        Whether it is one.
    """
    if not _is_anothers(state, claim.user, claim.session):
        return False
    _not_given(state, state.sessions.get(claim.session), claim.user, _NO_SUCH_SESSION)
    state.claims.divert(claim, state.new_session())
    return True


def _sees(user: UserPeer, slot: Slot) -> bool:
    return user.audience is not None and user.audience.sees(slot)


def claim_of(peer: CardPeer, answer: m.Message) -> Claim | None:
    """Return the claim that a message of a card client answers, if any."""
    claim = peer.claims.get(answer.id) if answer.id is not None else None
    if claim is None or m.session_of(answer) not in {None, claim.session}:
        return None
    if isinstance(answer, m.Error) and answer.seq is not None:
        return None
    return claim


def answered(state: RelayState, claim: Claim, answer: m.Message, now: float) -> None:
    """
    Tell a user what became of a claim; a session that is theirs is theirs from now on.

    Where another card client came with the session meanwhile, that one is asked.
    """
    lease = state.sessions.get(claim.session)
    if lease is not None and lease.slot.peer is not claim.peer:
        _route(state, claim, now)
        return
    if isinstance(answer, m.Resumed):
        if lease is not None:
            _end_forbidden(state, lease, claim.user, now)
        if lease is not None and lease.phase in SERVED:
            lending.remembered(state, lease, claim.message.guests)
            _take_over(state, lease, claim.user, answer, now)
            secret = claim.message.secret
            lease.proof = proof_of(secret) if secret and not claim.message.proof else None
            lease.sealed = claim.message.proof is not None
        else:
            answer = _too_late(state, claim, lease, answer)
    elif isinstance(answer, m.Error):
        _not_given(state, lease, claim.user, answer.message)
    if isinstance(answer, m.Error) and lease is None and _was_restarted(state, claim, answer):
        assert claim.peer is not None
        why = f"{claim.peer.name} was restarted and the card was reset."
        answer = msgspec.structs.replace(answer, message=why)
    _settle(state, claim, answer)


def _was_restarted(state: RelayState, claim: Claim, answer: m.Error) -> bool:
    """Return whether a session is unknown because its card client is another run by now."""
    lost = state.lost.get(claim.session)
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


def withdraw(state: RelayState, claim: Claim) -> None:
    """Strike a claim that is answered elsewhere."""
    state.timers.clear(_timer(claim))
    state.claims.remove(claim)


def drain(state: RelayState, user: UserPeer) -> None:
    """Tell a user to repeat all claims to the next run of the server."""
    for claim in list(user.claims.values()):
        _refuse(state, claim, ErrorCode.SHUTTING_DOWN, queue.RESTARTS)


def forget_user(state: RelayState, user: UserPeer) -> None:
    """Strike the claims of a user who is gone; what they are answered is dropped."""
    for claim in list(user.claims.values()):
        withdraw(state, claim)


def card_client_lost(state: RelayState, peer: CardPeer, now: float) -> None:
    """Make claims wait that a card client did not answer before it was gone."""
    for claim in list(peer.claims.values()):
        _route(state, claim, now)


def _refusal(state: RelayState, user: UserPeer, message: m.Resume) -> tuple[ErrorCode, str] | None:
    """Return why a claim is refused without asking its card client, if it is."""
    if state.draining:
        return ErrorCode.SHUTTING_DOWN, queue.RESTARTS
    if message.id in user.claims:
        return ErrorCode.REQUEST_IN_FLIGHT, "A resume with this id is not answered yet."
    anothers = _is_anothers(state, user, message.session)
    lease = None if anothers else state.sessions.get(message.session)
    way = message.proof is not None or state.limits.resume_by_secret
    if not (way and state.limits.keep_s) or (lease is not None and not lease.keep_s):
        return ErrorCode.NO_SUCH_SESSION, _NO_SUCH_SESSION
    return None


def _is_full(state: RelayState, user: UserPeer, message: m.Resume) -> accounts.Full | None:
    """
    Return what keeps a user from one more claim, if anything does.

    The sessions of an account do not: what is claimed may be among them. Nor do those of a
    connection, where it is one of them.
    """
    own = message.session in user.leases
    if not own and user.engaged >= state.limits.max_sessions_per_user:
        return accounts.no_more_cards(state, user)
    same = [c for c in user.claims.values() if c.message.session == message.session]
    if len(same) >= MAX_CLAIMS:
        why = f"{MAX_CLAIMS} resume for the session are open on this connection; try again later."
        return "resumes_per_session", why
    return accounts.no_more_waiting(state, user)


def _route(state: RelayState, claim: Claim, now: float) -> None:
    _divert(state, claim)
    peer = _whereabouts(state, claim)
    if peer is not None:
        _ask(state, claim, peer, now)
        return
    past = state.past.get(claim.session)
    host = state.left.get(str(past.peer)) if past is not None else None
    if host is not None:
        _refuse(state, claim, ErrorCode.CARD_CLIENT_GONE, LEFT.format(host))
        return
    state.claims.wait(claim)
    state.timers.set(_timer(claim), now + state.limits.keep_s)


def _whereabouts(state: RelayState, claim: Claim) -> CardPeer | None:
    """Return the card client that has a session, had it, or has the reader that it was on."""
    lease, past = state.sessions.get(claim.session), state.past.get(claim.session)
    if lease is not None:
        return lease.slot.peer
    peer = state.peers.get(past.peer) if past is not None else None
    if isinstance(peer, CardPeer):
        return peer
    message = claim.message
    for slot in state.places.of(message.reader) if message.reader is not None else ():
        if slot.peer.name != message.host or RESUME not in slot.peer.features:
            continue
        if _sees(claim.user, slot):
            return slot.peer
    return None


def _ask(state: RelayState, claim: Claim, peer: CardPeer, now: float) -> None:
    """
    Ask a card client, which answers at once.

    Who asks for what is known to be there is not kept waiting by any who do not.
    """
    if len(peer.claims) >= MAX_ASKED and claim.session not in state.sessions:
        why = f"Card host {peer.name} is asked for too many sessions; try again later."
        state.reached("resumes_per_card_host", f"{claim.user.name} is refused", claim.user)
        _refuse(state, claim, ErrorCode.TOO_MANY, why, retry_after_s=SOON_S)
        return
    state.claims.ask(claim, peer)
    limits = state.limits
    state.timers.set(_timer(claim), now + 2 * limits.command_s + limits.attach_s)
    asked = msgspec.structs.replace(
        claim.message,
        id=claim.number,
        session=claim.session,
        nonce=claim.user.nonce if claim.message.proof is not None else None,
        owner=owner_of(claim.user.principal),
        guests=(),
    )
    state.send(peer, asked)


def _not_given(state: RelayState, lease: Lease | None, user: UserPeer, why: str) -> None:
    if lease is None:
        sentence = f"{user.name} asks for a session that is not known: {why[:200]}"
        state.effects.append(Note(sentence, limit=UNKNOWN, by=user.number))
        return
    whose = f"Session {lease.session[:8]} of {lease.holder}"
    sentence = f"{whose} is not given to {user.name}: {why[:200]}"
    state.effects.append(Note(sentence, limit=NOT_GIVEN, by=user.number))
    evidence.not_given(state, lease, user, why[:200])


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
    lease.count_for(user.account)
    lease.last_user, lease.principal = user.number, user.principal
    lease.rights = rights.of(user.audience, lease.slot)
    user.leases[lease.session] = lease
    lease.turn("resumed")
    state.tally.resumes += 1
    lease.kept_until, lease.used = math.inf, now
    state.timers.clear(("away", lease.session, None))
    leases.watch(state, lease, now)
    evidence.turned(state, lease, "is resumed")
    state.readers.mark(lease.slot)
    queue.joinable(state, lease.slot, now)


def _end_forbidden(state: RelayState, lease: Lease, user: UserPeer, now: float) -> None:
    """End a session with a card that its user may not have any more."""
    verb = rights.lacking(user.audience, lease.slot, lease.share)
    if verb is None or lease.phase not in SERVED:
        return
    why = m.error(ErrorCode.FORBIDDEN, rights.forbidden(user.principal, verb, lease.slot))
    evidence.gave_back(state, lease, why.message[:200], now, why.code or ErrorCode.INTERNAL)
    endings.end(state, lease, now, why)


def _too_late(
    state: RelayState, claim: Claim, lease: Lease | None, resumed: m.Resumed
) -> m.SessionEnded:
    """Tell the rightful user of a session that ended before their card client had answered."""
    assert claim.peer is not None
    session = claim.session
    code = (lease.code if lease is not None else None) or ErrorCode.LEASE_EXPIRED
    if lease is None:
        state.send(claim.peer, m.Detach(session=session, code=code))
    why = "The session ended before it was resumed."
    if lease is not None and lease.why is not None:
        why = f"{why} {lease.why}"
    return m.SessionEnded(
        session=session, code=code, message=why, seq=resumed.seq, answer=resumed.answer
    )


def _refuse(state: RelayState, claim: Claim, code: ErrorCode, why: str, **fields: object) -> None:
    _settle(state, claim, m.error(code, why, session=claim.message.session, **fields))


def _settle(state: RelayState, claim: Claim, answer: m.Message) -> None:
    withdraw(state, claim)
    named: dict[str, str] = {}
    if m.session_of(answer) is not None:
        named["session"] = claim.message.session
    state.send(claim.user, msgspec.structs.replace(answer, id=claim.message.id, **named))


def _timer(claim: Claim) -> tuple[str, int, None]:
    return "claim", claim.number, None
