# SPDX-License-Identifier: Apache-2.0
"""The client's end of a WebSocket, with each kind of loop."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from tests.support.raw_peer import LOOPS, LoopFactory, run
from tests.support.served_peer import Heard, serving, upgrading
from tests.support.world import until
from wsrc.errors import ConnectionLostError
from wsrc.net import websocket
from wsrc.net.dial import dial
from wsrc.net.endpoint import Endpoint
from wsrc.net.handshake import accept_of
from wsrc.net.websocket import Link
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.protocol.conversation import CloseCode

PING_S = 20.0
Talk = Callable[[Endpoint, Heard, Link], Awaitable[None]]


def text_of(number: int, octets: int = 0) -> bytes:
    return encode(m.Error(message=f"{number} " + "x" * octets))


def linked(loop_factory: LoopFactory, talk: Talk, ping_s: float = PING_S) -> None:
    """Have both ends of a WebSocket, and what the server's hears, in a loop."""

    async def main() -> None:
        async with (
            upgrading() as (url, made),
            dial(url, None, connect_s=5.0, ping_s=ping_s) as link,
        ):
            server, heard = await made, Heard()
            server.listen(heard)
            await talk(server, heard, link)

    run(loop_factory, main())


async def numbers(link: Link, count: int) -> list[int]:
    """Receive messages, and return their numbers."""
    texts = [(await link.receive())[1] for _ in range(count)]
    return [int(text.split(b'"message":"')[1].split(b" ")[0]) for text in texts]


@LOOPS
def test_what_nobody_receives_is_not_read_and_comes_in_order(loop_factory: LoopFactory) -> None:
    async def talk(server: Endpoint, heard: Heard, link: Link) -> None:
        for number in range(30):
            server.forward(text_of(number, 300_000))
        await until(lambda: link.waits)
        assert link._come_octets < 2 * websocket.MAX_UNTAKEN_OCTETS
        assert await numbers(link, 30) == list(range(30))
        assert not link.waits
        link.forward(b"last")
        await until(lambda: heard.said == [b"last"])

    linked(loop_factory, talk)


@LOOPS
def test_what_came_before_a_loss_is_received_though_it_had_to_wait(
    loop_factory: LoopFactory,
) -> None:
    async def talk(server: Endpoint, heard: Heard, link: Link) -> None:
        for number in range(30):
            server.forward(text_of(number, 300_000))
        await until(lambda: link.waits)
        came = len(link._come) + len(link._inbox)
        link.abort()
        assert await numbers(link, came) == list(range(came))
        with pytest.raises(ConnectionLostError, match="broke without a goodbye"):
            await link.receive()
        assert not link.peer_said_goodbye
        assert not link.closing, "we did not close it"

    linked(loop_factory, talk)


@LOOPS
def test_a_close_that_is_answered_confirms_what_was_sent_before(loop_factory: LoopFactory) -> None:
    async def talk(server: Endpoint, heard: Heard, link: Link) -> None:
        link.forward(b"before")
        link.close(CloseCode.GOING_AWAY, "It stops.")
        link.forward(b"after")
        with pytest.raises(ConnectionLostError, match=r"closed by us \(1001\): It stops\."):
            await link.receive()
        assert (link.confirmed, link.closing, heard.said) == (True, True, [b"before"])
        assert await heard.end == ("closed by the peer (1001): It stops.", True)

    linked(loop_factory, talk)


@LOOPS
def test_a_close_that_crosses_another_confirms_nothing(loop_factory: LoopFactory) -> None:
    async def talk(server: Endpoint, heard: Heard, link: Link) -> None:
        server.close(CloseCode.RESTARTING, "The server is restarting.")
        link.close(CloseCode.DONE, "")
        with pytest.raises(ConnectionLostError):
            await link.receive()
        assert not link.confirmed

    linked(loop_factory, talk)


@LOOPS
def test_who_leaves_waits_for_nothing_and_says_goodbye_all_the_same(
    loop_factory: LoopFactory,
) -> None:
    async def talk(server: Endpoint, heard: Heard, link: Link) -> None:
        link.forward(b"before")
        link.leave(CloseCode.DONE, "The user is done.")
        with pytest.raises(ConnectionLostError, match="closed by us"):
            await link.receive()
        assert not link.confirmed
        assert await heard.end == ("closed by the peer (1000): The user is done.", True)
        assert heard.said == [b"before"]

    linked(loop_factory, talk)


@LOOPS
def test_a_server_that_answers_no_close_is_not_waited_for(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_S", 0.05)

    async def talk(server: Endpoint, heard: Heard, link: Link) -> None:
        server._hold(True)
        link.close(CloseCode.DONE, "")
        with pytest.raises(ConnectionLostError):
            await link.receive()
        assert not link.confirmed

    linked(loop_factory, talk)


@LOOPS
def test_a_server_that_does_not_end_the_connection_is_not_waited_for(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "END_S", 0.05)

    async def stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = (await reader.readuntil(b"\r\n\r\n")).decode().split("Key: ")[1].split("\r\n")[0]
        writer.write(b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(f"Sec-WebSocket-Accept: {accept_of(key)}\r\n\r\n".encode())
        await reader.readexactly(8)
        writer.write(b"\x88\x02\x03\xe8")
        with suppress(ConnectionError):
            await reader.read()

    async def main() -> None:
        async with serving(stay) as port:
            url = f"ws://127.0.0.1:{port}/"
            async with dial(url, None, connect_s=5.0, ping_s=PING_S) as link:
                link.close(CloseCode.DONE, "")
                with pytest.raises(ConnectionLostError):
                    await link.receive()
                assert link.confirmed

    run(loop_factory, main())


@LOOPS
def test_a_server_that_answers_no_pings_is_gone(loop_factory: LoopFactory) -> None:
    async def talk(server: Endpoint, heard: Heard, link: Link) -> None:
        server._hold(True)
        with pytest.raises(ConnectionLostError, match="its pings were not answered"):
            await link.receive()

    linked(loop_factory, talk, ping_s=0.1)


@LOOPS
def test_a_server_that_answers_pings_is_there(loop_factory: LoopFactory) -> None:
    async def talk(server: Endpoint, heard: Heard, link: Link) -> None:
        await until(lambda: heard.said == ["ping"] * 3)
        server.forward(text_of(7))
        assert await numbers(link, 1) == [7]

    linked(loop_factory, talk, ping_s=0.05)
