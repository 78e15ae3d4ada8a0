# SPDX-License-Identifier: Apache-2.0
"""The way of a client to a server, and what it says of who answers, with each kind of loop."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from tests.support.certificates import Certificates
from tests.support.http_proxy import proxying
from tests.support.raw_peer import LOOPS, LoopFactory, run
from tests.support.served_peer import serving, upgrading
from wsrc.errors import ConnectionLostError
from wsrc.net import way
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings

PING_S = 20.0
HELLO = encode(m.Error(message="hello"))


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
            made.add_done_callback(lambda done: done.result().forward(HELLO))
            async with dial(url, None, connect_s=5.0, ping_s=PING_S) as link:
                assert (await link.receive())[1] == HELLO

    run(loop_factory, main())


@LOOPS
def test_a_server_that_is_gone_with_its_answer_is_noticed_at_once(
    loop_factory: LoopFactory,
) -> None:
    async def main() -> None:
        async with upgrading() as (url, made):
            made.add_done_callback(lambda done: done.result()._transport.close())
            async with dial(url, None, connect_s=5.0, ping_s=0.01) as link:
                with pytest.raises(ConnectionLostError, match="broke without a goodbye"):
                    await link.receive()
            await asyncio.sleep(0.05)
            assert link._pulse is None

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
