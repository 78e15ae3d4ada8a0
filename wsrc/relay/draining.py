# SPDX-License-Identifier: Apache-2.0
"""Card hosts on whose cards no session begins, until whoever drained them says otherwise."""

from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay.names import printable
from wsrc.relay.records import CardPeer, Drained, UserPeer
from wsrc.relay.state import RelayState
from wsrc.selection import normal

MAX_DRAINED = 1_000
"""Hosts that are drained at a time, most of which need not be connected."""

MAX_WAITS = 16
"""Hosts that a user waits for at a time."""

TIMER = "drain"
"""Kind of the deadline until which whoever drains a host waits for its last session."""


def sentence(drained: Drained) -> str:
    """Return why no session begins on the cards of a host."""
    why = f" ({drained.why})" if drained.why else ""
    return f"Card host {drained.host} is drained{why}: no session begins on its cards for now."


def not_drained(host: str) -> str:
    """Return what who waits for the last session of a host is told."""
    return f"Card host {printable(host)} is not drained any more."


def key_of(name: str) -> str:
    """Return the name of a host in the form in which it is remembered that it is drained."""
    return normal("host", name)


def greeted(state: RelayState, peer: CardPeer) -> None:
    """Note whether a card host that has a name now is drained."""
    peer.drained = state.drained.get(key_of(peer.name))
    if peer.drained is not None:
        state.note(f"Card host {peer.name} is back, and drained still")


def left(state: RelayState, peer: CardPeer) -> None:
    """Look whether the last session of a card host has ended that is connected and drained."""
    if peer.drained is not None and not peer.sessions and peer.number in state.peers:
        _over(state, peer.drained)


def gone(state: RelayState, peer: CardPeer) -> None:
    """Note that a card host has said goodbye, with which its sessions are over."""
    if peer.drained is not None:
        _over(state, peer.drained)


def begin(state: RelayState, drained: Drained, peer: CardPeer | None) -> Drained | None:
    """Drain a host, or drain it for another reason if any; return how, None if too many are."""
    key = key_of(drained.host)
    before = state.drained.get(key)
    if before is None and len(state.drained) >= MAX_DRAINED:
        return None
    if before is not None:
        before.by, before.why = drained.by, drained.why or before.why
        drained = before
    state.drained[key] = drained
    if peer is not None and peer.drained is None:
        peer.drained = drained
        _mark(state, peer)
        left(state, peer)
    return drained


def end(state: RelayState, host: str, peer: CardPeer | None) -> Drained | None:
    """Let the cards of a host be had again; return how it was drained, None if it was not."""
    drained = state.drained.pop(key_of(host), None)
    if drained is None:
        return None
    why = not_drained(drained.host)
    for user, id_ in _waits(drained):
        _answer(state, drained, user, m.error(ErrorCode.CANCELLED, why, id=id_))
    if peer is not None:
        peer.drained = None
        _mark(state, peer)
    return drained


def wait(state: RelayState, drained: Drained, user: UserPeer, id_: int, until: float) -> None:
    """Answer a user when no session is left, or at a time in monotonic seconds."""
    drained.waits[user.number, id_] = user
    if user.drains is None:
        user.drains = {}
    user.drains[id_] = drained
    state.timers.set((TIMER, user.number, id_), until)


def expired(state: RelayState, user: UserPeer, id_: int) -> None:
    """Answer a user for whom it takes too long."""
    assert user.drains is not None
    drained = user.drains[id_]
    peer = state.roll.host(drained.host)
    sessions = peer.sessions if peer is not None else 0
    _answer(state, drained, user, m.DrainAck(id=id_, sessions=sessions))


def cancel(state: RelayState, user: UserPeer, id_: int, why: m.Error) -> None:
    """Let a user wait no more; the host stays drained."""
    assert user.drains is not None
    drained = user.drains[id_]
    error = m.error(why.code or ErrorCode.CANCELLED, why.message, id=id_)
    _answer(state, drained, user, error)


def forget_user(state: RelayState, user: UserPeer) -> None:
    """Strike what a user waits for who is gone."""
    for id_, drained in (user.drains or {}).items():
        del drained.waits[user.number, id_]
        state.timers.clear((TIMER, user.number, id_))
    user.drains = None


def _over(state: RelayState, drained: Drained) -> None:
    """Tell that no session is left, once, and those who wait for that."""
    if not drained.told:
        drained.told = True
        state.note(f"Card host {drained.host} is drained: no session is left on its cards")
    for user, id_ in _waits(drained):
        _answer(state, drained, user, m.DrainAck(id=id_, sessions=0))


def _waits(drained: Drained) -> list[tuple[UserPeer, int]]:
    return [(user, id_) for (_, id_), user in drained.waits.items()]


def _answer(state: RelayState, drained: Drained, user: UserPeer, answer: m.Message) -> None:
    assert answer.id is not None
    assert user.drains is not None
    del drained.waits[user.number, answer.id], user.drains[answer.id]
    state.timers.clear((TIMER, user.number, answer.id))
    state.send(user, answer)


def _mark(state: RelayState, peer: CardPeer) -> None:
    for slot in peer.slots.values():
        state.readers.mark(slot)
