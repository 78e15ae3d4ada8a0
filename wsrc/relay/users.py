# SPDX-License-Identifier: Apache-2.0
"""What users ask for."""

from wsrc.card.apdu import MAX_COMMAND_OCTETS, is_sw_pattern
from wsrc.errors import ErrorCode, Outcome, RefusedError
from wsrc.protocol import messages as m
from wsrc.protocol.codec import tag_of
from wsrc.protocol.fields import MAX_USER_ID
from wsrc.protocol.kinds import kind_of
from wsrc.relay import (
    accounts,
    draining,
    endings,
    evidence,
    judging,
    keeping,
    leases,
    lending,
    listing,
    noting,
    operating,
    picking,
    queue,
    reserving,
    resuming,
    revoking,
    rights,
    sharing,
)
from wsrc.relay.records import BATCH, CANCEL, PCSC, SEAL, Lease, LeasePhase, UserPeer
from wsrc.relay.state import RelayState
from wsrc.sealing.encoding import NONCE_OCTETS
from wsrc.selection import selection_of
from wsrc.tags import wrong_filter

MAX_TEXT, MAX_PROTOCOLS, MAX_SUITES, MAX_SUITE = 256, 16, 16, 64
"""
Bounds of what is kept of a request, and told to a card client: a message has at most 1 MiB. No card
has a longer name.
"""

MAX_SECRET_OCTETS = 100_000
"""Bound of what is kept of a claim while it waits: a sealed secret and certificates."""

_TEXTS = m.Selecting | m.Resume | m.Making | m.Operator | m.Reserving
"""Requests whose texts have a bound."""

_CANCELLED = m.error(ErrorCode.CANCELLED, "The request was cancelled.")


def received(
    state: RelayState, user: UserPeer, message: m.Message, text: bytes | None, now: float
) -> None:
    """Act on a message that is in its place, or refuse what it asks for."""
    judging.keep_up(state, user, now)
    try:
        _act(state, user, message, text, now)
    except RefusedError as exc:
        state.refuse(user, message.id, exc.code, str(exc))


def _act(
    state: RelayState, user: UserPeer, message: m.Message, text: bytes | None, now: float
) -> None:
    if isinstance(message, _TEXTS) and _longest(message) > MAX_TEXT:
        why = f"A text of {tag_of(message)!r} has at most {MAX_TEXT} characters."
        raise RefusedError(ErrorCode.BAD_MESSAGE, why)
    if isinstance(message, m.Selecting) and (wrong := wrong_filter(message.tags or {})) is not None:
        raise RefusedError(ErrorCode.BAD_MESSAGE, f"No card has such tags: {wrong}.")
    match message:
        case m.ListCards() | m.ListReaders() | m.Who() | m.WatchReaders():
            listing.begin(state, user, message, now)
        case m.SelectCard():
            _select(state, user, message, now)
        case m.Resume():
            _resume(state, user, message, now)
        case m.Detach():
            _detach(state, user, message, now)
        case m.Cancel():
            _cancel(state, user, message, text, now)
        case m.SetTags() | m.SetComment():
            noting.ask(state, user, message)
        case m.Reserve() | m.ListReservations() | m.CancelReservation():
            reserving.ask(state, user, message, now)
        case _ if isinstance(message, m.Forwarded):
            command(state, user, message, text, now)
        case _:
            _operate(state, user, message, now)


def _operate(state: RelayState, user: UserPeer, message: m.Message, now: float) -> None:
    """Do what is an operator's, or what a user who has a card does for another."""
    if state.draining:
        raise RefusedError(ErrorCode.SHUTTING_DOWN, queue.RESTARTS)
    match message:
        case m.Revoke():
            revoking.revoke(state, user, message, now)
        case m.Allow() | m.Lend():
            lease = _lease(state, user, message.session, message.id)
            if lease is not None and isinstance(message, m.Allow):
                lending.allow(state, lease, user, message, now)
            elif lease is not None and isinstance(message, m.Lend):
                lending.lend(state, lease, user, message, now)
        case _:
            assert isinstance(message, m.Operator)
            operating.operate(state, user, message, now)


def disconnected(state: RelayState, user: UserPeer, now: float, *, goodbye: bool) -> None:
    """
    Take back what a user holds and waits for.

    What can be resumed is kept for a while, unless the user said goodbye.
    """
    listing.forget(state, user)
    draining.forget_user(state, user)
    queue.forget_user(state, user, now)
    resuming.forget_user(state, user)
    lost = ErrorCode.CONNECTION_LOST
    for lease in list(user.leases.values()):
        if lease.keep_s and lease.phase is LeasePhase.HELD and not goodbye:
            keeping.away(state, lease, now)
            continue
        evidence.gave_back(state, lease, "its user is gone", now, None if goodbye else lost)
        endings.end(state, lease, now, _CANCELLED, asked=True)
    if goodbye:
        endings.goodbye(state, user, now)
    state.readers.leave(user)


def _select(state: RelayState, user: UserPeer, message: m.SelectCard, now: float) -> None:
    if state.draining:
        raise RefusedError(ErrorCode.SHUTTING_DOWN, queue.RESTARTS)
    if message.reservation is not None:
        message = reserving.claimed(state, user, message, now)
    selection = selection_of(message)
    full = accounts.no_more_cards(state, user)
    if full is not None:
        evidence.too_many(state, user, message.id, str(selection), full)
        return
    if len(message.protocols) > MAX_PROTOCOLS:
        why = f"At most {MAX_PROTOCOLS} protocols are named."
        raise RefusedError(ErrorCode.BAD_MESSAGE, why)
    wrong = _unfit(message.seal) or picking.wrong(message)
    if wrong is not None:
        raise RefusedError(ErrorCode.BAD_MESSAGE, wrong)
    then = message.then
    if then is not None and (not _is_id(then.id) or then.id == message.id):
        why = f"The id of 'then' is another than that of 'select_card', from 0 to {MAX_USER_ID}."
        raise RefusedError(ErrorCode.BAD_MESSAGE, why)
    if message.pick is m.Pick.ANY:
        endings.release_any(state, user, selection, now)
    elif len(found := queue.find(state, user, message, selection)) == 1:
        endings.release(state, user, found[0], now)
    queue.ask(state, user, message, selection, now)


def _unfit(ask: m.SealAsk | None) -> str | None:
    """Return why what a user says of sealing is not passed on, if so: it has a bound."""
    texts = () if ask is None else (ask.mode, *ask.suites)
    fits = ask is None or len(ask.nonce) == NONCE_OCTETS
    if fits and len(texts) <= 1 + MAX_SUITES and all(len(text) <= MAX_SUITE for text in texts):
        return None
    return (
        f"A nonce has {NONCE_OCTETS} octets, and at most {MAX_SUITES} suites are named, each with "
        f"at most {MAX_SUITE} characters."
    )


def _is_id(number: int | None) -> bool:
    return number is not None and 0 <= number <= MAX_USER_ID


def _longest(message: m.Message) -> int:
    """Return how many characters the longest text of a request has."""
    fields = (getattr(message, name) for name in message.__struct_fields__)
    return max((len(each) for each in fields if isinstance(each, str)), default=0)


def _resume(state: RelayState, user: UserPeer, message: m.Resume, now: float) -> None:
    secret = message.seal
    octets = 0 if secret is None else sum(map(len, (secret.sealed, *secret.certificates)))
    if octets > MAX_SECRET_OCTETS:
        why = f"What comes with a proof has at most {MAX_SECRET_OCTETS} octets."
        raise RefusedError(ErrorCode.BAD_MESSAGE, why)
    resuming.claim_session(state, user, message, now)


def command(
    state: RelayState,
    user: UserPeer,
    message: m.Forwarded,
    text: bytes | None,
    now: float,
) -> None:
    """Pass a request of a session on, or refuse it; `text` is what it was read from, if it was."""
    lease = _lease(state, user, message.session, message.id)
    if lease is None:
        return
    wrong = rights.refusal(lease, message) or _wrong(lease, message)
    if wrong is None:
        wrong = sharing.refusal(state, lease, message)
    if state.draining:
        wrong = ErrorCode.SHUTTING_DOWN, queue.RESTARTS
    if wrong is not None:
        code, why = wrong
        if code is ErrorCode.FORBIDDEN:
            evidence.forbidden(state, user, lease, message, why)
        fields = {"session": message.session, "outcome": Outcome.NOT_EXECUTED}
        state.refuse(user, message.id, code, why, **fields)
        return
    leases.use(state, lease, message, now)
    evidence.asked_to_reset(state, lease, message)
    sharing.begin(state, lease, message)
    state.send(lease.slot.peer, message, text)


def _lease(state: RelayState, user: UserPeer, session: str | None, id_: int | None) -> Lease | None:
    """Return the lease that a request is for, or answer the request with why there is none."""
    lease = user.leases.get(session or "")
    if lease is not None and lease.phase is LeasePhase.HELD:
        return lease
    ended = user.ended.get(session or "")
    if session is None:
        code, why = ErrorCode.NOTHING_SELECTED, "No card is selected yet; send select_card first."
    elif ended is not None and ended.code is not None:
        code, why = ended.code, f"The session is over: {ended.message}"
    else:
        code, why = ErrorCode.NO_SUCH_SESSION, "There is no such session on this connection."
    state.refuse(user, id_, code, why, session=session, outcome=Outcome.NOT_EXECUTED)
    return None


def _selects(lease: Lease, id_: int) -> bool:
    """Return whether a lease was asked for by the request of this id."""
    return lease.asked is not None and lease.asked.message.id == id_


def _wrong(lease: Lease, message: m.Forwarded) -> tuple[ErrorCode, str] | None:
    if lease.in_flight is not None:
        return ErrorCode.REQUEST_IN_FLIGHT, "The request before it is not answered yet."
    if not _is_known(lease, message):
        why = f"The card client of {lease.slot.peer.name} does not know {tag_of(message)!r}"
        of = f" of {message.of[:40]!r}." if isinstance(message, m.Sealed) else "."
        return ErrorCode.NOT_SUPPORTED, why + of
    match message:
        case m.CApdu(command=command):
            return _wrong_size(len(command))
        case m.Batch(steps=steps):
            if not 1 <= len(steps) <= m.MAX_BATCH:
                why = f"A batch has 1 to {m.MAX_BATCH} commands, not {len(steps)}."
                return ErrorCode.BAD_MESSAGE, why
            return next((wrong for step in steps if (wrong := _wrong_step(step))), None)
        case _:
            return None


def _is_known(lease: Lease, message: m.Forwarded) -> bool:
    """Return whether a card client knows a request, also where that is in a box."""
    kind, features = kind_of(message), lease.slot.peer.features
    if kind is m.Sealed or (isinstance(message, m.Sealed) and SEAL not in features):
        return False
    needs = BATCH if kind is m.Batch else PCSC
    return needs in features or not issubclass(kind, m.Batch | m.PcscVerb)


def _wrong_step(step: m.Step) -> tuple[ErrorCode, str] | None:
    for pattern in step.expect:
        if not is_sw_pattern(pattern):
            why = f"{pattern[:8]!r} in expect is not four hexadecimal digits or x."
            return ErrorCode.BAD_MESSAGE, why
    return _wrong_size(len(step.command))


def _wrong_size(size: int) -> tuple[ErrorCode, str] | None:
    if 4 <= size <= MAX_COMMAND_OCTETS:
        return None
    why = f"A command APDU has 4 to {MAX_COMMAND_OCTETS} octets; this one has {size}."
    return ErrorCode.BAD_APDU, why


def _detach(state: RelayState, user: UserPeer, message: m.Detach, now: float) -> None:
    if endings.give_back(state, user, message.session, now):
        state.send(user, m.DetachAck(id=message.id, session=message.session))
        return
    lease = _lease(state, user, message.session, message.id)
    if lease is None:
        return
    if message.after_answer and lease.in_flight is not None:
        lease.in_flight.goodbye = message
        return
    endings.leave(state, lease, message, now)


def _cancel(
    state: RelayState, user: UserPeer, message: m.Cancel, text: bytes | None, now: float
) -> None:
    if _cancel_command(state, user, message, text):
        return
    cancelled = _give_up(state, user, message.target, now)
    ack = m.CancelAck(id=message.id, cancelled=cancelled, session=message.session)
    state.send(user, ack)


def _cancel_command(
    state: RelayState, user: UserPeer, message: m.Cancel, text: bytes | None
) -> bool:
    """Pass on a cancel of the request in flight of a session; return whether it was."""
    lease = user.leases.get(message.session or "")
    in_flight = lease.in_flight if lease is not None else None
    if lease is None or in_flight is None or in_flight.id != message.target:
        return False
    if in_flight.cancel is not None or CANCEL not in lease.slot.peer.features:
        return False
    in_flight.cancel = message.id
    state.send(lease.slot.peer, message, text)
    return True


def _give_up(state: RelayState, user: UserPeer, target: int, now: float) -> bool:
    """Answer a select or a resume that is to be given up; return whether there was one."""
    waiter, claim = user.waiting.get(target), user.claims.get(target)
    if waiter is not None:
        queue.give_up(state, waiter, now)
        state.refuse(user, target, ErrorCode.CANCELLED, _CANCELLED.message)
        return True
    if claim is not None:
        resuming.cancel(state, claim)
        return True
    if target in (user.drains or ()):
        draining.cancel(state, user, target, _CANCELLED)
        return True
    for lease in list(user.leases.values()):
        if lease.phase is LeasePhase.ATTACHING and _selects(lease, target):
            endings.end(state, lease, now, _CANCELLED)
            return True
    return False
