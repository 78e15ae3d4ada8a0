# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.tls against real servers on loopback: every way that a dial fails has a sentence."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from tests.support.certificates import make
from wsrc.errors import ConfigError, ConnectionLostError
from wsrc.net import dial as dial_module
from wsrc.net.tls import client_context, context_for, explain, server_context
from wsrc.protocol import messages as m

DIAL_S = 20.0
"""Limit of each dial that is meant to be answered."""


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Files of another CA."""
    return make(tmp_path_factory.mktemp("other"))


@asynccontextmanager
async def serve(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Run a WebSocket server that answers `hello`, and give its port."""

    async def answer(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str('{"msg_type": "hello_ack"}')
        await websocket.close()
        return websocket

    async def refuse(_: web.Request) -> web.StreamResponse:
        raise web.HTTPBadRequest

    app = web.Application()
    app.router.add_get("/", answer)
    app.router.add_get("/refuse", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        yield server.sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()


async def dial(url: str, context: ssl.SSLContext | None, limit_s: float = DIAL_S) -> str:
    """Connect; give what the server says, or why it could not be reached."""
    try:
        async with dial_module.dial(url, context, connect_s=limit_s, ping_s=DIAL_S) as link:
            message, _ = await link.receive()
            assert isinstance(message, m.HelloAck)
            return "hello"
    except ConnectionLostError as exc:
        return str(exc)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_right_certificate_is_accepted(certs: Any, host: str) -> None:
    async with serve(server_context(certs.cert, certs.key)) as port:
        assert await dial(f"wss://{host}:{port}/", client_context(certs.ca)) == "hello"


@pytest.mark.parametrize(
    ("url", "secure"),
    [("wss://host:1", True), ("WSS://host:1", True), ("ws://host:1", False), ("WS://host", False)],
)
def test_the_scheme_of_a_url_says_whether_there_is_tls(
    certs: Any, url: str, *, secure: bool
) -> None:
    assert (context_for(url, certs.ca) is not None) is secure


async def test_another_ca_is_explained(certs: Any, other: Any) -> None:
    async with serve(server_context(certs.cert, certs.key)) as port:
        url = f"wss://localhost:{port}/"
        assert await dial(url, client_context(other.ca)) == (
            f"{url}: the server's certificate is not signed by a CA that is trusted here; give "
            "the PEM file of its CA with --tls-ca."
        )


async def test_a_ca_that_the_system_does_not_know_is_explained(certs: Any) -> None:
    async with serve(server_context(certs.cert, certs.key)) as port:
        assert "--tls-ca" in await dial(f"wss://localhost:{port}/", client_context())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_certificate_for_another_name_is_explained(tmp_path: Path, host: str) -> None:
    files = make(tmp_path, ["example.org", "192.0.2.1"])
    async with serve(server_context(files.cert, files.key)) as port:
        text = await dial(f"wss://{host}:{port}/", client_context(files.ca))
    assert f"the server's certificate is not for {host};" in text


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (timedelta(days=-10), "has expired; its operator must renew it"),
        (timedelta(days=10), "is not valid yet; check the clocks of both hosts"),
    ],
)
async def test_a_certificate_out_of_its_time_is_explained(
    tmp_path: Path, offset: timedelta, expected: str
) -> None:
    files = make(tmp_path, days=2, start=datetime.now(UTC) + offset)
    context = client_context(files.ca)
    async with serve(server_context(files.cert, files.key)) as port:
        text = await dial(f"wss://localhost:{port}/", context)
    assert f"the server's certificate {expected}." in text


async def test_a_plain_server_under_wss_is_explained(certs: Any) -> None:
    async with serve(None) as port:
        text = await dial(f"wss://localhost:{port}/", client_context(certs.ca))
    assert text.endswith("the server does not speak TLS on this port; use ws:// if that is meant.")


async def test_a_tls_server_under_ws_is_explained(certs: Any) -> None:
    async with serve(server_context(certs.cert, certs.key)) as port:
        text = await dial(f"ws://localhost:{port}/", None)
    assert text.endswith("if it wants TLS, use wss://.")


def test_tls_versions_without_overlap_are_explained(certs: Any) -> None:
    client = client_context(certs.ca)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError) as caught:
        handshake(client, server_context(certs.cert, certs.key, "1.3"))
    assert explain(caught.value, "wss://h").endswith(
        "the server and this program have no TLS version in common."
    )


async def test_a_server_that_hangs_up_is_explained(certs: Any) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        plain = await dial(f"ws://127.0.0.1:{port}/", None)
        tls = await dial(f"wss://127.0.0.1:{port}/", client_context(certs.ca))
    assert plain.endswith("the server closed the connection at once; if it wants TLS, use wss://.")
    assert "the server closed the connection during the TLS handshake;" in tls


@pytest.mark.parametrize(
    ("maximum", "expected"),
    [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.MAXIMUM_SUPPORTED, "TLSv1.3")],
)
def test_tls_1_3_is_preferred_and_1_2_is_served(
    certs: Any, maximum: ssl.TLSVersion, expected: str
) -> None:
    client = client_context(certs.ca)
    client.maximum_version = maximum
    assert handshake(client, server_context(certs.cert, certs.key)) == expected


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> str | None:
    """Join both contexts in memory and give the version that they agree on."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    far = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [near, far]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                if side is near:
                    raise
    assert waiting == []
    return near.version()


async def test_another_web_server_is_explained() -> None:
    async with serve(None) as port:
        text = await dial(f"ws://localhost:{port}/nowhere", None)
    assert "not as a WSRC server (HTTP status 404)" in text


async def test_a_proxy_that_wants_tls_is_explained() -> None:
    async with serve(None) as port:
        text = await dial(f"ws://localhost:{port}/refuse", None)
    assert text.endswith("the server answered 400; if it wants TLS, use wss://.")


async def test_a_refused_connection_is_explained() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{unused.getsockname()[1]}/"
        assert await dial(url, None) == (
            f"{url}: nothing listens there; check that the server runs, and the port."
        )


async def test_an_unknown_host_is_explained() -> None:
    text = await dial("wss://host.invalid:4220/", None)
    assert text == (
        "wss://host.invalid:4220/: there is no host host.invalid; check the name and this "
        "host's DNS."
    )


async def test_a_silent_server_is_explained() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        text = await dial(f"ws://127.0.0.1:{silent.getsockname()[1]}/", None, limit_s=0.2)
    assert "the server did not answer in time" in text


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (socket.gaierror(-2, "Name or service not known"), "there is no host h;"),
        (
            OSError(113, "Connect call failed ('10.77.0.99', 1)"),
            "cannot connect: No route to host.",
        ),
        (ValueError("odd"), "cannot connect: odd."),
        (ValueError(), "cannot connect: ValueError."),
    ],
)
def test_other_errors_are_explained(exc: BaseException, expected: str) -> None:
    assert explain(exc, "wss://h:1").startswith(f"wss://h:1: {expected}")


def test_an_unusual_tls_error_is_explained_in_the_words_of_openssl() -> None:
    exc = ssl.SSLError(1, "failed")
    exc.reason = "ODD_THING"
    assert explain(exc, "wss://h") == "wss://h: TLS failed: ODD_THING."


@pytest.mark.parametrize("code", [2, 18, 19, 20, 21])
def test_a_certificate_of_no_ca_that_is_trusted_is_explained(code: int) -> None:
    """X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, and the others that say the same of a chain."""
    exc = ssl.SSLCertVerificationError(1, "failed")
    exc.verify_code, exc.verify_message = code, "odd"
    assert "give the PEM file of its CA with --tls-ca" in explain(exc, "wss://h")


def test_an_unusual_certificate_is_explained_in_the_words_of_openssl() -> None:
    exc = ssl.SSLCertVerificationError(1, "failed")
    exc.verify_code, exc.verify_message = 23, "certificate revoked"
    assert explain(exc, "wss://h").endswith("is not acceptable: certificate revoked.")


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value)


def test_a_missing_file_is_named(certs: Any, tmp_path: Path) -> None:
    gone = tmp_path / "gone.pem"
    assert refusal(lambda: server_context(gone, certs.key)) == f"tls_cert: there is no file {gone}"
    assert refusal(lambda: server_context(certs.cert, gone)) == f"tls_key: there is no file {gone}"
    assert refusal(lambda: client_context(gone)) == f"tls_ca: there is no file {gone}"


def test_an_unreadable_key_file_is_named(certs: Any, tmp_path: Path) -> None:
    assert refusal(lambda: server_context(certs.cert, tmp_path)) == (
        f"tls_key: cannot read {tmp_path}: Is a directory; let this program's user read it"
    )


def test_a_key_of_another_certificate_is_named(certs: Any, other: Any) -> None:
    assert refusal(lambda: server_context(certs.cert, other.key)) == (
        f"tls_key: the key in {other.key} does not belong to the certificate in {certs.cert}"
    )


def test_an_encrypted_key_is_refused_with_the_way_out(certs: Any, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(certs.key.read_bytes(), None)
    path = tmp_path / "encrypted.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    text = refusal(lambda: server_context(certs.cert, path))
    assert text.startswith(f"tls_key: {path} is encrypted")
    assert f"openssl pkey -in {path} -out FILE" in text


def test_a_file_that_is_no_pem_is_named(certs: Any, tmp_path: Path) -> None:
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    assert refusal(lambda: server_context(text, certs.key)) == (
        f"tls_cert: {text} holds no certificate in PEM form"
    )
    assert refusal(lambda: server_context(certs.cert, text)) == (
        f"tls_key: {text} holds no private key in PEM form"
    )
    assert refusal(lambda: client_context(text)) == (
        f"tls_ca: {text} holds no certificate in PEM form"
    )


def test_the_two_files_in_each_others_place_are_noticed(certs: Any) -> None:
    assert "holds no certificate" in refusal(lambda: server_context(certs.key, certs.cert))


def test_a_broken_certificate_is_named(certs: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert refusal(lambda: server_context(path, certs.key)).startswith(
        f"tls_cert: OpenSSL cannot use {path} with {certs.key}: "
    )


def test_the_private_key_is_for_its_owner_only(certs: Any) -> None:
    assert certs.key.stat().st_mode & 0o777 == 0o600
