# SPDX-License-Identifier: Apache-2.0
"""The client's end of a WebSocket, and its way to a server, with each kind of loop."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from certs.make_certs import Certificates
from tests.support.http_proxy import proxying
from tests.support.raw_peer import LOOPS, LoopFactory, run
from tests.support.served_peer import Heard, upgrading
from tests.support.world import until
from wsrc.errors import ConnectionLostError
from wsrc.net import way, websocket
from wsrc.net.dial import dial
from wsrc.net.endpoint import Endpoint
from wsrc.net.handshake import accept_of
from wsrc.net.tls import client_context
from wsrc.net.websocket import Link
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.protocol.conversation import CloseCode
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings

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


Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def serving(speak: Speak) -> AsyncGenerator[int]:
    """Speak so on every connection; yield the port, and wait for all of them at the end."""
    open_now: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        try:
            await speak(reader, writer)
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
            open_now.discard(writer)

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await until(lambda: not open_now)


@asynccontextmanager
async def answering(octets: bytes) -> AsyncGenerator[str]:
    """Answer the first octets of every connection with these; yield the URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read(1)
            writer.write(octets)
            await reader.read()

    async with serving(answer) as port:
        yield f"ws://127.0.0.1:{port}/"


async def why_not(url: str, connect_s: float = 5.0) -> str:
    with pytest.raises(ConnectionLostError) as caught:
        async with dial(url, None, connect_s=connect_s, ping_s=PING_S):
            pass
    return str(caught.value).removeprefix(f"{url}: ")


@LOOPS
@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "a server answers, but does not speak HTTP; check the port."),
        (b"\x15\x03\x01\x00\x02\x02F", "the server closed the connection at once; if it wants TL"),
        (b"HTTP/1.1 101 Yes\r\n\r\n", "a server answers, but not as a WSRC server (HTTP status 1"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "a server answers, but does not speak HTTP;"),
    ],
    ids=["another protocol", "TLS", "no key", "no end"],
)
def test_who_is_no_web_server_is_told_apart(
    loop_factory: LoopFactory, octets: bytes, why: str
) -> None:
    async def main() -> None:
        async with answering(octets) as url:
            assert (await why_not(url)).startswith(why)

    run(loop_factory, main())


@LOOPS
def test_an_answer_has_to_come_in_time(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with answering(b"HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 101") as url:
            assert (await why_not(url, 0.1)).startswith("the server did not answer in time")

    run(loop_factory, main())


@LOOPS
def test_an_extension_that_was_not_offered_is_refused(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with upgrading("Sec-WebSocket-Extensions: permessage-deflate\r\n") as (url, _):
            assert "not as a WSRC server (HTTP status 101)" in await why_not(url)

    run(loop_factory, main())


@LOOPS
def test_frames_that_come_with_the_answer_are_received(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with upgrading() as (url, made):
            made.add_done_callback(lambda done: done.result().forward(text_of(1)))
            async with dial(url, None, connect_s=5.0, ping_s=PING_S) as link:
                assert await numbers(link, 1) == [1]

    run(loop_factory, main())


@LOOPS
def test_a_server_is_reached_by_its_address_in_either_family(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        settings = ServerSettings(host="127.0.0.1,::1", user_port=0, card_port=0, no_tls=True)
        async with serve(settings) as app:
            for host in ("127.0.0.1", "[::1]", "localhost"):
                url = f"ws://{host}:{app.user_port}/user"
                async with dial(url, None, connect_s=5.0, ping_s=PING_S) as link:
                    assert link.agreed

    run(loop_factory, main())


@LOOPS
@pytest.mark.parametrize("host", ["a..b", "x" * 70])
def test_a_host_that_is_no_name_is_said_to_be_none(loop_factory: LoopFactory, host: str) -> None:
    async def main() -> None:
        assert await why_not(f"ws://{host}/") == f"{host} is no name of a host; check it."

    run(loop_factory, main())


@LOOPS
def test_the_next_address_of_a_name_is_tried_beside_one_that_does_not_answer(
    loop_factory: LoopFactory,
) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            deaf = stack.enter_context(socket.socket())
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            for _ in range(4):  # what fills its backlog; to those after it nothing is answered
                filling = stack.enter_context(socket.socket())
                filling.setblocking(False)
                filling.connect_ex(deaf.getsockname())
            url, _ = await stack.enter_async_context(upgrading())
            port = int(url.rpartition(":")[2].strip("/"))
            places = [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", deaf.getsockname()),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            ]
            connected = await way._connected(places)
            stack.enter_context(connected)
            assert connected.getpeername()[1] == port
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(way.NEXT_S):
                    await way._connected(places[:1])

    run(loop_factory, main())


@LOOPS
def test_a_dial_that_is_cancelled_leaves_no_connection(
    loop_factory: LoopFactory, certificates: Certificates
) -> None:
    """At every step of it: what is open then is closed, which the loop would complain of."""

    async def main() -> None:
        files = {"tls_cert": certificates.cert, "tls_key": certificates.key}
        async with serve(ServerSettings(user_port=0, card_port=0, **files)) as app:
            url = f"wss://127.0.0.1:{app.user_port}"
            for turns in range(40):
                async with asyncio.TaskGroup() as tasks:
                    dialling = tasks.create_task(dialled(url, certificates))
                    for _ in range(turns):
                        await asyncio.sleep(0.0005)
                    dialling.cancel()
                assert dialling.cancelled()

    run(loop_factory, main())


async def dialled(url: str, certificates: Certificates) -> None:
    async with dial(url, client_context(certificates.ca), connect_s=5.0, ping_s=PING_S):
        await asyncio.Event().wait()


@LOOPS
def test_a_proxy_that_is_none_or_says_nothing_is_named(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with answering(b"SSH-2.0-OpenSSH_9.2\r\n") as url:
            monkeypatch.setenv("https_proxy", url.replace("ws:", "http:"))
            said = await why_not("wss://relay.example/")
            assert "which https_proxy names, does not speak HTTP; check the port." in said
        async with answering(b"") as url:
            monkeypatch.setenv("https_proxy", url.replace("ws:", "http:"))
            said = await why_not("wss://relay.example/", 0.1)
            assert said.startswith("no connection through the proxy 127.0.0.1:")
        early = b"HTTP/1.1 200 Yes\r\n\r\n\x16\x03\x01"
        async with answering(early) as url:
            monkeypatch.setenv("https_proxy", url.replace("ws:", "http:"))
            assert "does not speak HTTP" in await why_not("wss://relay.example/")

    for name in ("HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    run(loop_factory, main())


@LOOPS
def test_a_server_behind_a_proxy_that_hangs_up_is_told_apart(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            async with proxying() as proxy:
                monkeypatch.setenv("https_proxy", proxy.url)
                said = await why_not(f"wss://relay.example:{port}/")
        assert "or the server behind it closed the connection." in said

    for name in ("HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    run(loop_factory, main())
