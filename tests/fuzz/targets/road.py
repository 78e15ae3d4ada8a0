# SPDX-License-Identifier: Apache-2.0
"""A node of a cluster: what anybody says in the name of its neighbour, and what that may say."""

import random
from itertools import count

from tests.fuzz import records
from tests.fuzz.engine import mutate
from tests.support.nodes import me_of
from wsrc.cluster.datagrams import BARE, DATA, FAREWELL, HEAD, MORE, PART, Gap, bare, farewell
from wsrc.cluster.greeting import Answerer, Caller
from wsrc.cluster.limits import Limits
from wsrc.cluster.neighbour import HELLO, KNOCK, REFUSAL, Neighbour, Transmit
from wsrc.cluster.road import Road

OPENED, CALLER, CALLED, SEND, WAIT, HERE = range(6)

LIMITS = Limits(unacked_items=50, unacked_octets=20_000, ahead_octets=4_000, burst_octets=2_000)
MOST_TRANSMITS = 100
"""Datagrams that one event may cause: what is sent again at once, and some more."""

_EAST = me_of("east", None, run="e" * 16, new_nonce=lambda: bytes(32))
_WEST = me_of("west", None, run="0" * 16, new_nonce=lambda: bytes(32))
_CALLER = Caller(_EAST, "west")
_HELLO, _ANSWER = _CALLER.hello, Answerer(_WEST, "east").hello(_CALLER.hello, 0.0)
_PROOF = (_CALLER.answered(_ANSWER) or (b"",))[0]

_PART = PART.pack(3) + b"abc"
_OPENED = [
    HEAD.pack(DATA, 1, 0) + _PART,
    HEAD.pack(DATA, 2, 0) + _PART + _PART,
    HEAD.pack(DATA, 4, 1) + PART.pack(MORE | 2) + b"ab",
    HEAD.pack(DATA, 3, 2) + PART.pack(1) + b"c",
    HEAD.pack(BARE, 5, 1) + b"\1\0",
    bare(9, 1, 3, [Gap(0, 1), Gap(2, 5)]),
    farewell(3, 1, "it goes"),
    HEAD.pack(FAREWELL + 1, 3, 1),
]
_SAID = [KNOCK, HELLO + _HELLO, b"a" + _ANSWER, b"p" + _PROOF, REFUSAL + b"no", b"s" + bytes(40)]
_POOL = [
    *((OPENED, each) for each in _OPENED),
    *((CALLER, each) for each in _SAID),
    *((CALLED, each) for each in _SAID),
    *((what, each) for what in (SEND, WAIT, HERE) for each in (b"\1", b"\5\0", b"\xff")),
]
SEEDS = [
    records.joined([(OPENED, each) for each in _OPENED]),
    records.joined([(SEND, b"\1"), *((OPENED, each) for each in _OPENED[3:])]),
    records.joined([(HERE, b""), *((CALLER, each) for each in _SAID)]),
    records.joined([(CALLED, each) for each in _SAID]),
]
WORDS = [b"run", b"nonce", b"offer", b"\xdf\xff\xff\xff\xff", b"\x91" * 8, b"\xff" * 8]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return another input."""
    return records.mutated(data, rng, mutate, _POOL)


def one(data: bytes) -> None:
    """Tell a road, and both ends of a greeting, what an input has."""
    now = 0.0
    road = Road(bytes, now, LIMITS)
    caller, called = Neighbour(_EAST, "west", now, LIMITS), Neighbour(_WEST, "east", now, LIMITS)
    caller.here(_WEST.run, now)
    for turn, (what, octets) in zip(count(), records.split(data), strict=False):
        now += 0.001
        match what % 6:
            case 0 if not road.over:
                _check(road, road.received(octets, now))
            case 1:
                _bounded(caller.received(octets, now))
            case 2:
                _bounded(called.received(octets, now))
            case 3 if not road.over:
                _check(road, road.send(octets, now))
            case 4:
                now += len(octets) / 10
                _bounded(caller.tick(now))
                _bounded(called.tick(now))
                if not road.over:
                    _check(road, road.tick(now))
            case _:
                _bounded(caller.here(octets.hex()[:16], now + turn))


def _check(road: Road, effects: object) -> None:
    items, octets = road.unacked
    assert road.over or (0 <= items <= LIMITS.unacked_items)
    assert road.over or (0 <= octets <= LIMITS.unacked_octets)
    _bounded(effects)


def _bounded(effects: object) -> None:
    assert isinstance(effects, list)
    assert sum(isinstance(each, Transmit) for each in effects) <= MOST_TRANSMITS
