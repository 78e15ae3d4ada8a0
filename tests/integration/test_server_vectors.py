# SPDX-License-Identifier: Apache-2.0
"""The server against tests/vectors/server.json, over WebSockets that are not ours."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.server_vectors import CASES, Run
from wsrc.server.app import App, serve
from wsrc.settings.load import ServerSettings

LIMIT_S = 60.0
PLAIN = ServerSettings(user_port=0, card_port=0, no_tls=True, drain_s=0.01)

Json = dict[str, Any]


class Connection:
    """A peer of a server."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def say(self, text: str) -> None:
        await self._socket.send(text)

    async def hear(self) -> Json:
        async with asyncio.timeout(LIMIT_S):
            message: Json = json.loads(await self._socket.recv())
        return message

    async def close(self, code: int | None) -> None:
        if code is not None:
            await self._socket.close(code)
            return
        self._socket.transport.abort()
        await self._socket.wait_closed()

    async def closed(self) -> int:
        with pytest.raises(ConnectionClosed) as closed:
            await self.hear()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    def unheard(self) -> list[Json]:
        return []


class Host:
    """A server, and the connections to it."""

    def __init__(self) -> None:
        self._running = AsyncExitStack()
        self._app: App | None = None

    async def connect(self, role: str) -> Connection:
        assert self._app is not None
        port = self._app.user_port if role == "user" else self._app.card_port
        return Connection(await self._running.enter_async_context(_connected(port)))

    async def restart(self) -> None:
        await self._running.aclose()
        self._app = await self._running.enter_async_context(serve(PLAIN))

    async def stop(self) -> None:
        await self._running.aclose()


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://127.0.0.1:{port}") as socket:
        yield socket
        socket.transport.abort()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_e35_the_server_does_as_the_vectors_say(case: Json) -> None:
    host = Host()
    try:
        await host.restart()
        run = Run(host, case)
        for step in case["steps"]:
            await run.step(step)
    finally:
        await host.stop()
