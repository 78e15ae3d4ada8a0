# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.positions: rounds through long queues, and through several at a time."""

from tests.support.relay_clients import ICCID
from tests.support.relay_world import World, reader
from wsrc.protocol import messages as m
from wsrc.relay.positions import VISITS

OTHER = "8949020000099999999"


def select(iccid: str = ICCID) -> m.SelectCard:
    return m.SelectCard(id=1, wait_s=60, iccid=iccid)


def test_everyone_moves_up_in_a_queue_that_is_longer_than_one_look_at_it() -> None:
    world = World()
    world.card(reader())
    world.user().hold(iccid=ICCID)
    first, *others = (world.user() for _ in range(2 * VISITS + 2))
    for user in (first, *others):
        user.say(select())
        user.one(m.Waiting)
    first.leave()
    for _ in range(3):
        world.pass_time(1)
    assert [user.one(m.Waiting).position for user in others] == [*range(1, 2 * VISITS + 2)]


def test_those_behind_move_up_though_others_give_up_another_card() -> None:
    world = World()
    first, second, other = (world.user() for _ in range(3))
    for user in (first, second, other):
        user.say(select(OTHER if user is other else ICCID))
        user.one(m.Waiting)
    first.leave()
    other.leave()
    world.pass_time(1)
    assert second.one(m.Waiting).position == 1
