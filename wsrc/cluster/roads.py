# SPDX-License-Identifier: Apache-2.0
"""All other nodes that were heard of, and the roads to them."""

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

import msgspec

from wsrc.cluster import items
from wsrc.cluster.departures import Departures
from wsrc.cluster.effects import Ask, Carried, Flush, Publish, Reach, Straight
from wsrc.cluster.names import Names
from wsrc.cluster.neighbour import Delivered, Down, Effect, Neighbour, Refused, Transmit, Up, Way
from wsrc.relay.timers import Timers

HERE_S = 1.0
"""How often a node says that it is here, in seconds."""

MAX_NODES = 256
"""Other nodes that are known at a time."""

MAX_URL = 2_048
"""Characters of the URL of a node."""

ALONE = 0
"""The number of the question whether anybody else is there."""

Make = Callable[[str, float], Neighbour]
"""Makes what is kept of another node, of its name and the time."""


class Came(NamedTuple):
    """There is a road to a node; `features` is what both can do."""

    node: str
    features: frozenset[str]


class Lost(NamedTuple):
    """There is none any more."""

    node: str
    why: str


class Said(NamedTuple):
    """A node has said something."""

    node: str
    octets: bytes


class Strange(NamedTuple):
    """A greeting came to nothing; `why` is a clause whose subject is the node."""

    node: str
    why: str


class Twin(NamedTuple):
    """Another node has our name."""


Event = Came | Lost | Said | Strange | Twin


class Roads:
    """
    The roads of a node.

    `events` is what has happened and was not looked at yet.

    Args:
        names: Of the node.
        run: Of this run of it.
        make: Makes what is kept of another node.
        carry: Is given what is to be carried.
        url: Where others reach this node without NATS; empty where they cannot.
    """

    def __init__(
        self, names: Names, run: str, make: Make, carry: Callable[[Carried], None], url: str = ""
    ) -> None:
        self.events: deque[Event] = deque()
        self._names, self._run, self._make, self._carry = names, run, make, carry
        self._url = url
        self._here = msgspec.msgpack.encode((names.node, run))
        self._urls: dict[str, str] = {}
        self._neighbours: dict[str, Neighbour] = {}
        self._places: dict[str, int] = {}
        self._up: dict[str, None] = {}
        self._clock: Timers[str] = Timers()
        self._due: dict[str, float] = {}
        self._waiting: dict[str, Departures] = {}
        self._flushes = False
        self._here_at = 0.0
        self._twin = False

    @property
    def up(self) -> Sequence[str]:
        """The names of the nodes to which there is a road."""
        return tuple(self._up)

    @property
    def nodes(self) -> dict[str, bool]:
        """The names of all nodes to which there was a road, and whether there is one now."""
        return {name: name in self._up for name in self._places}

    def __contains__(self, node: object) -> bool:
        return node in self._up

    def place(self, node: str) -> int:
        """Return the place of a node: from 1 on, in the order in which they were there first."""
        return self._places[node]

    def name(self, place: int) -> str | None:
        """Return the node at a place."""
        return next(itertools.islice(self._places, place - 1, None), None) if place > 0 else None

    def here(self, octets: bytes, now: float) -> None:
        """Take note of a node that says that it is here."""
        try:
            name, run, *_ = msgspec.msgpack.decode(octets, type=tuple[str, ...])
        except (msgspec.DecodeError, ValueError):
            return
        if name == self._names.node:
            if run != self._run and not self._twin:
                self._twin = True
                self.events.append(Twin())
            return
        neighbour = self._neighbour(name, now)
        if neighbour is not None:
            self._follow(name, neighbour.here(run, now))

    def received(self, sender: str, datagram: bytes, now: float, way: Way = Way.NATS) -> None:
        """Take a datagram that came under the name of a node."""
        neighbour = self._neighbour(sender, now)
        if neighbour is not None:
            self._follow(sender, neighbour.received(datagram, now, way))
            if sender in self._waiting and not self._flushes:
                self._depart(sender, now)

    def reached(self, node: str, now: float, *, is_there: bool) -> None:
        """Take note of a connection to a node besides NATS, or of its end."""
        neighbour = self._neighbours.get(node)
        if neighbour is not None:
            self._follow(node, neighbour.way_is(Way.DIRECT, now, is_there=is_there))

    def send(self, node: str, item: items.Item) -> None:
        """Send a node an item with the next `flush`, if there is a road to it."""
        if node not in self._up:
            return
        if not self._flushes:
            self._flushes = True
            self._carry(Flush())
        self._waiting.setdefault(node, Departures()).put(items.encode(item))

    def judge(self, now: float) -> None:
        """End the roads to nodes whose certificates are not believed any more."""
        for name in self.up:
            self._follow(name, self._neighbours[name].judge(now))

    def show(self) -> None:
        """Show all other nodes the certificates that this one has by now."""
        for node in self.up:
            chain, signature = self._neighbours[node].shows()
            if chain:
                self.send(node, items.Shown(chain, signature))

    def told(self, node: str, item: items.At | items.Shown, now: float) -> None:
        """Take where a node can be reached without NATS, or the certificates that it has by now."""
        if isinstance(item, items.Shown):
            self._follow(node, self._neighbours[node].shown(item.chain, item.signature, now))
        elif len(item.url) <= MAX_URL:
            self._look_at(node, item.url)

    def flush(self, now: float) -> None:
        """Send what waits, to each node together, as far as it takes so much."""
        self._flushes = False
        for node in list(self._waiting):
            self._depart(node, now)

    def close(self, now: float) -> None:
        """End all roads."""
        self.flush(now)
        for name, neighbour in self._neighbours.items():
            self._follow(name, neighbour.close(now))
        self._clock = Timers()
        self._here_at = inf

    @property
    def soonest(self) -> float:
        """No deadline is before it."""
        return min(self._here_at, self._clock.soonest)

    def deadline(self) -> float:
        """Return when `tick` is due."""
        due = self._clock.next()
        return self._here_at if due is None else min(due, self._here_at)

    def say_soon(self, now: float) -> None:
        """Have it said at once that the node is here."""
        self._here_at = now

    def ask_who_is_there(self) -> None:
        """Say that the node is here, and be told if nobody hears it."""
        self._carry(Ask(self._names.here, self._here, ALONE))

    def tick(self, now: float) -> None:
        """Act on the deadlines that have come."""
        if now >= self._here_at:
            self._here_at = now + HERE_S
            self._carry(Publish(self._names.here, self._here))
            self.judge(now)
        for _ in range(len(self._clock)):
            name = self._clock.pop(now)
            if name is None:
                break
            del self._due[name]  # it may be looked at too soon, and is asked anew then
            self._follow(name, self._neighbours[name].tick(now))

    def _depart(self, node: str, now: float) -> None:
        """Send what waits for a node, as far as it takes so much; what it never takes ends it."""
        waiting, neighbour = self._waiting[node], self._neighbours[node]
        road = neighbour.road
        unacked = road.unacked if road is not None else (0, 0)
        said = waiting.take_all() if waiting.too_many else waiting.take(unacked)
        if not waiting:
            del self._waiting[node]
        if said:
            self._follow(node, neighbour.send_all(said, now))

    def _look_at(self, name: str, url: str) -> None:
        """Connect to a node that can be reached: of two that can, the first by name does."""
        calls = url and (self._names.node < name or not self._url)
        url = url if calls and name in self._up else ""
        if url != self._urls.get(name, ""):
            self._urls[name] = url
            self._carry(Reach(name, url))

    def _neighbour(self, name: str, now: float) -> Neighbour | None:
        """Return what is known of a node, which may be new."""
        neighbour = self._neighbours.get(name)
        if neighbour is not None or name == self._names.node:
            return neighbour
        if len(self._neighbours) >= MAX_NODES and not self._forget_one():
            return None
        neighbour = self._neighbours[name] = self._make(name, now)
        return neighbour

    def _forget_one(self) -> bool:
        """Forget the node without a road that was silent for longest; names can be forged."""
        idle = [each for each in self._neighbours.values() if not each.up]
        if not idle:
            return False
        name = min(idle, key=lambda each: each.noted_at).name
        del self._neighbours[name]
        self._clock.clear(name)
        self._due.pop(name, None)
        self._urls.pop(name, None)
        return True

    def _follow(self, name: str, effects: Sequence[Effect]) -> None:
        """Do what follows from an event of a road."""
        for effect in effects:
            match effect:
                case Transmit(way=Way.DIRECT):
                    self._carry(Straight(name, effect.octets))
                case Transmit():
                    self._carry(Publish(self._names.road(name), effect.octets))
                case Delivered():
                    self.events.append(Said(name, effect.octets))
                case Up():
                    self._up[name] = None
                    if self._url:
                        self.send(name, items.At(self._url))
                    self._places.setdefault(name, len(self._places) + 1)
                    self.events.append(Came(name, effect.features))
                case Refused():
                    self.events.append(Strange(name, effect.why))
                case Down():
                    if name in self._up:
                        del self._up[name]
                        self._waiting.pop(name, None)
                        self._look_at(name, "")
                        self.events.append(Lost(name, effect.why))
        deadline = self._neighbours[name].deadline()
        due = self._due.get(name, inf)
        if deadline is not None and deadline < due:
            self._due[name] = deadline
            self._clock.set(name, deadline)
