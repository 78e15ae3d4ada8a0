# SPDX-License-Identifier: Apache-2.0
"""Where a token goes, as seen by whoever is on the way: to the server alone (issue 13, 1)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.support.raw_peer import LIMIT_S
from wsrc.errors import ConnectionLostError
from wsrc.net.bearer import Token
from wsrc.net.dial import dial
from wsrc.tokens import made_of

TOKEN = made_of(bytes(range(32)))


class Heard:
    """What a server was sent, which answers all with one text."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self.answer.encode())
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def answering(answer: str) -> AsyncGenerator[Heard]:
    heard = Heard(answer)
    server = await asyncio.start_server(heard.serve, "127.0.0.1", 0)
    async with server:
        heard.port = server.sockets[0].getsockname()[1]
        yield heard


async def told(url: str) -> str:
    with pytest.raises(ConnectionLostError) as caught:
        async with dial(url, None, connect_s=LIMIT_S, ping_s=LIMIT_S, token=Token(TOKEN)):
            pass
    return str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_13_a_token_is_not_sent_where_a_server_redirects_to(status: int) -> None:
    async with answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as other:
        to = f"Location: ws://127.0.0.1:{other.port}/?{TOKEN}\r\n"
        async with answering(f"HTTP/1.1 {status} X\r\n{to}Content-Length: 0\r\n\r\n") as first:
            said = await told(f"ws://127.0.0.1:{first.port}")
    [head] = first.heads
    assert f"Authorization: Bearer {TOKEN}\r\n" in head
    assert head.count(TOKEN) == 1
    assert other.heads == []
    assert "which is not followed" in said
    assert TOKEN not in said


async def test_13_a_proxy_does_not_see_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        said = await told("wss://relay.example:4220")
    [head] = proxy.heads
    assert head.startswith("CONNECT relay.example:4220")
    assert TOKEN not in head
    assert TOKEN not in said


@pytest.mark.shows_secrets("the server answers with what it was sent")
@pytest.mark.parametrize("reason", ["", TOKEN, "no-token\r\nX: y"])
async def test_13_a_server_that_is_not_ours_is_explained_without_the_token(reason: str) -> None:
    more = f"Wsrc-Reason: {reason}\r\nServer: {TOKEN}\r\nContent-Length: 0\r\n\r\n"
    async with answering(f"HTTP/1.1 401 {TOKEN}\r\n{more}") as server:
        said = await told(f"ws://127.0.0.1:{server.port}")
    assert "401" in said or "we have none" in said
    assert TOKEN not in said
