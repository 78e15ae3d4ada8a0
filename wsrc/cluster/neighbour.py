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

from datetime import UTC, datetime
from math import inf

import msgspec

from wsrc.cluster.boxes import NUMBER_OCTETS, SEALED
from wsrc.cluster.credentials import GreetingError
from wsrc.cluster.datagrams import MAX_WHY, shown
from wsrc.cluster.greeting import (
    RUN_DIGITS,
    Answerer,
    Caller,
    Greeted,
    Me,
    check_shown,
    shown_in,
)
from wsrc.cluster.limits import STANDARD, Limits
from wsrc.cluster.road import Delivered, Down, Road, RoadEffect, Transmit, Way

__all__ = ["Delivered", "Down", "Effect", "Me", "Neighbour", "Refused", "Transmit", "Up", "Way"]


class Up(msgspec.Struct, frozen=True):
    """Take note that there is a road to this run, and what both nodes can do."""

    run: str
    features: frozenset[str]


class Refused(msgspec.Struct, frozen=True):
    """
    Take note that a greeting came to nothing.

    `why` is a clause whose subject is the other node, or whoever speaks in its name. The same is
    said once a minute at most.
    """

    why: str


Effect = Transmit | Up | Delivered | Down | Refused

KNOCK, HELLO, ANSWER, PROOF, REFUSAL = b"k", b"h", b"a", b"p", b"r"
"""First octet of a datagram that is not sealed."""

_ALIVE_S, _RIVAL_S = 1.5, 2.5
_KNOCK_S = 0.9
_AGAIN_S, _MOST_AGAIN_S, _GIVE_UP_S = 0.5, 2.0, 15.0
_WORK, _WORK_PER_S = 20.0, 10.0
_SAY_S, _SAY_AGAIN_S, _MAX_SAID = 1.0, 60.0, 8


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
        road: The road, for its figures; None without one.
        noted_at: When anything came last in its name, be it forged.
        ignored: Datagrams that were no part of a road or of a greeting.
    """

    def __init__(self, me: Me, name: str, now: float, limits: Limits = STANDARD) -> None:
        self.name = name
        self.run, self.features = "", frozenset[str]()
        self.road: Road | None = None
        self.noted_at = now
        self.ignored = 0
        self._me, self._limits = me, limits
        self._calls = me.name < name
        self._agreed: Greeted | None = None
        self._ways: set[Way] = set()
        self._answerer = Answerer(me, name)
        self._caller: Caller | None = None
        self._pending: Greeted | None = None
        self._greeting = b""
        self._answers = False
        self._again_at, self._again_s, self._give_up_at = inf, 0.0, inf
        self._knocked_at = self._rival_at = -inf
        self._work, self._worked_at = _WORK, now
        self._said: dict[str, float] = {}
        self._said_at = -inf

    @property
    def up(self) -> bool:
        """Whether there is a road."""
        return self.road is not None

    # Events

    def here(self, run: str, now: float) -> list[Effect]:
        """Take note that a run of it said that it is there; whoever says so may lie."""
        self.noted_at = now
        effects = self._expired(now)
        if not _is_run(run) or run == self.run or self._is_alive(now):
            return effects
        if self._calls:
            return effects + self._call(now)
        if now - self._knocked_at >= _KNOCK_S:
            self._knocked_at = now
            effects.append(Transmit(KNOCK))
        return effects

    def received(self, datagram: bytes, now: float, way: Way = Way.NATS) -> list[Effect]:
        """Act on a datagram that came under its name."""
        self.noted_at = now
        kind = datagram[:1]
        if kind == SEALED:
            return self._opened(datagram, now, way)
        octets, effects = datagram[1:], self._expired(now)
        if kind == KNOCK and self._calls:
            return effects if self._is_alive(now) else effects + self._call(now)
        if kind == REFUSAL:
            return effects + self._was_refused(octets, now)
        if not self._expects(kind) or not self._may_work(now):
            self.ignored += 1
            return effects
        try:
            return effects + self._greeted(kind, octets, now)
        except GreetingError as exc:
            effects.append(Transmit(REFUSAL + str(exc).encode()[:MAX_WHY]))
            return effects + self._say(str(exc), now)

    def send(self, item: bytes, now: float) -> list[Effect]:
        """
        Send it an item, if there is a road.

        Raises:
            ValueError: If the item is too long; see `datagrams.MAX_ITEM_OCTETS`.
        """
        return self._after(self.road.send(item, now)) if self.road is not None else []

    def send_all(self, items: list[bytes], now: float) -> list[Effect]:
        """
        Send it items at once, if there is a road; it costs less than one after the other.

        Raises:
            ValueError: If one is too long; none is sent then.
        """
        return self._after(self.road.send_all(items, now)) if self.road is not None else []

    def way_is(self, way: Way, now: float, *, is_there: bool) -> list[Effect]:
        """Take note that there is a way to it besides NATS, or not any more."""
        self._ways = self._ways | {way} if is_there else self._ways - {way}
        if self.road is None:
            return []
        return self._after(self.road.way_is(way, now, is_there=is_there))

    def deadline(self) -> float | None:
        """Return when `tick` is due."""
        due = self._again_at
        if self.road is not None:
            due = min(due, self.road.deadline())
        return None if due == inf else due

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects: list[Effect] = []
        if self.road is not None:
            effects += self._after(self.road.tick(now))
        if self._again_at <= now:
            effects += self._call_again(now)
        return effects

    def judge(self, now: float) -> list[Effect]:
        """End the road if the certificates of the other are not believed any more."""
        agreed, credentials = self._agreed, self._me.credentials()
        if agreed is None or credentials is None or not agreed.chain:
            return []
        when = datetime.fromtimestamp(self._me.epoch(), UTC)
        try:
            credentials.nodes.check(self.name, agreed.chain, when)
        except GreetingError as exc:
            return self._refused(str(exc), now)
        return []

    def shows(self) -> tuple[tuple[bytes, ...], bytes]:
        """Return the certificates that this node has by now, and a signature, for `shown` there."""
        assert self._agreed is not None, "there is no road"
        return shown_in(self._me, self.name, self._agreed.boxes.number)

    def shown(self, chain: tuple[bytes, ...], signature: bytes, now: float) -> list[Effect]:
        """Take certificates that the other has by now; end the road if they are not believed."""
        agreed = self._agreed
        if agreed is None or not agreed.chain:
            return []
        try:
            check_shown(self._me, self.name, agreed.boxes.number, chain, signature)
        except GreetingError as exc:
            return self._refused(str(exc), now)
        self._agreed = agreed._replace(chain=chain)
        return []

    def _refused(self, why: str, now: float) -> list[Effect]:
        return (
            self._after(self.road.leave(now, f"this node {why}", f"it {why}"))
            if self.road is not None
            else []
        )

    def close(self, now: float) -> list[Effect]:
        """End the road, and any greeting, as this node goes."""
        self._forget_call()
        return self._after(self.road.leave(now)) if self.road is not None else []

    # The road

    def _opened(self, datagram: bytes, now: float, way: Way) -> list[Effect]:
        """Act on a sealed datagram: of the road, or the first of the next one."""
        number = datagram[1 : 1 + NUMBER_OCTETS]
        agreed, road = self._agreed, self.road
        if road is not None and agreed is not None and agreed.boxes.number == number:
            text = agreed.boxes.open(datagram)
            if text is not None:
                return self._after(road.received(text, now, way))
        elif self._pending is not None and self._pending.boxes.number == number:
            text = self._pending.boxes.open(datagram)
            if text is not None:
                effects, road = self._begin(self._pending, now)
                self._forget_call()
                effects += road.greet(now)
                return effects + self._after(road.received(text, now, way))
        self.ignored += 1
        return []

    def _after(self, effects: list[RoadEffect]) -> list[Effect]:
        """Return what a road wants done; forget it where it is over."""
        if self.road is not None and self.road.over:
            self.road = self._agreed = None
            self.run, self.features = "", frozenset[str]()
        return [*effects]

    def _expired(self, now: float) -> list[Effect]:
        """End a road that is silent for too long, before anything is made of what came."""
        road = self.road
        if road is None or now < road.silent_at:
            return []
        return self._after(road.tick(now))

    def _begin(
        self, agreed: Greeted, now: float, grace_s: float = 0.0
    ) -> tuple[list[Effect], Road]:
        """Have a road, instead of the one that there was."""
        effects: list[Effect] = []
        if self.road is not None:
            how = "greets anew" if agreed.run == self.run else "has started anew"
            effects.append(Down(f"it {how}"))
        self._agreed = agreed
        self.road = Road(agreed.boxes.seal, now, self._limits, grace_s)
        self.run, self.features = agreed.run, agreed.features
        effects.append(Up(agreed.run, agreed.features))
        for way in self._ways:
            effects += self.road.way_is(way, now, is_there=True)
        return effects, self.road

    def _is_alive(self, now: float) -> bool:
        """Whether a run is there that nobody else may replace."""
        return self.road is not None and now - self.road.heard_at < _ALIVE_S

    # The greeting

    def _expects(self, kind: bytes) -> bool:
        """Whether a datagram that begins so can be part of a greeting now."""
        if self._calls:
            return kind == ANSWER and self._caller is not None and self._pending is None
        return kind in {HELLO, PROOF}

    def _greeted(self, kind: bytes, octets: bytes, now: float) -> list[Effect]:
        if self._caller is not None and kind == ANSWER:
            return self._answered(self._caller, octets, now)
        if kind == PROOF:
            return self._proved(octets, now)
        if self._has_rival(self._answerer.run_of(octets), now):
            return []
        return [Transmit(ANSWER + self._answerer.hello(octets, now))]

    def _call(self, now: float) -> list[Effect]:
        """Greet, unless that goes on."""
        if self._caller is not None:
            return []
        self._caller, self._answers = Caller(self._me, self.name), False
        self._greeting = HELLO + self._caller.hello
        self._again_s, self._again_at = _AGAIN_S, now + _AGAIN_S
        self._give_up_at = now + _GIVE_UP_S
        return [Transmit(self._greeting)]

    def _call_again(self, now: float) -> list[Effect]:
        """Send the hello or the proof again, or give up until the other is heard of."""
        if now >= self._give_up_at:
            answers = self._answers
            self._forget_call()
            return [] if answers else self._say("does not answer a greeting", now)
        self._again_s = min(2 * self._again_s, _MOST_AGAIN_S)
        self._again_at = now + self._again_s
        return [Transmit(self._greeting)]

    def _forget_call(self) -> None:
        self._caller = self._pending = None
        self._greeting = b""
        self._again_at = self._give_up_at = inf

    def _answered(self, caller: Caller, octets: bytes, now: float) -> list[Effect]:
        answered = caller.answered(octets)
        self._answers = True
        if answered is None or self._has_rival(answered[1].run, now):
            return []
        proof, agreed = answered
        self._pending, self._greeting = agreed, PROOF + proof
        self._again_s, self._again_at = _AGAIN_S, now + _AGAIN_S
        return [Transmit(self._greeting)]

    def _proved(self, octets: bytes, now: float) -> list[Effect]:
        agreed = self._answerer.proved(octets, now)
        if agreed is None:
            return self._after(self.road.greet(now)) if self.road is not None else []
        if self._has_rival(agreed.run, now):
            return []
        # The caller says nothing in the road before it has heard something of it.
        effects, road = self._begin(agreed, now, self._limits.silent_s)
        return effects + self._after(road.greet(now))

    def _has_rival(self, run: str, now: float) -> bool:
        """
        Return whether another run is alive.

        Raises:
            GreetingError: If it still is after a run that was killed would be silent.
        """
        if run == self.run or not self._is_alive(now):
            return False
        ago = now - self._rival_at
        if not ago < 2 * _RIVAL_S:
            self._rival_at = now
        elif ago >= _RIVAL_S:
            raise GreetingError(
                "greets while another of its name is there; no two nodes of a cluster have one name"
            )
        return True

    def _was_refused(self, why: bytes, now: float) -> list[Effect]:
        """Take note that the other, or whoever says so, does not take what was said to it."""
        if self._calls and self._caller is None:
            return []
        self._answers = True
        return self._say(f"refuses this node, which {shown(why)}", now)

    # Bounds

    def _may_work(self, now: float) -> bool:
        """Whether a greeting may cost something now, whoever it is from."""
        self._work = min(_WORK, self._work + (now - self._worked_at) * _WORK_PER_S)
        self._worked_at = now
        if self._work < 1:
            return False
        self._work -= 1
        return True

    def _say(self, why: str, now: float) -> list[Effect]:
        """Say why a greeting came to nothing, but neither often nor the same again and again."""
        if now - self._said_at < _SAY_S or now - self._said.get(why, -inf) < _SAY_AGAIN_S:
            return []
        self._said.pop(why, None)
        if len(self._said) >= _MAX_SAID:
            del self._said[next(iter(self._said))]
        self._said[why] = self._said_at = now
        return [Refused(why)]


def _is_run(run: str) -> bool:
    return len(run) == RUN_DIGITS and not run.strip("0123456789abcdef")
