# SPDX-License-Identifier: Apache-2.0
"""Sockets that a service manager listens on for us (sd_listen_fds(3)), without its library."""

import os
import socket
from collections.abc import MutableMapping

FIRST = 3
"""Descriptor of the first; the others follow it."""

MOST = 1000
"""Sockets that a service manager is believed to hand over."""

_PID, _COUNT, _NAMES = VARIABLES = "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"


def take(environ: MutableMapping[str, str] = os.environ) -> list[tuple[str, socket.socket]]:
    """
    Return the sockets that are handed over, each with its name, and forget that they were.

    No program that is started later takes them for its own: the variables are removed, and the
    sockets closed in it.

    Raises:
        ValueError: If the variables have no sense, or one of the descriptors is no socket.
    """
    given = {name: environ.pop(name, "") for name in VARIABLES}
    if given[_PID] != str(os.getpid()):
        return []
    if not given[_COUNT].isdecimal() or not 0 < int(given[_COUNT]) <= MOST:
        raise ValueError(f"{_COUNT} is {given[_COUNT]!r}, and not a number of sockets")
    count = int(given[_COUNT])
    names = given[_NAMES].split(":") if given[_NAMES] else ["unknown"] * count
    if len(names) != count:
        raise ValueError(f"{_NAMES} has {len(names)} names for {count} sockets")
    taken: list[tuple[str, socket.socket]] = []
    try:
        taken.extend((name, _socket(FIRST + at)) for at, name in enumerate(names))
    except ValueError:
        for _, each in taken:
            each.close()
        raise
    return taken


def _socket(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        return socket.socket(fileno=number)
    except OSError as exc:
        raise ValueError(f"descriptor {number} is no socket: {exc.strerror}") from exc
