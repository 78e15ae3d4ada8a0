# SPDX-License-Identifier: Apache-2.0
"""Reach the server: one attempt with a limit, and how long to wait before the next."""

import asyncio
import base64
import os
import random
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from wsrc.errors import ConnectionLostError
from wsrc.net.answers import retry_after
from wsrc.net.masks import ClientSocket
from wsrc.net.outbox import CLOSE_S, FLUSH_S, READ_LIMIT
from wsrc.net.proxy import Proxy, proxy_for
from wsrc.net.tls import RedirectedError, client_context, explain
from wsrc.net.websocket import Link
from wsrc.protocol.conversation import SUBPROTOCOL
from wsrc.settings.address import Address, Login

_TIMEOUT = aiohttp.ClientWSTimeout(ws_close=CLOSE_S)  # pyright: ignore[reportCallIssue]  # attrs-like

_CLOSED_S = 0.5
"""How long to wait for the end of TLS; a peer that is gone does not answer it."""

_BROKEN_S = 0.1
"""How long to wait for a socket whose connection was broken."""

_STEP_S = 0.001
"""How often it is looked whether a socket is closed; there is no other way to learn of it."""


@asynccontextmanager
async def dial(
    url: str,
    context: ssl.SSLContext | None,
    *,
    connect_s: float,
    ping_s: float,
    longest: int | None = None,
) -> AsyncGenerator[Link]:
    """
    Connect to `url`, yield the link with its writer running, and close it at the end.

    A server that does not answer pings for 1.5 times `ping_s` counts as gone. A message of more
    than `longest` octets is not sent. The user part of the URL is sent as RFC 7617 has it; the
    environment may name a proxy for `wss://`.

    Raises:
        ConnectionLostError: If the connection cannot be made; the sentence says why.
    """
    address = Address(url)
    proxy = proxy_for(address)
    async with _http(proxy) as http:
        socket = await _connected(http, address, proxy, context, connect_s, ping_s)
        is_open = _openness(socket.transport)
        try:
            agreed = socket.chosen == SUBPROTOCOL
            made = Link(socket, socket.transport, longest=longest, agreed=agreed)
            async with _writing(made) as link:
                yield link
        finally:
            await _closed(socket.transport, is_open)


async def _connected(  # noqa: PLR0913, PLR0917 - what `dial` has
    http: aiohttp.ClientSession,
    address: Address,
    proxy: Proxy | None,
    context: ssl.SSLContext | None,
    connect_s: float,
    ping_s: float,
) -> "_Socket":
    """Return the WebSocket of a server, which speaks our protocol or does not say which."""
    try:
        async with asyncio.timeout(connect_s):
            socket = await http.ws_connect(
                **_way(address, proxy),
                ssl=context if context is not None else True,
                heartbeat=ping_s,
                max_msg_size=READ_LIMIT,
                timeout=_TIMEOUT,
                decode_text=False,
                protocols=(SUBPROTOCOL,),
            )
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as exc:
        lost = ConnectionLostError(explain(exc, address, proxy))
        lost.retry_after_s = retry_after(exc)
        raise lost from exc
    assert isinstance(socket, _Socket)
    if socket.chosen not in {None, SUBPROTOCOL}:
        is_open = _openness(socket.transport)
        await socket.close()
        await _closed(socket.transport, is_open)
        raise ConnectionLostError(
            f"{address}: this is no WSRC server: it speaks {str(socket.chosen)[:40]!r}, which we "
            "did not offer (RFC 6455 section 4.1); check the port and the path."
        )
    return socket


def _http(proxy: Proxy | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=_Connector(proxy),
        ws_response_class=_Socket,  # type: ignore[arg-type]  # its texts stay octets
        trace_configs=[_no_redirects()],
    )


class _Connector(aiohttp.TCPConnector):
    """
    Checks the certificate of a proxy by the CAs of this host.

    aiohttp has one context for the proxy and for the server behind it, whose CA may be its own.
    """

    def __init__(self, proxy: Proxy | None) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]  # of aiohttp
        self._proxy = proxy

    def _get_ssl_context(self, req: Any) -> ssl.SSLContext | None:
        proxy = self._proxy
        if proxy is not None and req.proxy is None and req.url.origin() == URL(proxy.url):
            return client_context() if req.is_ssl() else None
        return super()._get_ssl_context(req)


class _Socket(ClientSocket):
    """A WebSocket that knows its transport."""

    def __init__(self, reader: Any, writer: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(reader, writer, *args, **kwargs)
        self.transport: asyncio.Transport = writer.transport
        self.chosen: str | None = args[1].headers.get("Sec-WebSocket-Protocol")


def _no_redirects() -> aiohttp.TraceConfig:
    """Return what ends a dial that is answered with another URL: it may have no TLS."""

    async def refuse(
        session: aiohttp.ClientSession, context: object, params: aiohttp.TraceRequestRedirectParams
    ) -> None:
        del session, context
        response = params.response
        response.close()
        raise RedirectedError(response.status, response.headers.get("Location", ""))

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(refuse)
    return tracing


def _way(address: Address, proxy: Proxy | None) -> dict[str, Any]:
    """Return where to connect to, and what to say of ourselves on the way."""
    return {
        "url": address.whole,
        "headers": _basic("Authorization", address.login),
        "proxy": proxy.url if proxy is not None else None,
        "proxy_headers": _basic("Proxy-Authorization", proxy.login if proxy is not None else None),
    }


def _basic(header: str, login: Login | None) -> dict[str, str]:
    """Return a header with user and password (RFC 7617), or none."""
    if login is None:
        return {}
    octets = f"{login.user}:{login.password}".encode()
    return {header: f"Basic {base64.b64encode(octets).decode()}"}


@asynccontextmanager
async def _writing(link: Link) -> AsyncGenerator[Link]:
    """Run the writer of a link, which closes the connection whatever ends the context."""
    try:
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(link.run_writer(), name="writer")
            try:
                yield link
            finally:
                link.stop_writer()
                await asyncio.wait([writer], timeout=FLUSH_S + CLOSE_S)
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


def _openness(transport: asyncio.Transport) -> Callable[[], bool]:
    """Return what tells whether the socket of a connection is open still."""
    beneath: Any = transport.get_extra_info("socket")
    if isinstance(beneath, TransportSocket):
        return lambda: beneath.fileno() != -1
    # Those of uvloop keep their number when they are closed.
    number: int = beneath.fileno()
    inode = os.fstat(number).st_ino

    def is_open() -> bool:
        try:
            return os.fstat(number).st_ino == inode
        except OSError:
            return False

    return is_open


async def _closed(transport: asyncio.Transport, is_open: Callable[[], bool]) -> None:
    """
    Wait for the end of TLS, so that the loop does not end before it and leave a socket open.

    A peer that does not end it is not waited for, and its connection is broken.
    """
    loop = asyncio.get_running_loop()
    for limit_s in (_CLOSED_S, _BROKEN_S):
        deadline = loop.time() + limit_s
        while is_open():
            if loop.time() > deadline:
                break
            await asyncio.sleep(_STEP_S)
        else:
            return
        transport.abort()


class Backoff:
    """Waits between attempts: they double from `least_s` to `most_s`, each with jitter."""

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._next_s = least_s

    def wait_s(self, at_least: float | None = None) -> float:
        """
        Return the next wait: between half and all of the step that is due.

        Args:
            at_least: For how long the server wants nobody, which counts up to `most_s`.
        """
        step = self._next_s
        self._next_s = min(2 * step, self._most_s)
        wait_s = step * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
        return max(wait_s, min(at_least or 0.0, self._most_s))

    def succeeded(self) -> None:
        """Begin again with the shortest wait."""
        self._next_s = self._least_s
