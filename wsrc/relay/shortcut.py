# SPDX-License-Identifier: Apache-2.0
"""
The short way of a command APDU and its response through the relay.

It is taken only where the general way would do no more than note the time and send the text on; of
all else it returns None and changes nothing. A property test runs both ways on the same traffic.
"""

import re
from collections.abc import Container, Mapping

from wsrc.card.apdu import MAX_COMMAND_OCTETS
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import Phase
from wsrc.protocol.kinds import is_sealed_error
from wsrc.relay import leases
from wsrc.relay.effects import Send
from wsrc.relay.records import SEAL, SERVED, CardPeer, InFlight, LeasePhase, Peer, UserPeer
from wsrc.relay.state import RelayState

_COMMANDS, _RESPONSES = (m.CApdu, m.Sealed), (m.RApdu, m.SealedResp)
_ANSWERED_BY: Mapping[type[m.Message], type[m.Message]] = {m.RApdu: m.CApdu, m.SealedResp: m.Sealed}
_C_APDU = str(m.CApdu.__struct_config__.tag)

_is_status_word = re.compile("[0-9A-Fa-f]{4}").fullmatch


def send_on(  # noqa: PLR0913, PLR0917 - what `received` has, and the adapters
    state: RelayState,
    peer: Peer,
    message: m.Message,
    text: bytes,
    now: float,
    adapted: Container[int],
) -> Send | None:
    """
    Return the message as it is to be sent to the other end of its session, if that is all.

    Args:
        state: What the relay knows.
        peer: Who sent the message; of the present form.
        message: What was sent.
        text: Its text, as any reader takes it.
        now: Monotonic seconds.
        adapted: The numbers of the peers of the first form.
    """
    if isinstance(message, _COMMANDS):
        if not isinstance(peer, UserPeer):
            return None
        to = _command(state, peer, message, now, adapted)
    elif isinstance(message, _RESPONSES):
        if not isinstance(peer, CardPeer):
            return None
        to = _response(state, peer, message, now, adapted)
    else:
        return None
    return Send(to, message, text) if to is not None else None


def _command(
    state: RelayState,
    user: UserPeer,
    message: m.CApdu | m.Sealed,
    now: float,
    adapted: Container[int],
) -> int | None:
    """Return the card client that is sent a command, and note the command."""
    lease = user.leases.get(message.session or "")
    if lease is None or lease.phase is not LeasePhase.HELD or lease.in_flight is not None:
        return None
    if message.id is None or user.phase is not Phase.OPEN or state.draining:
        return None
    peer = lease.slot.peer
    to = peer.number
    if isinstance(message, m.CApdu):
        if not 4 <= len(message.command) <= MAX_COMMAND_OCTETS:
            return None
    elif message.of != _C_APDU or message.resets or SEAL not in peer.features:
        return None
    if to not in state.peers or to in adapted:
        return None
    leases.use(state, lease, message, now)
    return to


def _response(
    state: RelayState,
    peer: CardPeer,
    message: m.RApdu | m.SealedResp,
    now: float,
    adapted: Container[int],
) -> int | None:
    """Return the user that is sent a response, and note that the command is answered."""
    lease = state.sessions.get(message.session or "")
    if lease is None or lease.slot.peer is not peer or lease.phase not in SERVED:
        return None
    in_flight, user = lease.in_flight, lease.user
    if in_flight is None or in_flight.cancel is not None or user is None or peer.claims:
        return None
    if user.number in adapted or in_flight.goodbye or not _fits(message, in_flight):
        return None
    if user.number not in state.peers or peer.phase is not Phase.OPEN:
        return None
    state.tally.answered(now - lease.used)
    leases.answered(state, lease, now)
    return user.number


def _fits(message: m.RApdu | m.SealedResp, in_flight: InFlight) -> bool:
    """Return whether a message answers a request, and leaves the card shared as it is."""
    asked = in_flight.message
    if not isinstance(asked, _COMMANDS) or message.id != in_flight.id:
        return False
    if type(asked) is not _ANSWERED_BY[type(message)]:
        return False
    if isinstance(message, m.RApdu):
        if message.ahead is None and not message.read_ahead:
            if not _is_status_word(message.sw):
                return False
        elif not all(map(_is_status_word, message.status_words)):
            return False
    elif is_sealed_error(message):
        return False
    return in_flight.share is None and message.seq in {None, asked.seq}
