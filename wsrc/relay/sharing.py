# SPDX-License-Identifier: Apache-2.0
"""A user who has a card changes their mind about sharing it."""

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay import queue
from wsrc.relay.records import SHARE, InFlight, Lease
from wsrc.relay.state import RelayState


def refusal(state: RelayState, lease: Lease, wish: m.Reconnect) -> tuple[ErrorCode, str] | None:
    """Return why a lease cannot be shared as its user wishes now, if so."""
    if wish.share in {None, lease.share}:
        return None
    if Share.DIRECT in {wish.share, lease.share}:
        why = "The share 'direct' is asked for by select_card; give the card back first."
        return ErrorCode.NOT_SUPPORTED, why
    if SHARE not in lease.slot.peer.features:
        why = f"The card client of {lease.slot.peer.name} cannot share a card."
        return ErrorCode.NOT_SUPPORTED, why
    if len(lease.slot.holders) > 1:
        return ErrorCode.CARD_BUSY, queue.held(state, lease.slot)
    return None


def begin(state: RelayState, lease: Lease, wish: m.Reconnect) -> None:
    """Close a shared card to others until the card client has answered."""
    if lease.in_flight is not None and wish.share not in {None, lease.share}:
        lease.in_flight.share, lease.share = lease.share, Share.EXCLUSIVE
        state.readers.mark(lease.slot)


def settled(
    state: RelayState, lease: Lease, in_flight: InFlight, answer: m.Message, now: float
) -> None:
    """Share a card as was asked for, or as before if that failed."""
    wish, before = in_flight.message, in_flight.share
    if before is None or not isinstance(wish, m.Reconnect):
        return
    done = isinstance(answer, m.ReconnectAck)
    lease.share = wish.share if done and wish.share is not None else before
    state.readers.mark(lease.slot)
    queue.offer(state, lease.slot, now)
