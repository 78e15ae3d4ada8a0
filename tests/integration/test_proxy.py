# SPDX-License-Identifier: Apache-2.0
"""Clients whose only way out is an HTTP proxy, and what they say of who answers."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from tests.support.certificates import Certificates, make
from tests.support.http_proxy import HttpProxy, proxying
from tests.support.raw_peer import LOOPS, LoopFactory, run as run_on
from tests.support.world import World, hosting, running, until
from wsrc.aio import Client
from wsrc.command_line.program import run
from wsrc.errors import ConfigError, ConnectionLostError
from wsrc.net.dial import dial
from wsrc.net.proxy import proxy_for
from wsrc.net.tls import client_context, server_context

NAME = "relay.example"
URL = f"wss://{NAME}:4220"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Files of a server that is reached by a name that only the proxy knows."""
    return make(Path(tmp_path_factory.mktemp("named")), (NAME, "localhost", "127.0.0.1"))


async def go_through(proxy: HttpProxy, world: World, named: Certificates) -> str:
    """Have both clients go through a proxy; return the URL for users."""
    card_url = f"wss://{NAME}:{world.app.card_port}/card"
    user_url = f"wss://{NAME}:{world.app.user_port}/user"
    async with (
        hosting(card_url, named, None, "far"),
        Client(user_url, ca=named.ca) as client,
    ):

        async def there() -> bool:
            return any(card.host == "far" for card in await client.list_cards())

        await until(there)
    assert set(proxy.asked) == {urlsplit(url).netloc for url in (card_url, user_url)}
    return user_url


async def test_a_server_that_another_has_named_is_reached_through_the_proxy_too(
    named: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is asked for its host; its certificate is for the name of the URL."""
    async with running(named) as world, proxying() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        port, context = world.app.user_port, client_context(named.ca)
        url = f"wss://{NAME}:{port}/user"
        async with dial(url, context, host="other.example", connect_s=10.0, ping_s=10.0):
            assert proxy.asked == [f"other.example:{port}"]


async def test_c23_both_clients_go_through_the_proxy_with_its_user_and_password(
    named: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(named) as world, proxying(login="ida:s3cr:et") as proxy:
        monkeypatch.setenv("https_proxy", f"http://ida:s3cr%3Aet@127.0.0.1:{proxy.port}")
        await go_through(proxy, world, named)


async def test_c23_tls_within_the_tunnel_is_checked(
    named: Certificates, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(named) as world, proxying() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        user_url = f"wss://{NAME}:{world.app.user_port}/user"
        with pytest.raises(ConnectionLostError, match="not signed by a CA that is trusted here"):
            await _connect(user_url, certificates)
        with pytest.raises(ConnectionLostError, match=r"certificate is not for other\.example"):
            await _connect(user_url.replace(NAME, "other.example"), named)
        assert len(proxy.asked) == 2


@LOOPS
@pytest.mark.parametrize("login", ["", "ida:s3cr%3Aet@"])
def test_c23_a_proxy_may_have_tls_of_its_own(
    loop_factory: LoopFactory,
    login: str,
    named: Certificates,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its certificate is checked by the CAs of this host, which `--tls-ca` replaces for none."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))

    async def main() -> None:
        wanted = "ida:s3cr:et" if login else None
        async with running(named) as world, proxying(wanted, files=certificates) as proxy:
            monkeypatch.setenv("https_proxy", f"https://{login}localhost:{proxy.port}")
            user_url = await go_through(proxy, world, named)
            with pytest.raises(ConnectionLostError, match="is not signed by a CA") as caught:
                await _connect(user_url, certificates)
            assert str(caught.value).startswith(f"{user_url}: the server's certificate")

    run_on(loop_factory, main())


@pytest.mark.parametrize(
    ("trusted", "host", "why"),
    [
        ("other", "localhost", "is not signed by a CA that is trusted here; have "),
        ("its own", "127.0.0.2", "is not for 127.0.0.2; use the name"),
    ],
)
async def test_c23_a_wrong_certificate_of_a_proxy_is_said_to_be_the_proxys(
    trusted: str,
    host: str,
    why: str,
    named: Certificates,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = certificates.ca if trusted == "its own" else named.ca
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    async with proxying(files=certificates) as proxy:
        monkeypatch.setenv("https_proxy", f"https://ida:s3cret@{host}:{proxy.port}")
        with pytest.raises(ConnectionLostError) as caught:
            await _connect(URL, named)
        said = str(caught.value)
        assert (
            f"the certificate of the proxy {host}:{proxy.port}, which https_proxy names, " in said
        )
        assert why in said
        assert "s3cret" not in said
        assert proxy.asked == []


async def test_c23_a_proxy_without_tls_where_it_is_said_to_have_it_is_named(
    named: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxying() as proxy:
        monkeypatch.setenv("https_proxy", f"https://localhost:{proxy.port}")
        with pytest.raises(
            ConnectionLostError, match=r"the proxy localhost:\d+, .*does not speak T"
        ):
            await _connect(URL, named)


async def test_c23_a_proxy_that_refuses_is_named_without_its_password(
    named: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given, status, said in (
        ("", None, r"proxy 127.0.0.1:\d+ wants a user and password \(HTTP status 407\); .*https_"),
        ("ida:wrong@", None, r"does not accept the user and password in https_proxy"),
        ("ida:wrong@", 403, r"does not allow connections to this host and port"),
        ("ida:wrong@", 502, r"answers, but does not reach the server \(HTTP status 502\)"),
        ("ida:wrong@", 503, r"answers, but does not reach the server \(HTTP status 503\)"),
        ("ida:wrong@", 418, r"does not connect us to the server \(HTTP status 418\)"),
    ):
        async with proxying(login="ida:right", refuse=status) as proxy:
            monkeypatch.setenv("https_proxy", f"http://{given}127.0.0.1:{proxy.port}")
            with pytest.raises(ConnectionLostError) as caught:
                await _connect(URL, named)
        assert re.search(said, str(caught.value))
        assert "wrong" not in str(caught.value)


async def test_c23_a_proxy_that_is_not_there_is_named(
    named: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxying() as gone:
        url = gone.url
    monkeypatch.setenv("https_proxy", url)
    with pytest.raises(ConnectionLostError, match=r"cannot connect to the proxy 127.0.0.1:\d+, wh"):
        await _connect(URL, named)
    monkeypatch.setenv("https_proxy", "http://proxy.invalid:3128")
    with pytest.raises(ConnectionLostError, match=r"no host for the proxy proxy\.invalid:3128"):
        await _connect(URL, named)


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("wss://relay.example:4220", "", False),
        ("wss://relay.example:4220", "example", True),
        ("wss://relay.example:4220", ".example", True),
        ("wss://relay.example:4220", "*.example", True),
        ("wss://relay.example:4220", "lay.example", False),
        ("wss://relay.example:4220", "other, relay.example:4220", True),
        ("wss://relay.example:4220", "relay.example:4221", False),
        ("wss://relay.example", "relay.example:443", True),
        ("wss://10.1.2.3:4220", "10.0.0.0/8", True),
        ("wss://10.1.2.3:4220", "11.0.0.0/8,10.1.2.4", False),
        ("wss://[fd00::1]:4220", "[fd00::1]:4220", True),
        ("wss://[fd00::1]:4220", "fd00::/16", True),
        ("wss://relay.example:4220", "*", True),
        ("wss://localhost:4220", "", True),
        ("wss://127.0.0.2:4220", "", True),
        ("ws://relay.example:4220", "", True),
    ],
)
def test_c23_no_proxy_names_what_is_reached_directly(url: str, no_proxy: str, direct: bool) -> None:
    environ = {"https_proxy": "proxy.example:3128", "no_proxy": no_proxy}
    proxy = proxy_for(url, environ)
    assert (proxy is None) is direct
    assert proxy is None or (proxy.url, proxy.login) == ("http://proxy.example:3128", None)


def test_c23_a_proxy_of_another_kind_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://ida:s3cret@proxy.example:1080")
    with pytest.raises(ConfigError) as caught:
        Client(URL)
    assert str(caught.value).startswith("ALL_PROXY: 'socks5://proxy.example:1080' is not of the")


@pytest.mark.parametrize(
    ("status", "server", "said"),
    [
        (400, "nginx", r"nginx does not take the upgrade to WebSocket \(HTTP status 400\)"),
        (401, "nginx", r"nginx wants a user and password \(HTTP status 401\); .*WSRC_SERVER_URL"),
        (407, "", r"a proxy on the way wants a user and password \(HTTP status 407\)"),
        (426, None, r"a WSRC server answers, but a proxy before it does not pass the upgrade"),
        (502, "nginx", r"a reverse proxy \(nginx\) answers, wsrc-server behind it does not"),
        (503, "nginx", r"a reverse proxy \(nginx\) .* the server is full, or is not running"),
        (503, None, r"the server is full: it has all the peers"),
        (504, "", r"a reverse proxy answers, wsrc-server behind it does not \(HTTP status 504\)"),
        (404, "nginx", r"not as a WSRC server \(HTTP status 404\)"),
    ],
)
async def test_c23_an_answer_that_is_no_websocket_says_who_answered(
    named: Certificates, status: int, server: str | None, said: str
) -> None:
    async with _answering(named, status, server) as url:
        with pytest.raises(ConnectionLostError, match=said):
            await _connect(url, named)


async def test_a8_the_user_part_of_the_url_goes_to_the_web_server_and_nowhere_else(
    named: Certificates,
) -> None:
    heads: list[str] = []
    async with _answering(named, 401, "nginx", heads) as url:
        with pytest.raises(ConnectionLostError) as caught:
            await _connect(url.replace("wss://", "wss://ida:s3cret@") + "?token=t0ken", named)
    assert heads == ["Basic aWRhOnMzY3JldA=="]
    assert "does not accept the user and password of the URL" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_a8_an_error_of_the_connection_shows_no_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSRC_SERVER_URL", "ws://ida:s3cret@127.0.0.1:1/?token=s3cret")
    assert run(["list", "--json"]) == 5
    out, err = capsys.readouterr()
    assert "ws://127.0.0.1:1/: nothing listens there" in err
    assert "s3cret" not in out + err


async def _connect(url: str, certificates: Certificates) -> None:
    async with Client(url, ca=certificates.ca):
        pass


@asynccontextmanager
async def _answering(
    files: Certificates, status: int, server: str | None, logins: list[str] | None = None
) -> AsyncIterator[str]:
    """Run a web server that gives one answer to everything."""

    async def answer(request: web.Request) -> web.Response:
        if logins is not None:
            logins.append(request.headers.get("Authorization", ""))
        return web.Response(status=status, headers={} if server is None else {"Server": server})

    app = web.Application()
    app.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, "127.0.0.1", 0, ssl_context=server_context(files.cert, files.key)
        )
        await site.start()
        yield f"wss://localhost:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
