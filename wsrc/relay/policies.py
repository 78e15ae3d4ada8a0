# SPDX-License-Identifier: Apache-2.0
"""
Another policy comes into force: all peers and sessions are looked at again, some in a turn.

A user that asks for something meanwhile is looked at before it is answered.
"""

from wsrc.policy.machine import OPEN, Policy
from wsrc.protocol.conversation import Phase
from wsrc.relay import card_clients, judging
from wsrc.relay.audiences import AT_ONCE
from wsrc.relay.readers import Readers
from wsrc.relay.records import CardPeer, UserPeer
from wsrc.relay.state import RelayState, Unjudged

MAX_EFFECTS = 256
"""Effects of one turn beyond which nothing more is looked at in it."""


def take(state: RelayState, policy: Policy, now: float) -> None:
    """Put a policy into force; new requests obey it at once."""
    state.readers.set_policy(policy)
    state.reader_ids.always = policy is not OPEN
    state.unjudged.clear()
    cards = [peer for peer in state.peers.values() if isinstance(peer, CardPeer)]
    users = [peer for peer in state.peers.values() if isinstance(peer, UserPeer)]
    state.unjudged.extend(user for user in users if user.phase is Phase.OPEN)
    state.unjudged.extend(state.sessions)
    state.unjudged.extend(
        (peer, reader) for peer in cards for reader in (*peer.slots, *peer.withheld)
    )
    if state.unjudged:
        state.timers.set((judging.TIMER, 0, None), now)


def go_on(state: RelayState, now: float) -> None:
    """Look at some of what is not looked at yet."""
    done = 0
    while state.unjudged and done < AT_ONCE and len(state.effects) <= MAX_EFFECTS:
        done += _look_at(state, state.unjudged.popleft(), now)
    if state.unjudged:
        state.timers.set((judging.TIMER, 0, None), now + judging.STEP_S)
    else:
        state.readers.all_moved()


def _look_at(state: RelayState, what: Unjudged, now: float) -> int:
    """Look at one thing; return as much work as how many readers of card clients that was."""
    match what:
        case UserPeer():
            return judging.keep_up(state, what, now) if what.number in state.peers else 1
        case str():
            lease = state.sessions.get(what)
            if lease is not None:
                judging.look_at_lease(state, lease, now)
        case Readers():
            state.effects += what.go_on(AT_ONCE)
            if what.is_behind:
                state.unjudged.append(what)
            return AT_ONCE
        case (peer, reader):
            _announce(state, peer, reader, now)
    return 1


def _announce(state: RelayState, peer: CardPeer, reader: str, now: float) -> None:
    """Withhold a reader that its card client may no longer announce, or enter one that it may."""
    if peer.number not in state.peers:
        return
    slot, withheld = peer.slots.get(reader), peer.withheld.get(reader)
    if slot is not None:
        judging.may_announce(state, peer, slot.info, now)
    elif withheld is not None:
        card_clients.report(state, peer, withheld, now)
