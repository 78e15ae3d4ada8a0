# SPDX-License-Identifier: Apache-2.0
"""Two nodes as neighbours: when there is a road, when it is down, and who is told what."""

import secrets

import pytest

from tests.support.nodes import NAMES, World, credentials, days_later, me_of
from tests.support.sealing import Ca
from wsrc.certs.making import Kind
from wsrc.cluster.credentials import Credentials, Nodes
from wsrc.cluster.datagrams import MAX_ITEM_OCTETS
from wsrc.cluster.greeting import Caller
from wsrc.cluster.limits import STANDARD
from wsrc.cluster.neighbour import ANSWER, HELLO, KNOCK, REFUSAL, Neighbour, Refused, Transmit, Way
from wsrc.net.certificates import subject_of

LATE_S = 1.0
"""How much later than its limit something may be noticed: a ping, and the way."""


def world_up() -> World:
    world = World()
    world.run(0.5)
    assert world.east.up
    assert world.west.up
    return world


def all_came(world: World) -> None:
    world.check()
    for name in NAMES:
        end = world.ends[name]
        assert end.next == world.ends[end.other].sent


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
    world = world_up()
    world.send("east", MAX_ITEM_OCTETS)
    world.send("west", 100)
    world.run(0.2)
    all_came(world)
    assert len(world.west.items[0]) == MAX_ITEM_OCTETS
    with pytest.raises(ValueError, match="octets at most"):
        world.east.neighbour.send(bytes(MAX_ITEM_OCTETS + 1), world.now)
    assert world.east.up


def test_commands_and_answers_are_as_many_datagrams_and_small_ones_share() -> None:
    world = world_up()
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
    all_came(world)


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
    all_came(world)
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
    world = world_up()
    world.delay_s = 2.0
    for _ in range(300):
        world.send("east", 60)
        world.run(0.1)
    world.run(10.0)
    all_came(world)
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
    world = world_up()
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
    world = world_up()
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
    all_came(world)


def test_who_takes_less_than_is_sent_is_down_and_the_next_road_is_empty() -> None:
    world = world_up()
    world.freeze("west")
    for _ in range(5):
        world.send("east", MAX_ITEM_OCTETS - 10)
    assert last_why(world, "east") == "it is slow: it takes less than is sent to it"
    world.thaw("west")
    world.run(2.0)
    world.send("east", 10)
    world.run(0.5)
    assert world.east.up
    all_came(world)


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
    world = world_up()
    other = world.ends[world.ends[name].other]
    world.restart(name, says_so=True)
    world.run(0.01)
    assert last_why(world, other.name) == "it ended the road: it goes"
    world.run(1.1)
    assert other.neighbour.run == world.ends[name].run
    world.send("east")
    world.send("west")
    world.run(0.5)
    all_came(world)


@pytest.mark.parametrize("name", NAMES)
def test_the_next_run_of_a_node_that_was_killed_is_taken_within_seconds(name: str) -> None:
    world = world_up()
    other = world.ends[world.ends[name].other]
    world.restart(name, says_so=False)
    world.run(4.0)
    assert other.neighbour.run == world.ends[name].run
    assert [why for _, why in other.downs] == ["it has started anew"]
    assert other.refused == []


def test_what_an_old_run_said_is_nothing_to_the_next() -> None:
    world = world_up()
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
    all_came(world)
    assert len(world.west.downs) == 1


@pytest.mark.parametrize("name", NAMES)
def test_two_nodes_of_one_name_do_not_take_each_others_roads(name: str) -> None:
    world = world_up()
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


# Who is not taken


def wrong_world(kind: Kind = Kind.USER) -> World:
    """Return a world whose east has a certificate that is for something else."""
    return World(given=(credentials("east", kind), credentials("west")))


def test_a_node_that_is_refused_is_told_and_both_say_so_once_a_minute() -> None:
    world = wrong_world()
    world.run(50.0)
    assert not world.east.up
    assert not world.west.up
    said = "shows a certificate that is for WSRC user, not for a node"
    assert world.west.refused == [f"it {said}"]
    assert world.east.refused == [f"it refuses this node, which {said}"]
    world.run(150.0)
    assert 2 <= len(world.west.refused) <= 5
    assert set(world.west.refused) == {f"it {said}"}
    assert len(world.east.refused) <= 5


def test_the_caller_refuses_as_well() -> None:
    stranger = Ca("another CA")
    given = Credentials(
        stranger.identity("west", Kind.NODE), Nodes([stranger.certificate], subject_of)
    )
    world = World(given=(credentials("east"), given))
    world.run(30.0)
    assert not world.east.up
    assert not world.west.up
    assert world.east.refused[0].startswith("it shows a certificate that is not good at ")
    assert world.west.refused[0].startswith("it refuses this node, which shows a certificate ")


def test_a_node_that_does_not_answer_is_named() -> None:
    world = World()
    world.cut.add(("west", Way.NATS))
    world.run(0.5)
    world.do(world.east, world.east.neighbour.here(world.west.run, world.now))
    world.run(20.0)
    assert world.east.refused == ["it does not answer a greeting"]
    assert world.east.downs == []


def test_credentials_that_were_changed_count_from_the_next_greeting_on() -> None:
    world = wrong_world()
    world.run(3.0)
    world.east.given = credentials("east")
    world.restart("east", says_so=True)
    world.run(3.0)
    assert world.east.up


def test_clocks_that_are_a_day_off_are_no_obstacle() -> None:
    world = World()
    world.west.neighbour = Neighbour(
        me_of("west", credentials("west"), run=world.west.run, epoch=days_later(0.9)),
        "east",
        world.now,
    )
    world.run(1.0)
    assert world.east.up
    assert world.west.up


# Who lies


def test_nothing_that_anybody_can_say_ends_a_road() -> None:
    world = world_up()
    for turn in range(100):
        for name in NAMES:
            end = world.ends[name]
            for kind in (KNOCK, HELLO, ANSWER, b"p", REFUSAL, b"s", b"?", b""):
                world.give(name, kind + secrets.token_bytes(turn))
            world.do(end, end.neighbour.here(secrets.token_hex(8), world.now))
        world.send("east", 60)
        world.send("west", 60)
        world.run(0.1)
    world.run(1.0)
    all_came(world)
    assert world.east.downs == world.west.downs == []


def test_a_road_that_is_silent_is_not_kept_up_by_old_datagrams() -> None:
    world = world_up()
    world.send("east", 60)
    old = [flight for flight in world.passed if flight.to == "west"]
    world.run(0.5)
    world.cut |= {(name, Way.NATS) for name in NAMES}
    for _ in range(50):
        for flight in old:
            world.give("west", flight.octets)
        world.run(0.1)
    assert not world.west.up


def test_a_flood_of_greetings_costs_no_more_than_some_a_second() -> None:
    world = World()
    hello = HELLO + Caller(me_of("east", None), "west").hello
    answers = 0
    west = world.west.neighbour
    for turn in range(1_000):
        effects = west.received(hello, world.now + turn / 100)
        answers += sum(isinstance(each, Transmit) for each in effects)
    assert answers <= 20 + 100
    assert west.ignored >= 800


def test_a_flood_does_not_keep_an_honest_node_out_for_long() -> None:
    world = World()
    world.cut |= {(name, Way.NATS) for name in NAMES}
    forged = HELLO + Caller(me_of("east", None), "west").hello
    for _ in range(100):
        world.give("west", forged)
        world.give("east", b"a" + bytes(10))
    world.heal()
    world.run(5.0)
    assert world.east.up
    assert world.west.up


def test_who_says_that_a_node_is_refused_writes_little_into_the_log() -> None:
    world = World()
    said = 0
    for turn in range(1_000):
        refusal = REFUSAL + b"\x1b[2J" + str(turn).encode() + bytes(10_000)
        for effect in world.west.neighbour.received(refusal, world.now + turn / 100):
            assert isinstance(effect, Refused)
            assert effect.why.isprintable()
            assert len(effect.why) < 400
            said += 1
    assert said <= 11


# Two ways


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
    world = world_up()
    direct(world, is_there=True)
    world.run(0.1)
    used = talk(world)
    assert used[Way.DIRECT] > 190
    assert used[Way.NATS] <= 12
    direct(world, is_there=False)
    used = talk(world)
    assert used[Way.DIRECT] == 0
    world.run(2.0)
    all_came(world)
    assert world.east.downs == world.west.downs == []


@pytest.mark.parametrize("deaf", NAMES)
def test_a_direct_way_that_fails_silently_is_left_for_nats(deaf: str) -> None:
    world = world_up()
    direct(world, is_there=True)
    world.run(0.1)
    world.cut.add((deaf, Way.DIRECT))
    talk(world)
    used = talk(world)
    assert used[Way.NATS] > 90
    world.run(3.0)
    all_came(world)
    assert world.east.downs == world.west.downs == []
    world.heal()
    world.run(2.0)
    assert talk(world)[Way.NATS] <= 12


def test_a_direct_way_outlives_all_of_nats() -> None:
    world = world_up()
    direct(world, is_there=True)
    world.run(0.1)
    world.cut |= {(name, Way.NATS) for name in NAMES}
    assert talk(world, 10.0)[Way.DIRECT] > 380
    world.run(1.0)
    all_came(world)
    assert world.east.downs == world.west.downs == []


def test_the_next_road_has_the_direct_way_too() -> None:
    world = world_up()
    direct(world, is_there=True)
    world.restart("east", says_so=True)
    direct(world, is_there=True)
    world.run(2.0)
    assert talk(world)[Way.DIRECT] > 190
