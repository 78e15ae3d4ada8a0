# SPDX-License-Identifier: Apache-2.0
"""
What users are told beside their readers: how many wait for any card, and changes of reservations.

It is looked at, and not sent: `version` says whether that is worth while.
"""

from wsrc.relay import operators, reserving
from wsrc.relay.records import UserPeer
from wsrc.relay.state import RelayState


class Bulletin:
    """
    What one relay has to say.

    Args:
        state: The relay.
    """

    def __init__(self, state: RelayState) -> None:
        self._state = state

    @property
    def version(self) -> tuple[object, ...]:
        """What is another as soon as anybody may be told something else."""
        state = self._state
        readers = state.readers
        return state.waiting.changes, state.reservations.changes, readers.policy, readers.moves

    def waiting_for_any(self, number: int) -> int:
        """
        Count those who wait for any card, as a user is told of them; others are told of none.

        Operators are told of all, others of those who see the same cards: of hidden cards nothing
        is to be noticed.
        """
        state, peer = self._state, self._state.peers.get(number)
        if not isinstance(peer, UserPeer):
            return 0
        anyone = state.waiting.anyone
        if operators.may_operate(state, peer.principal, direct=peer.direct):
            return anyone.total()
        return anyone[peer.audience]

    def reservations_since(self, number: int, seen: int) -> tuple[int, bool]:
        """
        Return the changes until now, and whether one after `seen` may be noticed by a user.

        Operators may notice all, others those of their own and of cards that they see. Where more
        changed than is known, everybody is to look again.
        """
        return reserving.since(self._state, self._state.peers.get(number), seen)
