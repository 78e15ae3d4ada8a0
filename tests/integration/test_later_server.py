# SPDX-License-Identifier: Apache-2.0
"""A user client at a server of a later version, whose words it does not know."""

import asyncio
from contextlib import aclosing

import pytest

from tests.support.scripted_server import Peer, card, give_card, reader_of, scripted
from wsrc import aio
from wsrc.errors import RefusedError, SessionLostError, WsrcError


async def test_e31_states_and_protocols_of_a_later_server_are_shown_as_they_are() -> None:
    async def serve_user(peer: Peer) -> None:
        asked = await peer.hear("list_cards")
        await peer.say("brand_new_message", id=asked["id"] + 1, what=None)
        there = card(state="being_cleaned", protocol="T15", label=None, others=None)
        await peer.say("list_cards_ack", id=asked["id"], cards=[there], next=None)

    async with scripted(serve_user) as url, aio.Client(url, name="ida") as client:
        (shown,) = await client.list_cards()
    assert (shown.state, shown.protocol, shown.label, shown.others) == (
        "being_cleaned",
        "T15",
        None,
        (),
    )


async def test_e31_a_change_of_a_later_server_is_a_change() -> None:
    async def serve_user(peer: Peer) -> None:
        asked = await peer.hear("watch_readers")
        marks = {"instance": "run", "seq": 1}
        there = reader_of(1, card())
        await peer.say("watch_readers_ack", id=asked["id"], readers=[there], **marks)
        now = there | {"state": "upside_down", "card_state": "dizzy"}
        await peer.say("reader_event", seq=2, change="turned", reader=now)

    async with (
        scripted(serve_user) as url,
        aio.Client(url, name="ida") as client,
        aclosing(client.watch()) as events,
    ):
        assert (await anext(events)).change == "added"
        event = await anext(events)
    assert (event.change, event.card.state) == ("changed", "dizzy")


async def test_e31_errors_of_a_later_server_have_its_code_and_its_sentence() -> None:
    async def serve_user(peer: Peer) -> None:
        await peer.refuse(await peer.hear("select_card"), "rain", message="It rains.")
        await give_card(peer, "s1")
        asked = await peer.hear("c_apdu")
        await peer.refuse(asked, "rain", session="s1", outcome="half_executed")
        await peer.say("session_ended", session="s1", code="storm", message="It is gone.")

    async with scripted(serve_user) as url, aio.Client(url, name="ida") as client:
        with pytest.raises(WsrcError, match=r"It rains\.") as refused:
            async with client.select(any="x"):
                pass
        assert (refused.value.code, isinstance(refused.value, RefusedError)) == ("rain", False)
        async with client.select(any="x") as held:
            with pytest.raises(WsrcError) as in_doubt:
                await held.transmit(bytes.fromhex("00a40000"))
            assert in_doubt.value.code == "rain"
            assert type(in_doubt.value).__name__ == "OutcomeUnknownError"
            over: asyncio.Future[WsrcError] = asyncio.get_running_loop().create_future()
            held.when_over(over.set_result)
            why = await over
        assert (type(why), why.code) == (SessionLostError, "storm")
