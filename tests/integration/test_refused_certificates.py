# SPDX-License-Identifier: Apache-2.0
"""What a client is told whose certificate is refused, on each way to the server."""

import os
import ssl

import pytest

from tests.support.certificates import LOOPBACK, Certificates
from tests.support.http_proxy import proxying
from tests.support.pki import Pair, Pki
from tests.support.raw_peer import LIMIT_S, LOOPS, LoopFactory, run
from wsrc.certs.making import Kind
from wsrc.errors import ConnectionLostError
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.net.way import reach
from wsrc.server.app import serve
from wsrc.settings.address import Address
from wsrc.settings.load import ServerSettings

NAME = "relay.example"
"""A name that the proxy knows alone."""

TOLD = {
    "revoked": "it is revoked; have its operator make a new one",
    "another CA": "no CA that it trusts for clients has signed it",
    "other role": "it is for the other kind of client",
    "none": "we have none; give one with --tls-cert",
}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def server(pki: Pki) -> Certificates:
    made = pki.folder.issue(Kind.SERVER, (NAME, *LOOPBACK))
    return Certificates(pki.folder.ca, made.path, made.key)


@pytest.fixture(scope="module")
def clients(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair | None]:
    return {
        "revoked": pki.revoked("gone"),
        "another CA": Pki(tmp_path_factory.mktemp("stranger")).client("stranger"),
        "other role": pki.client("bench", Kind.CARD_HOST),
        "none": None,
    }


def settings(pki: Pki, server: Certificates) -> ServerSettings:
    return ServerSettings(
        user_port=0,
        card_port=0,
        tls_cert=server.cert,
        tls_key=server.key,
        tls_client_ca=pki.folder.ca,
        tls_crl=pki.folder.crl,
    )


@LOOPS
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("what", TOLD)
@pytest.mark.parametrize("with_tls", [False, True], ids=["http", "https"])
def test_13_through_a_proxy_a_client_is_told_the_same(
    pki: Pki,
    server: Certificates,
    clients: dict[str, Pair | None],
    with_tls: bool,
    what: str,
    version: ssl.TLSVersion,
    loop_factory: LoopFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within the TLS of the proxy as well."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.folder.ca))
    context = client_context(pki.folder.ca, *(clients[what] or ()))
    context.maximum_version = version

    async def main() -> None:
        async with (
            serve(settings(pki, server)) as app,
            proxying(files=server if with_tls else None) as proxy,
        ):
            monkeypatch.setenv("https_proxy", proxy.url)
            place = f"{NAME}:{app.user_port}"
            with pytest.raises(ConnectionLostError, match=TOLD[what]):
                async with dial(f"wss://{place}", context, connect_s=LIMIT_S, ping_s=LIMIT_S):
                    pass
            assert proxy.asked == [place]

    run(loop_factory, main())


@LOOPS
def test_13_a_refusal_that_comes_before_the_request_is_told_all_the_same(
    pki: Pki, server: Certificates, clients: dict[str, Pair | None], loop_factory: LoopFactory
) -> None:
    context = client_context(pki.folder.ca, *(clients["revoked"] or ()))

    async def main() -> None:
        async with serve(settings(pki, server)) as app:
            wire = await reach(Address(f"wss://localhost:{app.user_port}"), None, context)
            await wire.gone(LIMIT_S)
            with pytest.raises(ssl.SSLError, match="CERTIFICATE_REVOKED"):
                await wire.ask(b"GET / HTTP/1.1\r\n\r\n")

    run(loop_factory, main())
