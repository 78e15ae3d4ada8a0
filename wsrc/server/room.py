# SPDX-License-Identifier: Apache-2.0
"""How many peers a server has room for, as its settings and the system have it."""

import asyncio
import logging
from typing import NamedTuple

from wsrc.errors import ConfigError
from wsrc.net.outbox import MAX_UNREAD_OCTETS
from wsrc.process.descriptors import allow
from wsrc.process.memory import left
from wsrc.settings.load import ServerSettings

_log = logging.getLogger(__name__)

PART = 4
"""
Of the memory that is left at the start a quarter is for connections, a quarter for what their
peers do not read; the rest is for messages on their way, and for what cannot be foreseen.
"""

LEAST_OCTETS = 8 << 20
"""With less than that left a server does not begin: a message alone may have a mebioctet."""

PLAIN_OCTETS, TLS_OCTETS, ASYNCIO_TLS_OCTETS = 32 << 10, 64 << 10, 448 << 10
"""What a connection takes: without TLS, with that of uvloop, with that of asyncio."""


class Room(NamedTuple):
    """Most connections, most of them that are peers, and most octets that peers have not read."""

    connections: int
    peers: int
    unread: int


def room_for(settings: ServerSettings) -> Room:
    """
    Return what there is room for, and log it where it is less than `max_peers`.

    Raises:
        ConfigError: If there is none.
    """
    by_files = allow(settings.max_peers + settings.max_half_open)
    if by_files < 2:
        why = "there may be no more open files; raise the limit, with LimitNOFILE or ulimit -n"
        raise ConfigError("max_peers", why)
    memory = left()
    by_memory = by_files if memory is None else memory // PART // _octets(settings)
    if memory is not None and memory < LEAST_OCTETS:
        why = f"only {memory >> 20} MiB of memory are left to the server; raise the limit, with "
        raise ConfigError("max_peers", why + "MemoryMax, LimitAS or ulimit -v")
    connections = min(by_files, by_memory)
    unread = MAX_UNREAD_OCTETS if memory is None else min(MAX_UNREAD_OCTETS, memory // PART)
    if connections >= settings.max_peers:
        return Room(connections, settings.max_peers, unread)
    peers = connections - connections // 8
    what, how = ("open files", "LimitNOFILE or ulimit -n")
    if by_memory < by_files:
        what, how = "memory", "MemoryMax, LimitAS or ulimit -v"
    _log.warning(
        "The limit of %s allows %d peers, not max_peers, %d; raise it, with %s",
        what, peers, settings.max_peers, how,
    )  # fmt: skip
    return Room(connections, peers, unread)


def _octets(settings: ServerSettings) -> int:
    """Return what one connection takes."""
    if settings.no_tls:
        return PLAIN_OCTETS
    loop = type(asyncio.get_running_loop()).__module__
    return TLS_OCTETS if loop.startswith("uvloop") else ASYNCIO_TLS_OCTETS
