# SPDX-License-Identifier: Apache-2.0
"""Another program of a card host uses a card that nobody here has, and users are told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.card_host import card_host
from tests.support.certificates import Certificates
from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.inserted import inserted
from tests.support.pcsc.other_program import EXCLUSIVE, SHARED, holding
from tests.support.world import LIMIT_S, UICC, World, running, taken, until
from wsrc.errors import ReaderInUseError
from wsrc.protocol.messages import CardState
from wsrc.readers.pcsc import PcscSource
from wsrc.readers.simulation import default_cards
from wsrc.user_client.aio import Client
from wsrc.user_client.core.feeds import ReaderSnapshot

pytestmark = pytest.mark.pcscd

Use = tuple[bool, bool]
"""Whether a reader is in use, and by one alone."""


@pytest.fixture
def card(bench: Bench, slot: Slot) -> Iterator[None]:
    with inserted(bench, slot, default_cards()[0]):
        yield


@contextlib.asynccontextmanager
async def uses(client: Client, name: str) -> AsyncIterator[list[Use]]:
    """Return every other use of a reader, from the first on."""
    seen: list[Use] = []

    async def follow() -> None:
        async for news in client.watch_readers():
            for view in news.readers if isinstance(news, ReaderSnapshot) else (news.reader,):
                if view.name == name and [(view.in_use, view.exclusive)] != seen[-1:]:
                    seen.append((view.in_use, view.exclusive))

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(follow())
        try:
            yield seen
        finally:
            task.cancel()


@contextlib.asynccontextmanager
async def serving(
    certificates: Certificates, source: PcscSource
) -> AsyncIterator[tuple[World, Client]]:
    """Run a server and a card client with a card that is ready."""
    async with (
        running(certificates) as world,
        card_host(world, certificates, source),
        world.client() as client,
    ):
        await until(lambda: is_in(client, CardState.READY))
        yield world, client


async def is_in(client: Client, state: CardState) -> bool:
    return [each.state for each in await client.list_cards(iccid=UICC)] == [state]


@pytest.mark.usefixtures("card")
async def test_a_card_that_another_program_has_alone_is_in_use_until_it_lets_go(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    async with (
        serving(certificates, source) as (world, client),
        uses(client, slot.reader) as seen,
        contextlib.AsyncExitStack() as stack,
        asyncio.timeout(2 * LIMIT_S),
        asyncio.TaskGroup() as tasks,
    ):
        await until(lambda: seen == [(False, False)])
        with holding(bench, slot, EXCLUSIVE):
            await until(lambda: is_in(client, CardState.IN_USE))
            await until(lambda: seen[-1] == (True, True))
            with pytest.raises(ReaderInUseError):
                await client.select(iccid=UICC)
            waiter = await stack.enter_async_context(world.client("waiter"))
            waiting = tasks.create_task(taken(waiter.select(iccid=UICC, wait_s=LIMIT_S)))
        card = await waiting
        assert card.info.identities.iccid == UICC
        await card.detach()
        await until(lambda: is_in(client, CardState.READY))
        await until(lambda: seen[-1] == (False, False))
        assert seen[:3] == [(False, False), (True, True), (False, False)]


@pytest.mark.usefixtures("card")
async def test_a_card_that_another_program_would_share_is_told_and_stays_ready(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    async with (
        serving(certificates, source) as (_, client),
        uses(client, slot.reader) as seen,
        asyncio.timeout(2 * LIMIT_S),
    ):
        await until(lambda: seen == [(False, False)])
        with holding(bench, slot, SHARED):
            await until(lambda: seen[-1] == (True, False))
            assert await is_in(client, CardState.READY)
            with pytest.raises(ReaderInUseError):
                await client.select(iccid=UICC)
            assert await is_in(client, CardState.IN_USE)
        await until(lambda: is_in(client, CardState.READY))
        await until(lambda: seen[-1] == (False, False))
        asked = [(True, True), (True, False)]
        assert seen == [(False, False), (True, False), *asked, (False, False)]


@pytest.mark.usefixtures("card")
async def test_our_own_use_is_not_taken_for_that_of_another(
    slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    rounds = 10
    async with (
        serving(certificates, source) as (_, client),
        uses(client, slot.reader) as seen,
        asyncio.timeout(2 * LIMIT_S),
    ):
        await until(lambda: seen == [(False, False)])
        for _ in range(rounds):
            async with client.select(iccid=UICC):
                pass
            await until(lambda: is_in(client, CardState.READY))
        await until(lambda: len(seen) == 2 * rounds + 1)
        assert seen == [(False, False), *[(True, True), (False, False)] * rounds]
