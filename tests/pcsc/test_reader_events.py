# SPDX-License-Identifier: Apache-2.0
"""A card goes into and out of a reader of a real pcscd, and who watches far away is told."""

import asyncio

import pytest

from tests.support.card_host import card_host
from tests.support.certificates import Certificates
from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.virtual_card import ATR_T0, VirtualCard
from tests.support.world import LIMIT_S, running, until
from wsrc.card.slot import SlotState
from wsrc.octets import Octets
from wsrc.protocol.messages import CardState
from wsrc.readers.pcsc import PcscSource
from wsrc.user_client.aio import Client
from wsrc.user_client.core.feeds import ReaderSnapshot

pytestmark = pytest.mark.pcscd


async def seen(client: Client, name: str, there: asyncio.Queue[SlotState]) -> None:
    """Enter each other state of a reader."""
    last: SlotState | None = None
    async for news in client.watch_readers():
        views = news.readers if isinstance(news, ReaderSnapshot) else (news.reader,)
        for view in views:
            if view.name == name and view.state is not last:
                last = view.state
                assert view.atr == (Octets(ATR_T0) if last is SlotState.PRESENT else None)
                there.put_nowait(last)


async def is_ready(client: Client) -> bool:
    return [card.state for card in await client.list_cards()] == [CardState.READY]


async def test_a_card_in_a_real_reader_comes_and_goes(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    there: asyncio.Queue[SlotState] = asyncio.Queue()
    async with (
        running(certificates) as world,
        card_host(world, certificates, source),
        world.client() as client,
        asyncio.TaskGroup() as tasks,
    ):
        watching = tasks.create_task(seen(client, slot.reader, there))
        async with asyncio.timeout(LIMIT_S):
            assert await there.get() is SlotState.EMPTY
            for _ in range(2):
                card = VirtualCard(ATR_T0)
                with card.inserted(slot.port):
                    assert await there.get() is SlotState.PRESENT
                    # pcscd overlooks a card that comes just when another one failed to answer.
                    await until(lambda: is_ready(client))
                assert await there.get() is SlotState.EMPTY
        watching.cancel()
