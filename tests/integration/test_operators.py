# SPDX-License-Identifier: Apache-2.0
"""Who is an operator of a server without a policy, and what a client does not ask for twice."""

from typing import Any

import pytest

from tests.support.raw_peer import raw_peer
from tests.support.scripted_server import fails
from tests.support.wire import begin, ended, wired
from wsrc.errors import ConnectionLostError
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings

PLAIN = ServerSettings(no_tls=True, user_port=0, card_port=0, host="127.0.0.1")


@pytest.mark.parametrize(
    ("come", "may"),
    [
        ({}, True),
        ({"host": b"localhost:4220"}, True),
        ({"host": b"[::1]:4220"}, True),
        ({"host": b"relay.example"}, False),
        ({"host": b"127.0.0.1.relay.example"}, False),
        ({"host": b"[::1"}, False),
        ({"headers": b"X-Forwarded-For: 192.0.2.7\r\n"}, False),
        ({"headers": b"Forwarded: for=192.0.2.7\r\n"}, False),
        ({"headers": b"Via: 1.1 proxy\r\n"}, False),
    ],
)
async def test_who_comes_through_a_proxy_is_no_operator(come: dict[str, Any], may: bool) -> None:
    async with serve(PLAIN) as app, raw_peer(app.user_port, **come) as user:
        user.say("list_peers", id=1)
        answer = await user.hear()
        assert answer["msg_type"] == ("list_peers_ack" if may else "error")
        assert answer.get("code") == (None if may else "forbidden")


async def test_a_long_reason_of_a_kick_is_cut_and_the_connection_closed() -> None:
    async with (
        serve(PLAIN) as app,
        raw_peer(app.user_port, name="bö" * 30) as user,
        raw_peer(app.user_port) as boss,
    ):
        boss.say("kick", id=1, peer=1, why="ü" * 256)
        assert (await boss.hear())["msg_type"] == "kick_ack"
        assert await user.told_to_close() == 1008


async def test_a_server_that_is_asked_to_stop_says_so_and_tells_its_shell() -> None:
    asked: list[str] = []
    async with serve(PLAIN) as app, raw_peer(app.user_port) as boss:
        app.when_asked_to_stop(lambda: asked.append("stop"))
        boss.say("stop", id=1)
        assert (await boss.hear())["msg_type"] == "stop_ack"
        assert asked == ["stop"]


@pytest.mark.parametrize("what", ["revoke", "kick", "stop"])
async def test_what_somebody_else_could_suffer_is_not_asked_for_twice(what: str) -> None:
    async with wired() as (wire, client, first):
        calls = {
            "revoke": lambda: client.revoke(label="blue"),
            "kick": lambda: client.admin.kick(7),
            "stop": client.admin.stop,
        }
        asked = begin(fails(calls[what]()))
        await first.hear(what)
        listing = begin(client.list_cards())
        await first.hear("list_cards")
        first.abort()
        lost = await ended(asked)
        assert isinstance(lost, ConnectionLostError)
        assert "not known whether the server did what it was asked to" in str(lost)
        second = await wire.next()
        request = await second.hear("list_cards")
        await second.say("list_cards_ack", id=request["id"], cards=[])
        assert await ended(listing) == []
        reading = begin(client.list_cards())
        request = await second.hear("list_cards")  # and nothing before it
        await second.say("list_cards_ack", id=request["id"], cards=[])
        assert await ended(reading) == []


async def test_a_warning_for_a_session_that_is_over_is_nobodys() -> None:
    async with wired() as (_, client, peer):
        await peer.say("session_idle", session="s", until="now", in_s=1.0, message="Soon.")
        listing = begin(client.list_cards())
        request = await peer.hear("list_cards")
        await peer.say("list_cards_ack", id=request["id"], cards=[])
        assert await ended(listing) == []
