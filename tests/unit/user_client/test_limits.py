# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.limits: limits that stand still while a card is out of reach."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from wsrc.user_client.core.limits import Limits


async def run(limits: Limits, *steps: Callable[[], None]) -> list[Callable[[], None]]:
    """Do steps within a limit that is over at once, and return those that were done."""
    done: list[Callable[[], None]] = []
    with suppress(TimeoutError):
        async with limits.of(0.0):
            for step in steps:
                for _ in range(3):  # what is due in the loop happens
                    await asyncio.sleep(0)
                step()
                done.append(step)
            await asyncio.sleep(0)
    return done


def nothing() -> None:
    """Go on with the block."""


async def test_a_limit_that_stands_still_begins_anew() -> None:
    limits = Limits(asyncio.get_running_loop())
    limits.hold()
    steps = (nothing, limits.begin_anew, nothing)
    assert await run(limits, *steps) == [nothing, limits.begin_anew]


async def test_an_interruption_that_is_over_holds_no_limit() -> None:
    limits = Limits(asyncio.get_running_loop())
    limits.hold()
    limits.begin_anew()
    assert await run(limits, nothing) == []
