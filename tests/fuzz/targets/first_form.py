# SPDX-License-Identifier: Apache-2.0
"""Peers of the first form, which say hello without a version and then anything."""

import random

from tests.fuzz import json_inputs, records, relay_run

_SAID = (
    '{"msg_type":"list_cards"}',
    '{"msg_type":"select_card","id_type":"iccid","id_str":"8988211000000430010"}',
    '{"msg_type":"c_apdu","command":"00a4000c023f00"}',
    '{"msg_type":"reset_req"}',
    '{"msg_type":"r_apdu","response":"","sw":"9000"}',
    '{"msg_type":"r_apdu","response":"988812010000400310f0","sw":"9000"}',
    '{"msg_type":"r_apdu","response":"","sw":"6a82"}',
    '{"msg_type":"reset_resp","atr":"3b00"}',
    '{"msg_type":"error","message":"No."}',
    '{"msg_type":"hello","client_type":"card","atr":"3b00"}',
)
_CARD, _USER = 0 << 3 | relay_run.TEXT[0], 1 << 3 | relay_run.TEXT[0]
_POOL = [(peer, text.encode()) for text in _SAID for peer in (_CARD, _USER)] + [
    (relay_run.TIME, b"\0\x64"),
    (relay_run.LEAVE, b""),
    (1 << 3 | relay_run.LEAVE, b"g"),
]


def _identified() -> list[records.Record]:
    """Return what a first-form card client answers until it is identified, and who it is for."""
    found, ef = (
        f'{{"msg_type":"r_apdu","response":"{hex_}","sw":"{sw}"}}'.encode()
        for hex_, sw in (
            ("", "9000"),
            ("988812010000400310f0", "9000"),
        )
    )
    absent = b'{"msg_type":"r_apdu","response":"","sw":"6a82"}'
    reset = b'{"msg_type":"reset_resp","atr":"3b00"}'
    answers = [found, found, ef, *[absent] * 24, reset, reset]
    return [(relay_run.CARD, b""), (relay_run.USER, b""), *((_CARD, each) for each in answers)]


SEEDS = [
    records.joined([(relay_run.CARD, b""), (relay_run.USER, b""), *_POOL]),
    records.joined([*_identified(), *_POOL]),
    *list(relay_run.seeds())[-8:],
]
WORDS = json_inputs.WORDS
SHARE = 4


def one(data: bytes) -> None:
    """Let peers of the first form, and some of the present one, do what an input says."""
    hostiles = relay_run.Hostiles(of_first_form=True)
    for record in records.split(data):
        hostiles.act(record)
    hostiles.end()


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change what happens, or what is said in it."""
    return records.mutated(data, rng, json_inputs.mutated, _POOL)
