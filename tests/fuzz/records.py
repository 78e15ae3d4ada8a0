# SPDX-License-Identifier: Apache-2.0
"""Inputs that are a list of events: what happens, the octets that belong to it, again and again."""

import random
from collections.abc import Iterator, Sequence

from tests.fuzz.engine import Mutate, mutate

Record = tuple[int, bytes]
"""What happens, 0 to 255, and at most 65,535 octets."""


def joined(records: Sequence[Record]) -> bytes:
    """Return an input of these events."""
    return b"".join(bytes([what]) + len(each).to_bytes(2) + each for what, each in records)


def split(data: bytes, most: int = 64) -> Iterator[Record]:
    """Yield the events of an input, so many at most; the last may have less than it says."""
    at = 0
    while at + 3 <= len(data) and most:
        size = int.from_bytes(data[at + 1 : at + 3])
        yield data[at], data[at + 3 : at + 3 + size]
        at += 3 + size
        most -= 1


def mutated(data: bytes, rng: random.Random, inner: Mutate, pool: Sequence[Record]) -> bytes:
    """Return an input with an event changed, moved, added or gone."""
    if rng.randrange(10) == 0:
        return mutate(data, rng)
    records = list(split(data, 200))
    for _ in range(rng.choice((1, 1, 2, 4))):
        _change(records, rng, inner, pool)
    return joined(records)


def _change(
    records: list[Record], rng: random.Random, inner: Mutate, pool: Sequence[Record]
) -> None:
    at = rng.randrange(len(records) + 1)
    there = at < len(records)
    match rng.randrange(7):
        case 0 if there:
            del records[at]
        case 1 if there:
            records.insert(rng.randrange(len(records) + 1), records[at])
        case 2 if there:
            records.insert(rng.randrange(len(records)), records.pop(at))
        case 3 if there:
            records[at] = rng.randrange(256), records[at][1]
        case 4 if pool:
            records.insert(at, rng.choice(pool))
        case _ if there:
            what, octets = records[at]
            records[at] = what, inner(octets, rng)[:65_535]
        case _:
            records.insert(at, (rng.randrange(256), b""))
