# SPDX-License-Identifier: Apache-2.0
"""A card client with readers of a real pcscd: in this process, or as a program."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from certs.make_certs import Certificates
from tests.support.pcsc.bench import SOCKET_VARIABLE, Bench, Slot
from tests.support.processes import Program, Programs
from tests.support.world import LIMIT_S, World
from wsrc.card_client.agent import Agent
from wsrc.readers.pcsc import PcscSource
from wsrc.settings.load import CardClientSettings


@asynccontextmanager
async def card_client(
    world: World, certificates: Certificates, source: PcscSource
) -> AsyncIterator[None]:
    """Serve the readers of a source for as long as the context lasts."""
    settings = CardClientSettings(
        server_url=world.card_url,
        tls_ca=certificates.ca,
        name="bench",
        ping_s=5.0,
        command_s=10.0,
        reconnect_min_s=0.02,
        reconnect_max_s=0.2,
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Agent(settings, [source]).run(stop))
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(LIMIT_S):
                await asyncio.wait([task])


def start_card_client(programs: Programs, bench: Bench, slot: Slot) -> Program:
    env = {SOCKET_VARIABLE: str(bench.socket_path)}
    program = programs.card_client("--reader-include", slot.reader, env=env)
    program.wait_for("Connected to")
    program.wait_for(f"{slot.reader} has card")
    return program
