# SPDX-License-Identifier: Apache-2.0
"""wsrc.server: where it listens, and whom it does not let in."""

import asyncio
import logging
from contextlib import suppress

import pytest

from certs.make_certs import Certificates
from tests.support.raw_peer import (
    LOOPS,
    UPGRADE,
    LoopFactory,
    run,
)
from tests.support.world import until
from wsrc.errors import ConfigError
from wsrc.server.app import serve
from wsrc.server.door import http_log
from wsrc.settings.load import ServerSettings

PLAIN = ServerSettings(user_port=0, card_port=0, no_tls=True)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (b"GET / HTTP/9.9\r\n\r\n", "no HTTP request"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "no HTTP request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", "no HTTP request"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP status 426"),
        (b"GET /else HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP status 404"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "HTTP status 405"),
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
def test_what_else_aiohttp_says_is_logged_and_its_details_only_where_asked_for(
    level: int, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level)
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
        host=host, user_port=0, card_port=0, no_tls=True, allow_plaintext_on_network=True
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
        host=host, user_port=0, card_port=0, no_tls=True, allow_plaintext_on_network=True
    )
    async with serve(settings):
        pass


@pytest.mark.parametrize("host", ["*", "::", "127.0.0.1,192.0.2.1"])
def test_c22_without_tls_every_address_must_be_loopback(host: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        ServerSettings(host=host, no_tls=True)
