# SPDX-License-Identifier: Apache-2.0
"""A user who has a card changes their mind about sharing it."""

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.kinds import wish_of
from wsrc.relay import queue
from wsrc.relay.records import SHARE, InFlight, Lease
from wsrc.relay.state import RelayState

_DONE = str(m.ReconnectAck.__struct_config__.tag)


def refusal(state: RelayState, lease: Lease, request: m.Forwarded) -> tuple[ErrorCode, str] | None:
    """
    Return why a lease cannot be shared as its user wishes with a request, if so.

    Of a sealed one the card client says that others share the card, for it alone is believed.
    """
    wish = wish_of(request)
    if wish in {None, lease.share}:
        return None
    if Share.DIRECT in {wish, lease.share}:
        why = "The share 'direct' is asked for by select_card; give the card back first."
        return ErrorCode.NOT_SUPPORTED, why
    if SHARE not in lease.slot.peer.features:
        why = f"The card client of {lease.slot.peer.name} cannot share a card."
        return ErrorCode.NOT_SUPPORTED, why
    if len(lease.slot.holders) > 1 and not isinstance(request, m.Sealed):
        return ErrorCode.CARD_BUSY, queue.held(state, lease.slot)
    return None


def begin(state: RelayState, lease: Lease, request: m.Forwarded) -> None:
    """Close a card to others that is to be shared otherwise, until the card client has answered."""
    if lease.in_flight is not None and wish_of(request) not in {None, lease.share}:
        lease.in_flight.share, lease.share = lease.share, Share.EXCLUSIVE
        state.readers.mark(lease.slot)


def settled(
    state: RelayState, lease: Lease, in_flight: InFlight, answer: m.Message, now: float
) -> None:
    """Share a card as was asked for, or as before if that failed."""
    wish, before = wish_of(in_flight.message), in_flight.share
    if before is None:
        return
    sealed = isinstance(answer, m.SealedResp) and answer.of == _DONE
    done = sealed or isinstance(answer, m.ReconnectAck)
    lease.share = wish if done and wish is not None else before
    if lease.share is Share.EXCLUSIVE and before is not Share.EXCLUSIVE:
        lease.guests = None
    state.readers.mark(lease.slot)
    queue.offer(state, lease.slot, now)
