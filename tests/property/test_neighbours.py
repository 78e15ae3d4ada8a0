# SPDX-License-Identifier: Apache-2.0
"""Two nodes of a cluster, and whatever a network and a forger can do to what they say."""

import os
from collections import Counter

import hypothesis
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.nodes import NAMES, Flight, World
from wsrc.cluster.limits import Limits
from wsrc.cluster.neighbour import Way

EXAMPLES = max(settings.default.max_examples, 1_000 if os.environ.get("CI") == "true" else 0)
LIMITS = Limits(
    unacked_octets=6_000,
    unacked_items=40,
    ahead_octets=3_000,
    datagram_octets=500,
    shared_octets=200,
    ack_items=8,
    ack_octets=2_000,
    burst_octets=1_500,
)
LONG_S = 20.0
ENDS = st.sampled_from(NAMES)
WAYS = st.sampled_from(Way)
SHARES = st.sampled_from([0.0, 0.0, 0.01, 0.1, 0.5, 1.0])
SECONDS = st.sampled_from([0.0, 0.001, 0.02, 0.1, 0.5, 1.0, 1.6, 3.9, 4.1, 12.0])
SIZES = st.sampled_from([0, 60, 499, 501, 1_200, 2_500])
FORGED = st.sampled_from([b"", b"s", b"k", b"h", b"a", b"p", b"r", b"r\xff\n", b"x", b"s" * 40])


class NeighboursMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.world = World(LIMITS, seed)
        self.world.run(1.0)

    @rule(name=ENDS, octets=SIZES, count=st.sampled_from([1, 1, 1, 5, 30]))
    def a_node_sends(self, name: str, octets: int, count: int) -> None:
        self.world.send(name, octets, count)

    @rule(name=ENDS, seconds=st.sampled_from([0.0, 0.01, 0.2]))
    def a_node_sends_what_is_answered(self, name: str, seconds: float) -> None:
        other = self.world.ends[name].other
        for _ in range(3):
            self.world.send(name, 60)
            self.world.run(seconds)
            self.world.send(other, 60)
            self.world.run(seconds)

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(share=SHARES)
    def the_network_loses(self, share: float) -> None:
        self.world.loss = share

    @rule(share=SHARES)
    def the_network_doubles(self, share: float) -> None:
        self.world.twice = share

    @rule(share=SHARES, seconds=SECONDS)
    def the_network_delays_some(self, share: float, seconds: float) -> None:
        self.world.late, self.world.late_s = share, seconds

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.1, 2.0]))
    def the_network_delays_all(self, seconds: float) -> None:
        self.world.delay_s = seconds

    @rule(name=ENDS, way=WAYS)
    def nothing_comes_to(self, name: str, way: Way) -> None:
        self.world.cut.add((name, way))

    @rule(name=ENDS, is_there=st.booleans())
    def a_node_has_a_direct_way(self, name: str, is_there: bool) -> None:
        end = self.world.ends[name]
        self.world.do(end, end.neighbour.way_is(Way.DIRECT, self.world.now, is_there=is_there))

    @rule(name=ENDS)
    def a_node_freezes(self, name: str) -> None:
        self.world.freeze(name)

    @rule(name=ENDS)
    def a_node_goes_on(self, name: str) -> None:
        if self.world.ends[name].frozen:
            self.world.thaw(name)

    @rule(name=ENDS, says_so=st.booleans())
    def a_node_starts_anew(self, name: str, says_so: bool) -> None:
        self.world.restart(name, says_so=says_so)

    @rule(pick=st.integers(0, 50), way=WAYS)
    def somebody_repeats_what_was_said(self, pick: int, way: Way) -> None:
        flight = self._passed(pick)
        if flight is not None:
            self.world.give(flight.to, flight.octets, way)

    @rule(pick=st.integers(0, 50))
    def somebody_gives_it_to_its_sender(self, pick: int) -> None:
        flight = self._passed(pick)
        if flight is not None:
            self.world.give(self.world.ends[flight.to].other, flight.octets)

    @rule(pick=st.integers(0, 50), at=st.integers(0, 400), bit=st.integers(0, 7))
    def somebody_changes_it(self, pick: int, at: int, bit: int) -> None:
        flight = self._passed(pick)
        if flight is not None:
            octets = bytearray(flight.octets)
            octets[at % len(octets)] ^= 1 << bit
            self.world.give(flight.to, bytes(octets))

    @rule(pick=st.integers(0, 50), length=st.integers(0, 400))
    def somebody_cuts_it(self, pick: int, length: int) -> None:
        flight = self._passed(pick)
        if flight is not None:
            self.world.give(flight.to, flight.octets[:length])

    @rule(name=ENDS, octets=FORGED, count=st.sampled_from([1, 30]))
    def somebody_forges(self, name: str, octets: bytes, count: int) -> None:
        for _ in range(count):
            self.world.give(name, octets)

    @rule(name=ENDS, run=st.sampled_from(["", "0" * 16, "f" * 16, "g" * 16, "é" * 16]))
    def somebody_says_that_another_run_is_there(self, name: str, run: str) -> None:
        end = self.world.ends[name]
        if not end.frozen:
            self.world.do(end, end.neighbour.here(run, self.world.now))

    @rule()
    def all_is_well(self) -> None:
        self.world.heal()

    @invariant()
    def each_item_comes_once_and_in_order(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def _passed(self, pick: int) -> Flight | None:
        passed = self.world.passed
        return passed[pick % len(passed)] if passed else None

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        for name in NAMES:
            hypothesis.event(f"downs of {name}: {min(3, len(world.ends[name].downs))}")
        settle(world)


def settle(world: World) -> None:
    """Heal the network; see that both nodes have a road, and that all that is sent comes."""
    world.heal()
    world.run(LONG_S)
    assert world.east.up
    assert world.west.up
    assert world.east.neighbour.run == world.west.run
    assert world.west.neighbour.run == world.east.run
    before = {name: len(world.ends[name].downs) for name in NAMES}
    for name in NAMES:
        for octets in (0, 501, 2_500):
            world.send(name, octets)
    world.run(1.0)
    world.check()
    for name in NAMES:
        end = world.ends[name]
        assert end.next == world.ends[end.other].sent
        assert end.neighbour.road is not None
        assert end.neighbour.road.unacked == (0, 0)
        assert len(end.downs) == before[name]


TestNeighbours = NeighboursMachine.TestCase
TestNeighbours.settings = settings(max_examples=EXAMPLES, stateful_step_count=40)


def test_what_can_happen_does_happen() -> None:
    why: Counter[str] = Counter()
    for seed in range(60):
        world = World(LIMITS, seed)
        world.run(1.0)
        for step in range(25):
            draw = (seed * 31 + step * 17) % 11
            name = NAMES[(seed + step) % 2]
            match draw:
                case 0:
                    world.loss = 0.3
                case 1:
                    world.freeze(name)
                case 2:
                    world.restart(name, says_so=bool(step % 2))
                case 3:
                    world.cut.add((name, Way.NATS))
                case 4 | 5:
                    world.heal()
                case 6:
                    world.send(name, 60, 100)
                case _:
                    world.send(name, 600)
            world.run((0.0, 0.01, 1.0, 5.0)[(seed + draw) % 4])
            world.check()
        settle(world)
        for end in world.ends.values():
            why.update(text.split(":")[0] for _, text in end.downs)
    assert set(why) >= {
        "it was silent for 4 s",
        "it has started anew",
        "it ended the road",
        "it is slow",
    }
