# SPDX-License-Identifier: Apache-2.0
"""What the relay makes of `hello`, and the limits that it tells in the answer."""

import hashlib

from wsrc.errors import RemoteProtocolError
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.conversation import CloseCode
from wsrc.relay.records import CardPeer, Peer, UserPeer
from wsrc.relay.state import Limits


def limits_for(record: Peer, limits: Limits) -> m.ServerLimits:
    """Return what a peer is told of the limits."""
    if isinstance(record, CardPeer):
        return m.ServerLimits(
            message_octets=MAX_MESSAGE_OCTETS,
            readers=limits.max_readers_per_card_client,
            keep_s=limits.keep_s,
            command_s=limits.command_s,
            attach_s=limits.attach_s,
        )
    return m.ServerLimits(
        message_octets=MAX_MESSAGE_OCTETS,
        batch_commands=m.MAX_BATCH,
        sessions=limits.max_sessions_per_user,
        wait_max_s=limits.wait_max_s,
        keep_s=limits.keep_s,
        lease_idle_s=limits.lease_idle_s,
        command_s=limits.command_s,
    )


def instance_of(record: Peer, hello: m.Hello) -> str | None:
    """
    Return what tells the runs of a program apart.

    Card hosts are told that of users, and must not be able to connect as one.
    """
    if hello.instance is None or isinstance(record, CardPeer):
        return hello.instance
    return hashlib.sha256(hello.instance.encode()).hexdigest()


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
