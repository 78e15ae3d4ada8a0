# SPDX-License-Identifier: Apache-2.0
"""What is told of those who had, took or wanted a card: to the log, and to the audit log."""

import re
from collections.abc import Iterable

from wsrc.audit import events
from wsrc.card.identity import shorten
from wsrc.card.slot import Initialization, Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.codec import tag_of
from wsrc.protocol.kinds import kind_of
from wsrc.protocol.seals import certificate_of
from wsrc.relay.accounts import Full
from wsrc.relay.effects import Audit, Note
from wsrc.relay.names import printable
from wsrc.relay.records import CardPeer, Lease, LeasePhase, Peer, Slot, UserPeer
from wsrc.relay.reservations import Booking
from wsrc.relay.state import RelayState

_IDENTITY = re.compile(r"\b(?:[0-9A-Fa-f]{18,20}|[0-9A-Fa-f]{32})\b")

_RESETS = frozenset((Initialization.RESET, Initialization.UNPOWER))

NOTES, RESERVATION = "tags or a comment", "a reservation"
"""What is refused that is no card."""

TOLD_OF_A_WAIT_S = 1.0
"""A shorter wait is none that anybody wants to hear of."""


def took(state: RelayState, lease: Lease, offer: m.SealOffer | None) -> None:
    """Tell that a user was given a card, and what its card host offers to seal the session with."""
    waited_s = lease.since - lease.asked.ticket[0] if lease.asked is not None else 0.0
    waited = f" after a wait of {waited_s:.0f} s" if waited_s >= TOLD_OF_A_WAIT_S else ""
    state.note(f"{lease.holder} took {place_of(lease)}{waited} (session {lease.session[:8]})")
    event = events.Took(
        session=lease.session[:8],
        who=holder_of(lease),
        card=card_in(lease.slot),
        share=str(lease.share),
        waited_s=round(max(0.0, waited_s), 3),
        sealed=offer is not None,
        certificate=None if offer is None else certificate_of(offer),
    )
    state.effects.append(Audit(event))


def gave_back(
    state: RelayState,
    lease: Lease,
    why: str,
    now: float,
    code: ErrorCode | None = None,
) -> None:
    """
    Tell that a card is no longer its user's, or did not become so.

    Args:
        state: The state.
        lease: The lease, which is not ending yet.
        why: The reason, as a sentence.
        now: Monotonic seconds.
        code: Why it was taken from its user; None where the user wanted it so.
    """
    held_s = max(0.0, now - lease.since)
    if lease.phase in {LeasePhase.ATTACHING, LeasePhase.WITHDRAWN}:
        _never_had(state, lease, why, code or ErrorCode.CANCELLED)
        return
    verb, count = "gave back" if code is None else "lost", lease.commands
    used = f"after {held_s:.0f} s and {count} command{'s' * (count != 1)}"
    state.note(f"{lease.holder} {verb} {place_of(lease)} {used} ({lease.session[:8]}): {why}")
    event = events.GaveBack(
        session=lease.session[:8],
        who=holder_of(lease),
        card=card_in(lease.slot),
        why=why,
        held_s=round(held_s, 3),
        commands=count,
        asked=code is None,
    )
    state.effects.append(Audit(event))


def _never_had(state: RelayState, lease: Lease, why: str, code: ErrorCode) -> None:
    state.note(f"{lease.holder} was not given {place_of(lease)}: {why}")
    wanted = lease.slot.reader
    event = events.Denied(who=holder_of(lease), wanted=wanted, code=str(code), why=why)
    state.effects.append(Audit(event, lease.last_user))


def waits(state: RelayState, user: UserPeer, wanted: str, place: int) -> None:
    """Tell that a user waits for a card."""
    sentence = f"{user.name} waits for the card with {_brief(wanted)}; place {place}"
    state.effects.append(Note(sentence, by=user.number))


def denied(state: RelayState, user: UserPeer, wanted: str, code: ErrorCode, why: str) -> None:
    """Tell that a user was refused what was asked for: a card, `NOTES` or `RESERVATION`."""
    what = wanted if wanted in {NOTES, RESERVATION} else f"the card with {_brief(wanted)}"
    sentence = f"{user.name} was refused {what}: {code}"
    state.effects.append(Note(sentence, by=user.number))
    _denied(state, user, wanted, code, why)


def forbidden(
    state: RelayState, user: UserPeer, lease: Lease, request: m.Message, why: str
) -> None:
    """Tell that a user may not do with a card what a request of its session asks for."""
    asked = request.of if isinstance(request, m.Sealed) else tag_of(request)
    code = ErrorCode.FORBIDDEN
    sentence = f"{user.name} was refused {asked} of {place_of(lease)}"
    state.effects.append(Note(sentence, by=user.number))
    _denied(state, user, f"{asked} in session {lease.session[:8]}", code, why)


def not_watched(state: RelayState, user: UserPeer, why: str) -> None:
    """Tell that a user may be told of no changes of readers."""
    state.effects.append(Note(f"{user.name} was refused to watch readers", by=user.number))
    _denied(state, user, "changes of readers", ErrorCode.FORBIDDEN, why)


def too_many(
    state: RelayState,
    user: UserPeer,
    id_: int | None,
    wanted: str,
    full: Full,
    **fields: object,
) -> None:
    """Refuse what is one too many, and tell of it."""
    limit, why = full
    state.refuse(user, id_, ErrorCode.TOO_MANY, why, **fields)
    state.reached(limit, f"{user.name} is refused", user)
    _denied(state, user, wanted, ErrorCode.TOO_MANY, why)


def turned(state: RelayState, lease: Lease, sentence: str) -> None:
    """Tell what became of a session that goes on."""
    state.note(f"Session {lease.session[:8]} of {lease.holder} {sentence}")
    session = lease.session[:8]
    event = events.SessionTurned(session=session, who=holder_of(lease), turn=sentence)
    state.effects.append(Audit(event))


def operated(state: RelayState, user: UserPeer, did: str, to: str, why: str = "") -> None:
    """Tell what an operator did, to whom or what."""
    reason = f": {why}" if why else ""
    state.note(f"{user.name} asked for {did} of {_brief(to)}{reason}")
    event = events.Operated(who=who_is(user), did=did, to=to, why=why or None)
    state.effects.append(Audit(event))


def idles(state: RelayState, lease: Lease, idle_s: float, in_s: float) -> None:
    """Tell that a lease ends soon that is not used."""
    unused = f"has not used {place_of(lease)} for {idle_s:.0f} s"
    what = f"{lease.holder} {unused}; it is taken back in {in_s:.0f} s ({lease.session[:8]})"
    state.effects.append(Note(what, by=lease.user.number if lease.user is not None else None))


def loses(state: RelayState, lease: Lease, in_s: float) -> None:
    """Tell that a lease ends soon, for its card is reserved."""
    what = f"{lease.holder} has {place_of(lease)}, which is reserved from in {in_s:.0f} s on"
    by = lease.user.number if lease.user is not None else None
    state.effects.append(Note(f"{what} ({lease.session[:8]})", by=by))


def not_given(state: RelayState, lease: Lease, user: UserPeer, why: str) -> None:
    """Tell that a user claimed a session, and did not get it."""
    _denied(state, user, f"session {lease.session[:8]}", ErrorCode.NO_SUCH_SESSION, why)


def refused(state: RelayState, user: UserPeer, wanted: str, why: str) -> None:
    """Tell that a user asked for what is an operator's."""
    state.effects.append(Note(f"{user.name} was refused {wanted}", by=user.number))
    _denied(state, user, wanted, ErrorCode.FORBIDDEN, why)


def _denied(state: RelayState, user: UserPeer, wanted: str, code: ErrorCode, why: str) -> None:
    event = events.Denied(who=who_is(user), wanted=wanted, code=str(code), why=why)
    state.effects.append(Audit(event, user.number))


def withheld(state: RelayState, peer: CardPeer, info: m.ReaderInfo, sentence: str) -> None:
    """Tell that a card host announced a card that it may not."""
    state.warn(sentence, peer)
    event = events.Withheld(peer=peer.number, card=_card(peer, info, info.reader))
    state.effects.append(Audit(event, peer.number))


def named(state: RelayState, peer: Peer, said: m.Hello) -> None:
    """Tell what a peer that said hello is called."""
    role = "user" if isinstance(peer, UserPeer) else "card"
    state.note(f"{role.capitalize()} client {peer.number} is {peer.name}")
    claimed = printable(said.name) or None
    event = events.Named(
        peer=peer.number,
        role=role,
        name=peer.name,
        claimed=claimed if claimed != peer.name else None,
    )
    state.effects.append(Audit(event))


def asked_to_reset(state: RelayState, lease: Lease, request: m.Message) -> None:
    """Tell that a user has the card reset, if that is what a request asks for."""
    kind = ""
    if isinstance(request, m.ResetReq):
        kind = str(request.kind)
    elif isinstance(request, m.Reconnect) and request.initialization in _RESETS:
        kind = str(request.initialization)
    elif isinstance(request, m.Sealed) and kind_of(request) in {m.ResetReq, m.Reconnect}:
        kind = "sealed" if request.resets or kind_of(request) is m.ResetReq else ""
    if kind:
        event = events.Reset(
            session=lease.session[:8], who=holder_of(lease), card=card_in(lease.slot), kind=kind
        )
        state.effects.append(Audit(event))


def noted(
    state: RelayState, user: UserPeer, slot: Slot, keys: Iterable[str], request: m.Message
) -> None:
    """Tell that a user noted something of a card, which may be a secret and is not told."""
    what = "tags" if isinstance(request, m.SetTags) else "the comment"
    state.note(f"{user.name} changed {what} of {slot.info.name} at {slot.peer.name}")
    event = events.Noted(who=who_is(user), card=card_in(slot), tags=tuple(keys))
    state.effects.append(Audit(event))


def booked(state: RelayState, user: UserPeer, booking: Booking, did: str) -> None:
    """Tell that a user reserved a card, or cancelled that."""
    times = [state.utc(each - state.epoch()) for each in (booking.begins, booking.ends)]
    kind, _, name = booking.identity.partition(" ")
    state.note(f"{user.name} {did} {_brief(f'{kind} {name}')} from {times[0]} until {times[1]}")
    event = events.Reserved(
        who=who_is(user),
        number=booking.shown,
        did=did,
        card=booking.identity,
        begins=times[0],
        ends=times[1],
    )
    state.effects.append(Audit(event))


def gave_way(state: RelayState, booking: Booking) -> None:
    """Tell that a reservation gave way to one of a higher priority."""
    times = [state.utc(each - state.epoch()) for each in (booking.begins, booking.ends)]
    name = f"Reservation {booking.shown} of {booking.holder}"
    state.note(f"{name} from {times[0]} until {times[1]} gave way to one of a higher priority")
    event = events.Reserved(
        who=events.Who(0, booking.holder),
        number=booking.shown,
        did="gave_way",
        card=booking.identity,
        begins=times[0],
        ends=times[1],
    )
    state.effects.append(Audit(event))


def who_is(user: UserPeer) -> events.Who:
    """Name a user."""
    return events.Who(user.number, user.name, user.principal.name if user.principal else None)


def holder_of(lease: Lease) -> events.Who:
    """Name the holder of a lease, who may be out of reach."""
    principal = lease.principal.name if lease.principal is not None else None
    return events.Who(lease.last_user, lease.holder, principal)


def card_in(slot: Slot) -> events.Card:
    """Name the card in a slot, or the slot without one."""
    return _card(slot.peer, slot.info, slot.reader)


def _card(peer: CardPeer, info: m.ReaderInfo, reader: str) -> events.Card:
    principal = peer.principal
    return events.Card(
        host=peer.name,
        host_principal=principal.name if principal is not None else None,
        reader=reader,
        reader_name=info.name,
        iccid=info.iccid,
        eids=info.eids,
        atr=str(info.atr) if info.atr else None,
        label=info.label,
    )


def place_of(lease: Lease) -> str:
    """Name the card of a lease as the log does, and where it is; of a direct one the reader."""
    info = lease.slot.info
    where = f"{info.name} at {lease.slot.peer.name}"
    if lease.share is Share.DIRECT:
        return where
    return f"{shorten(info.iccid) if info.iccid else 'a card without ICCID'} in {where}"


def _brief(wanted: str) -> str:
    """Return a selection for the log, in which identities are shortened."""
    return _IDENTITY.sub(lambda found: shorten(found[0]), wanted)
