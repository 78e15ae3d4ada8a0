# SPDX-License-Identifier: Apache-2.0
"""Texts in JSON that are made of others: fields of the schema, values that matter, odd numbers."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec

from tests.fuzz.engine import mutate
from tests.support.samples import sample
from wsrc.protocol.codec import BY_TAG
from wsrc.protocol.reader_events import NOTIFICATIONS

FIELDS = sorted(
    {
        name
        for kind in (*BY_TAG.values(), *NOTIFICATIONS.values())
        for name in kind.__struct_fields__
    }
)
TAGS = sorted(BY_TAG)
MESSAGES = [msgspec.json.encode(sample(kind)) for kind in BY_TAG.values()]
"""A text of each message, with just the fields that must be there."""

NUMBERS = (0, 1, 2, 3, -1, 255, 65_536, 1 << 31, 1 << 53, (1 << 53) + 1, 1 << 63, 1 << 64)
FLOATS = (0.0, 0.5, -0.0, 1.5, 1e15, 1e16, 1e308, 5e-324)
TEXTS = (
    "",
    "session-1",
    "session-2",
    "session-3",
    "r1",
    "r2",
    "bench",
    "L",
    "*",
    "a*",
    "0",
    "9000",
    "6f00",
    "00a40004023f00",
    "3b9f96801fc78031a073be21136743200718000001a5",
    "zz",
    "user",
    "card",
    "8949020000012345678",
    "8949020000012345679",
    "exclusive",
    "shared",
    "direct",
    "cold",
    "warm",
    "reset",
    "leave",
    "eject",
    "ready",
    "empty",
    "mute",
    "batch",
    "resume",
    "share",
    "pcsc",
    "wsrc",
    "json_rpc",
    "iccid",
    "reader",
    "label",
    "2.0",
    "\x00",
    "\u2028",
    "é",
    "secret 1",
    "any",
    "a user",
    "rack",
    "1970-01-01T00:20:00+00:00",
)
WORDS = [
    *(f'"{each}"'.encode() for each in (*FIELDS, *TAGS)),
    *(f'"{each}"'.encode() for each in TEXTS if each.isprintable()),
    *(str(each).encode() for each in NUMBERS),
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'{"msg_type":"',
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"1e400",
]


def value(rng: random.Random) -> Any:
    """Return a value that a field may have, or must not."""
    match rng.randrange(9):
        case 0 | 1:
            return rng.choice(NUMBERS)
        case 2:
            return rng.choice(FLOATS)
        case 3 | 4 | 5:
            return rng.choice(TEXTS)
        case 6:
            return rng.choice((None, True, False, "a" * 300, "0" * 600))
        case 7:
            return [value(rng) for _ in range(rng.randrange(3))]
        case _:
            return {rng.choice(FIELDS): value(rng) for _ in range(rng.randrange(3))}


def mutated(data: bytes, rng: random.Random, words: Sequence[bytes] = WORDS) -> bytes:
    """Return a text with a value changed, added or gone; of octets that are no JSON, others."""
    if rng.randrange(6) == 0:
        return mutate(data, rng, words)
    if rng.randrange(12) == 0:
        data = rng.choice(MESSAGES)
    try:
        made = msgspec.json.decode(data)
        for _ in range(rng.choice((1, 1, 2, 3))):
            made = _changed(made, rng, 0)
        return msgspec.json.encode(made)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError):
        return mutate(data, rng, words)


def _changed(made: Any, rng: random.Random, depth: int) -> Any:
    if not isinstance(made, dict | list) or depth > 6 or not made:
        return value(rng)
    if isinstance(made, list):
        at = rng.randrange(len(made))
        match rng.randrange(4):
            case 0:
                made.append(made[at])
            case 1:
                del made[at]
            case _:
                made[at] = _changed(made[at], rng, depth + 1)
        return made
    key = rng.choice(list(made))
    match rng.randrange(6):
        case 0:
            del made[key]
        case 1 | 2:
            made[rng.choice(FIELDS)] = value(rng)
        case 3 if "msg_type" in made and depth == 0:
            made["msg_type"] = rng.choice(TAGS)
        case _:
            made[key] = _changed(made[key], rng, depth + 1)
    return made
