# SPDX-License-Identifier: Apache-2.0
"""nginx before the server, as the example has it, asks for certificates (issue 13, 1)."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.pki import Pair, Pki
from tests.support.ports import free_port
from tests.support.processes import argv, environment
from tests.support.raw_peer import LIMIT_S
from tests.support.tokens import token_file
from tests.support.world import until
from wsrc.certs.making import Kind
from wsrc.errors import ConnectionLostError
from wsrc.protocol.messages import ClientType
from wsrc.server.app import serve
from wsrc.server.token_store import TokenStore
from wsrc.settings.load import ServerSettings
from wsrc.user_client.aio import Client

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not here (Debian: nginx-light)")

MAIN = """\
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
{server}
}}
"""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def example(pki: Pki, port: int, users: int, cards: int) -> str:
    """Return the example with certificates asked for, and places of this test."""
    text = (ROOT / "contrib" / "nginx" / "wsrc.conf").read_text("utf-8")
    for old, new in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen [::]:443 ssl;", ""),
        ("/etc/ssl/relay.example.pem", str(pki.server.cert)),
        ("/etc/ssl/private/relay.example.key", str(pki.server.key)),
        ("# ssl_client_certificate /etc/ssl/wsrc-clients-ca.pem;",
         f"ssl_client_certificate {pki.folder.ca};"),
        ("# ssl_crl /etc/ssl/wsrc-clients-crl.pem;", f"ssl_crl {pki.folder.crl};"),
        ("# ssl_verify_client on;", "ssl_verify_client on;"),
        ("http://127.0.0.1:4220", f"http://127.0.0.1:{users}"),
        ("http://127.0.0.1:4221", f"http://127.0.0.1:{cards}"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def behind_nginx(pki: Pki, folder: Path, **more: Any) -> AsyncIterator[str]:
    """Run a server without TLS and nginx before it; yield the URL without its path."""
    assert NGINX is not None
    async with serve(ServerSettings(user_port=0, card_port=0, no_tls=True, **more)) as app:
        port = free_port()
        config = folder / "nginx.conf"
        server = example(pki, port, app.user_port, app.card_port)
        config.write_text(MAIN.format(folder=folder, server=server))
        program = await asyncio.create_subprocess_exec(
            NGINX, "-p", str(folder), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
        )

        async def reached() -> bool:
            assert program.returncode is None
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return True
            return False

        try:
            await until(reached)
            yield f"wss://localhost:{port}"
        finally:
            program.terminate()
            await program.wait()


async def test_13_clients_with_a_certificate_get_through_nginx(pki: Pki, tmp_path: Path) -> None:
    user, host = pki.client("a@b.example"), pki.client("bench", Kind.CARD_HOST)
    async with behind_nginx(pki, tmp_path) as url:
        program = await asyncio.create_subprocess_exec(
            *argv("wsrc-card-client", "--server-url", f"{url}/card", "--no-pcsc"),
            *("--simulated", "default", "--tls-ca", str(pki.folder.ca)),
            *("--tls-cert", str(host.cert), "--tls-key", str(host.key)),
            env=environment(),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            given = {"ca": pki.folder.ca, "cert": user.cert, "key": user.key}
            async with asyncio.timeout(LIMIT_S), Client(f"{url}/user", **given) as client:

                async def both() -> bool:
                    return len(await client.list_cards()) == 2

                await until(both)
        finally:
            program.terminate()
            await program.wait()


@pytest.mark.parametrize("what", ["none", "revoked", "another CA"])
async def test_13_clients_without_a_good_one_are_told_what_nginx_wants(
    pki: Pki, tmp_path: Path, what: str
) -> None:
    pairs: dict[str, Pair | None] = {
        "none": None,
        "revoked": pki.revoked("gone") if what == "revoked" else None,
        "another CA": Pki(tmp_path / "other").client("x"),
    }
    pair = pairs[what]
    given = {} if pair is None else {"cert": pair.cert, "key": pair.key}
    async with behind_nginx(pki, tmp_path) as url:
        with pytest.raises(ConnectionLostError) as caught:
            await Client(f"{url}/user", ca=pki.folder.ca, **given).open()
    assert "nginx" in str(caught.value)
    assert "if it asks for a certificate, give yours with --tls-cert" in str(caught.value)


async def test_13_a_token_gets_through_nginx_and_who_has_none_does_not(
    pki: Pki, tmp_path: Path
) -> None:
    """The server is asked on loopback, which is no way round."""
    pair = pki.client("c@b.example")
    given: dict[str, Any] = {"ca": pki.folder.ca, "cert": pair.cert, "key": pair.key}
    with TokenStore(tmp_path / "state") as store:
        token = store.add("c@b.example", ClientType.USER, 0.0, None)
    file = token_file(tmp_path / "token", token)
    more = {"tokens": True, "state_dir": tmp_path / "state"}
    async with asyncio.timeout(LIMIT_S), behind_nginx(pki, tmp_path, **more) as url:
        async with Client(f"{url}/user", **given, token_file=file) as client:
            assert await client.list_cards() == []
        with pytest.raises(ConnectionLostError, match="we have none; name its file"):
            await Client(f"{url}/user", **given).open()
