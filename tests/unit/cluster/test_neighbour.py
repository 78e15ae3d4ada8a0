# SPDX-License-Identifier: Apache-2.0
"""Two nodes as neighbours: when there is a road, when it is down, and who is told what."""

import pytest

from tests.support.nodes import NAMES, World, credentials, me_of
from wsrc.cluster.datagrams import MAX_ITEM_OCTETS
from wsrc.cluster.limits import STANDARD
from wsrc.cluster.neighbour import Neighbour, Transmit, Way

LATE_S = 1.0
"""How much later than its limit something may be noticed: a ping, and the way."""


def last_why(world: World, name: str) -> str:
    return world.ends[name].downs[-1][1]


# The road begins


def test_who_hears_of_the_other_has_a_road_after_two_round_trips() -> None:
    world = World()
    world.run(0.005)
    assert world.east.up
    assert world.west.up
    assert world.east.neighbour.run == world.west.run
    assert world.west.neighbour.run == world.east.run
    assert world.east.neighbour.features == {"one", "two"}
    assert world.counts["datagrams"] <= 8


@pytest.mark.parametrize("deaf", NAMES)
def test_it_is_enough_that_one_of_them_hears_of_the_other(deaf: str) -> None:
    world = World()
    hears = world.ends[world.ends[deaf].other]
    world.ends[deaf].neighbour.here = lambda *_: []  # type: ignore[method-assign]
    world.run(1.5)
    assert hears.up
    assert world.ends[deaf].up


def test_nothing_is_sent_where_there_is_no_road() -> None:
    neighbour = Neighbour(me_of("east", None), "west", 0.0)
    assert not neighbour.up
    assert neighbour.send(b"x", 0.0) == []
    assert neighbour.send_all([b"x"], 0.0) == []
    assert neighbour.close(0.0) == []
    assert neighbour.tick(0.0) == []
    assert neighbour.deadline() is None


def test_an_item_may_have_2_mib() -> None:
    world = World.up()
    world.send("east", MAX_ITEM_OCTETS)
    world.send("west", 100)
    world.run(0.2)
    world.check_all_came()
    assert len(world.west.items[0]) == MAX_ITEM_OCTETS
    with pytest.raises(ValueError, match="octets at most"):
        world.east.neighbour.send(bytes(MAX_ITEM_OCTETS + 1), world.now)
    assert world.east.up


def test_commands_and_answers_are_as_many_datagrams_and_small_ones_share() -> None:
    world = World.up()
    before = world.counts["datagrams"]
    for _ in range(100):
        world.send("east", 60)
        world.run(0.02)
        world.send("west", 60)
        world.run(0.02)
    assert world.counts["datagrams"] - before <= 205
    before = world.counts["datagrams"]
    world.send("east", 60, count=500)
    world.run(0.05)
    assert world.counts["datagrams"] - before <= 2
    world.run(1.0)
    world.check_all_came()


# A network that is not good


def test_one_per_cent_of_loss_costs_no_road_and_few_datagrams() -> None:
    world = World(seed=5)
    world.run(0.5)
    world.loss = 0.01
    before = world.counts["datagrams"]
    for _ in range(5_000):
        world.send("east", 60)
        world.send("west", 60)
        world.run(0.01)
    cost = (world.counts["datagrams"] - before) / 10_000
    world.run(3.0)
    world.check_all_came()
    assert world.counts["lost"] > 50
    assert world.east.downs == world.west.downs == []
    assert cost < 1.05


def test_half_of_all_lost_and_all_in_disorder_delivers_each_item_once() -> None:
    world = World(seed=6)
    world.run(0.5)
    world.loss, world.twice, world.late, world.late_s = 0.5, 0.3, 0.5, 0.2
    for _ in range(200):
        world.send("east", 60)
        world.run(0.05)
        world.check()
    world.heal()
    world.run(5.0)
    world.check()
    assert world.counts["delivered"] > 100


def test_nats_that_is_slow_by_2_s_costs_no_road() -> None:
    world = World.up()
    world.delay_s = 2.0
    for _ in range(300):
        world.send("east", 60)
        world.run(0.1)
    world.run(10.0)
    world.check_all_came()
    assert world.east.downs == world.west.downs == []


def test_nodes_greet_each_other_though_nats_is_slow_by_2_s() -> None:
    world = World()
    world.delay_s = 2.0
    world.run(12.0)
    assert world.east.up
    assert world.west.up
    assert world.east.downs == world.west.downs == []


@pytest.mark.parametrize("deaf", NAMES)
def test_where_nothing_comes_any_more_both_ends_are_down_in_time(deaf: str) -> None:
    world = World.up()
    world.cut |= {(deaf, Way.NATS)}
    world.run(4.0 + LATE_S)
    assert not world.east.up
    assert not world.west.up
    assert last_why(world, deaf) == "it was silent for 4 s"
    other = world.ends[deaf].other
    assert last_why(world, other) == "it ended the road: this node was silent for 4 s"
    world.heal()
    world.run(2.5)
    assert world.east.up
    assert world.west.up


def test_a_frozen_node_is_noticed_and_finds_out_itself() -> None:
    world = World.up()
    world.freeze("west")
    world.send("east", 60)
    world.run(4.0 + LATE_S)
    assert last_why(world, "east") == "it was silent for 4 s"
    assert world.west.up
    world.run(30.0)
    delivered = world.counts["delivered"]
    world.thaw("west")
    assert world.counts["delivered"] == delivered
    assert last_why(world, "west") == "it was silent for 4 s"
    world.run(1.5)
    assert world.east.up
    assert world.west.up
    world.send("east", 60)
    world.run(0.5)
    world.check_all_came()


def test_who_takes_less_than_is_sent_is_down_and_the_next_road_is_empty() -> None:
    world = World.up()
    world.freeze("west")
    for _ in range(5):
        world.send("east", MAX_ITEM_OCTETS - 10)
    assert last_why(world, "east") == "it is slow: it takes less than is sent to it"
    world.thaw("west")
    world.run(2.0)
    world.send("east", 10)
    world.run(0.5)
    assert world.east.up
    world.check_all_came()


def test_a_caller_that_is_not_heard_after_its_proof_is_given_up_a_little_later() -> None:
    world = World()
    world.run(0.0035)
    assert world.west.up
    assert not world.east.up
    world.cut |= {(name, Way.NATS) for name in NAMES}
    world.run(2 * STANDARD.silent_s + 0.1)
    assert last_why(world, "west") == "it was silent for 4 s"
    world.heal()
    world.run(15.0)
    assert world.east.up
    assert world.west.up


# Runs


@pytest.mark.parametrize("name", NAMES)
def test_a_node_that_goes_is_missed_at_once_and_its_next_run_taken(name: str) -> None:
    world = World.up()
    other = world.ends[world.ends[name].other]
    world.restart(name, says_so=True)
    world.run(0.01)
    assert last_why(world, other.name) == "it ended the road: it goes"
    world.run(1.1)
    assert other.neighbour.run == world.ends[name].run
    world.send("east")
    world.send("west")
    world.run(0.5)
    world.check_all_came()


@pytest.mark.parametrize("name", NAMES)
def test_the_next_run_of_a_node_that_was_killed_is_taken_within_seconds(name: str) -> None:
    world = World.up()
    other = world.ends[world.ends[name].other]
    world.restart(name, says_so=False)
    world.run(4.0)
    assert other.neighbour.run == world.ends[name].run
    assert [why for _, why in other.downs] == ["it has started anew"]
    assert other.refused == []


def test_what_an_old_run_said_is_nothing_to_the_next() -> None:
    world = World.up()
    for _ in range(3):
        world.send("east", 60)
    old = list(world.passed)
    world.run(0.1)
    world.restart("east", says_so=False)
    world.run(5.0)
    ignored = world.west.neighbour.ignored
    for flight in old:
        world.give("west", flight.octets)
    world.run(0.5)
    assert world.west.neighbour.ignored > ignored
    world.send("east", 60)
    world.run(0.5)
    world.check_all_came()
    assert len(world.west.downs) == 1


@pytest.mark.parametrize("name", NAMES)
def test_two_nodes_of_one_name_do_not_take_each_others_roads(name: str) -> None:
    world = World.up()
    other = world.ends[world.ends[name].other]
    rival = Neighbour(me_of(name, credentials(name)), other.name, world.now)
    for _ in range(80):
        for effect in other.neighbour.here(rival._me.run, world.now):
            assert not isinstance(effect, Transmit)
        for effect in rival.here(other.run, world.now):
            if isinstance(effect, Transmit):
                world.give(other.name, effect.octets)
        deadline = rival.deadline()
        if deadline is not None and deadline <= world.now:
            for effect in rival.tick(world.now):
                if isinstance(effect, Transmit):
                    world.give(other.name, effect.octets)
        world.run(0.25)
    assert other.downs == []
    assert not rival.up
    if name == "east":  # it calls, and so is heard
        (why,) = other.refused
        assert "no two nodes of a cluster have one name" in why
