# SPDX-License-Identifier: Apache-2.0
"""wsrc.bridges.pcscd.server: its clock, with each kind of loop."""

import asyncio

from tests.support.pcscd_programs import HERE
from tests.support.raw_peer import LOOPS, LoopFactory, run
from wsrc.bridges.pcscd.server import Server


@LOOPS
def test_b13_a_card_that_is_due_already_can_be_looked_at_again(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            server = Server(asyncio.get_running_loop(), tasks)
            server.readers_are([HERE])
            reader = server._machine._table.readers[0]
            reader.idle_since = 0.0
            for _ in range(2):
                server.readers_are([HERE])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert reader.idle_since is None

    run(loop_factory, main())
