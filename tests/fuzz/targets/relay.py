# SPDX-License-Identifier: Apache-2.0
"""The relay: hostile peers of both kinds, in any order, while time goes on."""

import random

from tests.fuzz import json_inputs, records, relay_run

SEEDS = list(relay_run.seeds())
WORDS = json_inputs.WORDS
SHARE = 8
MAX_OCTETS = 8192
_POOL = [each for seed in SEEDS for each in records.split(seed)] + [
    (number << 3 | relay_run.TEXT[0], text) for text in json_inputs.MESSAGES for number in range(3)
]


def one(data: bytes) -> None:
    """Let peers do what an input says; all of them leave at the end."""
    hostiles = relay_run.Hostiles()
    for record in records.split(data):
        hostiles.act(record)
    hostiles.end()


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change what happens, or what is said in it."""
    return records.mutated(data, rng, json_inputs.mutated, _POOL)
