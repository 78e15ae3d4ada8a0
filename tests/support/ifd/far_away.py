# SPDX-License-Identifier: Apache-2.0
"""The readers of a bench, served to a server elsewhere, and who uses them there."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from certs.make_certs import Certificates
from tests.support.world import LIMIT_S, World, running, until
from wsrc.card_client.agent import Agent
from wsrc.readers.pcsc import PcscSource
from wsrc.settings.load import CardClientSettings
from wsrc.user_client.aio import Client

NO_LABELS: Mapping[str, str] = {}


@asynccontextmanager
async def host(
    world: World, certificates: Certificates, labels: Mapping[str, str] = NO_LABELS
) -> AsyncIterator[None]:
    """Serve the readers of the bench, the process's own pcscd, for as long as the context lasts."""
    settings = CardClientSettings(
        server_url=world.card_url,
        tls_ca=certificates.ca,
        name="bench",
        command_s=10.0,
        reconnect_min_s=0.02,
        reconnect_max_s=0.2,
        labels=dict(labels),
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Agent(settings, [PcscSource()]).run(stop))
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(LIMIT_S):
                await asyncio.wait([task])


async def ready(world: World, *ids: str) -> bool:
    """Return whether the cards in these readers, and no others, are ready."""
    cards = await world.cards()
    return sorted(str(card.reader) for card in cards if card.state == "ready") == sorted(ids)


@asynccontextmanager
async def far_away(certificates: Certificates, count: int) -> AsyncIterator[Client]:
    """Serve all readers of the host, and be the user of a server elsewhere."""
    async with (
        running(certificates) as world,
        host(world, certificates),
        world.client() as client,
    ):

        async def all_known() -> bool:
            views = (await client.list_readers()).readers
            cards = await client.list_cards()
            busy = [card for card in cards if card.state == "identifying"]
            return len(views) == count and not busy

        await until(all_known)
        yield client
