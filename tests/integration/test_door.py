# SPDX-License-Identifier: Apache-2.0
"""wsrc.server: where it listens, and whom it does not let in."""

import asyncio
import gc
import itertools
import logging
import socket
import ssl
import time
from contextlib import suppress
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.raw_peer import (
    LAST,
    LIMIT_S,
    LOOPS,
    PING,
    PONG,
    UPGRADE,
    LoopFactory,
    frame,
    raw_peer,
    run,
)
from tests.support.world import until
from wsrc.audit.events import NOWHERE
from wsrc.errors import ConfigError
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.server.app import serve
from wsrc.server.refusals import Refusals
from wsrc.server.turns import REST_TURNS
from wsrc.settings.load import ServerSettings

OPEN = {"allow_plaintext_on_network": True, "allow_anyone_on_network": True}

PLAIN = ServerSettings(user_port=0, card_port=0, no_tls=True)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (b"GET / HTTP/9.9\r\n\r\n", "no HTTP request"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "no HTTP request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", "no HTTP request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP status 426"),
        (b"GET /else HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP status 404: Not Found"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "HTTP status 405: Method Not Allowed",
        ),
        (UPGRADE.replace(b"Host", b"Origin: http://x\r\nHost"), "HTTP status 403"),
        (
            UPGRADE.replace(b"Version: 13", b"Version: 1"),
            "HTTP status 426: This server speaks version 13",
        ),
        (UPGRADE.replace(b"AAAA==", b"=="), "HTTP status 400: Handshake error"),
    ],
    ids=["version", "long", "TLS", "426", "404", "405", "403", "426 version", "400 key"],
)
@LOOPS
def test_c24_a_refused_connection_is_one_line_with_the_reason(
    loop_factory: LoopFactory, request_: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with serve(PLAIN) as app:
            reader, writer = await asyncio.open_connection("127.0.0.1", app.user_port)
            writer.write(request_)
            assert (await reader.readline()).startswith(b"HTTP/1.")
            writer.close()

    run(loop_factory, main())
    (record,) = [r for r in caplog.records if "refused" in r.getMessage()]
    assert record.getMessage().startswith("A connection from 127.0.0.1 is refused: " + why)
    assert record.exc_info is None
    assert "\n" not in record.getMessage()
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []


@pytest.mark.parametrize(
    ("said", "why"),
    [(b"GET / HTTP/1.1\r\n\r\n", "it speaks HTTP without TLS"), (b"\0" * 50, "TLS"), (b"", "TLS")],
    ids=["HTTP", "noise", "nothing"],
)
@LOOPS
def test_c24_so_is_one_that_does_not_begin_tls(
    loop_factory: LoopFactory,
    said: bytes,
    why: str,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    settings = ServerSettings(
        user_port=0, card_port=0, tls_cert=certificates.cert, tls_key=certificates.key
    )

    async def main() -> None:
        async with serve(settings) as app:
            reader, writer = await asyncio.open_connection("127.0.0.1", app.user_port)
            writer.write(said)
            if not said:
                writer.close()
            with suppress(ConnectionError):
                await reader.read()
            writer.close()
            await until(lambda: "refused" in caplog.text)

    run(loop_factory, main())
    (record,) = [r for r in caplog.records if "refused" in r.getMessage()]
    assert why in record.getMessage()
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []


@pytest.mark.parametrize(
    ("level", "told"), [(logging.INFO, ["odd"]), (logging.DEBUG, ["odd", "small"])]
)
async def test_what_else_aiohttp_says_is_logged_and_its_details_only_where_asked_for(
    level: int, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
    http_log = Refusals(asyncio.get_running_loop(), NOWHERE).http_log
    http_log.warning("odd")
    http_log.debug("small")
    assert caplog.messages == told


async def reaches(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("127.0.0.1", [True, False]),
        ("::1", [False, True]),
        ("[::1]", [False, True]),
        ("127.0.0.1,::1", [True, True]),
        ("127.0.0.1, [::1], localhost, 127.0.0.1", [True, True]),
        ("*", [True, True]),
        ("::", [True, True]),
        ("[::]", [True, True]),
        ("0.0.0.0", [True, False]),
    ],
)
async def test_c22_the_server_listens_on_what_a_person_means(
    host: str, reached: list[bool]
) -> None:
    settings = ServerSettings(
        host=host,
        user_port=0,
        card_port=0,
        no_tls=True,
        **OPEN,  # type: ignore[arg-type]
    )
    async with serve(settings) as app:
        for port in (app.user_port, app.card_port):
            assert [await reaches(at, port) for at in ("127.0.0.1", "::1")] == reached


@pytest.mark.parametrize("host", [",", "127.0.0.1,", "a..b", "203.0.113.77,127.0.0.1"])
async def test_c22_an_address_that_is_none_is_named(host: str) -> None:
    with pytest.raises(ConfigError, match="host"):
        await begin_to_listen(host)


async def begin_to_listen(host: str) -> None:
    settings = ServerSettings(
        host=host,
        user_port=0,
        card_port=0,
        no_tls=True,
        **OPEN,  # type: ignore[arg-type]
    )
    async with serve(settings):
        pass


@pytest.mark.parametrize("host", ["*", "::", "127.0.0.1,192.0.2.1"])
def test_c22_without_tls_every_address_must_be_loopback(host: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        ServerSettings(host=host, no_tls=True)


class Spy:
    """Counts the turns of a loop, and notes in which of them a connection is begun to serve."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turn = 0
        self.begun: list[int] = []
        loop = asyncio.get_running_loop()
        serve_it = loop.connect_accepted_socket

        async def note(*args: Any, **kwargs: Any) -> Any:
            self.begun.append(self.turn)
            return await serve_it(*args, **kwargs)

        monkeypatch.setattr(loop, "connect_accepted_socket", note)

    async def see(self, count: int) -> None:
        """Let turns pass until so many are begun."""
        async with asyncio.timeout(LIMIT_S):
            while len(self.begun) < count:
                await asyncio.sleep(0)
                self.turn += 1


def at_once(port: int, count: int, octets: bytes) -> list[socket.socket]:
    """Connect so many times in one turn of the loop, and send."""
    peers = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for peer in peers:
        peer.sendall(octets)
    return peers


MANY = 40


async def test_b16_connections_that_come_together_are_begun_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serve(PLAIN) as app:
        spy = Spy(monkeypatch)
        peers = at_once(app.user_port, MANY, b"")
        await spy.see(MANY)
        for peer in peers:
            peer.close()
    assert len(set(spy.begun)) == MANY


async def test_b16_tls_handshakes_that_come_together_are_done_one_by_one(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who connect and stay silent keep nobody waiting: it is their turn when they speak."""
    settings = ServerSettings(
        user_port=0, card_port=0, tls_cert=certificates.cert, tls_key=certificates.key
    )
    async with serve(settings) as app:
        door = app._door
        assert door is not None
        spy = Spy(monkeypatch)
        peers = at_once(app.user_port, MANY, b"")
        await until(lambda: len(door.connections) == MANY)
        assert spy.begun == []
        async with dial(
            f"wss://127.0.0.1:{app.user_port}/",
            client_context(certificates.ca),
            connect_s=LIMIT_S,
            ping_s=LIMIT_S,
        ):
            assert len(spy.begun) == 1
            for peer in peers:
                peer.sendall(client_hello())
            await spy.see(1 + MANY)
        for peer in peers:
            peer.close()
    turns = spy.begun[1:]
    apart = [after - before for before, after in itertools.pairwise(turns)]
    assert min(apart) > REST_TURNS


@LOOPS
def test_b16_a_peer_that_has_much_to_say_does_not_stand_behind_newcomers(
    loop_factory: LoopFactory,
) -> None:
    newcomers = 5_000

    async def main() -> None:
        async with serve(PLAIN) as app, raw_peer(app.user_port) as peer:
            door = app._door
            assert door is not None
            come: list[None] = []

            def begin() -> None:
                time.sleep(0.0002)
                come.append(None)

            for _ in range(newcomers):
                door.newcomers.stand(begin)
            peer.write(frame(b"", LAST | PING) * 200)
            for _ in range(200):
                assert (await peer.frame())[0] == PONG
            assert 0 < len(come) < newcomers / 2

    run(loop_factory, main())


async def test_b16_who_does_not_begin_tls_is_dropped_in_time(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = ServerSettings(
        user_port=0,
        card_port=0,
        hello_s=1.0,
        tls_cert=certificates.cert,
        tls_key=certificates.key,
    )
    async with asyncio.timeout(LIMIT_S), serve(settings) as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.user_port)
        assert await reader.read() == b""
        writer.close()
    assert "is refused: it did not begin TLS in time" in caplog.text


def client_hello() -> bytes:
    """Return what a client begins TLS with."""
    sent = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()


@LOOPS
@pytest.mark.parametrize("request_", [UPGRADE, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_connection_that_is_lost_at_once_after_its_request_leaves_no_error(
    loop_factory: LoopFactory, request_: bytes
) -> None:
    """Both are seen before the request is looked at."""
    wrong: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: wrong.append(said))
        async with serve(PLAIN) as app:
            _, writer = await asyncio.open_connection("127.0.0.1", app.user_port)
            door = app._door
            assert door is not None
            await until(lambda: any(each.transport for each in door.connections))
            (connection,) = door.connections
            transport = connection.transport
            assert transport is not None
            connection._pass_on(request_)
            connection.connection_lost(ConnectionResetError())
            transport.abort()
            for _ in range(20):
                await asyncio.sleep(0)
            assert not door.connections
            gc.collect()
            await asyncio.sleep(0)
            writer.close()

    run(loop_factory, main())
    assert wrong == []
