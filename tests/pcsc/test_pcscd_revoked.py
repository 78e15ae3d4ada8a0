# SPDX-License-Identifier: Apache-2.0
"""PC/SC programs whose card is taken back by an operator, amid a transaction."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.programs.wire_client import SUCCESS
from tests.support.pcsc.socket_programs import ASK_PIN, RESET, VERIFY, VIOLATION, programs_of
from tests.support.wire import begin
from tests.support.world import UICC, World, running, taken, until


@pytest.fixture
async def world(certificates: Certificates) -> AsyncIterator[World]:
    async with running(certificates) as world:
        yield world


async def test_a_card_that_is_taken_back_amid_a_transaction_is_a_reset_for_every_handle(
    world: World, tmp_path: Path
) -> None:
    await world.host()
    async with programs_of(world.client, tmp_path / "socket") as programs:
        await programs.shown.begun()
        one, two = await programs.line(), await programs.line()
        first, second = await programs.card(one), await programs.card(two)
        assert await programs.do(lambda: one.begin(first)) == SUCCESS
        assert await programs.transmit(one, first, VERIFY) == "9000"
        user, boss = await world.user("user"), await world.user("boss")
        waits = begin(taken(user.select(iccid=UICC, wait_s=60)))
        await until(lambda: world.counts["waiting"] == 1)
        assert len(await boss.revoke(iccid=UICC, why="the farm is needed")) == 1
        card = await waits
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3
        assert await programs.transmit(one, first, ASK_PIN) == hex(RESET)
        assert await programs.do(lambda: two.status(second)) == RESET
        assert await programs.do(lambda: one.reconnect(first)) == VIOLATION
        await card.detach()

        async def is_back() -> bool:
            return await programs.do(lambda: one.reconnect(first)) == SUCCESS

        await until(is_back)
        assert await programs.transmit(one, first, ASK_PIN) == "63c3"
