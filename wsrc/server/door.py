# SPDX-License-Identifier: Apache-2.0
"""
Connections are accepted while there is room, and begin TLS when their turn comes.

All listening sockets of a server share one `Door`. Where no more connections may be open, the
sockets are not read from, and whoever connects waits in the kernel.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aiohttp import web

from wsrc.net.alerts import SEND
from wsrc.server.connection import Connection
from wsrc.server.refusals import refused, why_no_tls
from wsrc.server.turns import Line

# Longer than the aim: a connection from when it is accepted to when it is a WebSocket.

_log = logging.getLogger(__name__)

TLS_END_S = 0.5
"""How long a peer may take to end TLS."""

BACKLOG = 4096
"""Connections that may wait to be accepted: all card hosts come back at once after a restart."""

AGAIN_S = 1.0
"""Seconds before accepting is tried again, where the system refused it."""

TELL_S = 60.0
"""Seconds between log lines that nobody is accepted."""

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class _Port(NamedTuple):
    handler: Callable[[], web.RequestHandler]
    context: Callable[[], ssl.SSLContext | None]


class Door:
    """
    Accepts connections, and knows which are open.

    Args:
        tasks: Owns the handshakes.
        peers: The line of those WebSockets that have sent much.
        most: Connections that may be open.
        hello_s: How long one may take to become a WebSocket, TLS included.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        peers: Line,
        most: int,
        hello_s: float,
    ) -> None:
        self.connections: dict[Connection, None] = {}
        self._tasks = tasks
        self.peers = peers
        self.newcomers = Line(asyncio.get_running_loop())
        """The line of who is no WebSocket yet; however long it is, no peer stands in it."""
        self._most = most
        self._hello_s = hello_s
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[socket.socket, _Port] = {}
        self.websockets = 0
        self.ended = 0
        self._standing: set[socket.socket] = set()
        self._paused = False
        self._closed = False
        self._told = -TELL_S

    @property
    def handshakes(self) -> Sequence[Connection]:
        """Connections that are about to be WebSockets: in TLS, or with a request to be read."""
        return [each for each in self.connections if each.deciding]

    def listen(
        self,
        listener: socket.socket,
        handler: Callable[[], web.RequestHandler],
        context: Callable[[], ssl.SSLContext | None],
    ) -> None:
        """
        Accept from a socket that is bound.

        Args:
            listener: The socket.
            handler: Makes what serves a connection.
            context: Returns the TLS of a new connection, or None.
        """
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._listeners[listener] = _Port(handler, context)
        if not self._paused:
            self._loop.add_reader(listener, self._knocked, listener)

    def close(self) -> None:
        """Stop accepting."""
        self._closed = True
        self._pause()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def gone(self, connection: Connection) -> None:
        """Strike a connection, and accept others if they had to wait."""
        if connection not in self.connections:
            return
        del self.connections[connection]
        self.websockets -= connection.upgraded
        self.ended += 1
        if self._paused:
            self._resume()

    def _knocked(self, listener: socket.socket) -> None:
        """Accept when the turn comes, one connection in each turn."""
        self._loop.remove_reader(listener)
        self._stand(listener)

    def _stand(self, listener: socket.socket) -> None:
        if listener not in self._standing:
            self._standing.add(listener)
            self.newcomers.stand(lambda: self._accept(listener))

    def _accept(self, listener: socket.socket) -> None:
        self._standing.discard(listener)
        if self._paused or self._closed:
            return
        if len(self.connections) >= self._most:
            self._full(f"{len(self.connections)} are open, the limit")
            return
        try:
            raw, address = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            self._loop.add_reader(listener, self._knocked, listener)
            return
        except (OSError, MemoryError) as exc:
            if isinstance(exc, OSError) and exc.errno not in _NO_ROOM:
                self._loop.add_reader(listener, self._knocked, listener)
                raise
            self._full(f"the system says: {exc}")
            self._loop.call_later(AGAIN_S, self._resume)
            return
        raw.setblocking(False)
        port = self._listeners[listener]
        connection = Connection(self, port.handler(), str(address[0]))
        connection.limit(self._hello_s)
        self.connections[connection] = None
        begin = self._begin(raw, connection, port.context())
        connection.task = self._tasks.create_task(begin, name="handshake")
        self.newcomers.rest()
        self._stand(listener)

    async def _begin(
        self, raw: socket.socket, connection: Connection, context: ssl.SSLContext | None
    ) -> None:
        """Do the TLS handshake, if there is one, and begin to serve the connection."""
        tls = context is not None
        try:
            if tls:
                await self._tls_begun(raw)
                SEND.set(raw.send)
            await self._loop.connect_accepted_socket(
                lambda: connection,
                raw,
                ssl=context,
                ssl_handshake_timeout=self._hello_s if tls else None,
                ssl_shutdown_timeout=TLS_END_S if tls else None,
            )
        except (OSError, MemoryError) as exc:
            refused(connection.address, why_no_tls(exc))
            connection.end()
        finally:
            connection.task = None

    async def _tls_begun(self, raw: socket.socket) -> None:
        """
        Wait until a peer has begun TLS, and for one's turn: our part is the most of the work.

        The socket is closed if it comes to nothing.
        """
        begun = asyncio.Event()
        self._loop.add_reader(raw, begun.set)
        try:
            try:
                async with asyncio.timeout(self._hello_s):
                    await begun.wait()
            finally:
                self._loop.remove_reader(raw)
            await self.newcomers.wait(rest=True)
        except BaseException:
            raw.close()
            raise

    def _full(self, why: str) -> None:
        self._pause()
        now = self._loop.time()
        if now >= self._told + TELL_S:
            self._told = now
            undecided = len(self.connections) - self.websockets
            _log.warning(
                "No connection is accepted for now: %s; %d of them are not yet WebSockets",
                why,
                undecided,
            )

    def _pause(self) -> None:
        self._paused = True
        for listener in self._listeners:
            self._loop.remove_reader(listener)

    def _resume(self) -> None:
        if self._closed:
            return
        self._paused = False
        for listener in self._listeners:
            self._loop.add_reader(listener, self._knocked, listener)
