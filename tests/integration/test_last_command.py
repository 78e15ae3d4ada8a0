# SPDX-License-Identifier: Apache-2.0
"""`transmit(last=True)`: a card is given back with the answer to its last command."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.support.certificates import Certificates
from tests.support.evil_relay import Change, EvilRelay, honest
from tests.support.proxy import proxy_to
from tests.support.world import ASK_PIN, PIN, UICC, World, running, uicc, until
from wsrc.errors import ErrorCode, OutcomeUnknownError, RefusedError, SessionLostError
from wsrc.protocol import messages as m
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import Faults
from wsrc.relay import rights, shortcut
from wsrc.user_client.aio import Client


@pytest.fixture
async def world(certificates: Certificates) -> AsyncIterator[World]:
    async with running(certificates) as world:
        world.all_seal(None)
        yield world


@pytest.mark.parametrize("seal", ["required", "off"])
@pytest.mark.parametrize("together", [False, True])
async def test_a_card_is_given_back_once_and_with_the_answer(
    world: World, seal: str, *, together: bool
) -> None:
    relay = EvilRelay(world)
    await world.host()
    user = await world.user(seal=seal)
    async with user.select(iccid=UICC) as card:
        assert (await card.transmit(PIN)).sw == 0x9000
        if together:
            assert (await card.batch([ASK_PIN], last=True)).results[0].sw == 0x9000
        else:
            assert (await card.transmit(ASK_PIN, last=True)).sw == 0x9000
    (goodbye,) = relay.of(m.Detach)
    assert goodbye.after_answer
    assert not user._connection.requests.has_cards
    with pytest.raises(SessionLostError):
        await card.transmit(ASK_PIN)
    async with user.select(iccid=UICC, wait_s=10) as card:
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_a_server_that_does_not_know_it_is_told_as_before(world: World) -> None:
    relay = EvilRelay(world)
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        user._connection.requests.features = frozenset()
        assert (await card.transmit(ASK_PIN, last=True)).sw == 0x63C3
    (goodbye,) = relay.of(m.Detach)
    assert not goodbye.after_answer


@pytest.mark.parametrize("seal", ["required", "off"])
async def test_an_answer_that_is_cut_off_comes_by_resume_and_the_card_is_given_back(
    world: World, seal: str
) -> None:
    relay = EvilRelay(world)
    simulated = uicc(UICC, Faults(delay_s=0.3, only="0020"))
    await world.host([simulated])
    async with proxy_to(world.app.user_port) as proxy:
        url = f"wss://localhost:{proxy.port}/user"
        async with Client(url, ca=world.ca, seal=seal) as user, asyncio.TaskGroup() as tasks:
            card = await user.select(iccid=UICC)
            asking = tasks.create_task(card.transmit(PIN, last=True))
            await until(simulated.struck.is_set)
            proxy.cut()
            assert (await asking).sw == 0x9000
            await card.detach()
    assert len(relay.of(m.Resume)) == 1
    assert [each.after_answer for each in relay.of(m.Detach)] == [True, True], "it goes along again"

    async def is_ready() -> bool:
        return await world.state_of(iccid=UICC) is CardState.READY

    await until(is_ready)


def silent(message: m.Message) -> list[m.Message]:
    """Do not tell a card host that its user may ask."""
    quiet = isinstance(message, m.Detach) and message.after_answer
    return [msgspec.structs.replace(message, after_answer=False) if quiet else message]


@pytest.mark.parametrize(
    ("number", "change", "expected"),
    [
        (1, honest, RefusedError),
        (1, silent, OutcomeUnknownError),
        (2, honest, RefusedError),
        (2, silent, RefusedError),
    ],
)
async def test_a_last_command_that_the_server_refuses_is_known_not_to_have_run(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    change: Change,
    expected: type[Exception],
) -> None:
    """The server takes the card back at once; the card host gives its word all the same."""
    relay = EvilRelay(world)
    relay.change = change
    await world.host()
    user = await world.user(seal="required")
    refusal = rights.refusal

    def refusing(lease: Any, message: m.Forwarded) -> Any:
        if message.seq == number:
            return ErrorCode.FORBIDDEN, "It is not to be."
        return refusal(lease, message)

    monkeypatch.setattr(rights, "refusal", refusing)
    monkeypatch.setattr(shortcut, "_command", lambda *_: None)
    async with user.select(iccid=UICC) as card:
        for _ in range(1, number):
            assert (await card.transmit(ASK_PIN)).sw == 0x63C3
        with pytest.raises(expected, match="It is not to be") as caught:
            await card.transmit(ASK_PIN, last=True)
        assert getattr(caught.value, "code", None) is ErrorCode.FORBIDDEN
    assert len(relay.of(m.Resume)) == 1
    assert len(relay.of(m.Detach)) == 1
    assert not user._connection.requests.has_cards
