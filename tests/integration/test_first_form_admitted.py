# SPDX-License-Identifier: Apache-2.0
"""Peers of the first form send no header: how they are let in, and what they may say (issue 13)."""

import json
import logging
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.support import first_form
from tests.support.certificates import Certificates
from tests.support.first_form import LIMIT_S
from tests.support.pki import Pki
from tests.support.raw_peer import LIMIT_S as CONNECT_S
from tests.support.tokens import TokenWorld, running_with_tokens
from tests.support.world import until
from wsrc.errors import ConfigError, ConnectionLostError
from wsrc.net.addresses import is_in
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.principal import Principal, is_name
from wsrc.protocol.messages import ClientType
from wsrc.server.admission import account_of
from wsrc.settings.load import ServerSettings
from wsrc.tokens import made_of

UNKNOWN = made_of(bytes(32))
OF_NOW = {"version": 1, "features": [], "name": "x", "instance": "y"}


@pytest.fixture
async def by_address(certificates: Certificates, tmp_path: Path) -> AsyncIterator[TokenWorld]:
    more = {"first_form_from": ("127.0.0.0/8", "::1")}
    async with running_with_tokens(certificates, tmp_path, **more) as world:
        yield world


@pytest.fixture
async def by_url(certificates: Certificates, tmp_path: Path) -> AsyncIterator[TokenWorld]:
    async with running_with_tokens(certificates, tmp_path, first_form_token_in_url=True) as world:
        yield world


async def said_hello(url: str, world: TokenWorld, kind: str = "user") -> Any:
    async with first_form.connected(url, world.certificates.ca) as socket:
        more = {"atr": "3b00"} if kind == "card" else {}
        return await first_form.ask(socket, "hello", client_type=kind, **more)


async def refused(url: str, world: TokenWorld, **more: Any) -> int:
    with pytest.raises(InvalidStatus) as caught:
        await opened(url, world, **more)
    return caught.value.response.status_code


async def opened(url: str, world: TokenWorld, **more: Any) -> None:
    context = client_context(world.certificates.ca)
    async with connect(url, ssl=context, open_timeout=LIMIT_S, **more):
        pass


def said_of_now(socket: ClientConnection, kind: str) -> Any:
    return socket.send(json.dumps({"msg_type": "hello", "client_type": kind, **OF_NOW}))


async def test_13_a_peer_of_the_first_form_is_let_in_by_its_address(
    by_address: TokenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for url, kind in ((by_address.user_url, "user"), (by_address.card_url, "card")):
        assert (await said_hello(url, by_address, kind))["msg_type"] == "hello_ack"
    assert "user client 1 connected from 127.0.0.1 as first-form@127.0.0.1" in caplog.text
    assert "card client 2 connected from 127.0.0.1 as first-form@127.0.0.1" in caplog.text


@pytest.mark.parametrize("kind", ["user", "card"])
async def test_13_who_is_let_in_by_its_address_may_say_nothing_but_the_first_form(
    by_address: TokenWorld, kind: str
) -> None:
    url = by_address.user_url if kind == "user" else by_address.card_url
    async with first_form.connected(url, by_address.certificates.ca) as socket:
        await said_of_now(socket, kind)
        answer = await first_form.receive(socket)
        assert (answer["msg_type"], answer["code"]) == ("error", "bad_message")
        assert "for the first form of the protocol alone" in answer["message"]
        assert (await first_form.closed_with(socket))[0] == 1008


async def test_13_nor_after_its_hello(by_address: TokenWorld) -> None:
    async with first_form.connected(by_address.user_url, by_address.certificates.ca) as socket:
        ack = await first_form.ask(socket, "hello", client_type="user")
        assert ack == {"msg_type": "hello_ack"}
        await said_of_now(socket, "user")
        assert (await first_form.receive(socket))["msg_type"] == "error"
        listed = await first_form.ask(socket, "list_cards")
        assert set(listed) == {"msg_type", "cards"}


async def test_13_who_offers_our_subprotocol_is_no_peer_of_the_first_form(
    by_address: TokenWorld,
) -> None:
    context = client_context(by_address.certificates.ca)
    with pytest.raises(ConnectionLostError, match="we have none; name its file"):
        async with dial(by_address.user_url, context, connect_s=CONNECT_S, ping_s=CONNECT_S):
            pass


async def test_13_from_another_address_it_is_not_let_in(
    certificates: Certificates, tmp_path: Path
) -> None:
    more = {"first_form_from": ("10.0.0.0/8",)}
    async with running_with_tokens(certificates, tmp_path, **more) as world:
        assert await refused(world.user_url, world) == 401


async def test_13_a_peer_of_the_first_form_is_let_in_by_a_token_in_its_url(
    by_url: TokenWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "wsrc")
    user, host = by_url.made("old-tool"), by_url.made("old-host", ClientType.CARD)
    await until(lambda: by_url.knows(user) and by_url.knows(host))
    tokens = {"user": user.read_text().strip(), "card": host.read_text().strip()}
    urls = {"user": by_url.user_url, "card": by_url.card_url}
    for kind, url in urls.items():
        with_token = f"{url}?token={tokens[kind]}"
        assert (await said_hello(with_token, by_url, kind))["msg_type"] == "hello_ack"
        async with first_form.connected(with_token, by_url.certificates.ca) as socket:
            await said_of_now(socket, kind)
            await first_form.receive(socket)
            assert (await first_form.closed_with(socket))[0] == 1008
    assert "connected from 127.0.0.1 as old-tool" in caplog.text
    wrong = [
        ("", 401),
        (f"?token={UNKNOWN}", 401),
        ("?token=", 401),
        (f"?token={tokens['user']}&token={tokens['user']}", 401),
        (f"?other={tokens['user']}", 401),
        (f"?token={tokens['card']}", 403),
    ]
    for query, status in wrong:
        assert await refused(f"{urls['user']}{query}", by_url) == status
    asks = {"subprotocols": ["wsrc.v1"]}
    assert await refused(f"{urls['user']}?token={tokens['user']}", by_url, **asks) == 401
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("wsrc")]
    for token in tokens.values():
        assert not any(token[5:] in line for line in ours)


async def test_13_a_token_in_a_url_is_looked_at_only_if_the_operator_says_so(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with running_with_tokens(certificates, tmp_path) as world:
        file = world.made("x")
        await until(lambda: world.knows(file))
        assert await refused(f"{world.user_url}?token={file.read_text().strip()}", world) == 401


async def test_13_a_peer_of_the_first_form_that_is_revoked_is_sent_away(by_url: TokenWorld) -> None:
    file = by_url.made("old-tool")
    await until(lambda: by_url.knows(file))
    url = f"{by_url.user_url}?token={file.read_text().strip()}"
    async with first_form.connected(url, by_url.certificates.ca) as socket:
        await first_form.ask(socket, "hello", client_type="user")
        by_url.revoke("old-tool")
        assert await first_form.closed_with(socket) == (
            1008,
            "The token of this client is revoked.",
        )


async def test_13_a_peer_of_the_first_form_is_let_in_by_its_certificate(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    pair = pki.client("old-tool")
    more = {"tokens": False, "tls_client_ca": pki.folder.ca}
    async with running_with_tokens(pki.server, tmp_path, **more) as world:
        context = client_context(pki.folder.ca, *pair)
        async with connect(world.user_url, ssl=context) as socket:
            ack = await first_form.ask(socket, "hello", client_type="user")
            assert ack["msg_type"] == "hello_ack"


@pytest.mark.parametrize(
    ("given", "setting", "said"),
    [
        ({"first_form_from": ("10.0.0.1/8",)}, "first_form_from", "is no network"),
        ({"first_form_from": ("relay.example",)}, "first_form_from", "is no network"),
        ({"first_form_from": ("0.0.0.0/0",)}, "first_form_from", "allow_anyone_on_network"),
        ({"first_form_from": ("::/0",)}, "first_form_from", "allow_anyone_on_network"),
        ({"first_form_from": ("::1",), "tokens": False}, "first_form_from", "of no use without"),
        (
            {"first_form_token_in_url": True, "tokens": False},
            "first_form_token_in_url",
            "of no use without tokens",
        ),
    ],
)
def test_13_what_would_let_in_anybody_is_refused(
    given: dict[str, Any], setting: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        ServerSettings(**{"no_tls": True, "tokens": True} | given)
    assert caught.value.setting == setting


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.1.2.3", False),
        ("fd00::7", True),
        ("fd00::7%eth0", True),
        ("::1", False),
        ("an unknown address", False),
    ],
)
def test_13_addresses_are_compared_in_both_families(address: str, inside: bool) -> None:
    settings = ServerSettings(
        no_tls=True, tokens=True, first_form_from=("10.0.0.0/8", "fd00::/16", "192.0.2.7")
    )
    networks = [ip_network(each) for each in settings.first_form_from]
    assert is_in(address, networks) is inside


def test_13_all_addresses_of_one_network_of_ipv6_are_one_user() -> None:
    addresses = ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "127.0.0.1")
    accounts = [account_of(Principal(f"first-form@{each}"), each) for each in addresses]
    assert accounts[0] == accounts[1]
    assert len(set(accounts)) == 3
    assert account_of(Principal("ann"), "127.0.0.1") == "ann"


def test_13_no_name_is_that_of_an_address() -> None:
    assert not is_name("first-form@10.0.0.1")
    assert is_name("first@form")
