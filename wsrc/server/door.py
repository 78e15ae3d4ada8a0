# SPDX-License-Identifier: Apache-2.0
"""
Connections are accepted while there is room, and begin TLS when their turn comes.

All listening sockets of a server share one `Door`. Where no more connections may be open, the
sockets are not read from, and whoever connects waits in the kernel.
"""

import asyncio
import errno
import logging
import math
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aiohttp import web

from wsrc.net.alerts import SEND
from wsrc.server.connection import Connection
from wsrc.server.limits import HalfOpen, Limit, Quotas
from wsrc.server.refusals import Refusals, why_no_tls
from wsrc.server.turns import Line

# Longer than the aim: a connection from when it is accepted to when it is a WebSocket.

TLS_END_S = 0.5
"""How long a peer may take to end TLS."""

BACKLOG = 4096
"""Connections that may wait to be accepted: all card hosts come back at once after a restart."""

AGAIN_S = 1.0
"""Seconds before accepting is tried again, where the system refused it."""

STALLED_S = 1.0
"""Seconds after which a connection that has us wait makes room for others."""

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class _Port(NamedTuple):
    handler: Callable[[], web.RequestHandler]
    context: Callable[[], ssl.SSLContext | None]
    http: bool


class Door:
    """
    Accepts connections, and knows which are open.

    Args:
        tasks: Owns the handshakes.
        peers: The line of those WebSockets that have sent much.
        quotas: What each address may use.
        refusals: Says who is refused.
        most: Connections that may be open, and of them those that are no WebSockets yet.
        hello_s: How long one may take to become a WebSocket, TLS included.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what an entrance is, each once
        self,
        tasks: asyncio.TaskGroup,
        peers: Line,
        quotas: Quotas,
        refusals: Refusals,
        most: tuple[int, int],
        hello_s: float,
    ) -> None:
        self.connections: dict[Connection, None] = {}
        self._tasks = tasks
        self.peers = peers
        self.newcomers = Line(asyncio.get_running_loop())
        """The line of who is no WebSocket yet; however long it is, no peer stands in it."""
        self.quotas = quotas
        self.refusals = refusals
        self._most, self._most_half_open = most
        self._half_open: HalfOpen[Connection] = HalfOpen()
        self._hello_s = hello_s
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[socket.socket, _Port] = {}
        self.ended = 0
        self.accepted = 0
        self._standing: set[socket.socket] = set()
        self._paused = False
        self._closed = False

    @property
    def handshakes(self) -> Sequence[Connection]:
        """Connections that are about to be WebSockets: in TLS, or with a request to be read."""
        return [each for each in self.connections if each.deciding]

    @property
    def websockets(self) -> int:
        """How many connections are WebSockets, or stay with HTTP."""
        return len(self.connections) - len(self._half_open)

    def listen(
        self,
        listener: socket.socket,
        handler: Callable[[], web.RequestHandler],
        context: Callable[[], ssl.SSLContext | None],
        *,
        http: bool = False,
    ) -> None:
        """
        Accept from a socket that is bound.

        Args:
            listener: The socket.
            handler: Makes what serves a connection.
            context: Returns the TLS of a new connection, or None.
            http: Whether its connections stay with HTTP; else they are to be WebSockets.
        """
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._listeners[listener] = _Port(handler, context, http)
        if not self._paused:
            self._loop.add_reader(listener, self._knocked, listener)

    def close_websockets(self) -> None:
        """Stop accepting what is to be a WebSocket."""
        for listener in [each for each, port in self._listeners.items() if not port.http]:
            self._loop.remove_reader(listener)
            listener.close()
            del self._listeners[listener]

    def close(self) -> None:
        """Stop accepting."""
        self._closed = True
        self._pause()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def upgraded(self, connection: Connection) -> None:
        """Note that a connection becomes a WebSocket."""
        if connection in self.connections:
            self.accepted += 1
            self._half_open.leave(connection.group, connection)

    def gone(self, connection: Connection) -> None:
        """Strike a connection, and accept others if they had to wait."""
        if connection not in self.connections:
            return
        del self.connections[connection]
        if not connection.upgraded:
            self._half_open.leave(connection.group, connection)
        for usage in connection.usages:
            self.quotas.left(usage)
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
        if self._paused or self._closed or listener not in self._listeners:
            return
        if not self._has_room():
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
            return
        self._let_in(raw, str(address[0]), self._listeners[listener])
        self._stand(listener)

    def _let_in(self, raw: socket.socket, address: str, port: _Port) -> None:
        """Serve a connection that was accepted, if only to refuse it; or close it at once."""
        usage, refusal, told = self.quotas.arrived(address, self._loop.time())
        if refusal is not None:
            self.refusals.limited(refusal.limit, address)
        if not told:
            raw.close()
            return
        raw.setblocking(False)
        connection = Connection(self, port.handler(), address, http=port.http)
        connection.refusal = refusal
        if usage is not None:
            connection.usages.append(usage)
        connection.limit(self._hello_s)
        self.connections[connection] = None
        self._half_open.enter(connection.group, connection)
        begin = self._begin(raw, connection, port.context())
        connection.task = self._tasks.create_task(begin, name="handshake")
        self.newcomers.rest()

    async def _begin(
        self, raw: socket.socket, connection: Connection, context: ssl.SSLContext | None
    ) -> None:
        """Do the TLS handshake, if there is one, and begin to serve the connection."""
        tls = context is not None
        try:
            if tls:
                await self._tls_begun(raw, connection)
                SEND.set(raw.send)
            await self._loop.connect_accepted_socket(
                lambda: connection,
                raw,
                ssl=context,
                ssl_handshake_timeout=self._hello_s if tls else None,
                ssl_shutdown_timeout=TLS_END_S if tls else None,
            )
        except (OSError, MemoryError) as exc:
            self.refusals.refused(connection.address, why_no_tls(exc))
            connection.end()
        finally:
            connection.task = None

    async def _tls_begun(self, raw: socket.socket, connection: Connection) -> None:
        """
        Wait until a peer has begun TLS, and for one's turn: our part is the most of the work.

        The socket is closed if it comes to nothing.
        """
        begun = asyncio.Event()
        self._loop.add_reader(raw, begun.set)
        try:
            try:
                await begun.wait()
            finally:
                self._loop.remove_reader(raw)
            connection.waits_since = math.inf
            await self.newcomers.wait(rest=True)
            connection.waits_since = self._loop.time()
        except BaseException:
            raw.close()
            raise

    def _has_room(self) -> bool:
        """
        Return whether one more may be accepted; make room for it if need be, or try again later.

        Room is made by whoever has us wait, of those who come from where the most do.
        """
        open_, half_open = len(self.connections), len(self._half_open)
        if open_ < self._most and half_open < self._most_half_open:
            return True
        oldest = self._half_open.oldest_of_most()
        if oldest is not None and oldest.has_us_wait(self._loop.time() - STALLED_S):
            self.quotas.bit(Limit.HALF_OPEN)
            self.refusals.limited(Limit.HALF_OPEN, oldest.address)
            oldest.end()
            return True
        self._full(f"{open_} are open, {half_open} of them not yet WebSockets")
        return False

    def _full(self, why: str) -> None:
        """Accept nobody before somebody leaves, or for a while."""
        self._pause()
        self._loop.call_later(AGAIN_S, self._resume)
        sentence = f"No connection is accepted for now: {why}"
        self.refusals.note("full", logging.WARNING, sentence)

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
