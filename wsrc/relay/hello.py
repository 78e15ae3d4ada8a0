# SPDX-License-Identifier: Apache-2.0
"""What the relay makes of `hello`, and the limits that it tells in the answer."""

import hashlib
from collections.abc import Iterable
from typing import TypeVar

from wsrc.errors import RemoteProtocolError
from wsrc.policy.machine import OPEN
from wsrc.principal import Principal, owner_of
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.conversation import CloseCode
from wsrc.relay.names import MAX_READER_ID, printable, shown_name, written
from wsrc.relay.records import IDLE, KNOWN, CardPeer, Peer, UserPeer
from wsrc.relay.roll import aliases
from wsrc.relay.state import Limits, RelayState

N = TypeVar("N", int, float)


def limits_for(record: Peer, limits: Limits) -> m.ServerLimits:
    """Return what a peer is told of the limits."""
    if isinstance(record, CardPeer):
        return m.ServerLimits(
            message_octets=MAX_MESSAGE_OCTETS,
            readers=limits.max_readers_per_card_client,
            keep_s=limits.keep_s,
            command_s=limits.command_s,
            attach_s=limits.attach_s,
            connections=_connections(record, limits),
            octets_per_s=_if_any(record, limits.octets_per_s),
        )
    of_all = _if_any(record, limits.max_sessions_per_principal)
    return m.ServerLimits(
        message_octets=MAX_MESSAGE_OCTETS,
        batch_commands=m.MAX_BATCH,
        sessions=min(limits.max_sessions_per_user, of_all or limits.max_sessions_per_user),
        wait_max_s=limits.wait_max_s,
        keep_s=limits.keep_s,
        lease_idle_s=limits.lease_idle_s,
        command_s=limits.command_s,
        sessions_of_all=of_all,
        waiting_of_all=_if_any(record, limits.max_waiting_per_principal),
        connections=_connections(record, limits),
        requests_per_s=_if_any(record, limits.requests_per_s),
        octets_per_s=_if_any(record, limits.octets_per_s),
    )


_SAME: dict[frozenset[str], frozenset[str]] = {}


def known(features: Iterable[str]) -> frozenset[str]:
    """Return the features of which anything follows; the same object for all who have the same."""
    found = KNOWN.intersection(features)
    return _SAME.setdefault(found, found)


def _connections(record: Peer, limits: Limits) -> int | None:
    by_name, by_address = limits.max_connections_per_principal, limits.max_connections_per_address
    return _if_any(record, by_address if record.principal is None else by_name)


def _if_any(record: Peer, limit: N) -> N | None:
    """Return a limit of what is counted, if it is one for this peer."""
    return limit if limit and record.limited else None


def name(state: RelayState, record: Peer, said: m.Hello) -> None:
    """Name a peer as others are shown it: by its principal, and by the name that it chose."""
    free = printable(said.name)
    if record.principal is None:
        free = free or record.name
    record.name = shown_name(record.principal, free, known=state.readers.policy is not OPEN)
    if isinstance(record, UserPeer):
        record.aliases, record.warned = aliases(record), IDLE in said.features


def name_host(state: RelayState, record: CardPeer, said: m.Hello) -> str | None:
    """Give a card host a name that no other has; return it, if it is not the one it claims."""
    shown, record.claimed = record.name, (said.name or "")[: MAX_READER_ID + 1]
    who = record.principal
    record.host = shown if who is None else _host_of(who)
    record.name = state.host_names.enter(shown, record.instance, said.shown_as)
    if record.name != shown:
        why = "is another's already; give each card host a name of its own"
        state.warn(
            f"Card client {record.number}: it is shown as {record.name}, for {shown} {why}", record
        )
    return record.name if record.name != (printable(said.name) or shown) else None


def _host_of(who: Principal) -> str:
    """Return what a policy calls the host of a principal; never what it calls one without."""
    return written(who.name) if who.name.startswith("(") else who.name


def instance_of(record: Peer, hello: m.Hello) -> str | None:
    """
    Return what tells the runs of a program apart; it is another for each principal.

    It is a digest, which has a bound. Card hosts are told that of users, and must not be able to
    connect as one.
    """
    if hello.instance is None:
        return None
    owner = owner_of(record.principal)
    instance = f"{hello.instance} {owner}" if owner else hello.instance
    return hashlib.sha256(instance.encode()).hexdigest()


def check_type(record: Peer, hello: m.Hello) -> None:
    """
    Check that a peer has come to its port.

    Raises:
        RemoteProtocolError: If that is the other one.
    """
    if isinstance(record, UserPeer) != (hello.client_type is m.ClientType.USER):
        here, port = ("card", 4220) if isinstance(record, CardPeer) else ("user", 4221)
        why = f"This port is for {here} clients; {hello.client_type} clients connect to the other"
        raise RemoteProtocolError(f"{why}, {port} by default.")


def check_form(record: Peer, message: m.Message) -> None:
    """
    Check that a peer that was let in for the first form does not say `hello` in another.

    Raises:
        RemoteProtocolError: If it does.
    """
    principal = record.principal
    if principal is not None and principal.first_form and isinstance(message, m.Hello):
        why = "This peer was let in for the first form of the protocol alone; send a token."
        raise RemoteProtocolError(why, CloseCode.POLICY)
