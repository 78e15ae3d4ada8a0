# SPDX-License-Identifier: Apache-2.0
"""What card clients say."""

import string

import msgspec

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome, RemoteProtocolError
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import ANSWERS
from wsrc.protocol.kinds import is_sealed_error
from wsrc.relay import (
    draining,
    endings,
    judging,
    keeping,
    leases,
    positions,
    queue,
    resuming,
    sharing,
    tags,
    users,
)
from wsrc.relay.effects import Note
from wsrc.relay.records import (
    LEAVING,
    NO_CARD,
    SERVED,
    CardPeer,
    InFlight,
    Lease,
    LeasePhase,
    Slot,
    Waiter,
)
from wsrc.relay.state import RelayState
from wsrc.relay.waiting import Line
from wsrc.tags import wrong as wrong_tags

MAX_TEXT, MAX_EIDS, MAX_ATR_OCTETS = 256, 16, 33
"""Bounds of what a card client says of a reader."""

MAX_SENTENCE = 1_000
"""Characters of a card client's reason that users are told in a message of the server's own."""


def received(
    state: RelayState, peer: CardPeer, message: m.Message, text: bytes | None, now: float
) -> None:
    """Act on a message of a card client that is in its place."""
    claim = resuming.claim_of(peer, message)
    if claim is not None and isinstance(message, m.Resumed | m.SessionEnded | m.Error):
        resuming.answered(state, claim, message, now)
        return
    match message:
        case m.ReaderReport(reader=info):
            report(state, peer, info, now)
        case m.ReaderGone(reader=reader):
            slot = peer.slots.get(reader)
            peer.withheld.pop(reader, None)
            if slot is not None:
                why = m.error(ErrorCode.READER_UNAVAILABLE, "The reader was unplugged.")
                queue.reconsider(state, endings.strike(state, slot, why, now), now)
        case m.AttachAck(session=session):
            lease = _lease(state, peer, session)
            if lease is not None:
                leases.powered(state, lease, message)
                judging.look_at(state, lease.slot, now)
            if lease is not None and lease.phase is not LeasePhase.OVER:
                then = leases.attached(state, lease, message, now)
                if then is not None and lease.user is not None:
                    users.command(state, lease.user, then, None, now)
                queue.joinable(state, lease.slot, now)
        case _:
            _other(state, peer, message, text, now)


def _other(
    state: RelayState, peer: CardPeer, message: m.Message, text: bytes | None, now: float
) -> None:
    match message:
        case m.DetachAck(session=session):
            lease = _lease(state, peer, session)
            if lease is not None and lease.phase in LEAVING:
                endings.cleaned(state, lease, now)
        case m.CancelAck():
            lease = _lease(state, peer, message.session)
            in_flight = lease.in_flight if lease is not None else None
            if lease is not None and in_flight is not None and in_flight.cancel == message.id:
                in_flight.cancel = None
                state.tell(lease, message, text)
        case m.SessionEnded():
            _ended(state, peer, message, text, now)
        case m.Resumed():
            pass
        case m.Error():
            _error(state, peer, message, text, now)
        case _:
            assert isinstance(message, m.ForwardedAck)
            _answer(state, peer, message, text, now)


def greeted(state: RelayState, peer: CardPeer, hello: m.Hello, now: float) -> None:
    """Enter the readers of a card client, and the sessions that it kept, before any is offered."""
    infos = {info.reader: info for info in hello.readers}
    entered = (_enter(state, peer, info, now) for info in infos.values())
    slots = [slot for slot in entered if slot is not None]
    over = keeping.adopt(state, peer, hello.sessions, now)
    for lease in over:
        keeping.end_adopted(state, lease, now)
    draining.left(state, peer)
    for slot in slots:
        judging.look_at(state, slot, now)
    for slot in slots:
        queue.offer(state, slot, now)
    resuming.arrived(state, peer, slots, hello.sessions, now)


def report(state: RelayState, peer: CardPeer, info: m.ReaderInfo, now: float) -> None:
    """Enter what a card client says of a reader, and offer its card to those who wait."""
    slot = peer.slots.get(info.reader)
    if slot is not None and _unfit(info) is None:
        if judging.may_announce(state, peer, info, now):
            _update(state, slot, info, now)
        return
    slot = _enter(state, peer, info, now)
    if slot is not None:
        queue.offer(state, slot, now)
        resuming.arrived(state, peer, (slot,), (), now)


def _enter(state: RelayState, peer: CardPeer, info: m.ReaderInfo, now: float) -> Slot | None:
    """Enter a reader that is new, or refuse it."""
    why, code = _unfit(info), ErrorCode.BAD_MESSAGE
    known = len(peer.slots) + len(peer.withheld)
    again = info.reader in peer.withheld
    if why is None and not again and known >= state.limits.max_readers_per_card_client:
        why = f"Too many readers: {known} are registered; {info.name!r} was refused."
        code = ErrorCode.TOO_MANY
    if why is not None:
        state.refuse(peer, None, code, why)
        return None
    if not judging.may_announce(state, peer, info, now):
        return None
    slot = state.new_slot(peer, info)
    state.file(slot)
    return slot


def _update(state: RelayState, slot: Slot, info: m.ReaderInfo, now: float) -> None:
    lines, ended = positions.lines_of(state, slot), _ended_by(slot, info)
    for lease in ended:
        endings.note_end(state, lease, _gone(info), now)
    slot.info = info
    state.file(slot)
    state.places.put(slot)
    for lease in ended:
        endings.lose(state, lease, _gone(info))
    judging.look_at(state, slot, now)
    if slot.info.reader in slot.peer.slots:
        queue.offer(state, slot, now)
    queue.reconsider(state, lines, now)


def _ended_by(slot: Slot, info: m.ReaderInfo) -> list[Lease]:
    """Return the leases of a slot that end with what its card client says of it now."""
    gone = info.state in NO_CARD or info.insertion != slot.info.insertion
    lost = info.state is m.ReaderState.UNAVAILABLE
    leases = list(slot.leases.values())
    return [each for each in leases if (lost if each.share is Share.DIRECT else gone)]


def _gone(info: m.ReaderInfo) -> m.Error:
    if info.state is m.ReaderState.UNAVAILABLE:
        return m.error(ErrorCode.READER_UNAVAILABLE, "The reader is out of reach.")
    return m.error(ErrorCode.CARD_NOT_PRESENT, "The card was taken out of the reader.")


def _unfit(info: m.ReaderInfo) -> str | None:
    """Return why a reader is refused, if so; what users are sent of it must have a bound."""
    texts = (info.reader, info.name, info.label or "", info.iccid or "", *info.eids)
    if max(map(len, texts)) > MAX_TEXT or len(info.eids) > MAX_EIDS:
        return f"A text of a reader has at most {MAX_TEXT} characters, and a card {MAX_EIDS} EIDs."
    wrong = wrong_tags(tags.of_host(info))
    if wrong is not None:
        return f"The tags of {info.name[:40]!r} are refused: {wrong}."
    if len(info.atr or b"") > MAX_ATR_OCTETS:
        return f"An ATR has at most {MAX_ATR_OCTETS} octets (ISO/IEC 7816-3 clause 8.2.1)."
    return None


def disconnected(state: RelayState, peer: CardPeer, now: float, *, goodbye: bool) -> None:
    """
    Strike all readers of a card client that is gone.

    What it keeps can be resumed, unless it said goodbye.
    """
    sentence = f"The connection of card host {peer.name} to the server is lost."
    if goodbye:
        sentence = resuming.LEFT.format(peer.name)
        keeping.left(state, peer)
    why = m.error(ErrorCode.CARD_CLIENT_GONE, sentence)
    held = [lease for slot in peer.slots.values() for lease in slot.leases.values()]
    for lease in held:
        if lease.keep_s:
            keeping.interrupt(state, lease, why, back=not goodbye)
    again = [asked for lease in held if (asked := _taken_back(state, lease, now)) is not None]
    lines: list[Line] = []
    for slot in list(peer.slots.values()):
        lines += endings.strike(state, slot, why, now)
    for waiter in again:
        queue.wait_again(state, waiter, now)
        line = state.waiting.line_of(waiter)
        if line is not None:
            lines.append(line)
    queue.reconsider(state, lines, now)
    resuming.card_client_lost(state, peer, now)
    if goodbye:
        draining.gone(state, peer)


def _taken_back(state: RelayState, lease: Lease, now: float) -> Waiter | None:
    """Release a lease whose card is being reset, where its user has time left to wait."""
    asked = lease.asked
    if lease.phase is not LeasePhase.ATTACHING or asked is None:
        return None
    if asked.message.wait_s <= 0 or asked.until <= now:
        return None
    leases.forget(state, lease)
    return asked


def check(message: m.Message) -> None:
    """
    Check what the type of a message leaves open.

    Raises:
        RemoteProtocolError: If a status word is not four hexadecimal digits.
    """
    if isinstance(message, m.Resumed | m.SessionEnded) and message.answer is not None:
        message = message.answer
    words: tuple[str, ...] = ()
    if isinstance(message, m.RApdu):
        words = message.status_words
    elif isinstance(message, m.BatchResp):
        words = tuple(result.sw for result in message.results)
    for sw in words:
        if len(sw) != 4 or not set(sw) <= set(string.hexdigits):
            raise RemoteProtocolError("A status word has four hexadecimal digits.")


def _lease(state: RelayState, peer: CardPeer, session: str | None) -> Lease | None:
    lease = state.sessions.get(session or "")
    return lease if lease is not None and lease.slot.peer is peer else None


def _answer(
    state: RelayState,
    peer: CardPeer,
    message: m.ForwardedAck,
    text: bytes | None,
    now: float,
) -> None:
    """Pass the answer to the request in flight to its user; a late or foreign one is dropped."""
    lease = _lease(state, peer, message.session)
    if lease is None or lease.phase not in SERVED:
        return
    in_flight = lease.in_flight
    if in_flight is None or not _is_answer(message, in_flight):
        return
    cancelled = False
    if is_sealed_error(message):
        state.tally.not_answered(message.outcome)
        cancelled = message.code is ErrorCode.CANCELLED
    else:
        state.tally.answered(now - lease.used)
    leases.answered(state, lease, now)
    sharing.settled(state, lease, in_flight, message, now)
    if type(message) is ANSWERS[type(in_flight.message)]:
        state.tell(lease, message, text)
    else:
        code, why = (
            ErrorCode.CARD_TRANSMISSION_ERROR,
            "The card client sent the wrong kind of answer.",
        )
        fields = {"session": lease.session, "outcome": Outcome.UNKNOWN}
        state.tell(lease, m.error(code, why, id=in_flight.id, **fields))
    endings.close_cancel(state, lease, in_flight, cancelled=cancelled)
    endings.settled(state, lease, in_flight, now)


def _is_answer(message: m.Answer, in_flight: InFlight) -> bool:
    """Return whether a message answers a request: ids may be used again, numbers may not."""
    asked = in_flight.message
    seq = asked.seq if isinstance(asked, m.Forwarded) else None
    return message.id == in_flight.id and message.seq in {None, seq}


def _error(
    state: RelayState, peer: CardPeer, message: m.Error, text: bytes | None, now: float
) -> None:
    lease = _lease(state, peer, message.session)
    if lease is None:
        said = f"Card client {peer.name} says: {message.message[:200]}"
        state.effects.append(Note(said, by=peer.number))
    elif _refuses_attach(lease, message):
        _drop(state, lease, now, message)
    elif lease.phase is LeasePhase.ENDING and message.id is None:
        endings.not_cleaned(state, lease, message, now)
    elif lease.in_flight is not None and _is_answer(message, lease.in_flight):
        in_flight = lease.in_flight
        state.tally.not_answered(message.outcome)
        leases.answered(state, lease, now)
        sharing.settled(state, lease, in_flight, message, now)
        state.tell(lease, message, text)
        cancelled = message.code is ErrorCode.CANCELLED
        endings.close_cancel(state, lease, in_flight, cancelled=cancelled)
        endings.settled(state, lease, in_flight, now)


def _refuses_attach(lease: Lease, error: m.Error) -> bool:
    """Return whether an error answers `attach`, which has no id."""
    withdrawn = lease.phase is LeasePhase.WITHDRAWN and error.id is None
    return withdrawn or lease.phase is LeasePhase.ATTACHING


def _ended(
    state: RelayState, peer: CardPeer, message: m.SessionEnded, text: bytes | None, now: float
) -> None:
    """End a lease that its card client ended; one that can be resumed says more to its user."""
    lease = _lease(state, peer, message.session)
    if lease is None:
        return
    why = m.error(message.code, message.message[:MAX_SENTENCE])
    if lease.keep_s and lease.phase in SERVED:
        endings.note_end(state, lease, why, now)
        endings.said_by_card_client(state, lease, message, text)
        _look_after(state, lease, why, now)
    else:
        _drop(state, lease, now, why)


def _drop(state: RelayState, lease: Lease, now: float, why: m.Error) -> None:
    """End a lease that its card client ended or refused; `why` may tell of the card as well."""
    why = msgspec.structs.replace(why, message=why.message[:MAX_SENTENCE])
    endings.note_end(state, lease, why, now)
    another = _any_other(lease, why)
    if another is not None:
        leases.forget(state, lease)
    else:
        endings.lose(state, lease, why)
    _look_after(state, lease, why, now)
    if another is not None:
        queue.ask_again(state, another, now)


def _any_other(lease: Lease, why: m.Error) -> Waiter | None:
    """Return who would have any card and was given one that is out of order, if so."""
    asked = lease.asked
    if lease.phase is not LeasePhase.ATTACHING or asked is None or why.code not in _STATE_AFTER:
        return None
    return asked if asked.message.pick is m.Pick.ANY else None


def _look_after(state: RelayState, lease: Lease, why: m.Error, now: float) -> None:
    """Offer a card whose lease its card client ended, unless it is out of order now."""
    slot = lease.slot
    shared = slot.leases or lease.share is Share.DIRECT
    becomes = None if shared or not why.code else _STATE_AFTER.get(why.code)
    if becomes in {None, slot.info.state}:
        queue.offer(state, slot, now)
        return
    _update(state, slot, msgspec.structs.replace(slot.info, state=becomes), now)


_STATE_AFTER = {
    ErrorCode.CARD_NOT_PRESENT: m.ReaderState.EMPTY,
    ErrorCode.CARD_UNRESPONSIVE: m.ReaderState.MUTE,
    ErrorCode.READER_UNAVAILABLE: m.ReaderState.UNAVAILABLE,
    ErrorCode.READER_IN_USE: m.ReaderState.IN_USE,
}
"""How a card is that could not be kept, until its card client says more."""
