# SPDX-License-Identifier: Apache-2.0
"""The readers of a bench, served to a server elsewhere, and who uses them there."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tests.support.card_host import card_host
from tests.support.certificates import Certificates
from tests.support.world import World, running, until
from wsrc.readers.pcsc import PcscSource
from wsrc.user_client.aio import Client

NO_LABELS: Mapping[str, str] = {}


def host(
    world: World, certificates: Certificates, labels: Mapping[str, str] = NO_LABELS
) -> AbstractAsyncContextManager[None]:
    """
    Serve the readers of the bench, the process's own pcscd, for as long as the context lasts.

    What a card is asked there is asked here: no guard asks more, or keeps anything from it.
    """
    full = {"labels": dict(labels), "guard_profile": ("full",)}
    return card_host(world, certificates, PcscSource(), **full)


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
