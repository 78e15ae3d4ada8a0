# SPDX-License-Identifier: Apache-2.0
"""Two ways between neighbours: what works is taken, and nothing is lost where one fails."""

import pytest

from tests.support.nodes import NAMES, World
from wsrc.cluster.neighbour import Way


def direct(world: World, *, is_there: bool) -> None:
    for end in world.ends.values():
        world.do(end, end.neighbour.way_is(Way.DIRECT, world.now, is_there=is_there))


def over(world: World, way: Way) -> int:
    return world.counts[f"over {way.name}"]


def talk(world: World, seconds: float = 5.0) -> dict[Way, int]:
    """Have both ends send; return how many datagrams go over each way."""
    before = {way: over(world, way) for way in Way}
    for _ in range(int(seconds / 0.05)):
        world.send("east", 60)
        world.send("west", 60)
        world.run(0.05)
    return {way: over(world, way) - before[way] for way in Way}


def test_a_direct_way_is_taken_and_left_without_a_word_lost() -> None:
    world = World.up()
    direct(world, is_there=True)
    world.run(0.1)
    used = talk(world)
    assert used[Way.DIRECT] > 190
    assert used[Way.NATS] <= 12
    direct(world, is_there=False)
    used = talk(world)
    assert used[Way.DIRECT] == 0
    world.run(2.0)
    world.check_all_came()
    assert world.east.downs == world.west.downs == []


@pytest.mark.parametrize("deaf", NAMES)
def test_a_direct_way_that_fails_silently_is_left_for_nats(deaf: str) -> None:
    world = World.up()
    direct(world, is_there=True)
    world.run(0.1)
    world.cut.add((deaf, Way.DIRECT))
    talk(world)
    used = talk(world)
    assert used[Way.NATS] > 90
    world.run(3.0)
    world.check_all_came()
    assert world.east.downs == world.west.downs == []
    world.heal()
    world.run(2.0)
    assert talk(world)[Way.NATS] <= 12


def test_a_direct_way_outlives_all_of_nats() -> None:
    world = World.up()
    direct(world, is_there=True)
    world.run(0.1)
    world.cut |= {(name, Way.NATS) for name in NAMES}
    assert talk(world, 10.0)[Way.DIRECT] > 380
    world.run(1.0)
    world.check_all_came()
    assert world.east.downs == world.west.downs == []


def test_the_next_road_has_the_direct_way_too() -> None:
    world = World.up()
    direct(world, is_there=True)
    world.restart("east", says_so=True)
    direct(world, is_there=True)
    world.run(2.0)
    assert talk(world)[Way.DIRECT] > 190
