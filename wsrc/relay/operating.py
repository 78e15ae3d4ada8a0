# SPDX-License-Identifier: Apache-2.0
"""
What operators ask of the whole server: its connections, bans, drained hosts, its end.

Bans and drained hosts are in force at once, and answered when the shell kept them, or could not.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from wsrc.errors import ErrorCode, RefusedError
from wsrc.policy.words import Verb
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.protocol.codec import tag_of
from wsrc.protocol.conversation import CloseCode
from wsrc.relay import draining, evidence, operators, queue, revoking, standing
from wsrc.relay.bans import MAX_BANS, Ban, key_of
from wsrc.relay.effects import Stop, Uphold
from wsrc.relay.names import printable
from wsrc.relay.records import LEAVING, CardPeer, Drained, Lease, Peer, UserPeer
from wsrc.relay.standing import HOST, Ordered, Standing
from wsrc.relay.state import RelayState

# Longer than the aim: the requests of an operator are one table.

PAGE = 500
"""Connections of one `list_peers_ack`."""


class Refused(NamedTuple):
    """Why a connection is not let in, and for how many seconds."""

    sentence: str
    again_s: float


MAX_BAN_S = 31_536_000.0
"""Seconds that a ban lasts at most."""


def operate(state: RelayState, user: UserPeer, asked: m.Operator, now: float) -> None:
    """Do what an operator asks for; raises RefusedError to who is none, or if it cannot be done."""
    if not operators.may_operate(state, user.principal, direct=user.direct):
        why = operators.forbidden(state, user, Verb.ADMIN)
        evidence.refused(state, user, tag_of(asked), why)
        raise RefusedError(ErrorCode.FORBIDDEN, why)
    match asked:
        case m.ListPeers():
            _list_peers(state, user, asked)
        case m.Kick():
            _kick(state, user, asked, now)
        case m.Ban():
            _ban(state, user, asked, now)
        case m.Unban():
            _unban(state, user, asked, now)
        case m.ListBans():
            bans = tuple(_told(state, ban) for ban in state.bans.all(now))
            state.send(user, m.ListBansAck(id=asked.id, bans=bans))
        case m.Drain():
            _drain(state, user, asked, now)
        case m.Undrain():
            _undrain(state, user, asked, now)
        case m.Stop():
            evidence.operated(state, user, "stop", "the server", _why(asked.why))
            state.send(user, m.StopAck(id=asked.id))
            state.effects.append(Stop())


def kept(state: RelayState, number: int, why: str, now: float) -> None:
    """Go on after an `Uphold` of this number; `why` says why it was not written, if so."""
    user, asked, ack = state.ordered.pop(number)
    if user.number not in state.peers:
        return
    if why:
        sentence = f"{_in_force(asked)} until the server is started again. {why}"
        state.refuse(user, asked.id, ErrorCode.NOT_KEPT, sentence)
    elif ack is not None:
        state.send(user, ack)
    else:
        assert isinstance(asked, m.Drain)
        try:
            _wait_for_drained(state, user, asked, now)
        except RefusedError as exc:
            state.refuse(user, asked.id, exc.code, str(exc))


def recall(state: RelayState, orders: Iterable[Standing], now: float) -> None:
    """Have in force what an earlier run has kept; no peer is here yet."""
    for each in orders:
        until = min(each.until - state.epoch(), now + MAX_BAN_S)
        if each.kind == HOST:
            state.drained[each.key] = Drained(each.who, each.by, each.why)
        elif until <= now or not state.bans.put(Ban(each.who, until, each.by, each.why), now):
            state.effects.append(Uphold(0, each, drops=True))


def _uphold(state: RelayState, ordered: Ordered, order: Standing, *, drops: bool = False) -> None:
    state.last_change += 1
    state.ordered[state.last_change] = ordered
    state.effects.append(Uphold(state.last_change, order, drops))


def _in_force(asked: m.Ban | m.Unban | m.Drain | m.Undrain) -> str:
    """Return the beginning of a sentence that says what is in force, up to until when."""
    match asked:
        case m.Ban():
            return f"{printable(asked.who)} is not let in"
        case m.Unban():
            return f"{printable(asked.who)} is let in"
        case m.Drain():
            return f"Card host {printable(asked.host)} is drained"
        case m.Undrain():
            return f"The cards of {printable(asked.host)} can be had"


def _why(text: str) -> str:
    return printable(text, revoking.MAX_WHY)


def _list_peers(state: RelayState, user: UserPeer, asked: m.ListPeers) -> None:
    found = list(islice(state.roll.after(asked.after), PAGE + 1))
    page = found[:PAGE]
    ack = m.ListPeersAck(
        id=asked.id,
        peers=tuple(_peer(state, peer) for peer in page),
        instance=state.instance,
        next=page[-1].number if len(found) > PAGE else None,
        drained=tuple(_drained(each) for each in state.drained.values()) if not asked.after else (),
    )
    state.send(user, ack)


def _drained(drained: Drained) -> m.DrainedHost:
    return m.DrainedHost(host=drained.host, by=drained.by, why=drained.why or None)


def _peer(state: RelayState, peer: Peer) -> m.PeerInfo:
    info = m.PeerInfo(
        number=peer.number,
        role=m.ClientType.USER if isinstance(peer, UserPeer) else m.ClientType.CARD,
        name=peer.name,
        since=state.utc(peer.since),
        principal=peer.principal.name if peer.principal is not None else None,
        address=peer.address or None,
        first_form=peer.first_form,
    )
    if isinstance(peer, UserPeer):
        counts = {"sessions": len(peer.leases), "waiting": len(peer.waiting)}
        return msgspec.structs.replace(info, **counts)
    counts = {"sessions": peer.sessions, "readers": len(peer.slots)}
    return msgspec.structs.replace(info, draining=peer.drained is not None, **counts)


def _leases(peer: Peer) -> list[Lease]:
    """Return the sessions of a user, or on the cards of a host, that are not ending."""
    if isinstance(peer, UserPeer):
        every = list(peer.leases.values())
    else:
        every = [lease for slot in peer.slots.values() for lease in slot.leases.values()]
    return [lease for lease in every if lease.phase not in LEAVING]


def _kick(state: RelayState, user: UserPeer, asked: m.Kick, now: float) -> None:
    here = asked.instance in {None, state.instance}
    peer = state.peers.get(asked.peer) if here else None
    if peer is None:
        why = f"There is no connection {asked.peer} to this run of the server."
        raise RefusedError(ErrorCode.NO_SUCH_PEER, why)
    leases, why = _leases(peer), _why(asked.why)
    evidence.operated(state, user, "kick", f"{peer.name} (connection {peer.number})", why)
    if asked.end:
        revoking.end_all(state, leases, revoking.sentence(user, asked.why), now)
    state.send(user, m.KickAck(id=asked.id, name=peer.name, sessions=len(leases)))
    state.close(peer, CloseCode.POLICY, f"Kicked by {user.name}{f': {why}' if why else ''}.")


def _ban(state: RelayState, user: UserPeer, asked: m.Ban, now: float) -> None:
    key, for_s, why = key_of(asked.who), asked.for_s, _why(asked.why)
    shown = printable(asked.who, len(asked.who))
    if not asked.who.strip() or shown != asked.who or not 0 < for_s <= MAX_BAN_S:
        wrong = f"Say whom to ban, and for how long: up to {MAX_BAN_S:g} s."
        raise RefusedError(ErrorCode.BAD_MESSAGE, wrong)
    if user in state.roll.of(key):
        raise RefusedError(ErrorCode.FORBIDDEN, f"{shown} is who asks; nobody bans themselves.")
    for over in state.bans.pop_over(now):
        order = standing.of_ban(over, state.epoch())
        state.effects.append(Uphold(0, order, drops=True))
    ban = Ban(asked.who, now + for_s, user.name, why)
    if not state.bans.put(ban, now):
        raise RefusedError(ErrorCode.TOO_MANY, f"{MAX_BANS} bans are in force already; lift some.")
    evidence.operated(state, user, "ban", f"{shown} until {state.utc(ban.until)}", why)
    peers = state.roll.of(key)
    for peer in peers:
        if isinstance(peer, UserPeer):
            revoking.end_all(state, _leases(peer), revoking.sentence(user, asked.why), now)
        state.close(peer, CloseCode.POLICY, banned(ban, state))
    ack = m.BanAck(id=asked.id, ban=_told(state, ban), closed=_count(peers))
    _uphold(state, Ordered(user, asked, ack), standing.of_ban(ban, state.epoch()))


def _count(peers: Sequence[Peer]) -> int:
    """Count connections; those of users of another server, below 0, are counted there."""
    return sum(peer.number > 0 for peer in peers)


def ban_on(
    state: RelayState, principal: Principal | None, address: str, now: float
) -> Refused | None:
    """Return why whoever comes is not let in for now, if so."""
    ban = state.bans.on(principal.name if principal else None, address, now)
    return None if ban is None else Refused(banned(ban, state), ban.until - now)


def banned(ban: Ban, state: RelayState) -> str:
    """Return what whoever is banned is told."""
    reason = f": {ban.why}" if ban.why else ""
    return f"Banned by {ban.by} until {state.utc(ban.until)}{reason}."


def _told(state: RelayState, ban: Ban) -> m.BanInfo:
    return m.BanInfo(who=ban.who, until=state.utc(ban.until), by=ban.by, why=ban.why or None)


def _unban(state: RelayState, user: UserPeer, asked: m.Unban, now: float) -> None:
    ban = state.bans.lift(asked.who, now)
    if ban is None:
        raise RefusedError(ErrorCode.NO_SUCH_PEER, "Nobody is banned by that name or address.")
    evidence.operated(state, user, "unban", printable(asked.who, len(asked.who)))
    ordered = Ordered(user, asked, m.UnbanAck(id=asked.id))
    _uphold(state, ordered, standing.of_ban(ban, state.epoch()), drops=True)


def _drain(state: RelayState, user: UserPeer, asked: m.Drain, now: float) -> None:
    assert asked.id is not None
    peer, why = state.roll.host(asked.host), _why(asked.why)
    _check_drained(state, user, asked, peer)
    name = peer.name if peer is not None else asked.host
    drained = draining.begin(state, Drained(name, user.name, why), peer)
    if drained is None:
        full = f"{draining.MAX_DRAINED} hosts are drained already."
        raise RefusedError(ErrorCode.TOO_MANY, full)
    evidence.operated(state, user, "drain", f"card host {drained.host}", why)
    _uphold(state, Ordered(user, asked, None), standing.of_host(drained))


def _wait_for_drained(state: RelayState, user: UserPeer, asked: m.Drain, now: float) -> None:
    """Answer who drained a host, or let them wait for its last session."""
    assert asked.id is not None
    peer, drained = state.roll.host(asked.host), state.drained.get(draining.key_of(asked.host))
    sessions = peer.sessions if peer is not None else 0
    wait_s = min(asked.wait_s, state.limits.wait_max_s)
    if drained is None:
        raise RefusedError(ErrorCode.CANCELLED, draining.not_drained(asked.host))
    _check_waits(user, asked)
    if wait_s > 0 and (peer is None or sessions):
        draining.wait(state, drained, user, asked.id, now + wait_s)
    else:
        state.send(user, m.DrainAck(id=asked.id, sessions=sessions))


def _check_drained(
    state: RelayState, user: UserPeer, asked: m.Drain, peer: CardPeer | None
) -> None:
    """Check that a host can be drained, and be waited for."""
    if peer is None and draining.key_of(asked.host) not in state.drained:
        why = f"No card host is called {printable(asked.host)!r}; `admin peers` has their names."
        raise RefusedError(ErrorCode.NO_SUCH_PEER, why)
    _check_waits(user, asked)


def _check_waits(user: UserPeer, asked: m.Drain) -> None:
    """Check that a user can wait for the last session of a host."""
    waits = user.drains or {}
    if asked.id in waits:
        raise RefusedError(ErrorCode.REQUEST_IN_FLIGHT, "A drain with this id is not answered yet.")
    if len(waits) >= draining.MAX_WAITS and asked.wait_s > 0:
        why = f"This connection waits for {draining.MAX_WAITS} hosts already."
        raise RefusedError(ErrorCode.TOO_MANY, why)


def _undrain(state: RelayState, user: UserPeer, asked: m.Undrain, now: float) -> None:
    peer = state.roll.host(asked.host)
    drained = draining.end(state, asked.host, peer)
    if drained is None:
        why = f"No card host that is drained is called {printable(asked.host)!r}."
        raise RefusedError(ErrorCode.NO_SUCH_PEER, why)
    evidence.operated(state, user, "undrain", f"card host {drained.host}")
    ordered = Ordered(user, asked, m.UndrainAck(id=asked.id))
    _uphold(state, ordered, standing.of_host(drained), drops=True)
    for slot in peer.slots.values() if peer is not None else ():
        queue.offer_soon(state, slot, now)
