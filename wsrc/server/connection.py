# SPDX-License-Identifier: Apache-2.0
"""One connection of a server: HTTP first and a WebSocket then, fed in slices."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from wsrc.net.addresses import Network, group_of
from wsrc.net.answers import REASON, Reason
from wsrc.net.certificates import Subject
from wsrc.net.endpoint import Endpoint
from wsrc.principal import Principal
from wsrc.protocol.conversation import CloseCode
from wsrc.server.forwarded import FORWARDED, X_FORWARDED_FOR, client_of
from wsrc.server.limits import Refusal, Usage
from wsrc.server.turns import Line

if TYPE_CHECKING:
    from wsrc.server.door import Door

_log = logging.getLogger(__name__)

SLICE_OCTETS = 2048
"""Octets from one peer that are looked at in one turn."""

FOR_EVER_S = 31_536_000.0
"""A stay of more than a year needs no end."""

MAX_HEAD_OCTETS = 32 << 10
"""Octets that may come before a connection is a WebSocket; a token may have some thousand."""

_END_OF_REQUEST = b"\r\n\r\n"

_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


_NO_ROOM = (
    f"HTTP/1.1 503 Service Unavailable\r\n{REASON}: {Reason.FULL}\r\nRetry-After: 5\r\n"
    "Connection: close\r\nContent-Length: 0\r\n\r\n"
).encode()

LAST_WORD_S = 0.5
"""How long a peer that makes room for others may take to be told so."""


class Connection(asyncio.Protocol):
    """
    Stands between a transport and what serves it, which is given what came in slices.

    `transport` is None until TLS has begun. `upgraded` tells that it is a WebSocket; `until` is
    when it must be one, in monotonic seconds. One of `http` stays with HTTP: it counts as upgraded
    from its first request on.
    """

    def __init__(
        self, door: "Door", handler: web.RequestHandler, address: str, *, http: bool = False
    ) -> None:
        self.http = http
        self._handler: web.RequestHandler | None = handler
        self._served: Endpoint | None = None
        self.address = address
        self.group = group_of(address)
        self.usages: list[Usage] = []
        """Whose connections it counts among: of its address, then of its principal."""
        self.refusal: Refusal | None = None
        """Why it is refused though it was accepted."""
        self.waits_since = asyncio.get_running_loop().time()
        """Since when its peer has us wait, where its turn has come."""
        self.transport: asyncio.Transport | None = None
        self.subject: Subject | None = None
        """Whom the certificate of the peer is of, once that was asked."""
        self.principal: Principal | None = None
        """Who the peer is, once that is known."""
        self.token: int | None = None
        """Number of the token that it was let in by, if it was."""
        self.upgraded = False
        self.until = 0.0
        self.task: asyncio.Task[None] | None = None
        self._door = door
        self._hurry: asyncio.TimerHandle | None = None
        self._end_of_stay: asyncio.TimerHandle | None = None
        self._end = b""
        self._head_octets = 0
        self._rest: list[bytes] = []
        self._at = 0
        self._held = False
        self._in_line = False
        self._asked = False
        self._over: Callable[[], None] | None = None

    @property
    def _left(self) -> int:
        """Octets that came and are passed on later."""
        return sum(map(len, self._rest)) - self._at if self._rest else 0

    @property
    def _line(self) -> Line:
        """Where it stands: newcomers have a line of their own."""
        return self._door.peers if self.upgraded else self._door.newcomers

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
        """Note that it becomes a WebSocket in time, or has begun to be served over HTTP."""
        self.upgraded = True
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None
        self._door.upgraded(self)

    def has_us_wait(self, since: float) -> bool:
        """Return whether we wait for its peer since then, and not its peer for its turn."""
        return not self._in_line and self.waits_since <= since

    def end(self) -> None:
        """Break the connection, if it is not closed, and forget it."""
        self._no_hurry()
        self._rest.clear()
        if self.transport is not None:
            self.transport.abort()
        elif self.task is not None:
            self.task.cancel()
        self._door.gone(self)

    def make_room(self, over: Callable[[], None]) -> bool:
        """
        Tell a peer whose request was awaited that there is no room for it, and forget it.

        Args:
            over: Called when its socket is closed, which is within `LAST_WORD_S`.

        Returns:
            Whether it could be told; if not, nothing was done.
        """
        if self.transport is None or self.upgraded or self.transport.is_closing():
            return False
        self._no_hurry()
        self._rest.clear()
        self._over = over
        self.transport.write(_NO_ROOM)
        self.transport.close()
        loop = asyncio.get_running_loop()
        self._end_of_stay = loop.call_later(LAST_WORD_S, self.transport.abort)
        self._door.gone(self)
        return True

    def dismiss(self, code: int, reason: str) -> None:
        """Close on a peer that is not to come back; break what is no WebSocket yet."""
        if self._served is not None:
            self._served.dismiss(code, reason)
        else:
            self.end()

    def close(self, code: CloseCode, reason: str) -> None:
        """Close on a peer that may come back for what it had; break what is no WebSocket yet."""
        if self._served is not None:
            self._served.close(code, reason)
        else:
            self.end()

    def stay(self, seconds: float, over: Callable[[], None]) -> None:
        """Call `over` after so long, if the connection is still there."""
        if seconds < FOR_EVER_S:
            loop = asyncio.get_running_loop()
            self._end_of_stay = loop.call_later(max(seconds, 0.0), over)

    def hand_over(
        self, begin: Callable[[asyncio.Transport, Callable[[bool], None]], Endpoint]
    ) -> None:
        """Give what comes from now on to what `begin` returns."""
        if self.transport is None or self._handler is None:
            return
        self._held = False  # whatever the HTTP handler wished
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
        # The handler may be about to look at a request that came just before, and needs all it has.
        asyncio.get_running_loop().call_soon(self._forget_handler, exc)
        served, self._served = self._served, None
        if served is not None:
            served.lost()
        self._door.gone(self)
        if self._over is not None:
            self._over()

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
            if self._served is None:
                self._pass_on(data)
                return
            try:
                self._served.feed(data)
            except MemoryError:
                self._no_memory()
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

    def hold_http(self, held: bool) -> None:
        """Do so as the HTTP handler wishes, for as long as it is served."""
        if self._served is None:
            self.hold(held)

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
            self._line.stand(self._slice)

    def _slice(self) -> None:
        self._in_line = False
        if not self._rest or self._held:
            return
        line, first = self._line, self._rest[0]
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
            elif self._handler is not None and (self.http or self._fits(data)):
                self._end = (self._end + data[-len(_END_OF_REQUEST) :])[-len(_END_OF_REQUEST) :]
                self._handler.data_received(data)
        except MemoryError:
            self._no_memory()

    def _no_memory(self) -> None:
        _log.warning(
            "A connection from %s is broken: there is no memory for what it sends", self.address
        )
        self.end()

    def _no_hurry(self) -> None:
        for timer in (self._hurry, self._end_of_stay):
            if timer is not None:
                timer.cancel()
        self._hurry = self._end_of_stay = None

    def _fits(self, data: bytes) -> bool:
        """Count what came before it is a WebSocket; end it where that is too much."""
        self._head_octets += len(data)
        if self._head_octets <= MAX_HEAD_OCTETS:
            return True
        self._door.refusals.refused(self.address, "its request is too long")
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(_TOO_LONG)
            self.transport.close()
        self._rest.clear()
        self._at = 0
        return False

    def _too_late(self) -> None:
        begun = self.transport is not None
        late = "it did not ask in time" if self.http else "it did not become a WebSocket in time"
        why = late if begun else "it did not begin TLS in time"
        self._door.refusals.refused(self.address, why)
        self.end()


class _Reins:
    """A transport as an HTTP handler sees it: its connection directs the reading and the end."""

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        self.connection = connection
        self._transport = transport

    def pause_reading(self) -> None:
        self.connection.hold_http(True)

    def resume_reading(self) -> None:
        self.connection.hold_http(False)

    def close(self) -> None:
        self.connection.answered()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def connection_of(request: web.Request) -> Connection | None:
    """Return the connection of a request; None if it is gone."""
    transport: object = request.transport
    return transport.connection if isinstance(transport, _Reins) else None


def address_of(request: web.Request, connection: Connection, proxies: Sequence[Network]) -> str:
    """
    Return where a request is from: the address of its connection, or the one that a proxy tells.

    Raises:
        UnclearError: If a trusted proxy tells two.
    """
    headers = request.headers
    told = headers.getall(FORWARDED, ()), headers.getall(X_FORWARDED_FOR, ())
    return client_of(connection.address, *told, proxies) if proxies else connection.address
