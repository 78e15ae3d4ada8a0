# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.dial: what clients take from whoever answers, and what not."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.support.certificates import Certificates
from tests.support.served_peer import Heard, upgrading
from tests.support.world import until
from wsrc.errors import ConnectionLostError, LocalProtocolError
from wsrc.net.dial import dial
from wsrc.net.endpoint import Endpoint
from wsrc.net.tls import client_context, server_context
from wsrc.net.websocket import Link
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS, encode
from wsrc.user_client.aio import Client

WAIT_S = 10.0


@asynccontextmanager
async def redirecting(status: int, location: str, context: ssl.SSLContext) -> AsyncGenerator[str]:
    """Answer every upgrade over TLS with another URL."""

    async def answer(request: web.Request) -> web.Response:
        del request
        return web.Response(status=status, headers={"Location": location})

    application = web.Application()
    application.router.add_get("/", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "localhost", 0, ssl_context=context)
        await site.start()
        yield f"wss://localhost:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("to", ["ws", "http", "relative", "broken"])
async def test_a7_no_client_follows_a_redirect(
    certificates: Certificates, status: int, to: str
) -> None:
    asked: list[str] = []

    async def plain(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response()

    application = web.Application()
    application.router.add_get("/{path:.*}", plain)
    context = server_context(certificates.cert, certificates.key)
    async with asyncio.timeout(WAIT_S), TestServer(application) as other:
        location = {
            "ws": f"ws://user:secret@127.0.0.1:{other.port}/user",
            "http": f"http://user:secret@127.0.0.1:{other.port}/user",
            "relative": "/other",
            "broken": "http://[",
        }[to]
        async with redirecting(status, location, context) as url:
            with pytest.raises(ConnectionLostError, match=f"redirect.*{status}") as caught:
                async with Client(url, ca=certificates.ca):
                    pass
            with pytest.raises(ConnectionLostError, match="not followed"):
                async with dial(url, client_context(certificates.ca), connect_s=5.0, ping_s=5.0):
                    pass
    assert asked == []
    assert "secret" not in str(caught.value)


def of_length(octets: int) -> m.Message:
    """Return a message whose text has so many octets."""
    frame = len(encode(m.Error(message="")))
    return m.Error(message="x" * (octets - frame))


@asynccontextmanager
async def two_ends() -> AsyncGenerator[tuple[Endpoint, Heard, Link]]:
    """Connect the end of a server, with what it hears, and that of a client."""
    async with (
        asyncio.timeout(WAIT_S),
        upgrading() as (url, made),
        dial(url, None, connect_s=5.0, ping_s=5.0, longest=MAX_MESSAGE_OCTETS) as client,
    ):
        server = await made
        server.longest = MAX_MESSAGE_OCTETS
        heard = Heard()
        server.listen(heard)
        yield server, heard, client


@pytest.mark.parametrize("octets", [MAX_MESSAGE_OCTETS - 1, MAX_MESSAGE_OCTETS])
async def test_a11_both_ends_take_what_both_ends_send(octets: int) -> None:
    async with two_ends() as (server, heard, client):
        server.send(of_length(octets))
        _, text = await client.receive()
        assert len(text) == octets
        client.send(of_length(octets))
        await until(lambda: heard.said == [text])


async def test_a11_neither_end_sends_an_octet_more_or_takes_it() -> None:
    longer = of_length(MAX_MESSAGE_OCTETS + 1)
    async with two_ends() as (server, heard, client):
        with pytest.raises(LocalProtocolError, match="too long"):
            client.send(longer)
        client.forward(encode(longer))
        assert "is too long" in (await heard.end)[0]
        with pytest.raises(ConnectionLostError, match="1009"):
            await client.receive()
        assert client.peer_complained
        assert server.closing
    async with two_ends() as (server, heard, client):
        with pytest.raises(LocalProtocolError, match="too long"):
            server.send(longer)
        server.forward(encode(longer))
        with pytest.raises(ConnectionLostError, match="is too long"):
            await client.receive()
        assert "1009" in (await heard.end)[0]
