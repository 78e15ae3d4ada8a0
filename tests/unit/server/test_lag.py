# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.lag: by how much a loop is late."""

import asyncio

from wsrc.server.lag import KEPT, Lag


async def test_the_worst_of_the_last_beats_is_told() -> None:
    lag, now = Lag(), asyncio.get_running_loop().time()
    assert lag.worst_s == 0.0
    lag._beat(now - 3.0)
    assert lag.worst_s >= 3.0
    lag._beat(now + 100.0)
    assert lag.worst_s >= 3.0
    for _ in range(KEPT):
        lag._beat(now + 100.0)
    assert lag.worst_s == 0.0
    lag.stop()


async def test_a_heart_that_is_stopped_beats_no_more() -> None:
    lag = Lag()
    lag.start()
    timer = lag._timer
    lag.stop()
    assert timer is not None
    assert timer.cancelled()
    lag.stop()
