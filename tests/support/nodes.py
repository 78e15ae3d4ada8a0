# SPDX-License-Identifier: Apache-2.0
"""
Two nodes of a cluster as each other's neighbours, and a network between them that does anything.

Each item names its sender's run and road and its place in that road. So an item that is lost,
doubled, late, or of an old road is found when it is delivered: `World.check` says so.
"""

import heapq
import os
import random
import secrets
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import NamedTuple

from tests.support.sealing import NOW, Ca
from wsrc.certs.making import Kind
from wsrc.cluster.credentials import Credentials, Nodes
from wsrc.cluster.greeting import Me
from wsrc.cluster.limits import STANDARD, Limits
from wsrc.cluster.neighbour import Delivered, Down, Effect, Neighbour, Refused, Transmit, Up, Way
from wsrc.net.certificates import subject_of

CA = Ca("a CA of nodes")
NAMES = ("east", "west")
SUITES = ("x25519",)
PRESENCE_S = 1.0
MOST_TICKS = 100_000


@cache
def credentials(name: str, kind: Kind = Kind.NODE) -> Credentials:
    """Return what a node of this name proves itself with, with a certificate of `CA`."""
    return Credentials(CA.identity(name, kind), Nodes([CA.certificate], subject_of))


def me_of(name: str, given: Credentials | None, **fields: object) -> Me:
    """Return what a node is, with a new run."""
    wanted = {
        "cluster": "lab",
        "run": secrets.token_hex(8),
        "features": frozenset({"one", "two"}),
        "credentials": lambda: given,
        "new_nonce": lambda: os.urandom(32),
        "epoch": NOW.timestamp,
        "suites": SUITES,
    }
    return Me(name, **{**wanted, **fields})  # type: ignore[arg-type]  # fields by name


def days_later(days: float) -> Callable[[], float]:
    """Return a clock that is so many days off."""
    return (NOW + timedelta(days=days)).timestamp


class Flight(NamedTuple):
    """A datagram on its way: when it arrives, which it is, to whom, and over which way."""

    due: float
    number: int
    to: str
    octets: bytes
    way: Way


class End:
    """One node, what it was told, and what it has sent in the road that there is."""

    def __init__(self, name: str, other: str, given: Credentials | None, limits: Limits) -> None:
        self.name, self.other = name, other
        self.given, self.limits = given, limits
        self.features = frozenset({"one", "two"})
        self.run = ""
        self.frozen = False
        self.buffer: list[tuple[bytes, Way]] = []
        self.ups: list[float] = []
        self.downs: list[tuple[float, str]] = []
        self.refused: list[str] = []
        self.sent = 0
        self.came: tuple[str, int] | None = None
        self.next = 0
        self.items: list[bytes] = []
        self.heard_here = True
        self.me: Me
        self.neighbour: Neighbour

    def start(self, now: float) -> None:
        """Start, with a new run."""
        given = {"features": self.features, "credentials": lambda: self.given}
        self.me = me_of(self.name, self.given, **given)
        self.run = self.me.run
        self.neighbour = Neighbour(self.me, self.other, now, self.limits)
        self.came, self.sent = None, 0
        self.buffer.clear()

    @property
    def up(self) -> bool:
        """Whether it has a road."""
        return self.neighbour.up


class World:
    """
    Both nodes, the network, and the time.

    Args:
        limits: Of each road.
        seed: Of what the network loses, doubles and delays.
        given: What each node proves itself with.

    Attributes:
        loss, twice, late: How many of the datagrams are lost, doubled, and delayed by up to
            `late_s`; 0 to 1.
        delay_s: How long each is on its way.
        cut: To whom nothing comes, and over which way.
        passed: All datagrams that were ever sent, the last ones.
        counts: What happened how often.
    """

    def __init__(
        self,
        limits: Limits = STANDARD,
        seed: int = 0,
        given: tuple[Credentials | None, Credentials | None] | None = None,
    ) -> None:
        self.now = 1_000.0
        self.loss = self.twice = self.late = 0.0
        self.late_s, self.delay_s = 0.3, 0.001
        self.cut: set[tuple[str, Way]] = set()
        self.passed: list[Flight] = []
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._random = random.Random(seed)
        self._wire: list[Flight] = []
        self._number = 0
        east, west = given or (credentials("east"), credentials("west"))
        self.ends = {
            "east": End("east", "west", east, limits),
            "west": End("west", "east", west, limits),
        }
        self._presence_at = self.now
        for end in self.ends.values():
            end.start(self.now)

    @classmethod
    def up(cls) -> "World":
        """Return a world in which both have a road."""
        world = cls()
        world.run(0.5)
        assert world.east.up
        assert world.west.up
        return world

    @property
    def east(self) -> End:
        """The node that calls."""
        return self.ends["east"]

    @property
    def west(self) -> End:
        """The node that is called."""
        return self.ends["west"]

    # What happens

    def run(self, seconds: float) -> None:
        """Let time pass, with all that is due in it."""
        until = self.now + seconds
        for _ in range(MOST_TICKS):
            due = self._due()
            if due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            self._happens()
        raise AssertionError("The nodes never rest.")

    def send(self, name: str, octets: int = 0, count: int = 1) -> None:
        """Send items of at least so many octets at once, if there is a road."""
        end = self.ends[name]
        if end.frozen or not end.up:
            return
        items = [self._item(end, octets) for _ in range(count)]
        if count == 1:
            self.do(end, end.neighbour.send(items[0], self.now))
        else:
            self.do(end, end.neighbour.send_all(items, self.now))

    def freeze(self, name: str) -> None:
        """Stop a node; what comes for it waits."""
        self.ends[name].frozen = True

    def thaw(self, name: str) -> None:
        """Let it go on: it reads what has come, and only then looks at the clock."""
        end = self.ends[name]
        end.frozen = False
        came, end.buffer = end.buffer, []
        for octets, way in came:
            self.do(end, end.neighbour.received(octets, self.now, way))

    def restart(self, name: str, *, says_so: bool) -> None:
        """Kill a node, or end it, and start it anew."""
        end = self.ends[name]
        if says_so and not end.frozen:
            self.do(end, end.neighbour.close(self.now))
        end.frozen = False
        end.start(self.now)

    def give(self, name: str, octets: bytes, way: Way = Way.NATS) -> None:
        """Have a node receive a datagram that anybody may have made."""
        end = self.ends[name]
        if end.frozen:
            end.buffer.append((octets, way))
        else:
            self.do(end, end.neighbour.received(octets, self.now, way))

    def heal(self) -> None:
        """Have a network that does what it should, and both nodes run."""
        self.loss = self.twice = self.late = 0.0
        self.delay_s = 0.001
        self.cut.clear()
        for name in NAMES:
            if self.ends[name].frozen:
                self.thaw(name)

    # What must hold

    def check(self) -> None:
        """Check that no item was lost, doubled, or out of its turn, and that memory is bounded."""
        assert self.wrong == []
        for end in self.ends.values():
            road = end.neighbour.road
            if road is not None:
                items, octets = road.unacked
                assert 0 <= items <= end.limits.unacked_items
                assert 0 <= octets <= end.limits.unacked_octets

    def check_all_came(self) -> None:
        """Check that all came that was sent in the road that there is."""
        self.check()
        for end in self.ends.values():
            assert end.next == self.ends[end.other].sent

    # Within

    def do(self, end: End, effects: list[Effect]) -> None:
        """Do what a node wants done."""
        for effect in effects:
            match effect:
                case Transmit():
                    self._transmit(end, effect)
                case Up():
                    end.ups.append(self.now)
                    end.sent, end.came = 0, None
                    assert effect.features == {"one", "two"}
                case Down():
                    end.downs.append((self.now, effect.why))
                    end.came = ("", -1)
                case Refused():
                    end.refused.append(effect.why)
                case Delivered():
                    self._came(end, effect.octets)

    def _item(self, end: End, octets: int) -> bytes:
        head = f"{end.run} {len(end.ups)} {end.sent} ".encode()
        end.sent += 1
        return head + bytes(max(0, octets - len(head)))

    def _came(self, end: End, item: bytes) -> None:
        run, road, number, _ = item.split(b" ", 3)
        whose = run.decode(), int(road)
        if end.came is None:
            end.came, end.next = whose, 0
        if whose != end.came or int(number) != end.next:
            self.wrong.append(f"{end.name} has {item[:40]!r}, not {end.next} of {end.came}")
        end.next += 1
        end.items.append(item)
        self.counts["delivered"] += 1

    def _transmit(self, end: End, effect: Transmit) -> None:
        self.counts["datagrams"] += 1
        self.counts[f"over {effect.way.name}"] += 1
        flight = Flight(self.now + self.delay_s, self._number, end.other, effect.octets, effect.way)
        self.passed = [*self.passed[-50:], flight]
        if (end.other, effect.way) in self.cut or self._random.random() < self.loss:
            self.counts["lost"] += 1
            return
        for _ in range(2 if self._random.random() < self.twice else 1):
            self._number += 1
            late = self._random.random() * self.late_s if self._random.random() < self.late else 0
            due = flight.due + late
            heapq.heappush(self._wire, flight._replace(due=due, number=self._number))

    def _due(self) -> float:
        due = self._presence_at
        if self._wire:
            due = min(due, self._wire[0].due)
        for end in self.ends.values():
            deadline = end.neighbour.deadline()
            if deadline is not None and not end.frozen:
                due = min(due, deadline)
        return due

    def _happens(self) -> None:
        while self._wire and self._wire[0].due <= self.now:
            flight = heapq.heappop(self._wire)
            self.give(flight.to, flight.octets, flight.way)
        for end in self.ends.values():
            deadline = end.neighbour.deadline()
            if deadline is not None and deadline <= self.now and not end.frozen:
                self.counts["ticks"] += 1
                self.do(end, end.neighbour.tick(self.now))
        if self._presence_at <= self.now:
            self._presence_at += PRESENCE_S
            for end in self.ends.values():
                if not end.frozen:
                    self.do(end, end.neighbour.judge(self.now))
                hears = self.ends[end.other]
                if not end.frozen and not hears.frozen and (end.other, Way.NATS) not in self.cut:
                    self.do(hears, hears.neighbour.here(end.run, self.now))
