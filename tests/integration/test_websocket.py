# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.websocket: who closed a link, and how."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, web
from aiohttp.test_utils import TestServer

from wsrc.errors import ConnectionLostError
from wsrc.net.websocket import Link
from wsrc.protocol.conversation import CloseCode

WAIT_S = 10.0

Client = ClientWebSocketResponse[bool]


@asynccontextmanager
async def connected() -> AsyncGenerator[tuple[Link, asyncio.Future[bool], Client]]:
    """Return a link of a server, the future of whether its peer says goodbye, and that peer."""
    loop = asyncio.get_running_loop()
    links: asyncio.Future[Link] = loop.create_future()
    goodbye: asyncio.Future[bool] = loop.create_future()

    async def serve(request: web.Request) -> web.StreamResponse:
        socket: web.WebSocketResponse[bool] = web.WebSocketResponse(decode_text=False)
        assert request.transport is not None
        transport = request.transport
        await socket.prepare(request)
        link = Link(socket, transport)
        links.set_result(link)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(link.run_writer())
            with pytest.raises(ConnectionLostError):
                await link.receive()
            goodbye.set_result(link.peer_said_goodbye)
            link.stop_writer()
        return socket

    application = web.Application()
    application.router.add_get("/", serve)
    async with (
        TestServer(application) as server,
        ClientSession() as session,
        session.ws_connect(server.make_url("/")) as client,
    ):
        yield await links, goodbye, client


@pytest.mark.parametrize(
    ("leave", "expected"),
    [
        (lambda client: client.close(code=CloseCode.DONE), True),
        (lambda client: client.close(code=CloseCode.GOING_AWAY), True),
        (lambda client: client.close(code=CloseCode.POLICY), False),
    ],
    ids=["1000", "1001", "1008"],
)
async def test_e32_who_is_done_or_goes_away_says_goodbye(
    leave: Callable[[Client], Awaitable[object]], expected: bool
) -> None:
    async with asyncio.timeout(WAIT_S), connected() as (_, goodbye, client):
        await leave(client)
        assert await goodbye is expected


async def test_the_answer_to_our_close_is_no_goodbye() -> None:
    async with asyncio.timeout(WAIT_S), connected() as (link, goodbye, client):
        link.close(CloseCode.RESTARTING, "The server is restarting.")
        await client.receive()
        assert client.close_code == CloseCode.RESTARTING
        assert await goodbye is False
