# SPDX-License-Identifier: Apache-2.0
"""Nodes that are not taken as neighbours, and what those who lie can do: nothing."""

import secrets

from tests.support.nodes import NAMES, World, credentials, days_later, me_of
from tests.support.sealing import Ca
from wsrc.certs.making import Kind
from wsrc.cluster.credentials import Credentials, Nodes
from wsrc.cluster.greeting import Caller
from wsrc.cluster.neighbour import ANSWER, HELLO, KNOCK, REFUSAL, Neighbour, Refused, Transmit, Way
from wsrc.net.certificates import subject_of


def wrong_world(kind: Kind = Kind.USER) -> World:
    """Return a world whose east has a certificate that is for something else."""
    return World(given=(credentials("east", kind), credentials("west")))


def test_a_node_that_is_refused_is_told_and_both_say_so_once_a_minute() -> None:
    world = wrong_world()
    world.run(50.0)
    assert not world.east.up
    assert not world.west.up
    said = "shows a certificate that is for WSRC user, not for a node"
    assert world.west.refused == [said]
    assert world.east.refused == [f"refuses this node, which {said}"]
    world.run(150.0)
    assert 2 <= len(world.west.refused) <= 5
    assert set(world.west.refused) == {said}
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
    assert world.east.refused[0].startswith("shows a certificate that is not good at ")
    assert world.west.refused[0].startswith("refuses this node, which shows a certificate ")


def test_a_node_that_does_not_answer_is_named() -> None:
    world = World()
    world.cut.add(("west", Way.NATS))
    world.run(0.5)
    world.do(world.east, world.east.neighbour.here(world.west.run, world.now))
    world.run(20.0)
    assert world.east.refused == ["does not answer a greeting"]
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
    world = World.up()
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
    world.check_all_came()
    assert world.east.downs == world.west.downs == []


def test_a_road_that_is_silent_is_not_kept_up_by_old_datagrams() -> None:
    world = World.up()
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


def test_what_is_no_part_of_a_greeting_uses_up_nothing_of_one() -> None:
    world = World()
    for _ in range(1_000):
        world.give("west", b"a" + bytes(10))
        world.give("west", b"x")
        world.give("east", b"a" + bytes(10))
        world.give("east", b"h" + bytes(10))
    assert world.counts["datagrams"] == 0
    world.run(0.01)
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
