# SPDX-License-Identifier: Apache-2.0
"""Peers whose hello has no version, each with one of ours at the other end."""

import asyncio
import json

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support import first_form
from tests.support.certificates import Certificates
from tests.support.first_form_bench import Bench, benched
from tests.support.scripted_server import fails
from tests.support.world import ASK_PIN, EUICC, PIN, READ_ICCID, UICC, World, until
from wsrc.command_line.output import in_doubt
from wsrc.errors import CardBusyError, ErrorCode, OutcomeUnknownError
from wsrc.octets import Octets
from wsrc.protocol.messages import CardState, Step
from wsrc.readers.simulation import default_cards


async def test_a_first_form_user_lists_selects_and_reads(
    world: World, certificates: Certificates
) -> None:
    await world.host()
    async with first_form.user(world.user_url, certificates.ca) as user:
        cards = await user.list_cards()
        assert {frozenset(card) for card in cards} == {
            frozenset({"remote_addr", "identities", "state"})
        }
        assert {card["identities"]["ICCID"] for card in cards} == {UICC, "8988211000000430028"}
        selected = await user.select("iccid", UICC)
        assert selected["msg_type"] == "select_card_ack"
        assert set(selected) == {"msg_type", "identities"}
        assert selected["identities"]["ICCID"] == UICC
        for command in READ_ICCID[:-1]:
            assert (await user.apdu(command.hex()))[1] == "9000"
        assert await user.apdu(READ_ICCID[-1].hex()) == ("988812010000400310f0", "9000")
        assert (await user.reset())["atr"] == cards[0]["identities"]["ATR"]


async def test_a_first_form_card_client_is_identified_and_used(
    world: World, certificates: Certificates
) -> None:
    async with benched(world, certificates, default_cards()[1]) as client:
        user = await world.user(seal=None)
        async with user.select(eid=EUICC) as card:
            assert client.states == ["ready", "associated"]
            answers = [await card.transmit(command) for command in READ_ICCID]
            assert answers[-1].data.hex() == "988812010000400320f8"
            assert await card.reset() == default_cards()[1].atr
            steps = [Step(command=Octets(c), expect=("9000",)) for c in READ_ICCID]
            assert (await card.batch(steps)).stopped is None
        await until(lambda: client.states[-1] == "ready")
    await until(lambda: world.counts["cards"] == 0)


async def test_first_form_peers_at_both_ends(world: World, certificates: Certificates) -> None:
    async with benched(world, certificates, default_cards()[0]) as client:
        async with first_form.user(world.user_url, certificates.ca) as user:
            assert (await user.select("ICCID", UICC))["msg_type"] == "select_card_ack"
            assert await user.apdu(PIN.hex()) == ("", "9000")
        await until(lambda: client.states[-1] == "ready")
        async with first_form.user(world.user_url, certificates.ca) as user:
            assert (await user.select("ICCID", UICC))["msg_type"] == "select_card_ack"
            assert await user.apdu(ASK_PIN.hex()) == ("", "63c3")


async def test_a_first_form_peer_is_never_sent_what_it_did_not_ask_for(
    world: World, certificates: Certificates
) -> None:
    host = await world.host()
    async with first_form.user(world.user_url, certificates.ca) as user:
        await user.select("iccid", UICC)
        host.source.remove("Simulated UICC 00 00")
        await until(lambda: world.counts["sessions"] == 0)
        answer = await first_form.ask(user.socket, "c_apdu", command=ASK_PIN.hex())
        assert answer["msg_type"] == "error"
        assert answer["code"] == "card_not_present"
        assert "taken out" in answer["message"]


async def test_a_first_form_user_may_choose_another_card_after_the_first_is_gone(
    world: World, certificates: Certificates
) -> None:
    host = await world.host()
    async with first_form.user(world.user_url, certificates.ca) as user:
        await user.select("iccid", UICC)
        host.source.remove("Simulated UICC 00 00")
        await until(lambda: world.counts["sessions"] == 0)
        assert (await user.select("eid", EUICC))["msg_type"] == "select_card_ack"


async def test_hygiene_holds_between_a_first_form_user_and_ours(
    world: World, certificates: Certificates
) -> None:
    await world.host()
    async with first_form.user(world.user_url, certificates.ca) as user:
        await user.select("iccid", UICC)
        assert (await user.apdu(PIN.hex()))[1] == "9000"
    client = await world.user()
    async with client.select(iccid=UICC, wait_s=10) as card:
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_a_first_form_user_is_told_who_holds_a_busy_card(
    world: World, certificates: Certificates
) -> None:
    await world.host()
    client = await world.user("third")
    async with (
        client.select(iccid=UICC),
        first_form.user(world.user_url, certificates.ca) as user,
    ):
        answer = await user.select("iccid", UICC)
        assert (answer["msg_type"], answer["code"]) == ("error", "card_busy")
        assert "third" in answer["message"]
        [shown] = [c for c in await user.list_cards() if c["identities"].get("ICCID") == UICC]
        assert shown["state"] == CardState.ASSOCIATED


async def test_a_first_form_card_client_that_speaks_unasked_is_closed_with_a_reason(
    world: World, certificates: Certificates
) -> None:
    bench = Bench(default_cards()[0])
    async with first_form.connected(world.card_url, certificates.ca) as socket:
        client = first_form.CardClient(socket, bench.transmit, bench.reset)
        await client.hello()
        text = json.dumps({"msg_type": "r_apdu", "response": "", "sw": "9000"})
        while True:
            message = await first_form.receive(socket)
            if message["msg_type"] == "state_notification":
                break
            answer = client._answer(message)
            await socket.send(json.dumps(answer))
        await socket.send(text)
        assert (await first_form.receive(socket))["code"] == "bad_message"
        with pytest.raises(ConnectionClosed) as closed:
            await first_form.receive(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1002
    assert "Nothing was asked" in closed.value.rcvd.reason


async def test_a_busy_first_form_card_is_waited_for(
    world: World, certificates: Certificates
) -> None:
    async with benched(world, certificates, default_cards()[0]):
        first, second = await world.user("first", seal=None), await world.user("second", seal=None)
        held = await first.select(iccid=UICC)
        with pytest.raises(CardBusyError, match="first"):
            await second.select(iccid=UICC)
        await held.transmit(PIN)
        await held.detach()
        async with second.select(iccid=UICC, wait_s=10) as card:
            assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_a10_a_card_client_that_is_killed_in_mid_command_leaves_it_in_doubt(
    world: World, certificates: Certificates
) -> None:
    async with benched(world, certificates, default_cards()[1]) as client:
        user = await world.user(seal=None)
        card = await user.select(eid=EUICC)
        client.silent = True
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(fails(card.transmit(READ_ICCID[0])))
            await until(lambda: client.asked[-1] == "c_apdu")
            client.socket.transport.abort()
        fault = asked.result()
        assert isinstance(fault, OutcomeUnknownError)
        assert (fault.code, in_doubt(fault)) == (ErrorCode.CARD_CLIENT_GONE, True)
