# SPDX-License-Identifier: Apache-2.0
"""What a user client is told when a server refuses, breaks the protocol, or is lost."""

import asyncio

import pytest

from tests.support.certificates import Certificates
from tests.support.scripted_server import Peer, card, fails, give_card, scripted
from wsrc.errors import (
    AmbiguousCardError,
    CardBusyError,
    ConfigError,
    ConnectionLostError,
    ErrorCode,
    NotExecutedError,
    OutcomeUnknownError,
    RefusedError,
    RemoteProtocolError,
    SessionLostError,
)
from wsrc.net.tls import server_context
from wsrc.user_client.aio import Client

GET_STATUS = bytes.fromhex("80f2000000")
READ = bytes.fromhex("00b0000000")


async def test_refuses_a_server_of_the_first_form() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        await peer.say("hello_ack")

    async with scripted(script, greet=False) as url:
        with pytest.raises(RefusedError, match="first form"):
            await Client(url).__aenter__()


async def test_says_why_a_server_refused_the_greeting() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        await peer.say("error", code="too_many", message="10000 peers are connected.")

    async with scripted(script, greet=False) as url:
        with pytest.raises(RefusedError, match="10000 peers") as caught:
            await Client(url).__aenter__()
    assert caught.value.code is ErrorCode.TOO_MANY


async def test_gives_up_on_a_server_that_does_not_greet() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear("hello")

    async with scripted(script, greet=False) as url:
        with pytest.raises(ConnectionLostError, match="did not answer hello"):
            await Client(url, connect_s=0.05).__aenter__()


async def test_does_not_follow_a_list_in_a_circle() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.hear("list_cards")
        await peer.say("list_cards_ack", id=request["id"], cards=[], next=0)

    async with scripted(script) as url, Client(url) as client:
        with pytest.raises(RemoteProtocolError, match="does not advance"):
            await client.list_cards()


async def test_a_busy_card_names_its_holder() -> None:
    lease = {"holder": "ida@lab", "since": "2026-01-01T00:00:00Z", "until": "2026-01-01T01:00:00Z"}

    async def script(peer: Peer) -> None:
        await peer.refuse(await peer.hear("select_card"), "card_busy", lease=lease)

    async with scripted(script) as url, Client(url) as client:
        with pytest.raises(CardBusyError) as caught:
            await client.select(any="x")
    assert {
        "holder": caught.value.holder,
        "since": caught.value.since,
        "until": caught.value.until,
    } == lease


async def test_an_ambiguous_selection_names_the_candidates() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.hear("select_card")
        await peer.refuse(request, "ambiguous", candidates=[card(1), card(2, label="blue")])

    async with scripted(script) as url, Client(url) as client:
        with pytest.raises(AmbiguousCardError) as caught:
            await client.select(label="b*")
    first, second = caught.value.candidates
    assert "ICCID 89860000000000000001" in first
    assert "label blue" in second


async def test_an_unknown_session_of_the_server_is_a_lost_session() -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        command = await peer.hear("c_apdu")
        await peer.refuse(command, "no_such_session", session="s1", outcome="not_executed")

    async with scripted(script) as url, Client(url) as client:
        mine = await client.select(any="x")
        with pytest.raises(SessionLostError):
            await mine.transmit(READ)


async def test_a_session_that_ended_is_told_at_the_next_use() -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        ended = {"session": "s1", "code": "lease_expired", "message": "It was unused for 1 h."}
        await peer.say("session_ended", **ended)
        listing = await peer.hear("list_cards")
        await peer.say("list_cards_ack", id=listing["id"], cards=[])

    async with scripted(script) as url, Client(url) as client, client.select(any="x") as mine:
        await client.list_cards()
        with pytest.raises(SessionLostError, match="unused for 1 h") as caught:
            await mine.transmit(READ)
    assert caught.value.code is ErrorCode.LEASE_EXPIRED


async def test_a_lost_connection_leaves_the_outcome_of_a_sent_command_unknown() -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        await peer.hear("c_apdu")
        peer.abort()

    async with scripted(script) as url, Client(url, keep_s=0) as client:
        mine = await client.select(any="x")
        async with asyncio.TaskGroup() as tasks:
            sent = tasks.create_task(fails(mine.transmit(READ)))
            unsent = tasks.create_task(fails(mine.transmit(READ)))
        assert isinstance(sent.result(), OutcomeUnknownError)
        assert isinstance(unsent.result(), NotExecutedError)
        with pytest.raises(ConnectionLostError, match="is lost"):
            await mine.transmit(READ)
        with pytest.raises(ConnectionLostError, match="is lost"):
            await client.list_cards()
        await mine.detach()


async def test_a_restart_is_named_as_the_reason_of_the_loss() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear("list_cards")
        await peer.say("restarting", reconnect_in_s=2.0)
        await peer.close(1012, "The server restarts.")

    async with scripted(script) as url, Client(url, keep_s=0) as client:
        with pytest.raises(ConnectionLostError, match=r"1012.*try again in 2 s"):
            await client.list_cards()


async def test_a_command_that_is_not_answered_in_time_is_given_up() -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        command = await peer.hear("c_apdu")
        assert (await peer.hear("cancel"))["target"] == command["id"]

    async with scripted(script) as url, Client(url, timeout_s=0.05) as client:
        mine = await client.select(any="x")
        with pytest.raises(OutcomeUnknownError, match="did not answer within"):
            await mine.transmit(READ)
        with pytest.raises(NotExecutedError, match="the one before it"):
            await mine.transmit(READ)
        with pytest.raises(ConnectionLostError, match="list_cards"):
            await client.list_cards()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"msg_type": "c_apdu", "command": ""}', "does not send c_apdu"),
        ('{"msg_type": "r_apdu", "id": 1, "response": "", "sw": "9000"}', "with r_apdu"),
        ("[]", "broke the protocol"),
    ],
)
async def test_a_server_that_breaks_the_protocol_is_left(text: str, complaint: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear("list_cards")
        await peer.say_text(text)

    async with scripted(script) as url, Client(url) as client:
        with pytest.raises(ConnectionLostError, match=complaint):
            await client.list_cards()


async def test_an_answer_that_cannot_be_read_leaves_the_outcome_unknown() -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        await peer.answer(await peer.hear("c_apdu"), "0g", "9000")
        await peer.answer(await peer.hear("c_apdu"), "01", "90zz")
        await peer.answer(await peer.hear("c_apdu"), "01", "90")
        await peer.answer(await peer.hear("c_apdu"), "01", "9000")

    async with scripted(script) as url, Client(url) as client:
        mine = await client.select(any="x")
        with pytest.raises(OutcomeUnknownError, match="cannot be read"):
            await mine.transmit(READ)
        for _ in range(2):
            with pytest.raises(OutcomeUnknownError, match="status word"):
                await mine.transmit(READ)
        assert (await mine.transmit(READ)).data == b"\1"


async def test_a_server_is_trusted_by_its_ca_only(certificates: Certificates) -> None:
    async def script(peer: Peer) -> None:
        pass

    context = server_context(certificates.cert, certificates.key)
    async with scripted(script, context=context) as url:
        async with Client(url, ca=certificates.ca) as client:
            assert client.server == "scripted"
        with pytest.raises(ConnectionLostError, match="not signed by a CA that is trusted here"):
            await Client(url).__aenter__()


def test_a_ca_that_cannot_be_read_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="tls_ca: there is no file"):
        Client("wss://localhost:1", ca="/nowhere/ca.pem")
