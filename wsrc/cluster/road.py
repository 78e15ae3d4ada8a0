# SPDX-License-Identifier: Apache-2.0
"""
One road to one other node: datagrams that may be lost, doubled, late, or out of order become items.

Each item is delivered once and in the order in which it was sent, or the road is down.
`datagrams` has what is in a datagram.

An acknowledgement goes with whatever is sent, and alone when nothing is sent for a while. What a
gap names is sent again at once. What is not acknowledged in time is sent again too, a few datagrams
at first, and then twice as many as each acknowledgement frees.

Over a second way both ends send what is bare as well, and so learn over which ways each is heard.
The best that works is taken; where something is late, the other one is until that is known anew.
"""

import struct
from collections.abc import Callable, Sequence
from enum import IntFlag
from math import inf

import msgspec

from wsrc.cluster.arrivals import Arrivals
from wsrc.cluster.datagrams import (
    BARE,
    DATA,
    FAREWELL,
    HEAD,
    MAX_ITEM_OCTETS,
    PART,
    BrokenError,
    Gap,
    bare,
    farewell,
    packed,
    read_bare,
    shown,
)
from wsrc.cluster.limits import STANDARD, Limits
from wsrc.cluster.pace import Pace


class Way(IntFlag):
    """How datagrams reach another node; of those that work the highest is taken."""

    NATS = 1
    DIRECT = 2


class Transmit(msgspec.Struct, frozen=True, gc=False):
    """Send the other node a datagram."""

    octets: bytes
    way: Way = Way.NATS


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """Take an item of the other node."""

    octets: bytes


class Down(msgspec.Struct, frozen=True):
    """
    Take note that the road is gone, with what was sent and is not known to have come.

    `why` is a clause in which "it" is the other node.
    """

    why: str


RoadEffect = Transmit | Delivered | Down

_FIRST_BURST = 8


class _Sent(msgspec.Struct, gc=False):
    """Data that is not acknowledged: its parts, its items, and when it was sent, or sent again."""

    parts: bytes
    items: int
    at: float
    again: bool = False


class Road:
    """
    One end of a road.

    Each method that takes an event returns what is to be done, in order.

    Args:
        seal: Makes a datagram of what is to be in it.
        now: The time, in seconds of a clock that never goes back, as in all that follows.
        limits: What it may cost.
        grace_s: How much longer than later it may be silent at first.

    Attributes:
        over: Whether the road is down; no event may be told then.
        heard_at: When something of the other end came last.
        silent_at: When the road is down, if nothing comes until then.
        way: The way that is taken.
        resent: Datagrams that were sent again.
    """

    def __init__(
        self,
        seal: Callable[[bytes], bytes],
        now: float,
        limits: Limits = STANDARD,
        grace_s: float = 0.0,
    ) -> None:
        self.over = False
        self.heard_at, self.silent_at = now, now + limits.silent_s + grace_s
        self.way = Way.NATS
        self.resent = 0
        self._seal, self._limits = seal, limits
        self._effects: list[RoadEffect] = []
        self._sent = self._acked = 0
        self._unacked: dict[int, _Sent] = {}
        self._items = self._octets = 0
        self._pace = Pace(limits)
        self._resend_at, self._progress_at = inf, now
        self._recovering = self._again = 0
        self._sent_at, self._ping_at = now, now + limits.ping_s
        self._come = Arrivals((limits.unacked_items, limits.ahead_octets))
        self._ack_at, self._gap_at = inf, -inf
        self._ways: tuple[Way, ...] = (Way.NATS,)
        self._several = False
        self._heard_by: dict[Way, float] = {}
        self._told_by: dict[Way, float] = {}

    @property
    def unacked(self) -> tuple[int, int]:
        """How many items and octets are sent and not acknowledged."""
        return self._items, self._octets

    # Events

    def send(self, item: bytes, now: float) -> list[RoadEffect]:
        """
        Send an item.

        Raises:
            ValueError: If it has more than `MAX_ITEM_OCTETS`.
        """
        if len(item) > self._limits.datagram_octets:
            return self.send_all((item,), now)
        self._put(PART.pack(len(item)) + item, 1, now)
        return self._done()

    def send_all(self, items: Sequence[bytes], now: float) -> list[RoadEffect]:
        """
        Send items; those that are short share datagrams, which costs less than one for each.

        Raises:
            ValueError: If one has more than `MAX_ITEM_OCTETS`; nothing is sent then.
        """
        if any(len(item) > MAX_ITEM_OCTETS for item in items):
            raise ValueError(f"An item has {MAX_ITEM_OCTETS} octets at most.")
        limits = self._limits
        for parts, count in packed(items, limits.datagram_octets, limits.shared_octets):
            self._put(parts, count, now)
            if self.over:
                break
        return self._done()

    def received(self, text: bytes, now: float, way: Way = Way.NATS) -> list[RoadEffect]:
        """Act on what was in a datagram."""
        if now >= self.silent_at:
            return self.tick(now)
        self.heard_at, self.silent_at = now, now + self._limits.silent_s
        if self._several or way is not Way.NATS:
            self._heard_over(way, now)
        try:
            kind, number, acked = HEAD.unpack_from(text)
            if acked > self._acked:
                self._progress(acked, now)
            if kind == DATA:
                self._data(number, text, now)
            elif kind == BARE:
                self._bare(number, acked, text, now)
            elif kind == FAREWELL:
                self._over(Down(f"it ended the road: {shown(text[HEAD.size :])}"))
        except (BrokenError, struct.error) as exc:
            self._end(now, f"breaks the rules of a road: {exc}")
        if self._ack_at <= now and not self.over:
            self._say(now)
        return self._done()

    def deadline(self) -> float:
        """Return when `tick` is due."""
        return min(self._ack_at, self._resend_at, self._ping_at, self.silent_at)

    def tick(self, now: float) -> list[RoadEffect]:
        """Do what is due."""
        if now >= self.silent_at:
            self._silent(now)
        elif self._resend_at <= now and now - self._progress_at >= self._limits.stuck_s:
            self._end(now, "acknowledges nothing of what is sent to it")
        else:
            if self._resend_at <= now:
                self._late(now)
            if self._ping_at <= now:
                self._ping(now)
            if self._ack_at <= now:
                self._say(now)
        return self._done()

    def greet(self, now: float) -> list[RoadEffect]:
        """Let the other end hear that the road is there."""
        self._say(now)
        return self._done()

    def way_is(self, way: Way, now: float, *, is_there: bool) -> list[RoadEffect]:
        """Take note that there is a way besides NATS, or not any more."""
        had = way in self._ways
        others = tuple(each for each in self._ways if each is not way)
        self._ways = (*others, way) if is_there else others
        if is_there:
            self._say(now, way)
        elif had:
            self._told_by.pop(way, None)
            self._choose(now)
            if self._unacked:
                self._late(now)
        self._several = len(self._ways) > 1
        return self._done()

    def leave(self, now: float, told: str = "it goes", why: str = "") -> list[RoadEffect]:
        """End the road, as this node goes; or for what the other end is told, and `Down` has."""
        self._last(now, told, why or "this node goes")
        return self._done()

    # What is sent

    def _put(self, parts: bytes, count: int, now: float) -> None:
        """Send data, unless that is more than the other end may leave unacknowledged."""
        limits = self._limits
        self._items += count
        self._octets += len(parts)
        if self._items > limits.unacked_items or self._octets > limits.unacked_octets:
            self._end(now, "is slow: it takes less than is sent to it")
            return
        if not self._unacked:
            self._progress_at, self._resend_at = now, now + self._pace.resend_s
        self._sent += 1
        self._unacked[self._sent] = _Sent(parts, count, now)
        self._transmit(HEAD.pack(DATA, self._sent, self._come.taken) + parts, now)

    def _transmit(self, text: bytes, now: float, way: Way | None = None) -> None:
        self._effects.append(Transmit(self._seal(text), self.way if way is None else way))
        self._sent_at = now
        come = self._come
        if come.highest == come.taken:
            self._ack_at = inf
            come.items = come.octets = 0

    def _say(self, now: float, way: Way | None = None) -> None:
        """Send what is bare."""
        gaps, since = list[Gap](), now - self._limits.way_s
        heard = Way.NATS | sum(way for way, at in self._heard_by.items() if at > since)
        if self._come.has_gaps:
            gaps, self._gap_at = self._come.gaps(), now
        self._transmit(bare(self._sent, self._come.taken, heard, gaps), now, way)
        self._ack_at = inf

    def _ping(self, now: float) -> None:
        """Send something over each way, unless the only one was used."""
        if not self._several and now < self._sent_at + self._limits.ping_s:
            self._ping_at = self._sent_at + self._limits.ping_s
            return
        self._choose(now)
        for way in self._ways:
            self._say(now, way)
        self._ping_at = now + self._limits.ping_s

    def _choose(self, now: float) -> None:
        """Take the best way over which the other hears us."""
        since = now - self._limits.way_s
        works = [way for way in self._ways if self._told_by.get(way, -inf) > since]
        self.way = max(works, default=Way.NATS)

    # What is sent again

    def _progress(self, acked: int, now: float) -> None:
        """Forget what is acknowledged."""
        if acked > self._sent:
            raise BrokenError("it acknowledges what was never sent")
        last, freed = self._unacked[acked], acked - self._acked
        for number in range(self._acked + 1, acked + 1):
            sent = self._unacked.pop(number)
            self._items -= sent.items
            self._octets -= len(sent.parts)
        self._acked, self._progress_at = acked, now
        if not last.again:
            self._pace.took(now - last.at)
        self._resend_at = now + self._pace.resend_s if self._unacked else inf
        if acked < self._recovering:
            self._recover(2 * freed, now)

    def _late(self, now: float) -> None:
        """Send the first of what is not acknowledged again, another way if there is one."""
        self._told_by.pop(self.way, None)
        self._choose(now)
        self._recovering, self._again = self._sent, self._acked
        self._recover(_FIRST_BURST, now)
        self._pace.late()
        self._resend_at = now + self._pace.resend_s

    def _recover(self, count: int, now: float) -> None:
        """Send again what was sent before it was late, up to a number of datagrams."""
        octets = 0
        self._again = max(self._again, self._acked)
        last = min(self._again + count, self._recovering)
        while self._again < last and octets < self._limits.burst_octets:
            self._again += 1
            octets += self._repeat(self._again, now)

    def _missed(self, gaps: Sequence[Gap], acked: int, now: float) -> None:
        """Send again what the other end misses, unless that was done a moment ago."""
        ago, octets = now - self._pace.again_s, 0
        for behind, length in gaps:
            first, last = acked + behind + 1, acked + behind + length
            for number in range(max(first, self._acked + 1), min(last, self._sent) + 1):
                if octets >= self._limits.burst_octets:
                    return
                if self._unacked[number].at <= ago:
                    octets += self._repeat(number, now)

    def _repeat(self, number: int, now: float) -> int:
        """Send data again; return how many octets."""
        sent = self._unacked[number]
        sent.at, sent.again = now, True
        self.resent += 1
        self._transmit(HEAD.pack(DATA, number, self._come.taken) + sent.parts, now)
        return len(sent.parts)

    # What comes

    def _data(self, number: int, text: bytes, now: float) -> None:
        come, limits = self._come, self._limits
        if number == come.taken + 1:
            for item in come.next(text):
                self._effects.append(Delivered(item))
            if come.items >= limits.ack_items or come.octets >= limits.ack_octets:
                self._ack_at = now
            elif self._ack_at == inf:
                self._ack_at = now + limits.ack_s
        elif come.has(number) or come.early(number, text):
            self._ack_at = now
        else:
            self._name_gaps(now)

    def _bare(self, number: int, acked: int, text: bytes, now: float) -> None:
        heard, gaps = read_bare(text)
        if self._several:
            self._told_by |= {way: now for way in self._ways if way & heard}
            self._choose(now)
        if gaps:
            self._missed(gaps, acked, now)
        self._come.highest = max(self._come.highest, number)
        if self._come.has_gaps:
            self._name_gaps(now)

    def _heard_over(self, way: Way, now: float) -> None:
        """Take note that a way works, and say so at once where it did not."""
        if self._heard_by.get(way, -inf) <= now - self._limits.way_s:
            self._ack_at = now
        self._heard_by[way] = now

    def _name_gaps(self, now: float) -> None:
        """Have gaps named, but not again at once."""
        self._ack_at = min(self._ack_at, max(now, self._gap_at + self._limits.gap_s))

    # The end

    def _silent(self, now: float) -> None:
        self._end(now, f"was silent for {self._limits.silent_s:g} s")

    def _end(self, now: float, why: str) -> None:
        self._last(now, f"this node {why}", f"it {why}")

    def _last(self, now: float, told: str, why: str) -> None:
        """End the road, and let the other end know, if it hears."""
        text = farewell(self._sent, self._come.taken, told)
        self._over()
        for way in self._ways:
            self._transmit(text, now, way)
        self._effects.append(Down(why))

    def _over(self, *last: RoadEffect) -> None:
        self.over = True
        self._effects = [each for each in self._effects if isinstance(each, Delivered)]
        self._effects += last

    def _done(self) -> list[RoadEffect]:
        effects, self._effects = self._effects, []
        return effects
