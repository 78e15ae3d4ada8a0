# SPDX-License-Identifier: Apache-2.0
"""wsrc.cluster.nats: whom it lets itself be told of, TLS, and servers that are none or unfit."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.nats import PASSWORD, Heard, carried, nats_server, until_logged
from tests.support.nats_keys import USER, Operator, new
from tests.support.pki import Pair, Pki
from wsrc.cluster.nats import NatsCarrier, Place
from wsrc.cluster.nats_words import LONGEST
from wsrc.errors import ConfigError


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def ours(pki: Pki) -> Pair:
    return pki.client("node-a")


def _tls(pki: Pki, more: str = "") -> str:
    files = pki.server
    return (
        f"tls {{ cert_file: {json.dumps(str(files.cert))}, key_file: {json.dumps(str(files.key))}, "
        f"ca_file: {json.dumps(str(files.ca))}, {more} }}"
    )


async def _is_let_in(place: Place) -> None:
    async with carried(place) as a, carried(place) as b:
        b.carrier.subscribe("wsrc.t.x")
        await b.hears(a, "wsrc.t.x")


async def _is_refused(place: Place, caplog: pytest.LogCaptureFixture, why: str) -> None:
    caplog.set_level(logging.DEBUG)
    async with carried(place, there=False) as a:
        await until_logged(caplog, why)
        assert a.ears.there == []


class TestLogin:
    async def test_user_and_password_are_in_the_url(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        users = "authorization { users: [ { user: 'n 1', password: 'p@:/s3cret' } ] }"
        with nats_server(tmp_path, users) as server:
            await _is_let_in(Place([f"nats://n%201:p%40%3A%2Fs3cret@localhost:{server.port}"]))
            none = Place([server.url])
            await _is_refused(none, caplog, "refuses who we say that we are")

    async def test_the_key_of_an_nkey_is_in_a_file(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        key, other = new(USER), new(USER)
        for name, each in (("a", key), ("b", other)):
            (tmp_path / name).write_text(f"{each.seed}\n", "utf-8")
        users = f"authorization {{ users: [ {{ nkey: {key.public} }} ] }}"
        with nats_server(tmp_path / "nats", users) as server:
            await _is_let_in(Place([server.url], creds=tmp_path / "a"))
            stranger = Place([server.url], creds=tmp_path / "b")
            await _is_refused(stranger, caplog, "refuses who we say that we are")

    async def test_credentials_as_nsc_makes_them_are_in_a_file(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        operator, stranger = Operator(), Operator()
        with nats_server(tmp_path / "nats", operator.settings) as server:
            good = operator.creds(tmp_path / "good")
            await _is_let_in(Place([server.url], creds=good))
            wrong = stranger.creds(tmp_path / "wrong")
            await _is_refused(
                Place([server.url], creds=wrong), caplog, "refuses who we say that we are"
            )

    async def test_a_file_that_is_mended_is_read_at_the_next_attempt(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        operator = Operator()
        creds = Operator().creds(tmp_path / "creds")
        with nats_server(tmp_path / "nats", operator.settings) as server:
            async with carried(Place([server.url], creds=creds), there=False) as a:
                await until_logged(caplog, "refuses who we say that we are")
                creds.unlink()
                await until_logged(caplog, "cannot be asked to let us in. cluster_creds: ")
                operator.creds(creds)
                await a.ears.until_there()

    async def test_credentials_that_expire_end_the_connection_in_a_sentence(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        operator = Operator()
        creds = operator.creds(tmp_path / "creds", exp=int(time.time()) + 2)  # noqa: TID251
        with nats_server(tmp_path / "nats", operator.settings) as server:
            async with carried(Place([server.url], creds=creds)) as a:
                await until_logged(caplog, "the credentials in cluster_creds have expired")
                await a.ears.until(lambda: a.ears.there == [True, False])


class TestTls:
    async def test_both_show_certificates(
        self, tmp_path: Path, pki: Pki, ours: Pair, caplog: pytest.LogCaptureFixture
    ) -> None:
        with nats_server(tmp_path, _tls(pki, "verify: true"), "tls") as server:
            good = Place([server.url], pki.server.ca, ours.cert, ours.key)
            await _is_let_in(good)
            without = Place([server.url], pki.server.ca)
            await _is_refused(without, caplog, "it asks for a certificate")

    async def test_a_certificate_says_who_we_are(
        self, tmp_path: Path, pki: Pki, ours: Pair
    ) -> None:
        users = "authorization { users: [ { user: 'CN=node-a,OU=user' }, { user: 'node-a' } ] }"
        settings = _tls(pki, "verify_and_map: true") + "\n" + users
        with nats_server(tmp_path, settings, "tls") as server:
            await _is_let_in(Place([server.url], pki.server.ca, ours.cert, ours.key))

    async def test_a_server_of_another_ca_is_not_believed(
        self, tmp_path: Path, pki: Pki, caplog: pytest.LogCaptureFixture
    ) -> None:
        other = Pki(tmp_path / "other")
        with nats_server(tmp_path / "nats", _tls(pki), "tls") as server:
            url = f"tls://a:{PASSWORD}@localhost:{server.port}"
            why = "a CA that is trusted here; give the PEM file of its CA as cluster_ca."
            await _is_refused(Place([url], other.server.ca), caplog, why)

    async def test_a_server_of_another_name_is_not_believed(
        self, tmp_path: Path, pki: Pki, caplog: pytest.LogCaptureFixture
    ) -> None:
        with nats_server(tmp_path, _tls(pki), "tls", host="0.0.0.0") as server:
            place = Place([f"tls://127.0.0.2:{server.port}"], pki.server.ca)
            await _is_refused(place, caplog, "the server's certificate is not for 127.0.0.2")

    async def test_a_server_on_loopback_that_wants_tls_is_given_it(
        self, tmp_path: Path, pki: Pki
    ) -> None:
        with nats_server(tmp_path, _tls(pki)) as server:
            await _is_let_in(Place([server.url], pki.server.ca))

    async def test_nothing_is_written_in_clear_where_tls_is_wanted(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        info = {"server_id": "x", "version": "2.11.0", "headers": True, "max_payload": LONGEST}
        async with _saying(f"INFO {json.dumps(info)}\r\n".encode()) as (port, written):
            place = Place([f"tls://a:{PASSWORD}@localhost:{port}"])
            await _is_refused(place, caplog, "it does not speak TLS, which tls:// asks for")
            assert written == b""


@asynccontextmanager
async def _saying(octets: bytes) -> AsyncGenerator[tuple[int, bytearray]]:
    """Run what accepts connections, says something, and keeps what it is told."""
    written = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(octets)
        while more := await reader.read(4_096):
            written.extend(more)
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], written


class TestUnfit:
    async def test_a_server_without_headers_does_not_say_that_nobody_answers(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with nats_server(tmp_path, "no_header_support: true") as server:
            await _is_refused(Place([server.url]), caplog, "does not say when nobody answers")

    async def test_a_server_that_takes_too_short_messages_is_told_how_long_they_are(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with nats_server(tmp_path, f"max_payload: {LONGEST - 1}") as server:
            why = f"it takes {LONGEST - 1} octets in a message; set max_payload to {LONGEST}."
            await _is_refused(Place([server.url]), caplog, why)

    @pytest.mark.parametrize(
        ("said", "why"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak NATS; check the port"),
            (b"\r\n", "does not speak NATS; check the port"),
            (b"INFO {\r\n", "says what NATS does not say"),
            (b"INFO []\r\n", "says what NATS does not say"),
            (b"INFO {}\r\nPONG\r\n", "does not say when nobody answers"),
            (b"INFO " + b"x" * 300_000, "says what NATS does not say"),
            (b"INFO {}\r\n-ERR 'Authorization Violation'\r\n", "refuses who we say that we are"),
            (b"INFO {}\r\n\xff\xfe\r\n", "closed"),
            (b"", "did not answer in time"),
        ],
    )
    async def test_what_is_no_server_of_nats_is_told_apart(
        self, said: bytes, why: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with _saying(said) as (port, _):
            await _is_refused(Place([f"nats://localhost:{port}"]), caplog, why)

    async def test_a_port_where_nothing_listens_is_told(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with nats_server(tmp_path) as server:
            server.kill()
            await _is_refused(Place([server.url]), caplog, "nothing listens there")

    async def test_too_many_connections_are_told(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with nats_server(tmp_path, "max_connections: 1") as server:
            async with carried(Place([server.url])):
                await _is_refused(Place([server.url]), caplog, "as many connections as it may have")


class TestFiles:
    def test_files_are_looked_at_before_anything_is_begun(
        self, tmp_path: Path, pki: Pki, ours: Pair
    ) -> None:
        seed = tmp_path / "seed"
        seed.write_text("SUNNY", "utf-8")
        missing = tmp_path / "missing"
        wrong = [
            ("cluster_ca", Place([], missing)),
            ("cluster_ca", Place([], seed)),
            ("cluster_cert", Place([], pki.server.ca, missing, ours.key)),
            ("cluster_key", Place([], pki.server.ca, ours.cert, pki.server.key)),
            ("cluster_creds", Place([], creds=missing)),
            ("cluster_creds", Place([], creds=seed)),
        ]
        for setting, place in wrong:
            with pytest.raises(ConfigError) as caught:
                NatsCarrier(place, "a", "wsrc.c.nobody.a", Heard()).check()
            assert caught.value.setting == setting
            assert str(caught.value).startswith(f"{setting}: ")
            assert "SUNNY" not in str(caught.value)
