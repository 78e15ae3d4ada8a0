# SPDX-License-Identifier: Apache-2.0
"""What operators ask of the whole server: its connections, bans, drained hosts, its end."""

from itertools import islice

import msgspec

from wsrc.errors import ErrorCode, RefusedError
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.protocol.codec import tag_of
from wsrc.protocol.conversation import CloseCode
from wsrc.relay import draining, evidence, operators, queue, revoking
from wsrc.relay.bans import MAX_BANS, Ban, key_of
from wsrc.relay.effects import Stop
from wsrc.relay.names import printable
from wsrc.relay.records import LEAVING, CardPeer, Drained, Lease, Peer, UserPeer
from wsrc.relay.state import RelayState

# Longer than the aim: the requests of an operator are one table.

PAGE = 500
"""Connections of one `list_peers_ack`."""

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
    )
    state.send(user, ack)


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
    ban = Ban(asked.who, now + for_s, user.name, why)
    if not state.bans.put(ban, now):
        raise RefusedError(ErrorCode.TOO_MANY, f"{MAX_BANS} bans are in force already; lift some.")
    evidence.operated(state, user, "ban", f"{shown} until {state.utc(ban.until)}", why)
    peers = state.roll.of(key)
    for peer in peers:
        if isinstance(peer, UserPeer):
            revoking.end_all(state, _leases(peer), revoking.sentence(user, asked.why), now)
        state.close(peer, CloseCode.POLICY, banned(ban, state))
    state.send(user, m.BanAck(id=asked.id, ban=_told(state, ban), closed=len(peers)))


def banned(ban: Ban, state: RelayState) -> str:
    """Return what whoever is banned is told."""
    reason = f": {ban.why}" if ban.why else ""
    return f"Banned by {ban.by} until {state.utc(ban.until)}{reason}."


def _told(state: RelayState, ban: Ban) -> m.BanInfo:
    return m.BanInfo(who=ban.who, until=state.utc(ban.until), by=ban.by, why=ban.why or None)


def _unban(state: RelayState, user: UserPeer, asked: m.Unban, now: float) -> None:
    if not state.bans.lift(asked.who, now):
        raise RefusedError(ErrorCode.NO_SUCH_PEER, "Nobody is banned by that name or address.")
    evidence.operated(state, user, "unban", printable(asked.who, len(asked.who)))
    state.send(user, m.UnbanAck(id=asked.id))


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
    sessions = peer.sessions if peer is not None else 0
    wait_s = min(asked.wait_s, state.limits.wait_max_s)
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
    state.send(user, m.UndrainAck(id=asked.id))
    for slot in peer.slots.values() if peer is not None else ():
        queue.offer_soon(state, slot, now)
