# SPDX-License-Identifier: Apache-2.0
"""The way to a server: addresses, a proxy, TLS, and the connection that is made of them."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlsplit

from wsrc.net.answers import AnswerError, AtProxyError, NoHttpError
from wsrc.net.endpoint import Endpoint
from wsrc.net.handshake import DEFAULT_PORTS, Answer, Head, connect_request
from wsrc.net.proxy import Proxy
from wsrc.net.tls import client_context
from wsrc.settings.address import Address

NEXT_S = 0.25
"""After how long the next address of a name is tried beside the one before (RFC 8305)."""

_BROKEN_S = 0.1
"""How long to wait for a connection that was broken to be closed."""

_OK = range(200, 300)

_Place = tuple[Any, ...]
"""What `getaddrinfo` says of one address."""


_Race = Callable[..., Awaitable[socket.socket]]


class Wire(asyncio.Protocol):
    """A connection of a client: answers of HTTP first, and then a WebSocket."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._link: Endpoint | None = None
        self._head = Head()
        self._asked: asyncio.Future[Answer] | None = None
        self._rest = b""
        self._lost: asyncio.Future[OSError] = asyncio.get_running_loop().create_future()

    async def ask(self, request: bytes) -> Answer:
        """
        Send a request of HTTP, and return the head of its answer.

        Raises:
            NoHttpError: If something else is answered.
            OSError: If the connection is lost before. It is of TLS where a server does not accept
                our certificate, which TLS 1.3 tells after the handshake (RFC 8446 section 4.4.2.4).
        """
        self._head = Head()
        self._asked = asyncio.get_running_loop().create_future()
        if self._lost.done():
            raise self._lost.result()
        self.transport.write(request)
        return await self._asked

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """
        Begin TLS, also within TLS, with a server of this name.

        Raises:
            OSError: If that fails, or the certificate is not for the name.
            NoHttpError: If the peer spoke before it.
        """
        if self._rest:
            raise NoHttpError(self._rest[:2])
        loop = asyncio.get_running_loop()
        made = await loop.start_tls(self.transport, self, context, server_hostname=host)
        if made is None:
            raise ConnectionResetError
        self.transport = made

    def carry(self, link: Endpoint) -> None:
        """Give what comes, and came after the answer, to a WebSocket."""
        self._link = link
        rest, self._rest = self._rest, b""
        link.feed(rest)
        if self._lost.done():
            link.lost()

    def hold(self, held: bool) -> None:
        """Stop reading, or go on."""
        if not self.transport.is_closing():
            (self.transport.pause_reading if held else self.transport.resume_reading)()

    def abort(self) -> None:
        """Break the connection, if it is not closed."""
        self.transport.abort()

    async def gone(self, limit_s: float) -> None:
        """Wait for the end of the connection, and break it after a time."""
        try:
            await asyncio.wait([self._lost], timeout=limit_s)
        finally:
            self.transport.abort()
        await asyncio.wait([self._lost], timeout=_BROKEN_S)

    # What the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Pass on what came."""
        if self._link is not None:
            self._link.feed(data)
            return
        asked = self._asked
        if asked is None or asked.done():
            self._rest += data
            return
        try:
            found = self._head.feed(data)
        except NoHttpError as exc:
            asked.set_exception(exc)
            return
        if found is not None:
            answer, self._rest = found
            asked.set_result(answer)

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._link is not None:
            self._link.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._link is not None:
            self._link.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits for something."""
        why = exc if isinstance(exc, OSError) else ConnectionResetError()
        if why is not exc:
            why.__cause__ = exc
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(why)
        if not self._lost.done():
            self._lost.set_result(why)
        link, self._link = self._link, None
        if link is not None:
            link.lost()


async def reach(
    address: Address, proxy: Proxy | None, context: ssl.SSLContext | None, host: str = ""
) -> Wire:
    """
    Connect to a server, through a proxy if there is one, and begin TLS where the URL says so.

    Args:
        address: Of the server.
        proxy: On the way to it.
        context: For TLS with the server; without one the CAs of this host are trusted.
        host: Where to connect instead of the host of the address, whose name the certificate has
            all the same.

    Raises:
        AtProxyError: If the proxy is not reached, or makes no tunnel.
        OSError: If the server is not reached, TLS cannot be begun, or the name cannot be resolved.
        ValueError: If the host is no name.
    """
    parts = urlsplit(address.whole)
    name, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    host = host or name
    if parts.scheme != "wss":
        context = None
    elif context is None:
        context = client_context()
    if proxy is None:
        return await _open(host, port, context, name)
    wire = await _tunnel(proxy, host, port)
    if context is not None:
        await _within(wire, context, name)
    return wire


async def _within(wire: Wire, context: ssl.SSLContext, host: str) -> None:
    """Begin TLS, also in a tunnel."""
    try:
        await wire.start_tls(context, _name_of(host))
    except BaseException as exc:
        wire.abort()
        if isinstance(exc, TypeError):
            # asyncio before Python 3.11.8 and 3.12.2 fails to break off TLS within TLS
            raise ConnectionResetError from exc
        raise


async def _tunnel(proxy: Proxy, host: str, port: int) -> Wire:
    """Have a proxy connect us."""
    try:
        parts = urlsplit(proxy.url)
        context = client_context() if parts.scheme == "https" else None
        name = parts.hostname or ""
        wire = await _open(name, parts.port or 0, context, name)
        try:
            _check(await wire.ask(connect_request(host, port, proxy.login)))
        except BaseException:
            wire.abort()
            await wire.gone(0)
            raise
    except (AnswerError, NoHttpError, OSError, ValueError) as exc:
        raise AtProxyError(exc) from exc
    return wire


def _check(answer: Answer) -> None:
    if answer.status not in _OK:
        raise AnswerError(answer.status, answer.headers)


async def _open(host: str, port: int, context: ssl.SSLContext | None, name: str) -> Wire:
    """Connect to the first address of a host that answers, and begin TLS with one of this name."""
    loop = asyncio.get_running_loop()
    sock = await _connected(await _places(host, port))
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    _, wire = await loop.create_connection(Wire, sock=sock)
    if context is not None:  # in one step with the connection, one that is given up can stay open
        await _within(wire, context, name)
    return wire


async def _places(host: str, port: int) -> list[_Place]:
    """Return the addresses of a host; one that is an address itself takes no resolver."""
    with suppress(socket.gaierror):
        kind, flags = socket.SOCK_STREAM, socket.AI_NUMERICHOST
        return socket.getaddrinfo(host, port, type=kind, flags=flags)
    loop = asyncio.get_running_loop()
    return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _connected(places: list[_Place]) -> socket.socket:
    """Return a socket that is connected to one of these addresses."""
    if len(places) > 1:
        import aiohappyeyeballs  # noqa: PLC0415 - few names have several

        race = cast("_Race", aiohappyeyeballs.start_connection)  # pyright: ignore[reportUnknownMemberType]
        return await race(places, happy_eyeballs_delay=NEXT_S, interleave=1)
    family, kind, protocol, _, address = places[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _name_of(host: str) -> str:
    """Return the name that a certificate is for; that of DNS may end with a dot."""
    return host.removesuffix(".")
