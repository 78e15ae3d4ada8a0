# SPDX-License-Identifier: Apache-2.0
"""Users with rights of many kinds who reserve, note, lend, revoke and operate, in any order."""

import random

from tests.fuzz import farm_run, records
from tests.fuzz.engine import mutate

_ALL = [
    (0, bytes([which, *choices]))
    for which in range(len(farm_run.MADE))
    for choices in (b"", b"\x01\x01\x01", b"\x02\x00\x02\x01")
]
SEEDS = [
    records.joined([(user << 3, octets) for _, octets in _ALL[user::3] for _ in range(2)])
    for user in range(3)
] + [
    records.joined(
        [(0, b"\x01"), (what, b""), (8, b"\x00\x00\x00\x01"), (what, b"\x01\x00\x01"), *_ALL[:6]]
    )
    for what in range(8)
]
WORDS = [bytes([which]) for which in range(len(farm_run.MADE))]
SHARE = 4
MAX_OCTETS = 1024
_POOL = [(user << 3 | kind, octets) for user in range(3) for kind in range(7) for _, octets in _ALL]


def one(data: bytes) -> None:
    """Let users and hosts do what an input says; all of them leave at the end."""
    farm = farm_run.Farm()
    for record in records.split(data, 40):
        farm.act(record)
    farm.end()


def _inner(data: bytes, rng: random.Random) -> bytes:
    return mutate(data, rng, WORDS)[:16]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change what happens, or how."""
    return records.mutated(data, rng, _inner, _POOL)
