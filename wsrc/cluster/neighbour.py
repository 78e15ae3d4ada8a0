# SPDX-License-Identifier: Apache-2.0
"""
What a node knows of another node: the greeting, and the road to it once both have greeted.

Whose name is the smaller calls, whenever it hears of a run of the other to which it has no road;
the other asks it to, by a knock. A greeting goes on beside a road that there is, and replaces it
once both have proved who they are: nothing that anybody can forge ends a road.

A run that is alive is not given up for another one under the same name: of two nodes that are
called the same the first keeps its roads, and a node that was killed and started again has them a
moment after its old run fell silent.
"""

from math import inf

import msgspec

from wsrc.cluster.boxes import NUMBER_OCTETS, SEALED
from wsrc.cluster.credentials import GreetingError
from wsrc.cluster.greeting import RUN_DIGITS, Answerer, Caller, Greeted, Me
from wsrc.cluster.road import STANDARD, Delivered, Down, Limits, Road, RoadEffect, Transmit, Way

__all__ = ["Delivered", "Down", "Effect", "Limits", "Me", "Neighbour", "Refused", "Transmit", "Up"]


class Up(msgspec.Struct, frozen=True):
    """Take note that there is a road to this run, and what both nodes can do."""

    run: str
    features: frozenset[str]


class Refused(msgspec.Struct, frozen=True):
    """Take note that a greeting came to nothing; a clause whose subject is the other node."""

    why: str


Effect = Transmit | Up | Delivered | Down | Refused

KNOCK, HELLO, ANSWER, PROOF = b"k", b"h", b"a", b"p"
"""First octet of a datagram that is not sealed."""

_TWO_OF_A_NAME = (
    "greets while another run of the same name is alive; two nodes of a cluster cannot be called "
    "the same"
)
_ALIVE_S = 1.5
_KNOCK_S = 0.9
_AGAIN_S, _MOST_AGAIN_S, _GIVE_UP_S = 0.5, 2.0, 10.0
_WORK, _WORK_PER_S = 20.0, 10.0
_SAY_S, _SAY_AGAIN_S = 1.0, 60.0


class Neighbour:
    """
    Another node.

    Each method that takes an event returns what is to be done, in order. `now` is in seconds of a
    clock that never goes back.

    Args:
        me: This node.
        name: What the other is called.
        now: The time.
        limits: What a road to it may cost.

    Attributes:
        name: What it is called.
        run: Of the road that there is; empty without one.
        features: What both nodes can do; empty without a road.
        ignored: Datagrams that were no part of a road or of a greeting that goes on.
    """

    def __init__(self, me: Me, name: str, now: float, limits: Limits = STANDARD) -> None:
        self.name = name
        self.run, self.features = "", frozenset[str]()
        self.ignored = 0
        self._me, self._limits = me, limits
        self._calls = me.name < name
        self._road: Road | None = None
        self._agreed: Greeted | None = None
        self._caller: Caller | None = None
        self._answerer = Answerer(me, name)
        self._pending: Greeted | None = None
        self._greeting = b""
        self._again_at, self._again_s, self._give_up_at = inf, 0.0, inf
        self._knocked_at = -inf
        self._work, self._worked_at = _WORK, now
        self._refused, self._refused_at = "", -inf

    @property
    def up(self) -> bool:
        """Whether there is a road."""
        return self._road is not None

    @property
    def road(self) -> Road | None:
        """The road, for its figures."""
        return self._road

    # Events

    def here(self, run: str, now: float) -> list[Effect]:
        """Take note that a run of it said that it is there; whoever says so may lie."""
        effects = self._expired(now)
        if not _is_run(run) or run == self.run:
            return effects
        if self._is_alive(now):
            return effects
        if self._calls:
            return effects + self._call(now)
        if now - self._knocked_at >= _KNOCK_S:
            self._knocked_at = now
            effects.append(Transmit(KNOCK + self._me.run.encode()))
        return effects

    def received(self, datagram: bytes, now: float, way: Way = Way.NATS) -> list[Effect]:
        """Act on a datagram that came under its name."""
        if datagram[:1] == SEALED:
            return self._opened(datagram, now, way)
        effects = self._expired(now)
        if datagram[:1] == KNOCK:
            return effects + self._knocked(datagram[1:], now)
        if not self._may_work(now):
            self.ignored += 1
            return effects
        try:
            return effects + self._greeted(datagram[:1], datagram[1:], now)
        except GreetingError as exc:
            return effects + self._refuse(str(exc), now)

    def send(self, item: bytes, now: float) -> list[Effect]:
        """
        Send it an item, if there is a road.

        Raises:
            ValueError: If the item is too long; see `road.MAX_ITEM_OCTETS`.
        """
        return self._after(self._road.send(item, now)) if self._road is not None else []

    def send_all(self, items: list[bytes], now: float) -> list[Effect]:
        """
        Send it items at once, if there is a road; it costs less than one after the other.

        Raises:
            ValueError: If one is too long; none is sent then.
        """
        return self._after(self._road.send_all(items, now)) if self._road is not None else []

    def way_is(self, way: Way, now: float, *, is_there: bool) -> list[Effect]:
        """Take note that there is a way to it besides NATS, or not any more."""
        if self._road is None:
            return []
        return self._after(self._road.way_is(way, now, is_there=is_there))

    def deadline(self) -> float | None:
        """Return when `tick` is due."""
        due = self._again_at
        if self._road is not None:
            due = min(due, self._road.deadline())
        return None if due == inf else due

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects: list[Effect] = []
        if self._road is not None:
            effects += self._after(self._road.tick(now))
        if self._again_at <= now:
            effects += self._call_again(now)
        return effects

    def close(self, now: float) -> list[Effect]:
        """End the road, and any greeting, as this node goes."""
        self._forget_call()
        if self._road is None:
            return []
        return self._after(self._road.farewell("it goes"))

    # The road

    def _opened(self, datagram: bytes, now: float, way: Way) -> list[Effect]:
        """Act on a sealed datagram: of the road, or the first of the next one."""
        number = datagram[1 : 1 + NUMBER_OCTETS]
        agreed, road = self._agreed, self._road
        if road is not None and agreed is not None and agreed.boxes.number == number:
            text = agreed.boxes.open(datagram)
            if text is not None:
                return self._after(road.received(text, now, way))
        elif self._pending is not None and self._pending.boxes.number == number:
            text = self._pending.boxes.open(datagram)
            if text is not None:
                effects = self._begin(self._pending, now)
                self._forget_call()
                return effects + self._after(self._the_road.received(text, now, way))
        self.ignored += 1
        return []

    def _after(self, effects: list[RoadEffect]) -> list[Effect]:
        """Return what a road wants done; forget it where it is over."""
        if self._road is not None and self._road.over:
            self._road = self._agreed = None
            self.run, self.features = "", frozenset()
        return list[Effect](effects)

    def _expired(self, now: float) -> list[Effect]:
        """End a road that is silent for too long, before anything is made of what came."""
        road = self._road
        if road is None or now - road.heard_at < self._limits.silent_s:
            return []
        return self._after(road.tick(now))

    def _begin(self, agreed: Greeted, now: float) -> list[Effect]:
        """Have a road, instead of the one that there was."""
        effects: list[Effect] = []
        if self._road is not None:
            how = "greets anew" if agreed.run == self.run else "has started anew"
            effects = [Down(f"it {how}")]
        self._agreed = agreed
        self._road = Road(agreed.boxes.seal, now, self._limits)
        self.run, self.features = agreed.run, agreed.features
        effects.append(Up(agreed.run, agreed.features))
        return effects

    @property
    def _the_road(self) -> Road:
        assert self._road is not None
        return self._road

    def _is_alive(self, now: float) -> bool:
        """Whether a run is there that nobody else may replace."""
        return self._road is not None and now - self._road.heard_at < _ALIVE_S

    # The greeting

    def _greeted(self, kind: bytes, octets: bytes, now: float) -> list[Effect]:
        match kind:
            case b"h" if not self._calls:
                return self._hello(octets, now)
            case b"a" if self._calls:
                return self._answered(octets, now)
            case b"p" if not self._calls:
                return self._proved(octets, now)
            case _:
                self.ignored += 1
                return []

    def _knocked(self, octets: bytes, now: float) -> list[Effect]:
        run = octets[: RUN_DIGITS + 1].decode(errors="replace")
        if self._calls and _is_run(run) and not self._is_alive(now):
            return self._call(now)
        return []

    def _call(self, now: float) -> list[Effect]:
        """Greet, unless that goes on."""
        if self._caller is not None:
            return []
        self._caller = Caller(self._me, self.name)
        self._greeting = HELLO + self._caller.hello
        self._again_s, self._give_up_at = _AGAIN_S, now + _GIVE_UP_S
        self._again_at = now + _AGAIN_S
        return [Transmit(self._greeting)]

    def _call_again(self, now: float) -> list[Effect]:
        """Send the hello or the proof again, or give up until the other is heard of."""
        if now >= self._give_up_at:
            self._forget_call()
            return self._refuse("does not answer a greeting", now)
        self._again_s = min(2 * self._again_s, _MOST_AGAIN_S)
        self._again_at = now + self._again_s
        return [Transmit(self._greeting)]

    def _forget_call(self) -> None:
        self._caller = self._pending = None
        self._greeting = b""
        self._again_at = self._give_up_at = inf

    def _hello(self, octets: bytes, now: float) -> list[Effect]:
        self._check_run(self._answerer.run_of(octets), now)
        return [Transmit(ANSWER + self._answerer.hello(octets, now))]

    def _answered(self, octets: bytes, now: float) -> list[Effect]:
        if self._caller is None or self._pending is not None:
            return []
        proof, agreed = self._caller.answered(octets)
        self._check_run(agreed.run, now)
        self._pending = agreed
        self._greeting = PROOF + proof
        self._again_s, self._again_at = _AGAIN_S, now + _AGAIN_S
        return [Transmit(self._greeting)]

    def _proved(self, octets: bytes, now: float) -> list[Effect]:
        agreed = self._answerer.proved(octets, now)
        if agreed is None:
            return self._after(self._road.greet(now)) if self._road is not None else []
        self._check_run(agreed.run, now)
        effects = self._begin(agreed, now)
        return effects + self._after(self._the_road.greet(now))

    def _check_run(self, run: str, now: float) -> None:
        """
        Check that nobody else is alive under the name of a run.

        Raises:
            GreetingError: If somebody is.
        """
        if run != self.run and self._is_alive(now):
            raise GreetingError(_TWO_OF_A_NAME)

    # Bounds

    def _may_work(self, now: float) -> bool:
        """Whether a greeting may cost something now, whoever it is from."""
        self._work = min(_WORK, self._work + (now - self._worked_at) * _WORK_PER_S)
        self._worked_at = now
        if self._work < 1:
            return False
        self._work -= 1
        return True

    def _refuse(self, why: str, now: float) -> list[Effect]:
        """Say why a greeting came to nothing, but not the same again and again."""
        ago = now - self._refused_at
        if ago < (_SAY_AGAIN_S if why == self._refused else _SAY_S):
            return []
        self._refused, self._refused_at = why, now
        return [Refused(why)]


def _is_run(run: str) -> bool:
    return len(run) == RUN_DIGITS and not run.strip("0123456789abcdef")
