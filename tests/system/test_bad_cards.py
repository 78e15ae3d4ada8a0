# SPDX-License-Identifier: Apache-2.0
"""Cards and readers that fail: a named outcome for their user, and no harm to others."""

import asyncio
import json
from typing import Any

import pytest

from tests.support import first_form
from tests.support.certificates import Certificates
from tests.support.world import ASK_PIN, EUICC, PIN, UICC, World, running, uicc, until
from wsrc.errors import (
    CardNotPresentError,
    CardUnresponsiveError,
    ErrorCode,
    NoSuchCardError,
    Outcome,
    OutcomeUnknownError,
    SessionError,
    SessionLostError,
)
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import Faults, When, default_cards
from wsrc.user_client.aio import Client

pytestmark = pytest.mark.usefixtures("bystander")


async def test_a_card_removed_before_a_command_ends_the_session_with_the_reason(
    world: World,
) -> None:
    host = await world.host()
    client = await world.user()
    card = await client.select(iccid=UICC)
    host.source.remove("Simulated UICC 00 00")
    await until(lambda: world.counts["sessions"] == 1)
    with pytest.raises(SessionLostError, match="taken out") as lost:
        await card.transmit(ASK_PIN)
    assert lost.value.code is ErrorCode.CARD_NOT_PRESENT
    with pytest.raises(NoSuchCardError):
        await client.select(iccid=UICC)


@pytest.mark.parametrize("when", When)
async def test_a_card_removed_during_a_command_leaves_a_named_outcome(
    world: World, when: When
) -> None:
    await world.host([uicc(UICC, Faults(dies_at=1, when=when, only="0020000108"))])
    client = await world.user()
    card = await client.select(iccid=UICC)
    with pytest.raises(CardNotPresentError) as failed:
        await card.transmit(PIN)
    known = {When.BEFORE: Outcome.NOT_EXECUTED, When.AFTER: Outcome.UNKNOWN}
    assert failed.value.outcome is known[when]
    with pytest.raises((SessionError, CardNotPresentError)):
        await card.transmit(ASK_PIN)


async def test_a_card_removed_after_a_command_and_put_in_again_is_another_insertion(
    world: World,
) -> None:
    host = await world.host()
    client = await world.user()
    card = await client.select(iccid=UICC)
    assert (await card.transmit(PIN)).sw == 0x9000
    host.source.insert("Simulated UICC 00 00", host.source.remove("Simulated UICC 00 00"))
    with pytest.raises((SessionError, CardNotPresentError)):
        await until_lost(card)
    async with client.select(iccid=UICC, wait_s=10) as again:
        assert (await again.transmit(ASK_PIN)).sw == 0x63C3


async def until_lost(card: Any) -> None:
    async with asyncio.timeout(10):
        while True:
            assert (await card.transmit(ASK_PIN)).sw == 0x9000


async def test_an_unplugged_reader_ends_its_session_and_no_other(world: World) -> None:
    host = await world.host()
    client = await world.user()
    first, second = await client.select(iccid=UICC), await client.select(eid=EUICC)
    host.source.unplug("Simulated UICC 00 00")
    await until(lambda: world.counts["sessions"] == 2)
    with pytest.raises(SessionLostError, match="unplugged") as lost:
        await first.transmit(ASK_PIN)
    assert lost.value.code is ErrorCode.READER_UNAVAILABLE
    assert (await second.transmit(ASK_PIN)).sw == 0x63C3
    host.source.plug(default_cards()[0])
    async with client.select(iccid=UICC, wait_s=10):
        pass


async def test_a_mute_card_is_shown_as_mute_and_refused(world: World) -> None:
    await world.host()
    mute = await world.host_without_waiting([uicc("8988211000000430028", Faults(mute=True))], "b")
    await until(lambda: _is(world, CardState.MUTE, reader="*@b"))
    client = await world.user()
    with pytest.raises(CardUnresponsiveError, match="no ATR"):
        await client.select(reader=f"{mute.source.names[0]}@b")


async def _is(world: World, state: CardState, **filters: str) -> bool:
    return await world.state_of(**filters) is state


async def test_a_card_that_does_not_answer_in_time_harms_no_other_reader(world: World) -> None:
    hanging = uicc(UICC, Faults(delay_s=3600.0, only="0020"))
    host = await world.host([hanging, default_cards()[1]], command_s=0.3)
    client = await world.user()
    stuck, fine = await client.select(iccid=UICC), await client.select(eid=EUICC)
    with pytest.raises((CardUnresponsiveError, OutcomeUnknownError), match="did not answer within"):
        await stuck.transmit(ASK_PIN)
    with pytest.raises((SessionError, CardUnresponsiveError)):
        await stuck.transmit(ASK_PIN)
    assert (await fine.transmit(ASK_PIN)).sw == 0x63C3
    hanging.faults = Faults()
    name = host.source.names[0]
    host.source.insert(name, host.source.remove(name))
    async with client.select(iccid=UICC, wait_s=10) as card:
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_a_card_client_that_never_answers_leaves_no_user_waiting(
    certificates: Certificates,
) -> None:
    limits = {"command_s": 0.3, "attach_s": 0.5}
    async with running(certificates, **limits) as world:
        hello = {
            "client_type": "card",
            "version": 1,
            "name": "deaf",
            "readers": [{"reader": "r", "name": "r", "state": "ready", "insertion": 1}],
        }
        async with first_form.connected(world.card_url, certificates.ca) as deaf:
            await first_form.ask(deaf, "hello", **hello)
            client = await world.user(seal=None)
            with pytest.raises(CardUnresponsiveError, match="did not reset"):
                await client.select(reader="r")
            assert await world.state_of(reader="r") is CardState.RESETTING
            assert [(await first_form.receive(deaf))["msg_type"] for _ in range(3)] == [
                "attach",
                "detach",
                "detach",
            ]
        async with first_form.connected(world.card_url, certificates.ca) as deaf:
            await first_form.ask(deaf, "hello", **hello)
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(_select(client))
                attach = await first_form.receive(deaf)
                ack = {"msg_type": "attach_ack", "session": attach["session"], "atr": "3b00"}
                await deaf.send(json.dumps(ack))
            card = asking.result()
            with pytest.raises(OutcomeUnknownError, match="did not answer in time"):
                await card.transmit(ASK_PIN)
        await until(lambda: world.counts["cards"] == 0)


async def _select(client: Client) -> Any:
    return await client.select(reader="r")
