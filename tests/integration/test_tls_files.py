# SPDX-License-Identifier: Apache-2.0
"""Files of TLS that change while programs run (issue 13, 1)."""

# Longer than the aim: files as such, at a server and at a client.

import asyncio
import logging
import shutil
import ssl
import threading
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.pki import Pair, Pki, settings_of
from tests.support.raw_peer import LIMIT_S, LOOPS, LoopFactory, run
from tests.support.world import UICC, hosting, until
from wsrc.certs.making import Kind
from wsrc.errors import ConfigError, ConnectionLostError
from wsrc.net import tls_files
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.net.tls_files import DAY_S, ClientTls, Files, looked_after
from wsrc.protocol.messages import CardState
from wsrc.server.app import App, serve
from wsrc.settings.load import ServerSettings, UserSettings
from wsrc.user_client.aio import Client, Sharing

REFUSED = "A new file is not taken, and what was there stays in force: "
READ = "The certificates, keys and lists of TLS were read anew"


class Texts:
    """Holds the text of a file; "bad" cannot be loaded."""

    def __init__(self, path: Path) -> None:
        self.paths = (path,)
        self.held = ""
        self.loads = 0
        self.soon: list[str] = []

    def load(self) -> None:
        self.loads += 1
        text = self.paths[0].read_text()
        if text == "bad":
            raise ConfigError("file", "is bad")
        self.held = text

    def warnings(self, _now: datetime) -> Iterable[str]:
        return self.soon


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    (tmp_path / "file").write_text("one")
    return Texts(tmp_path / "file")


def said(caplog: pytest.LogCaptureFixture, *, warnings: bool = True) -> list[str]:
    least = logging.WARNING if warnings else logging.INFO
    return [r.getMessage() for r in caplog.records if r.levelno >= least]


def test_13_a_file_is_read_when_it_has_stopped_changing(texts: Texts) -> None:
    files = Files(texts)
    assert not files.look(0.0)
    for number in range(3):
        texts.paths[0].write_text("x" * number)
        assert not files.look(1.0 + number)
    assert texts.held == "one"
    assert files.look(5.0)
    assert texts.held == "xx"
    assert not files.look(6.0)
    assert texts.loads == 2


@pytest.mark.parametrize("text", ["bad", None])
def test_13_a_broken_file_is_told_once_and_the_old_stays_in_force(
    texts: Texts, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files(texts)
    if text is None:
        texts.paths[0].unlink()
    else:
        texts.paths[0].write_text(text)
    for turn in range(5):
        assert not files.look(float(turn))
    assert texts.held == "one"
    [line] = said(caplog)
    assert line.startswith(REFUSED)
    texts.paths[0].write_text("mended")
    assert [files.look(float(turn)) for turn in (6, 7, 8)] == [False, True, False]
    assert texts.held == "mended"


def test_13_a_file_that_is_replaced_by_another_of_the_same_size_is_noticed(texts: Texts) -> None:
    files = Files(texts)
    beside = texts.paths[0].with_name("beside")
    beside.write_text("two")
    shutil.copystat(texts.paths[0], beside)
    beside.replace(texts.paths[0])
    assert files.take()
    assert texts.held == "two"


def test_13_a_warning_comes_once_a_day(texts: Texts, caplog: pytest.LogCaptureFixture) -> None:
    files = Files(texts)
    texts.soon = ["it ends"]
    for now in (0.0, 1.0, DAY_S - 1, DAY_S, DAY_S + 1, 2 * DAY_S):
        files.look(now)
    assert said(caplog) == ["it ends"] * 3


def test_13_a_file_that_is_broken_at_first_is_an_error(texts: Texts) -> None:
    texts.paths[0].write_text("bad")
    with pytest.raises(ConfigError):
        Files(texts)


class Long(Texts):
    """Takes until `go_on` to be loaded, but for the first time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.go_on = threading.Event()

    def load(self) -> None:
        assert not self.loads or self.go_on.wait(LIMIT_S)
        super().load()


@LOOPS
def test_13_the_loop_goes_on_while_a_long_file_is_read(
    loop_factory: LoopFactory, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("one")
    texts = Long(tmp_path / "file")
    told: list[str] = []

    async def check() -> None:
        with looked_after(Files(texts), 0.01, lambda: told.append(texts.held)) as reload:
            texts.paths[0].write_text("two")
            reload()
            reload()
            await asyncio.sleep(0.05)
            assert (told, texts.loads) == ([], 1)
            texts.go_on.set()
            await until(lambda: len(told) == 2)
            assert (told, texts.loads) == (["two"] * 2, 3)
            texts.paths[0].write_text("three")
            await until(lambda: told[-1] == "three")

    run(loop_factory, check())


@LOOPS
def test_13_what_is_read_while_the_program_ends_is_told_to_nobody(
    loop_factory: LoopFactory, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("one")
    texts = Long(tmp_path / "file")
    told: list[str] = []

    async def check() -> None:
        with looked_after(Files(texts), 3600.0, lambda: told.append(texts.held)) as reload:
            reload()
        texts.go_on.set()
        await until(lambda: texts.loads == 2)

    run(loop_factory, check())
    assert told == []


# The server


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki")


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsrc.server.app.LOOK_S", 0.02)


async def shown(app: App, tls: ssl.SSLContext) -> bytes | None:
    """Connect; return the certificate that the server shows, None if it lets us not in."""
    with suppress(ConnectionLostError):
        url = f"wss://localhost:{app.user_port}"
        async with dial(url, tls, connect_s=LIMIT_S, ping_s=LIMIT_S) as link:
            ssl_object: Any = link._transport.get_extra_info("ssl_object")
            der: bytes | None = ssl_object.getpeercert(binary_form=True)
            return der
    return None


def context(pki: Pki, pair: Pair) -> ssl.SSLContext:
    return client_context(pki.folder.ca, pair.cert, pair.key)


@LOOPS
def test_13_a_renewed_certificate_is_shown_by_itself(
    pki: Pki, loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    user = context(pki, pki.client("a"))

    async def main() -> None:
        async with serve(settings_of(pki)) as app:
            old = await shown(app, user)
            pki.folder.renew("localhost", new_key=True)

            async def another() -> bool:
                return await shown(app, user) not in {old, None}

            await until(another)

    run(loop_factory, main())
    assert READ in said(caplog, warnings=False)
    assert said(caplog) == []


@pytest.mark.parametrize("which", ["tls_cert", "tls_key", "tls_client_ca", "tls_crl"])
async def test_13_any_file_that_breaks_is_refused_and_the_old_stays_in_force(
    pki: Pki, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = settings_of(pki)
    user = context(pki, pki.client("a"))
    async with serve(made) as app:
        getattr(made, which).write_text("broken")
        await until(lambda: said(caplog) != [])
        assert await shown(app, user) is not None
    [line] = said(caplog)
    assert line.startswith(f"{REFUSED}{which}: ")


async def test_13_who_is_revoked_loses_the_connection_and_gets_no_other(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    gone, stays = pki.client("gone"), pki.client("stays")
    kept = Pair(pki.path / "g.crt", pki.path / "g.key")
    for old, new in zip(gone, kept, strict=True):
        shutil.copy(old, new)
    async with serve(settings_of(pki)) as app:
        url, ca = f"wss://localhost:{app.user_port}", pki.folder.ca
        async with (
            Client(url, ca=ca, cert=kept.cert, key=kept.key, keep_s=0) as one,
            Client(url, ca=ca, cert=stays.cert, key=stays.key) as other,
        ):
            await one.greeted()
            await other.greeted()
            pki.folder.revoke("gone")
            await until(lambda: app.counts["peers"] == 1)
            with pytest.raises(ConnectionLostError):
                await one.list_cards()
            assert await other.list_cards() == []
            with pytest.raises(ConnectionLostError, match="it is revoked"):
                await Client(url, ca=ca, cert=kept.cert, key=kept.key).open()
    assert "The connection of gone is closed: its certificate is revoked" in said(caplog)


async def test_13_the_card_of_who_is_revoked_is_free_at_once(pki: Pki) -> None:
    """Nothing is kept for somebody who cannot come back."""
    gone, stays, host = pki.client("gone"), pki.client("stays"), pki.client("h", Kind.CARD_HOST)
    async with serve(settings_of(pki)) as app, AsyncExitStack() as stack:
        url, ca = f"wss://localhost:{app.user_port}", pki.folder.ca
        of_host = Certificates(ca, *host)
        shown = {"tls_cert": host.cert, "tls_key": host.key}
        await stack.enter_async_context(
            hosting(f"wss://localhost:{app.card_port}", of_host, None, "bench", **shown)
        )
        one = await stack.enter_async_context(
            Client(url, ca=ca, cert=gone.cert, key=gone.key, keep_s=500)
        )
        other = await stack.enter_async_context(Client(url, ca=ca, cert=stays.cert, key=stays.key))

        async def all_ready() -> bool:
            cards = await other.list_cards()
            return [card.state for card in cards] == [CardState.READY] * 2

        await until(all_ready)
        await one.select(iccid=UICC)
        assert not await all_ready()
        pki.folder.revoke("gone")
        await until(all_ready)


async def test_13_a_new_ca_is_in_force_by_itself(pki: Pki, tmp_path: Path) -> None:
    other = Pki(tmp_path / "other")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(pki.folder.ca.read_bytes())
    user = other.client("a")
    ours = client_context(pki.folder.ca, user.cert, user.key)
    async with serve(settings_of(pki, tls_client_ca=trusted, tls_crl=None)) as app:
        assert await shown(app, ours) is None
        trusted.write_bytes(pki.folder.ca.read_bytes() + other.folder.ca.read_bytes())

        async def let_in() -> bool:
            return await shown(app, ours) is not None

        await until(let_in)


async def test_13_reload_reads_at_once(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("wsrc.server.app.LOOK_S", 3600.0)
    user = context(pki, pki.client("a"))
    async with serve(settings_of(pki)) as app:
        old = await shown(app, user)
        pki.folder.renew("localhost")
        assert await shown(app, user) == old
        app.reload()
        await until(lambda: READ in said(caplog, warnings=False))
        assert await shown(app, user) not in {old, None}
    assert said(caplog, warnings=False).count(READ) == 1


async def test_13_a_server_without_tls_has_nothing_to_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with serve(ServerSettings(user_port=0, card_port=0, no_tls=True)) as app:
        app.reload()
    assert READ not in said(caplog, warnings=False)


async def test_13_all_that_ends_soon_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    young = Pki(tmp_path / "young", days=20)
    async with serve(settings_of(young)):
        pass
    lines = said(caplog)
    for path in (young.server.cert, young.folder.ca):
        assert sum(f"in {path} expires on" in line for line in lines) == 1
    assert sum(f"A revocation list in {young.folder.crl} expires on" in line for line in lines) == 1


# A client


async def test_13_a_client_shows_what_its_files_have_now(pki: Pki) -> None:
    """At each connection, also of a client that is open: the URL is asked again for it."""
    pair = pki.client("first")
    second = pki.client("second")
    async with serve(settings_of(pki)) as app:
        given = UserSettings(
            server_url=f"wss://localhost:{app.user_port}",
            tls_ca=pki.folder.ca,
            tls_cert=pair.cert,
            tls_key=pair.key,
        )
        tls = ClientTls(given)
        before = tls.context()
        assert tls.context() is before
        for old, new in zip(pair, second, strict=True):
            shutil.copy(new, old)
        async with Sharing(given, "run", tls) as client:
            await client.greeted()
            assert app._door is not None
            [connection] = app._door.connections
            assert connection.principal is not None
            assert connection.principal.name == "second"
        assert tls.context() is not before


def test_13_a_client_keeps_what_it_had_where_a_new_file_is_broken(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    pair = pki.client("a")
    given = UserSettings(
        server_url="wss://localhost:1",
        tls_ca=pki.folder.ca,
        tls_cert=pair.cert,
        tls_key=pair.key,
    )
    tls = ClientTls(given)
    before = tls.context()
    pair.key.write_text("broken")
    assert [tls.context() for _ in range(3)] == [before] * 3
    [line] = said(caplog)
    assert line.startswith(f"{REFUSED}tls_key: ")


def test_13_a_client_is_warned_of_its_own_certificate(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    pair = pki.client("a", days=10)
    pair.key.chmod(0o644)
    tls = ClientTls(
        UserSettings(server_url="wss://localhost:1", tls_cert=pair.cert, tls_key=pair.key)
    )
    tls.files.look(0.0)
    first, second = said(caplog)
    assert f"The certificate in {pair.cert} expires on" in first
    assert f"chmod o-rw {pair.key}" in second


def test_13_a_client_without_tls_looks_at_no_file(tmp_path: Path) -> None:
    tls = ClientTls(UserSettings(server_url="ws://localhost:1", tls_ca=tmp_path / "none.pem"))
    assert tls.paths == ()
    assert tls.context() is None
    assert tls_files.print_of(tls.paths) == ()
