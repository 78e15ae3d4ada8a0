# SPDX-License-Identifier: Apache-2.0
"""Who is let in by a certificate, who is not, and what both sides are told (issue 13, 1)."""

import asyncio
import logging
import re
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.support.pki import NOW, Pair, Pki, settings_of
from tests.support.processes import argv, environment
from tests.support.raw_peer import LIMIT_S, LOOPS, LoopFactory, run
from tests.support.world import until
from wsrc.certs.making import Issuer, Kind, Period, make_crl
from wsrc.errors import ConfigError, ConnectionLostError
from wsrc.net.answers import Reason
from wsrc.net.certificates import Subject
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.protocol.messages import ClientType
from wsrc.server.app import App, serve
from wsrc.server.refusals import NotAdmittedError
from wsrc.user_client.aio import Client

DAY = timedelta(days=1)

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """A CA that the server does not know."""
    return Pki(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def clients(pki: Pki, stranger: Pki) -> dict[str, Pair | None]:
    server = pki.server
    return {
        "expired": pki.client("late", days=10, at=NOW - 40 * DAY),
        "not yet valid": pki.client("early", at=NOW + 40 * DAY),
        "revoked": pki.revoked("gone"),
        "wrong EKU": Pair(server.cert, server.key),
        "code signing": pki.foreign("x", (), "x", ExtendedKeyUsageOID.CODE_SIGNING),
        "self-signed": pki.self_signed("selfish"),
        "another CA": stranger.client("stranger"),
        "other role": pki.client("bench", Kind.CARD_HOST),
        "node": pki.client("east", Kind.NODE),
        "no name": pki.foreign("nobody", (), "a\x1bb"),
        "none": None,
    }


REFUSED = {
    "expired": ("its certificate has expired", "it has expired, or"),
    "not yet valid": ("is not valid yet; check the clocks", "it is not valid yet, or broken"),
    "revoked": ("its certificate is revoked", "it is revoked; have its operator make a new one"),
    "wrong EKU": ("not for clients (extended key usage)", "it is not for clients"),
    "code signing": ("not for clients (extended key usage)", "it is not for clients"),
    "self-signed": ("it is self-signed", "no CA that it trusts for clients has signed it"),
    "another CA": ("signed by no CA that is trusted", "no CA that it trusts for clients"),
    "other role": (
        "HTTP status 403: the certificate of bench is one of a card host, not of a user",
        "it is for the other kind of client",
    ),
    "node": (
        "HTTP status 403: the certificate of east is one of a node, not of a user",
        "it is for the other kind of client",
    ),
    "no name": ("HTTP status 403: its certificate says no name", "no name that can be shown"),
    "none": ("HTTP status 403: it has no certificate", "we have none; give one with --tls-cert"),
}


def context(pki: Pki, pair: Pair | None, version: str = "1.3") -> ssl.SSLContext:
    made = client_context(pki.folder.ca, *(pair or ()))
    if version == "1.2":
        made.maximum_version = ssl.TLSVersion.TLSv1_2
    return made


async def try_it(port: int, tls: ssl.SSLContext) -> None:
    async with dial(f"wss://localhost:{port}", tls, connect_s=LIMIT_S, ping_s=LIMIT_S):
        pass


async def refusal(port: int, tls: ssl.SSLContext) -> str:
    with pytest.raises(ConnectionLostError) as caught:
        await try_it(port, tls)
    return str(caught.value)


def said(caplog: pytest.LogCaptureFixture, pattern: str) -> list[str]:
    found = [record.getMessage() for record in caplog.records]
    return [each for each in found if re.search(pattern, each)]


@LOOPS
@VERSIONS
@pytest.mark.parametrize("what", REFUSED)
def test_13_a_certificate_that_is_not_good_is_refused_and_both_sides_are_told(
    pki: Pki,
    clients: dict[str, Pair | None],
    what: str,
    version: str,
    loop_factory: LoopFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    of_server, of_client = REFUSED[what]

    async def main() -> None:
        async with serve(settings_of(pki)) as app:
            told = await refusal(app.user_port, context(pki, clients[what], version))
            assert of_client in told

    run(loop_factory, main())
    lines = said(caplog, "A connection from 127.0.0.1 is refused: ")
    assert len(set(lines)) == 1
    assert of_server in lines[0]
    assert said(caplog, "connected from") == []
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []


@LOOPS
@VERSIONS
def test_13_who_has_a_good_one_is_let_in_and_named(
    pki: Pki, version: str, loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    by_kind = {
        Kind.USER: pki.client(f"t{version}{loop_factory.__module__}@example.org"),
        Kind.CARD_HOST: pki.client(f"h{version}{loop_factory.__module__}", Kind.CARD_HOST),
    }

    async def main() -> None:
        async with serve(settings_of(pki)) as app:
            ports = {Kind.USER: app.user_port, Kind.CARD_HOST: app.card_port}
            for kind, pair in by_kind.items():
                tls = context(pki, pair, version)
                url = f"wss://localhost:{ports[kind]}"
                async with dial(url, tls, connect_s=LIMIT_S, ping_s=LIMIT_S):
                    kept = subject(app)
                    assert kept is not None
                    assert pair.cert.name == f"{kept.name}.pem"

    run(loop_factory, main())
    assert len(said(caplog, r"^user client \d+ connected from 127.0.0.1 as t.*@example.org$")) == 1
    assert len(said(caplog, r"^card client \d+ connected from 127.0.0.1 as h")) == 1


def subject(app: App) -> Subject | None:
    """Return who the newest connection is of."""
    assert app._door is not None
    return list(app._door.connections)[-1].subject


async def test_13_a_certificate_without_a_role_is_let_in_where_its_ca_is(
    pki: Pki, stranger: Pki
) -> None:
    """Two CAs of somebody else: one for users, one for card hosts."""
    user = pki.foreign("plain-user", [x509.RFC822Name("a@b.example")])
    host = stranger.foreign("plain-host", [x509.DNSName("bench")], usage=None)
    lists = pki.path / "lists.pem"
    lists.write_bytes(pki.folder.crl.read_bytes() + stranger.folder.crl.read_bytes())
    apart = settings_of(pki, tls_card_ca=stranger.folder.ca, tls_crl=lists)
    async with serve(apart) as app:
        await try_it(app.user_port, context(pki, user))
        await try_it(app.card_port, context(pki, host))
        for port, pair in ((app.user_port, host), (app.card_port, user)):
            assert "no CA that it trusts" in await refusal(port, context(pki, pair))
    async with serve(settings_of(pki)) as app:
        for port in (app.user_port, app.card_port):
            await try_it(port, context(pki, user))


async def test_13_a_certificate_that_ended_since_the_handshake_lets_nobody_in(pki: Pki) -> None:
    """As it may have where a session of TLS 1.2 is resumed."""
    pair = pki.client("until-then", days=50)
    async with serve(settings_of(pki)) as app:
        url = f"wss://localhost:{app.user_port}"
        async with dial(url, context(pki, pair, "1.2"), connect_s=LIMIT_S, ping_s=LIMIT_S):
            assert app._door is not None
            assert app._tls is not None
            [connection] = app._door.connections
            assert connection.transport is not None
            args = (connection.transport, ClientType.USER)
            assert app._tls.admitted(*args, NOW + 49 * DAY) == connection.subject
            with pytest.raises(NotAdmittedError, match="until-then has expired") as caught:
                app._tls.admitted(*args, NOW + 51 * DAY)
    assert caught.value.reason is Reason.EXPIRED


async def test_13_only_the_port_with_a_ca_asks(pki: Pki) -> None:
    of_cards = settings_of(pki, tls_client_ca=None, tls_card_ca=pki.folder.ca)
    async with serve(of_cards) as app:
        await try_it(app.user_port, context(pki, None))
        assert "we have none" in await refusal(app.card_port, context(pki, None))


async def test_13_a_user_is_no_card_host(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pair = pki.client("no-host")
    async with serve(settings_of(pki)) as app:
        assert "other kind of client" in await refusal(app.card_port, context(pki, pair))
    assert said(caplog, "the certificate of no-host is one of a user, not of a card host")


async def test_13_an_expired_list_lets_nobody_in_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    short = Pki(tmp_path)
    user, server = short.client("a"), settings_of(short)
    key: Any = load_pem_private_key((tmp_path / "ca-key.pem").read_bytes(), None)
    issuer = Issuer(x509.load_pem_x509_certificate(short.folder.ca.read_bytes()), key)
    over = make_crl((), 9, Period(NOW - 9 * DAY, NOW - DAY), issuer)
    short.folder.crl.write_bytes(over.public_bytes(Encoding.PEM))
    async with serve(server) as app:
        assert "or the server's list of revoked ones has" in await refusal(
            app.user_port, context(short, user)
        )
    assert said(caplog, "the revocation list in tls_crl has expired; bring a new one")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_13_tls_1_1_is_refused(
    pki: Pki, version: ssl.TLSVersion, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    old = context(pki, pki.client(f"v{version.value}"))
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        old.maximum_version = version
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with serve(settings_of(pki)) as app:
        assert "no TLS version in common" in await refusal(app.user_port, old)
    assert said(caplog, "it has no TLS version in common with this server")


WEAK = [
    "AES128-SHA",
    "AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA384",
    "DHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-NULL-SHA",
    "AECDH-AES128-SHA",
]


@pytest.mark.parametrize("cipher", WEAK)
async def test_13_weak_ciphers_are_refused(
    pki: Pki, cipher: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No forward secrecy, no authenticated encryption, no encryption, or no certificate."""
    caplog.set_level(logging.INFO)
    weak = context(pki, None, "1.2")
    weak.set_ciphers(f"{cipher}:@SECLEVEL=0")
    async with serve(settings_of(pki)) as app:
        assert "no cipher in common" in await refusal(app.user_port, weak)
    assert said(caplog, "it has no cipher in common with this server")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("tls_client_ca", "", "holds no certificate in PEM form"),
        ("tls_card_ca", "x", "holds no certificate in PEM form"),
        ("tls_crl", "x", "is no file of revocation lists in PEM form"),
        ("tls_crl", None, "there is no file"),
        ("tls_client_ca", None, "there is no file"),
    ],
)
async def test_13_a_file_that_cannot_work_is_named(
    pki: Pki, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    file = tmp_path / "file.pem"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        async with serve(settings_of(pki, **{name: file})):
            pass
    assert caught.value.setting == name


async def test_13_a_list_of_another_ca_is_refused_at_the_start(pki: Pki, stranger: Pki) -> None:
    with pytest.raises(ConfigError, match=r"tls_crl: .*signed by no CA of tls_client_ca"):
        async with serve(settings_of(pki, tls_crl=stranger.folder.crl)):
            pass


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"no_tls": True, "tls_cert": None, "tls_key": None, "tls_crl": None}, "no_tls"),
        ({"tls_client_ca": None}, "tls_crl"),
    ],
)
def test_13_settings_that_contradict_each_other_are_refused(
    pki: Pki, given: dict[str, Any], setting: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_of(pki, **given)
    assert caught.value.setting == setting


@pytest.mark.parametrize("given", [{"cert": "c.pem"}, {"key": "k.pem"}])
def test_13_a_certificate_without_its_key_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="is given without it"):
        Client("wss://localhost:1", **given)  # type: ignore[arg-type]


async def test_13_all_programs_take_a_certificate(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    """From the command line, the environment and the arguments of the library."""
    caplog.set_level(logging.INFO)
    user, host = pki.client("all@example.org"), pki.client("all-bench", Kind.CARD_HOST)
    ca = str(pki.folder.ca)
    async with serve(settings_of(pki)) as app:
        url = f"wss://localhost:{app.user_port}"
        client = await asyncio.create_subprocess_exec(
            *argv("wsrc-card-client", "--server-url", f"wss://localhost:{app.card_port}"),
            *("--tls-ca", ca, "--tls-cert", str(host.cert), "--tls-key", str(host.key)),
            *("--no-pcsc", "--simulated", "default"),
            env=environment(),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with Client(url, ca=ca, cert=user.cert, key=user.key) as ours:

                async def all_there() -> bool:
                    return len(await ours.list_cards()) == 2

                await until(all_there)
            by_environment = {"WSRC_TLS_CERT": str(user.cert), "WSRC_TLS_KEY": str(user.key)}
            listed = await asyncio.create_subprocess_exec(
                *argv("wsrc", "list"),
                env=environment(WSRC_SERVER_URL=url, WSRC_TLS_CA=ca, **by_environment),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await listed.communicate()
            assert b"8988211000000430010" in out
        finally:
            client.terminate()
            await client.wait()
    assert len(said(caplog, "user client .* as all@example.org")) == 2
    assert len(said(caplog, "card client .* as all-bench")) == 1


async def test_13_a_card_client_that_is_refused_says_what_to_do(pki: Pki) -> None:
    async with serve(settings_of(pki)) as app:
        program = await asyncio.create_subprocess_exec(
            *argv("wsrc-card-client", "--server-url", f"wss://localhost:{app.card_port}"),
            *("--tls-ca", str(pki.folder.ca), "--no-pcsc", "--simulated", "default"),
            env=environment(),
            stderr=asyncio.subprocess.PIPE,
        )
        assert program.stderr is not None
        try:
            async with asyncio.timeout(LIMIT_S):
                while b"Not connected" not in (line := await program.stderr.readline()):
                    assert line
        finally:
            program.terminate()
            await program.communicate()
    assert b"we have none; give one with --tls-cert and --tls-key" in line
