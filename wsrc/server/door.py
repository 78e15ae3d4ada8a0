# SPDX-License-Identifier: Apache-2.0
"""
Connections before they are WebSockets: accepted while there is room, fed in slices.

All listening sockets of a server share one `Door`. Where no more connections may be open, the
sockets are not read from, and whoever connects waits in the kernel.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, cast

from aiohttp import web

from wsrc.net.served import Served
from wsrc.server.refusals import refused, why_no_tls
from wsrc.server.turns import Line

# Longer than the aim: a connection from when it is accepted to when it is a WebSocket.

_log = logging.getLogger(__name__)

TLS_END_S = 0.5
"""How long a peer may take to end TLS."""

BACKLOG = 4096
"""Connections that may wait to be accepted: all card hosts come back at once after a restart."""

SLICE_OCTETS = 8192
"""Octets from one peer that are looked at in one turn."""

AGAIN_S = 1.0
"""Seconds before accepting is tried again, where the system refused it."""

TELL_S = 60.0
"""Seconds between log lines that nobody is accepted."""

_END_OF_REQUEST = b"\r\n\r\n"

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Door:
    """
    Accepts connections, and knows which are open.

    Args:
        tasks: Owns the handshakes.
        line: The line of those who have sent much.
        most: Connections that may be open.
        hello_s: How long one may take to become a WebSocket, TLS included.
        context: TLS, or None.
    """

    def __init__(
        self,
        tasks: asyncio.TaskGroup,
        line: Line,
        most: int,
        hello_s: float,
        context: ssl.SSLContext | None,
    ) -> None:
        self.connections: dict[Connection, None] = {}
        self._tasks = tasks
        self.line = line
        self._most = most
        self._hello_s = hello_s
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._listeners: dict[socket.socket, Callable[[], web.RequestHandler]] = {}
        self.websockets = 0
        self.ended = 0
        self._standing: set[socket.socket] = set()
        self._paused = False
        self._closed = False
        self._told = -TELL_S

    @property
    def handshakes(self) -> Sequence["Connection"]:
        """Connections that are about to be WebSockets: in TLS, or with a request to be read."""
        return [each for each in self.connections if each.deciding]

    def listen(self, listener: socket.socket, handler: Callable[[], web.RequestHandler]) -> None:
        """Accept from a socket that is bound; `handler` makes what serves a connection."""
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._listeners[listener] = handler
        if not self._paused:
            self._loop.add_reader(listener, self._knocked, listener)

    def close(self) -> None:
        """Stop accepting."""
        self._closed = True
        self._pause()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def gone(self, connection: "Connection") -> None:
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
            self.line.stand(lambda: self._accept(listener))

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
        connection = Connection(self, self._listeners[listener](), str(address[0]))
        connection.limit(self._hello_s)
        self.connections[connection] = None
        begin = self._begin(raw, connection)
        connection.task = self._tasks.create_task(begin, name="handshake")
        self.line.rest()
        self._stand(listener)

    async def _begin(self, raw: socket.socket, connection: "Connection") -> None:
        """Do the TLS handshake, if there is one, and begin to serve the connection."""
        tls = self._context is not None
        try:
            if tls:
                await self._tls_begun(raw)
            await self._loop.connect_accepted_socket(
                lambda: connection,
                raw,
                ssl=self._context,
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
            await self.line.wait(rest=True)
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


class Connection(asyncio.Protocol):
    """
    Stands between a transport and what serves it, which is given what came in slices.

    `transport` is None until TLS has begun. `upgraded` tells that it is a WebSocket; `until` is
    when it must be one, in monotonic seconds.
    """

    def __init__(self, door: Door, handler: web.RequestHandler, address: str) -> None:
        self._handler: web.RequestHandler | None = handler
        self._served: Served | None = None
        self.address = address
        self.transport: asyncio.Transport | None = None
        self.upgraded = False
        self.until = 0.0
        self.task: asyncio.Task[None] | None = None
        self._door = door
        self._hurry: asyncio.TimerHandle | None = None
        self._end = b""
        self._rest: list[bytes] = []
        self._at = 0
        self._held = False
        self._in_line = False
        self._asked = False

    @property
    def _left(self) -> int:
        """Octets that came and are passed on later."""
        return sum(map(len, self._rest)) - self._at if self._rest else 0

    @property
    def spoke_early(self) -> bool:
        """Whether more came than requests, which must be answered first (RFC 6455 section 4.1)."""
        return self._end != _END_OF_REQUEST

    @property
    def deciding(self) -> bool:
        """Whether it is about to be a WebSocket, or to be refused."""
        return not self.upgraded and (self.transport is None or self._asked)

    def limit(self, seconds: float) -> None:
        """Drop the connection if it is no WebSocket by then."""
        loop = asyncio.get_running_loop()
        self.until = loop.time() + seconds
        self._hurry = loop.call_at(self.until, self._too_late)

    def is_websocket(self) -> None:
        """Note that it becomes a WebSocket in time."""
        self.upgraded = True
        self._door.websockets += 1

    def is_none(self) -> None:
        """Note that it did not become a WebSocket after all."""
        self.upgraded = False
        self._door.websockets -= 1

    def end(self) -> None:
        """Break the connection, if it is not closed, and forget it."""
        self._no_hurry()
        self._rest.clear()
        if self.transport is not None:
            self.transport.abort()
        elif self.task is not None:
            self.task.cancel()
        self._door.gone(self)

    def hand_over(
        self, begin: Callable[[asyncio.Transport, Callable[[bool], None]], Served]
    ) -> None:
        """Give what comes from now on to what `begin` returns."""
        if self.transport is None or self._handler is None:
            return
        self._served = begin(self.transport, self.hold)

    def answered(self) -> None:
        """Note that the request is answered: the connection is closed, or is a WebSocket alone."""
        if self._served is None:
            if self.transport is not None:
                self.transport.close()
        elif self._handler is not None:
            asyncio.get_running_loop().call_soon(self._forget_handler)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve it."""
        self.transport = cast("asyncio.Transport", transport)
        assert self._handler is not None
        self._handler.connection_made(cast("asyncio.Transport", _Reins(self, self.transport)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Release it."""
        self._no_hurry()
        self._rest.clear()
        self._forget_handler(exc)
        if self._served is not None:
            self._served.lost()
        self._door.gone(self)

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._served is not None:
            self._served.pause_writing()
        elif self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._served is not None:
            self._served.resume_writing()
        elif self._handler is not None:
            self._handler.resume_writing()

    def _forget_handler(self, exc: Exception | None = None) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on a short message at once, all else when its turn comes."""
        if self.upgraded and not self._rest and not self._held and len(data) <= SLICE_OCTETS:
            self._pass_on(data)
            return
        self._asked = True
        self._rest.append(data)
        if self._served is not None:
            self._served.feed(b"", self._left)
        self._direct()
        self._stand()

    def hold(self, held: bool) -> None:
        """Stop passing on, or go on."""
        self._held = held
        self._direct()
        self._stand()

    def _direct(self) -> None:
        """Let the transport read if there is nothing to pass on and nobody holds us."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._held or self._rest:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def _stand(self) -> None:
        if self._rest and not self._held and not self._in_line:
            self._in_line = True
            self._door.line.stand(self._slice)

    def _slice(self) -> None:
        self._in_line = False
        if not self._rest or self._held:
            return
        line, first = self._door.line, self._rest[0]
        began = line.time()
        part = first[self._at : self._at + SLICE_OCTETS]
        self._at += SLICE_OCTETS
        if self._at >= len(first):
            self._at = 0
            del self._rest[0]
        self._pass_on(part)
        line.charge(line.time() - began)
        if not self.upgraded:
            line.rest()
        if not self._rest:
            self._direct()
        self._stand()

    def _pass_on(self, data: bytes) -> None:
        try:
            if self._served is not None:
                self._served.feed(data, self._left)
            elif self._handler is not None:
                self._end = (self._end + data[-len(_END_OF_REQUEST) :])[-len(_END_OF_REQUEST) :]
                self._handler.data_received(data)
        except MemoryError:
            _log.warning(
                "A connection from %s is broken: there is no memory for what it sends", self.address
            )
            self.end()

    def _no_hurry(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None

    def _too_late(self) -> None:
        if self.transport is not None and not self.upgraded:
            _log.info(
                "A connection from %s that did not become a WebSocket in time is dropped",
                self.address,
            )
            self.transport.abort()


class _Reins:
    """A transport as an HTTP handler sees it: its connection directs the reading and the end."""

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        self.connection = connection
        self._transport = transport

    def pause_reading(self) -> None:
        self.connection.hold(True)

    def resume_reading(self) -> None:
        self.connection.hold(False)

    def close(self) -> None:
        self.connection.answered()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def connection_of(request: web.Request) -> Connection | None:
    """Return the connection of a request; None if it is gone."""
    transport: object = request.transport
    return transport.connection if isinstance(transport, _Reins) else None
