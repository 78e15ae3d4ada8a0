# SPDX-License-Identifier: Apache-2.0
"""What card clients say."""

from wsrc import messages as m
from wsrc.errors import ErrorCode
from wsrc.identity import shorten
from wsrc.relay import endings, leases, queue
from wsrc.relay.floor import Floor
from wsrc.relay.records import CardPeer, Lease, LeasePhase, Slot


def received(
    floor: Floor, peer: CardPeer, message: m.Message, text: bytes | None, now: float
) -> None:
    """Act on a message of a card client that is in its place."""
    match message:
        case m.ReaderReport(reader=info):
            report(floor, peer, info, now)
        case m.ReaderGone(reader=reader):
            slot = peer.slots.get(reader)
            if slot is not None:
                remove(floor, slot, now, ErrorCode.READER_UNAVAILABLE, "The reader was unplugged.")
        case m.AttachAck(session=session, atr=atr):
            lease = _lease(floor, peer, session)
            if lease is not None:
                leases.attached(floor, lease, atr, now)
        case m.RApdu() | m.BatchResp() | m.ResetResp():
            _answer(floor, peer, message, text, now)
        case _:
            _other(floor, peer, message, text, now)


def _other(
    floor: Floor, peer: CardPeer, message: m.Message, text: bytes | None, now: float
) -> None:
    match message:
        case m.DetachAck(session=session):
            lease = _lease(floor, peer, session)
            if lease is not None and lease.phase is LeasePhase.ENDING:
                endings.cleaned(floor, lease, now)
        case m.CancelAck():
            lease = _lease(floor, peer, message.session)
            if lease is not None and lease.phase is LeasePhase.HELD:
                floor.send(lease.user, message, text)
        case m.SessionEnded():
            lease = _lease(floor, peer, message.session)
            if lease is not None:
                _note_end(floor, lease, message.message)
                endings.drop(floor, lease, now, m.error(message.code, message.message))
        case m.Error():
            _error(floor, peer, message, text, now)
        case _:
            raise AssertionError(message)


def report(floor: Floor, peer: CardPeer, info: m.ReaderInfo, now: float) -> None:
    """Enter what a card client says of a reader, and offer its card to those who wait."""
    slot = peer.slots.get(info.reader)
    if slot is None:
        if len(peer.slots) >= floor.limits.max_readers_per_card_client:
            why = f"Reader {info.name!r} is one too many; {len(peer.slots)} are entered."
            floor.refuse(peer, None, ErrorCode.TOO_MANY, why)
            return
        slot = floor.new_slot(peer, info)
    had_card, before = slot.has_card, slot.info
    if slot.lease is not None and before.insertion != info.insertion:
        taken_out = m.error(ErrorCode.CARD_NOT_PRESENT, "The card was taken out of the reader.")
        endings.drop(floor, slot.lease, now, taken_out)
    slot.info = info
    floor.file(slot)
    if had_card or slot.has_card:
        _announce(floor, slot, before, had_card)
    queue.offer(floor, slot, now)


def _announce(floor: Floor, slot: Slot, before: m.ReaderInfo, had_card: bool) -> None:
    if not had_card:
        floor.announce(slot, m.Change.ADDED)
    elif slot.has_card:
        floor.announce(slot, m.Change.CHANGED)
    else:
        now_there, slot.info = slot.info, before
        floor.announce(slot, m.Change.REMOVED)
        slot.info = now_there


def remove(floor: Floor, slot: Slot, now: float, code: ErrorCode, sentence: str) -> None:
    """Strike a reader that is out of reach."""
    if slot.has_card:
        floor.announce(slot, m.Change.REMOVED)
    floor.index.put(slot, ())
    del floor.slots[slot.number]
    slot.peer.slots.pop(slot.info.reader, None)
    if slot.lease is not None:
        _note_end(floor, slot.lease, sentence)
        endings.drop(floor, slot.lease, now, m.error(code, sentence))


def disconnected(floor: Floor, peer: CardPeer, now: float) -> None:
    """Strike all readers of a card client that is gone."""
    if peer.instance and floor.instances.get(peer.instance) is peer:
        del floor.instances[peer.instance]
    sentence = f"The connection of card host {peer.name} to the server is lost."
    for slot in list(peer.slots.values()):
        remove(floor, slot, now, ErrorCode.CARD_CLIENT_GONE, sentence)


def _lease(floor: Floor, peer: CardPeer, session: str | None) -> Lease | None:
    lease = floor.sessions.get(session or "")
    return lease if lease is not None and lease.slot.peer is peer else None


def _answer(
    floor: Floor,
    peer: CardPeer,
    message: m.RApdu | m.BatchResp | m.ResetResp,
    text: bytes | None,
    now: float,
) -> None:
    """Give a user the answer to the request in flight; a late or foreign one is dropped."""
    lease = _lease(floor, peer, message.session)
    if lease is None or lease.phase is not LeasePhase.HELD:
        return
    if lease.in_flight is None or lease.in_flight.id != message.id:
        return
    leases.answered(floor, lease, now)
    floor.send(lease.user, message, text)


def _error(floor: Floor, peer: CardPeer, message: m.Error, text: bytes | None, now: float) -> None:
    lease = _lease(floor, peer, message.session)
    if lease is None:
        floor.note(f"Card client {peer.name} says: {message.message[:200]}")
    elif lease.phase is LeasePhase.ATTACHING:
        endings.drop(floor, lease, now, message)
    elif lease.phase is LeasePhase.ENDING:
        if lease.in_flight is None and message.id is None:
            why = f"The card could not be reset after a lease: {message.message[:80]}"
            floor.close(peer, 1008, why)
    elif lease.in_flight is not None and lease.in_flight.id == message.id:
        leases.answered(floor, lease, now)
        floor.send(lease.user, message, text)


def _note_end(floor: Floor, lease: Lease, sentence: str) -> None:
    name = lease.slot.info.iccid or ""
    card = f" ({shorten(name)})" if name else ""
    floor.note(f"Session {lease.session[:8]} of {lease.user.name}{card} ended: {sentence}")
