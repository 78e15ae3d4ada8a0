# SPDX-License-Identifier: Apache-2.0
"""Who is let in by a token, who is not, and what both sides are told (issue 13, 1)."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.pki import Pki
from tests.support.tokens import TokenWorld, now, running_with_tokens, token_file
from tests.support.world import LIMIT_S, UICC, default_cards, hosting, until
from wsrc.certs.making import Kind
from wsrc.errors import ConfigError, ConnectionLostError, WsrcError
from wsrc.net.bearer import Token
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.protocol.messages import CardState, ClientType
from wsrc.server import token_table
from wsrc.server.token_store import FILE, TokenStore
from wsrc.tokens import made_of
from wsrc.user_client.aio import Client

# Longer than the aim: one server with tokens, and each way in that it has or has not.

# Longer than the aim: who is let in by a token and who is not, in one world.

SELECT_MF = bytes.fromhex("00a40004023f00")
UNKNOWN = made_of(bytes(32))


@pytest.fixture
async def world(certificates: Certificates, tmp_path: Path) -> AsyncIterator[TokenWorld]:
    async with running_with_tokens(certificates, tmp_path) as world:
        yield world


def client(world: TokenWorld, file: Path | None = None, keep_s: float = 0.0) -> Client:
    ca = world.certificates.ca
    return Client(world.user_url, ca=ca, token_file=file, keep_s=keep_s)


async def made(world: TokenWorld, name: str, role: ClientType = ClientType.USER) -> Path:
    """Make a token and wait until the server knows it."""
    file = world.made(name, role)
    await until(lambda: world.knows(file))
    return file


@asynccontextmanager
async def with_a_card(world: TokenWorld) -> AsyncGenerator[None]:
    """Have a card host with a card that is ready."""
    bench, looker = await made(world, "bench", ClientType.CARD), await made(world, "looker-on")
    cards = default_cards()[:1]
    async with hosting(world.card_url, world.certificates, cards, "bench", token_file=bench):

        async def ready() -> bool:
            async with client(world, looker) as there:
                return [c.state for c in await there.list_cards()] == [CardState.READY]

        await until(ready)
        yield


async def until_it_fails(what: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            await what()


async def asked(world: TokenWorld, *lines: str, port: int | None = None) -> str:
    """Ask for a WebSocket with headers of our own; return the head of the answer."""
    context = client_context(world.certificates.ca)
    where = port or world.app.user_port
    reader, writer = await asyncio.open_connection("localhost", where, ssl=context)
    try:
        request = [
            "GET / HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            *lines,
        ]
        writer.write("\r\n".join([*request, "", ""]).encode())
        async with asyncio.timeout(LIMIT_S):
            return (await reader.readuntil(b"\r\n\r\n")).decode()
    finally:
        writer.close()
        await writer.wait_closed()


async def refusal(world: TokenWorld, file: Path | None) -> str:
    with pytest.raises(ConnectionLostError) as caught:
        async with client(world, file):
            pass
    return str(caught.value)


async def test_13_who_has_a_token_is_let_in_and_named(
    world: TokenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    user = await made(world, "tester@example.org")
    async with (
        with_a_card(world),
        client(world, user) as mine,
        mine.select(iccid=UICC, wait_s=LIMIT_S) as card,
    ):
        assert (await card.transmit(SELECT_MF)).sw
    assert "connected from 127.0.0.1 as tester@example.org" in caplog.text
    assert "connected from 127.0.0.1 as bench" in caplog.text


@pytest.mark.parametrize("text", [None, UNKNOWN, "eyJ.e30.x"])
async def test_13_who_has_none_that_is_known_is_not_let_in_and_told_what_to_do(
    world: TokenWorld, tmp_path: Path, text: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = None if text is None else token_file(tmp_path / "t", text)
    said = await refusal(world, file)
    if text is None:
        assert "sends a token, and we have none; name its file with --token-file" in said
        assert "HTTP status 401: it has no token" in caplog.text
    else:
        assert "does not know it; it was revoked, or is of another server" in said
        assert "HTTP status 401: its token is" in caplog.text
        assert text not in said
        assert text not in caplog.text
    assert "connected from" not in caplog.text


async def test_13_a_refusal_has_a_challenge(world: TokenWorld) -> None:
    """RFC 6750 section 3: an error is named only to who has sent a token."""
    head = await asked(world)
    assert head.startswith("HTTP/1.1 401")
    assert 'WWW-Authenticate: Bearer realm="wsrc"\r\n' in head
    head = await asked(world, f"Authorization: Bearer {UNKNOWN}")
    assert 'WWW-Authenticate: Bearer realm="wsrc", error="invalid_token"\r\n' in head
    assert UNKNOWN not in head


async def test_13_only_a_whole_token_in_its_header_lets_in(world: TokenWorld) -> None:
    token = (await made(world, "x")).read_text().strip()
    for lines in (
        [f"Authorization: Bearer {token[:-1]}"],
        [f"Authorization: Bearer {token}0"],
        [f"Authorization: Bearer {token} {token}"],
        [f"Authorization: Bearer {token}", f"Authorization: Bearer {token}"],
        [f"Authorization: Basic {token}"],
        [f"Authorization: {token}"],
        [f"Authorization: Bearer {'x' * 8000}"],
        [f"Cookie: token={token}"],
        [f"Proxy-Authorization: Bearer {token}"],
    ):
        assert (await asked(world, *lines)).startswith(("HTTP/1.1 401", "HTTP/1.1 400")), lines
    for line in (f"Authorization: Bearer {token}", f"authorization: bearer  {token} "):
        assert (await asked(world, line)).startswith("HTTP/1.1 101")


@pytest.mark.parametrize("spoil", ["{0}" + "x" * 100_000, "{0}\0", "\r{0}", "\r\n {0}"])
async def test_13_no_part_of_a_token_is_logged_or_answered_where_it_is_no_http(
    world: TokenWorld, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = (await made(world, "x")).read_text().strip()
    with suppress(asyncio.IncompleteReadError):
        head = await asked(world, f"Authorization: Bearer {spoil.format(token)}")
        assert not head.startswith("HTTP/1.1 101")
        assert "invalid_token" in head or " 400 " in head
    await until(lambda: "is refused: " in caplog.text)
    assert token[5:20] not in caplog.text


async def test_13_guesses_are_limited_and_who_shows_nothing_does_not_guess(
    certificates: Certificates, tmp_path: Path
) -> None:
    limits: dict[str, Any] = {"unlimited_from": (), "wrong_credentials_per_min": 2.0}
    async with running_with_tokens(certificates, tmp_path, **limits) as world:
        for _ in range(5):
            assert "401" in await asked(world)
        assert "401" in await asked(world, f"Authorization: Bearer {UNKNOWN}")
        assert "401" in await asked(world, "Authorization: Bearer x")
        assert "429" in await asked(world, f"Authorization: Bearer {UNKNOWN}")
        assert "401" in await asked(world)
        assert world.app.bitten["wrong_credentials_per_min"] == 1


async def test_13_the_token_of_a_user_is_no_use_as_a_card_host_nor_the_other_way_round(
    world: TokenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    user, host = await made(world, "me"), await made(world, "bench", ClientType.CARD)
    assert "for the other kind of client" in await refusal(world, host)
    token = user.read_text().strip()
    head = await asked(world, f"Authorization: Bearer {token}", port=world.app.card_port)
    assert head.startswith("HTTP/1.1 403")
    assert "Wsrc-Reason: token-of-other-role" in head
    assert "of bench is one of a card host, not of a user" in caplog.text
    assert "of me is one of a user, not of a card host" in caplog.text


async def test_13_who_is_revoked_loses_the_connection_and_gets_no_other_by_token(
    world: TokenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """The card is free at once, and nobody else loses anything."""
    gone, stays = await made(world, "gone"), await made(world, "stays")
    async with (
        with_a_card(world),
        client(world, stays) as other,
        client(world, gone, keep_s=60.0) as mine,
    ):
        card = await mine.select(iccid=UICC, wait_s=LIMIT_S)
        world.revoke("gone")
        async with asyncio.timeout(LIMIT_S), other.select(iccid=UICC, wait_s=LIMIT_S) as again:
            assert (await again.transmit(SELECT_MF)).sw
        assert "does not know it" in await refusal(world, gone)
        del card
    assert "The connection of gone is closed: its token is revoked" in caplog.text
    assert "of stays is closed" not in caplog.text


async def test_13_a_token_that_has_expired_lets_nobody_in(world: TokenWorld) -> None:
    file = world.made("late", expires_in_s=-1.0)
    await until(lambda: world.knows(file))
    assert "it has expired; get a new one" in await refusal(world, file)


async def ending(world: TokenWorld, stack: AsyncExitStack, **options: Any) -> Client:
    """Connect with a token of `me` that ends soon, but not before that."""
    lasts_s = 2.0
    while True:
        file = world.made("me", expires_in_s=lasts_s)
        await until(partial(world.knows, file))
        with suppress(ConnectionLostError):
            mine = await stack.enter_async_context(client(world, file, **options))
            await mine.greeted()
            return mine
        lasts_s *= 2


async def test_13_a_connection_ends_with_its_token_and_goes_on_with_the_next(
    world: TokenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """The file has another one by then: the session is resumed, and no card is lost."""
    caplog.set_level(logging.INFO)
    async with with_a_card(world), AsyncExitStack() as stack:
        mine = await ending(world, stack, keep_s=60.0)
        await made(world, "me")  # the same file
        card = await stack.enter_async_context(mine.select(iccid=UICC, wait_s=LIMIT_S))
        assert (await card.transmit(SELECT_MF)).sw
        await until(lambda: "The connection of me is closed: its token has expired" in caplog.text)
        assert (await card.transmit(SELECT_MF)).sw
    assert caplog.text.count("connected from 127.0.0.1 as me") == 2


async def test_13_the_end_of_a_token_is_told(world: TokenWorld) -> None:
    file = world.made("short", expires_in_s=1.0)
    await until(lambda: world.knows(file))
    async with dial(
        world.user_url,
        client_context(world.certificates.ca),
        connect_s=LIMIT_S,
        ping_s=LIMIT_S,
        token=Token(file.read_text().strip()),
    ) as link:
        with pytest.raises(ConnectionLostError, match="The token of this client has expired"):
            await until_it_fails(link.receive)


async def test_13_a_certificate_or_a_token_will_do_and_both_must_be_of_one_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pki = Pki(tmp_path / "pki")
    pair = pki.client("me@example.org")
    more = {"tls_client_ca": pki.folder.ca, "tls_crl": pki.folder.crl}
    async with running_with_tokens(pki.server, tmp_path, **more) as world:
        same, other = await made(world, "me@example.org"), await made(world, "other")
        unknown = token_file(tmp_path / "u", UNKNOWN)
        ca, (cert, key) = pki.folder.ca, pair
        async with Client(world.user_url, ca=ca, token_file=other):
            pass
        async with Client(world.user_url, ca=ca, cert=cert, key=key):
            pass
        async with Client(world.user_url, ca=ca, cert=cert, key=key, token_file=same):
            pass
        for file, said in (
            (other, "our certificate and our token are of different names"),
            (unknown, "does not know it"),
        ):
            with pytest.raises(ConnectionLostError, match=said):
                await Client(world.user_url, ca=ca, cert=cert, key=key, token_file=file).open()
        with pytest.raises(ConnectionLostError, match="or a token"):
            await Client(world.user_url, ca=ca).open()
        async with Client(
            world.user_url, ca=ca, cert=cert, key=key, token_file=same, keep_s=0
        ) as mine:
            world.revoke("me@example.org")
            with pytest.raises(WsrcError):
                await until_it_fails(mine.list_cards)
    assert "its certificate is of me@example.org, and its token of other" in caplog.text
    assert "it has neither a certificate nor a token" in caplog.text


async def test_13_a_token_is_asked_for_on_the_port_that_has_no_ca(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    host = pki.client("bench", Kind.CARD_HOST)
    async with running_with_tokens(pki.server, tmp_path, tls_card_ca=pki.folder.ca) as world:
        assert "we have none; name its file" in await refusal(world, None)
        context = client_context(pki.folder.ca, *host)
        async with dial(world.card_url, context, connect_s=LIMIT_S, ping_s=LIMIT_S):
            pass


async def test_13_a_server_that_asks_nobody_does_not_look_at_tokens(
    certificates: Certificates, tmp_path: Path
) -> None:
    """Somebody who has one for another server can try this one."""
    file = token_file(tmp_path / "t", UNKNOWN)
    more = {"tokens": False}
    async with running_with_tokens(certificates, tmp_path, **more) as world, client(world, file):
        pass


async def test_13_a_token_that_was_made_a_moment_ago_is_known(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is with ten who come at once; one with a token that nobody made waits for no more."""
    monkeypatch.setattr(token_table, "LOOK_S", 3600.0)
    monkeypatch.setattr(token_table, "_LOCK_S", 3600.0)
    async with running_with_tokens(certificates, tmp_path) as world:
        file = world.made("me")

        async def come() -> None:
            async with client(world, file):
                pass

        async with asyncio.TaskGroup() as tasks:
            for _ in range(10):
                tasks.create_task(come())
        unknown = token_file(tmp_path / "unknown", UNKNOWN)
        with pytest.raises(WsrcError, match="does not know it"):
            async with client(world, unknown):
                pass


async def test_13_the_last_use_of_a_token_is_written_when_a_server_ends(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with running_with_tokens(certificates, tmp_path) as world:
        file, began = await made(world, "me"), now()
        async with client(world, file):
            pass
    with TokenStore(tmp_path / "state") as store:
        [kept] = store.all()
    assert kept.used is not None
    assert began <= kept.used <= now()


async def test_13_tokens_stay_in_force_while_their_file_cannot_be_used(
    world: TokenWorld, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says why, and one more token is let in when it can."""
    monkeypatch.setattr(token_table, "WRITE_S", 0.0)
    monkeypatch.setattr(token_table, "LOOK_S", 0.01)
    file = await made(world, "me")
    other = sqlite3.connect(world.state / FILE, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        await until(lambda: "stay in force as they are: state_dir: another program" in caplog.text)
        async with client(world, file):
            pass
        other.execute("COMMIT")
    finally:
        other.close()
    async with client(world, await made(world, "another")):
        pass
    (world.state / FILE).rename(world.state / "away")
    await until(lambda: "No such file" in caplog.text)
    for _ in range(5):
        async with client(world, file):
            pass
    (world.state / "away").rename(world.state / FILE)
    async with client(world, await made(world, "third")):
        pass
    assert caplog.text.count("No such file") == 1


async def test_13_a_state_that_cannot_be_had_ends_the_start(
    certificates: Certificates, tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(ConfigError, match="state_dir: cannot keep tokens"):
        async with running_with_tokens(certificates, tmp_path):
            pass


async def test_13_a_token_is_not_sent_by_a_client_whose_file_became_readable(
    world: TokenWorld,
) -> None:
    file = await made(world, "me")
    mine = client(world, file)
    file.chmod(0o644)
    with pytest.raises(ConnectionLostError, match="chmod 600"):
        await mine.open()


async def test_13_a_session_is_not_kept_for_who_is_revoked(world: TokenWorld) -> None:
    file = await made(world, "me")
    async with (
        with_a_card(world),
        client(world, file, keep_s=2.0) as mine,
    ):
        card = await mine.select(iccid=UICC, wait_s=LIMIT_S)
        world.revoke("me")
        with pytest.raises(WsrcError):
            await until_it_fails(lambda: card.transmit(SELECT_MF))
        await until(lambda: world.app.counts["sessions"] == 0)
