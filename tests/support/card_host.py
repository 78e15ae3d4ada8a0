# SPDX-License-Identifier: Apache-2.0
"""A card client in this process, with readers of any source."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.certificates import Certificates
from tests.support.seal_way import HOST_SEAL
from tests.support.world import LIMIT_S, World
from wsrc.card_client.agent import Agent
from wsrc.readers.base import Source
from wsrc.settings.load import CardClientSettings


@asynccontextmanager
async def card_host(
    world: World, certificates: Certificates, source: Source, **settings: Any
) -> AsyncIterator[None]:
    """Serve the readers of a source, as the host `bench`, for as long as the context lasts."""
    given: dict[str, Any] = {"command_s": 10.0, "reconnect_min_s": 0.02, "reconnect_max_s": 0.2}
    given |= {"seal": HOST_SEAL} | settings
    made = CardClientSettings(
        server_url=world.card_url, tls_ca=certificates.ca, name="bench", **given
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Agent(made, [source]).run(stop))
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(LIMIT_S):
                await asyncio.wait([task])
