# SPDX-License-Identifier: Apache-2.0
"""
One road to one other node: datagrams that may be lost, doubled, late, or out of order become items.

Each item is delivered once and in the order in which it was sent, or the road is down.

A datagram, once it is opened, begins with what it is (one octet), a number and an acknowledgement
(eight octets each, the highest first). *Data* has its own number, from 1 on, and then parts of
items, each behind its length in four octets, whose highest bit says that more of the item follows
in the next datagram. What is *bare* has the highest number of data that was sent, then the ways
over which its sender hears the other (one octet), and the gaps in what has come: how many (one
octet), and of each how far behind the acknowledgement it begins (four octets) and how long it is
(two). A *farewell* has a sentence. What begins otherwise is of a later version, and only
acknowledges.

An acknowledgement is the number up to which all data has come. It goes with whatever is sent, and
alone when nothing is sent for a while. What a gap names is sent again at once; what is not
acknowledged in time is, a few datagrams at first and twice as many as each acknowledgement frees.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from enum import IntFlag
from math import inf

import msgspec

# Longer than the aim: what is sent, what comes, and what is sent again are one thought.

MAX_ITEM_OCTETS = 2 * 2**20
"""Octets of an item."""


class Way(IntFlag):
    """How datagrams reach another node; the highest that works is taken."""

    NATS = 1
    DIRECT = 2


class Limits(msgspec.Struct, frozen=True):
    """
    What a road may cost; seconds, octets, and items.

    Attributes:
        silent_s: A road is down when nothing has come for so long.
        ping_s: Something is sent at least so often.
        ack_s: How long an acknowledgement waits for something that it can go with.
        gap_s: How long a gap is not named again.
        way_s: A way works for so long after the other has said that it hears us over it.
        stuck_s: A road is down when nothing of what is sent was acknowledged for so long.
        resend_s: When something is sent again, at first, at least, and at most.
        unacked_octets: A road is down when more is sent than this, and not acknowledged.
        unacked_items: The same of items, and of datagrams.
        ahead_octets: What comes before its turn is kept up to this.
        datagram_octets: Octets of data in a datagram.
        packed_octets: Items that are sent together share datagrams of up to this.
        burst_octets: So much is sent again at once.
    """

    silent_s: float = 4.0
    ping_s: float = 1.0
    ack_s: float = 0.1
    gap_s: float = 0.02
    way_s: float = 2.5
    stuck_s: float = 15.0
    resend_s: tuple[float, float, float] = (1.0, 0.25, 6.0)
    unacked_octets: int = 8 * 2**20
    unacked_items: int = 4_096
    ahead_octets: int = 8 * 2**20
    datagram_octets: int = 512 * 2**10
    packed_octets: int = 64 * 2**10
    burst_octets: int = 1 * 2**20


STANDARD = Limits()
"""What a road may cost where nothing else is said."""


class Transmit(msgspec.Struct, frozen=True, gc=False):
    """Send the other node a datagram."""

    octets: bytes
    way: Way = Way.NATS


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """Take an item of the other node."""

    octets: bytes


class Down(msgspec.Struct, frozen=True):
    """Take note that the road is gone, with what was sent and not yet known to have come."""

    why: str


RoadEffect = Transmit | Delivered | Down

DATA, BARE, FAREWELL = 1, 2, 3
"""What a datagram is."""

MAX_GAPS = 64
"""Gaps that one datagram names."""

_HEAD, _PART, _BARE, _GAP = (struct.Struct(f">{each}") for each in ("BQQ", "I", "BB", "IH"))
_MORE = 1 << 31
_LONGEST_GAP = 2**16 - 1
_ACK_ITEMS, _ACK_OCTETS = 512, 1 * 2**20
_FIRST_BURST = 8
_MAX_WHY = 300


class _BrokenError(Exception):
    """The other end does not keep to what is said above."""


class _Sent(msgspec.Struct, gc=False):
    """Data that is not acknowledged: its parts, its items, and when it was sent, or sent again."""

    parts: bytes
    items: int
    at: float
    again: bool = False


class Road:
    """
    One end of a road.

    Each method that takes an event returns what is to be done. After `Down` the road is over, and
    none may be called.

    Args:
        seal: Makes a datagram of what is to be in it.
        now: The time, in seconds of a clock that never goes back, as in all that follows.
        limits: What it may cost.
    """

    def __init__(
        self, seal: Callable[[bytes], bytes], now: float, limits: Limits = STANDARD
    ) -> None:
        self._seal, self._limits = seal, limits
        self._effects: list[RoadEffect] = []
        self.over = False
        self.resent = 0
        # What is sent
        self._sent = self._acked = 0
        self._unacked: dict[int, _Sent] = {}
        self._items = self._octets = 0
        self._resend_s, self._smooth_s, self._vary_s, self._best_s = (
            limits.resend_s[0],
            0.0,
            0.0,
            inf,
        )
        self._resend_at, self._progress_at = inf, now
        self._recovering = self._again = 0
        self._sent_at, self._ping_at = now, now + limits.ping_s
        # What comes
        self._taken = self._highest = 0
        self._ahead: dict[int, bytes] = {}
        self._ahead_octets = 0
        self._parts: list[bytes] = []
        self._parts_octets = 0
        self._heard_at, self._ack_at, self._gap_at = now, inf, -inf
        self._new_items = self._new_octets = 0
        # Ways
        self._ways, self._way, self._several = {Way.NATS}, Way.NATS, False
        self._heard_by: dict[Way, float] = {}
        self._told_by: dict[Way, float] = {}

    @property
    def heard_at(self) -> float:
        """When something of the other end came last."""
        return self._heard_at

    @property
    def way(self) -> Way:
        """The way that is taken now."""
        return self._way

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
        self._put(_PART.pack(len(item)) + item, 1, now)
        return self._done()

    def send_all(self, items: Sequence[bytes], now: float) -> list[RoadEffect]:
        """
        Send items; those that are short share datagrams, which costs less than one for each.

        Raises:
            ValueError: If one has more than `MAX_ITEM_OCTETS`; nothing is sent then.
        """
        if any(len(item) > MAX_ITEM_OCTETS for item in items):
            raise ValueError(f"An item has {MAX_ITEM_OCTETS} octets at most.")
        for parts, count in self._packed(items):
            if not self._put(parts, count, now):
                break
        return self._done()

    def received(self, text: bytes, now: float, way: Way = Way.NATS) -> list[RoadEffect]:
        """Act on what was in a datagram."""
        if now - self._heard_at >= self._limits.silent_s:
            self._silent()
            return self._done()
        self._heard_at = now
        if self._several or way is not Way.NATS:
            self._heard_by[way] = now
        try:
            kind, number, acked = _HEAD.unpack_from(text)
            if acked > self._acked:
                self._progress(acked, now)
            if kind == DATA:
                self._data(number, text, now)
            elif kind == BARE:
                self._bare(number, text, now)
            elif kind == FAREWELL:
                self._left(text[_HEAD.size :])
        except (_BrokenError, struct.error) as exc:
            self._end(f"what it says breaks the rules of a road: {exc}")
        if self._ack_at <= now and not self.over:
            self._say(now)
        return self._done()

    def deadline(self) -> float:
        """Return when `tick` is due."""
        silent = self._heard_at + self._limits.silent_s
        return min(self._ack_at, self._resend_at, self._ping_at, silent)

    def tick(self, now: float) -> list[RoadEffect]:
        """Do what is due."""
        if now - self._heard_at >= self._limits.silent_s:
            self._silent()
            return self._done()
        if self._resend_at <= now:
            if now - self._progress_at >= self._limits.stuck_s:
                self._end("nothing of what is sent to it comes there")
                return self._done()
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
        if is_there:
            self._ways.add(way)
            self._say(now, way)
        elif way in self._ways:
            self._ways.discard(way)
            self._told_by.pop(way, None)
            self._choose(now)
            if self._unacked:
                self._late(now)
        self._several = len(self._ways) > 1
        return self._done()

    def farewell(self, why: str) -> list[RoadEffect]:
        """End the road, and say why."""
        self._end(why, why)
        return self._done()

    # What is sent

    def _packed(self, items: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
        """Yield the parts of each datagram, and how many items end in it."""
        most = self._limits.datagram_octets
        packed = min(self._limits.packed_octets, most)
        parts: list[bytes] = []
        size = count = 0
        for item in items:
            if parts and size + len(item) > packed:
                yield b"".join(parts), count
                parts, size, count = [], 0, 0
            begin, length = 0, len(item)
            while length - begin > most:
                yield _PART.pack(most | _MORE) + item[begin : begin + most], 0
                begin += most
            rest = item[begin:] if begin else item
            parts += (_PART.pack(length - begin), rest)
            size += len(rest) + _PART.size
            count += 1
        if parts:
            yield b"".join(parts), count

    def _put(self, parts: bytes, count: int, now: float) -> bool:
        """Send data, unless that is more than the other end may leave unacknowledged."""
        limits, unacked = self._limits, self._unacked
        self._items += count
        self._octets += len(parts)
        if self._items > limits.unacked_items or self._octets > limits.unacked_octets:
            self._end("it takes less than is sent to it")
            return False
        if not unacked:
            self._progress_at, self._resend_at = now, now + self._resend_s
        self._sent += 1
        unacked[self._sent] = _Sent(parts, count, now)
        self._transmit(_HEAD.pack(DATA, self._sent, self._taken) + parts, now)
        return True

    def _transmit(self, text: bytes, now: float, way: Way | None = None) -> None:
        self._effects.append(Transmit(self._seal(text), self._way if way is None else way))
        self._sent_at = now
        if self._highest == self._taken:
            self._ack_at = inf
            self._new_items = self._new_octets = 0

    def _say(self, now: float, way: Way | None = None) -> None:
        """Send what is bare: an acknowledgement, gaps, and over which ways the other is heard."""
        since = now - self._limits.way_s
        heard = Way.NATS | sum(way for way, at in self._heard_by.items() if at > since)
        gaps = self._gaps() if self._highest > self._taken else b""
        head = _HEAD.pack(BARE, self._sent, self._taken) + _BARE.pack(heard, len(gaps) // _GAP.size)
        self._transmit(head + gaps, now, way)
        if gaps:
            self._gap_at = now
        self._ack_at = inf

    def _gaps(self) -> bytes:
        gaps: list[bytes] = []
        before = self._taken
        for number in (*sorted(self._ahead), self._highest + 1):
            missing = number - before - 1
            if missing:
                gaps.append(_GAP.pack(before - self._taken, min(missing, _LONGEST_GAP)))
                if len(gaps) == MAX_GAPS:
                    break
            before = number
        return b"".join(gaps)

    def _ping(self, now: float) -> None:
        """Send something over each way, unless the only one was used."""
        if not self._several and now - self._sent_at < self._limits.ping_s:
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
        self._way = max(works, default=Way.NATS)

    # What is sent again

    def _progress(self, acked: int, now: float) -> None:
        """Forget what is acknowledged."""
        if acked > self._sent:
            raise _BrokenError("it acknowledges what was never sent")
        freed = acked - self._acked
        last = self._unacked[acked]
        for number in range(self._acked + 1, acked + 1):
            sent = self._unacked.pop(number)
            self._items -= sent.items
            self._octets -= len(sent.parts)
        self._acked, self._progress_at = acked, now
        if not last.again:
            self._measured(now - last.at)
        self._resend_at = now + self._resend_s if self._unacked else inf
        if acked < self._recovering:
            self._recover(2 * freed, now)

    def _measured(self, took_s: float) -> None:
        """Learn when to send again, as RFC 6298 section 2 has it."""
        self._best_s = min(self._best_s, took_s)
        if self._smooth_s:
            self._vary_s += (abs(self._smooth_s - took_s) - self._vary_s) / 4
            self._smooth_s += (took_s - self._smooth_s) / 8
        else:
            self._smooth_s, self._vary_s = took_s, took_s / 2
        _, least, most = self._limits.resend_s
        wanted = self._smooth_s + 4 * self._vary_s + self._limits.ack_s
        self._resend_s = min(max(wanted, least), most)

    def _late(self, now: float) -> None:
        """Send the first of what is not acknowledged again, by another way, and be slower then."""
        self._told_by.pop(self._way, None)
        self._choose(now)
        self._recovering, self._again = self._sent, self._acked
        self._recover(_FIRST_BURST, now)
        self._resend_s = min(2 * self._resend_s, self._limits.resend_s[2])
        self._resend_at = now + self._resend_s

    def _recover(self, count: int, now: float) -> None:
        """Send again what was sent before it was late, up to a number of datagrams."""
        octets = 0
        self._again = max(self._again, self._acked)
        last = min(self._again + count, self._recovering)
        while self._again < last and octets < self._limits.burst_octets:
            self._again += 1
            octets += self._repeat(self._again, now)

    def _repeat(self, number: int, now: float) -> int:
        """Send data again; return how many octets."""
        sent = self._unacked[number]
        sent.at, sent.again = now, True
        self.resent += 1
        self._transmit(_HEAD.pack(DATA, number, self._taken) + sent.parts, now)
        return len(sent.parts)

    def _missed(self, text: bytes, count: int, acked: int, now: float) -> None:
        """Send again what the other end misses, unless that was done a moment ago."""
        ago = now - min(max(self._best_s, self._limits.gap_s), self._limits.resend_s[1])
        octets = 0
        for each in range(count):
            begin, length = _GAP.unpack_from(text, _HEAD.size + _BARE.size + each * _GAP.size)
            first = max(acked + begin, self._acked) + 1
            for number in range(first, min(acked + begin + length, self._sent) + 1):
                if octets >= self._limits.burst_octets:
                    return
                if self._unacked[number].at <= ago:
                    octets += self._repeat(number, now)

    # What comes

    def _bare(self, number: int, text: bytes, now: float) -> None:
        heard, count = _BARE.unpack_from(text, _HEAD.size)
        if self._several:
            self._told_by |= {way: now for way in self._ways if way & heard}
            self._choose(now)
        if count:
            _, _, acked = _HEAD.unpack_from(text)
            self._missed(text, count, acked, now)
        self._highest = max(self._highest, number)
        if self._highest > self._taken:
            self._ack_at = min(self._ack_at, max(now, self._gap_at + self._limits.gap_s))

    def _data(self, number: int, text: bytes, now: float) -> None:
        if number == self._taken + 1:
            self._take(text)
            while self._taken + 1 in self._ahead:
                early = self._ahead.pop(self._taken + 1)
                self._ahead_octets -= len(early)
                self._take(early)
            self._highest = max(self._highest, self._taken)
            if self._new_items >= _ACK_ITEMS or self._new_octets >= _ACK_OCTETS:
                self._ack_at = now
            elif self._ack_at == inf:
                self._ack_at = now + self._limits.ack_s
        elif number <= self._taken or number in self._ahead:
            self._ack_at = now
        else:
            self._early(number, text, now)

    def _early(self, number: int, text: bytes, now: float) -> None:
        """Keep data that comes before its turn, if there is room; else it is sent again."""
        skips = number > self._highest + 1
        fits = self._ahead_octets + len(text) <= self._limits.ahead_octets
        if fits and number - self._taken <= self._limits.unacked_items:
            self._ahead[number] = text
            self._ahead_octets += len(text)
        self._highest = max(self._highest, number)
        when = now if skips else max(now, self._gap_at + self._limits.gap_s)
        self._ack_at = min(self._ack_at, when)

    def _take(self, text: bytes) -> None:
        """Deliver the items that end in data whose turn it is."""
        self._taken += 1
        self._new_octets += len(text)
        at, end = _HEAD.size, len(text)
        while at < end:
            (length,) = _PART.unpack_from(text, at)
            at += _PART.size
            more, length = length & _MORE, length & ~_MORE
            part = text[at : at + length]
            at += length
            if at > end:
                raise _BrokenError("an item is shorter than it says")
            if more or self._parts:
                self._parts_octets += length
                self._parts.append(part)
                if self._parts_octets > MAX_ITEM_OCTETS:
                    raise _BrokenError("an item is longer than one may be")
                if more:
                    continue
                part, self._parts, self._parts_octets = b"".join(self._parts), [], 0
            self._new_items += 1
            self._effects.append(Delivered(part))

    # The end

    def _silent(self) -> None:
        self._end(f"it was silent for {self._limits.silent_s:g} s")

    def _left(self, why: bytes) -> None:
        said = why[:_MAX_WHY].decode(errors="replace")
        said = "".join(each if each.isprintable() else "?" for each in said)
        self._over(Down(f"it has ended the road: {said}"))

    def _end(self, why: str, told: str | None = None) -> None:
        """End the road; the other end is told, if it hears."""
        said = (told or f"{why}, as the other end has it").encode()
        text = _HEAD.pack(FAREWELL, self._sent, self._taken) + said
        self._over(Transmit(self._seal(text), self._way), Down(why))

    def _over(self, *last: RoadEffect) -> None:
        self.over = True
        delivered = [each for each in self._effects if isinstance(each, Delivered)]
        self._effects = [*delivered, *last]
        self._unacked.clear()
        self._ahead.clear()

    def _done(self) -> list[RoadEffect]:
        effects, self._effects = self._effects, []
        return effects
