# SPDX-License-Identifier: Apache-2.0
"""The line to the vpcd driver: two octets of length, then that many octets."""

import socket


def receive(connection: socket.socket) -> bytes:
    """Read one request; empty when the driver closed the connection."""
    size = int.from_bytes(_read(connection, 2))
    return _read(connection, size)


def _read(connection: socket.socket, octets: int) -> bytes:
    data = b""
    while len(data) < octets:
        _acknowledge_at_once(connection)
        chunk = connection.recv(octets - len(data))
        if not chunk:
            return b""
        data += chunk
    return data


def _acknowledge_at_once(connection: socket.socket) -> None:
    """
    Ask for acknowledgements without delay, where the system can; it forgets after each receive.

    The driver sends length and octets apart, and its kernel holds the second back until the first
    is acknowledged: 40 ms for each command without this.
    """
    option = getattr(socket, "TCP_QUICKACK", None)
    if option is not None:
        connection.setsockopt(socket.IPPROTO_TCP, option, 1)
