# SPDX-License-Identifier: Apache-2.0
"""
When cyclic garbage is looked for: what is young often, what is old where nobody waits for it.

To look through all that a server with thousands of peers keeps stops its loop for half a second.
"""

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

YOUNG = 700, 4
"""Allocations after which the youngest are looked through, and how often before those beside."""

NEVER = 1 << 30

EVERY_S = 1.0
"""Seconds between two looks at whether the old are to be looked through."""

IDLE = 0.1
"""Part of a second of the processor below which nobody waits."""

WORTH, DUE = 200, 10_000
"""Ended connections for which it is done where nobody waits, and for which it is done at once."""


class Old:
    """
    Tells when what is old is to be looked through.

    Args:
        room: Connections that there is memory for; a quarter of them is enough garbage.
    """

    def __init__(self, room: int) -> None:
        self._due = min(DUE, room // 4)
        self._worth = min(WORTH, self._due)
        self._seen = 0

    def due(self, ended: int, busy: float) -> bool:
        """
        Return whether it is time, and count on that it is done then.

        Args:
            ended: Connections that have ended so far.
            busy: Part of the processor that was used since the last call.
        """
        new = ended - self._seen
        if new < (self._worth if busy < IDLE else self._due):
            return False
        self._seen = ended
        return True


@asynccontextmanager
async def kept_small(ended: Callable[[], int], room: int) -> AsyncGenerator[None]:
    """
    Collect garbage so for as long as the context lasts; what was loaded before is left alone.

    Args:
        ended: Returns how many connections have ended so far.
        room: Connections that there is memory for.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*YOUNG, NEVER)
    try:
        async with asyncio.TaskGroup() as tasks:
            collecting = tasks.create_task(_collect(ended, Old(room)), name="garbage")
            try:
                yield
            finally:
                collecting.cancel()
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _collect(ended: Callable[[], int], old: Old) -> None:
    while True:
        now, used = time.monotonic(), time.thread_time()
        await asyncio.sleep(EVERY_S)
        busy = (time.thread_time() - used) / (time.monotonic() - now)
        if old.due(ended(), busy):
            gc.collect()
