# SPDX-License-Identifier: Apache-2.0
"""GET RESPONSE answered from what the card host has fetched."""

import pytest

from wsrc.user_client.core.look_ahead import LookAhead

DATA = bytes(range(39))


def get(le: int | None, cla: int = 0x00) -> bytes:
    return bytes((cla, 0xC0, 0, 0)) + (b"" if le is None else bytes([le]))


@pytest.fixture
def ahead() -> LookAhead:
    ahead = LookAhead()
    ahead.put(0x00, DATA, 0x9000)
    return ahead


def test_next_get_response_is_answered_once(ahead: LookAhead) -> None:
    assert ahead.answer(get(39)) == DATA + b"\x90\x00"
    assert ahead.answer(get(39)) is None


def test_status_word_of_the_card_is_kept() -> None:
    ahead = LookAhead()
    ahead.put(0x00, DATA, 0x6282)
    assert ahead.answer(get(39)) == DATA + b"\x62\x82"
    ahead.put(0x00, b"", 0x6F00)
    assert ahead.answer(get(39)) == b"\x6f\x00"


def test_less_is_given_in_parts(ahead: LookAhead) -> None:
    assert ahead.answer(get(30)) == DATA[:30] + b"\x61\x09"
    assert ahead.answer(get(1)) == DATA[30:31] + b"\x61\x08"
    assert ahead.answer(get(8)) == DATA[31:] + b"\x90\x00"
    assert ahead.answer(get(8)) is None


@pytest.mark.parametrize("le", [0, None])
def test_d27_00_asks_for_what_was_announced(ahead: LookAhead, le: int | None) -> None:
    assert ahead.answer(get(le)) == DATA + b"\x90\x00"
    assert ahead.answer(get(le)) is None


def test_d27_00_asks_for_the_rest_of_what_was_announced(ahead: LookAhead) -> None:
    assert ahead.answer(get(30)) == DATA[:30] + b"\x61\x09"
    assert ahead.answer(get(0)) == DATA[30:] + b"\x90\x00"


def test_d25_more_than_256_octets_are_given_in_parts() -> None:
    ahead = LookAhead()
    ahead.put(0x00, bytes(600), 0x9000)
    assert ahead.answer(get(0)) == bytes(256) + b"\x61\x00"
    assert ahead.answer(get(0)) == bytes(256) + b"\x61\x58"
    assert ahead.answer(get(0x58)) == bytes(0x58) + b"\x90\x00"


@pytest.mark.parametrize("le", [40, 255])
def test_more_than_there_is_is_told_and_nothing_is_lost(ahead: LookAhead, le: int | None) -> None:
    assert ahead.answer(get(le)) == b"\x6c\x27"
    assert ahead.answer(get(39)) == DATA + b"\x90\x00"


def test_256_octets_are_asked_for_by_00() -> None:
    ahead = LookAhead()
    ahead.put(0x00, bytes(256), 0x612C)
    assert ahead.answer(get(0)) == bytes(256) + b"\x61\x2c"
    ahead.put(0x00, bytes(256), 0x9000)
    assert ahead.answer(get(1)) == b"\x00\x61\xff"


@pytest.mark.parametrize(
    "command",
    ["00a4000c023f00", "00b0000000", "00c0010027", "00c0000127", "00c000002700", "00c000",
     "01c0000027", "41c0000027", ""],
)  # fmt: skip
def test_any_other_command_loses_it(ahead: LookAhead, command: str) -> None:
    assert ahead.answer(bytes.fromhex(command)) is None
    assert ahead.answer(get(39)) is None


@pytest.mark.parametrize(("cla", "asked"), [(0x80, 0x00), (0x01, 0x81), (0xA0, 0xA0), (0x43, 0x43)])
def test_channel_counts_and_not_the_class(cla: int, asked: int) -> None:
    ahead = LookAhead()
    ahead.put(cla, DATA, 0x9000)
    assert ahead.answer(get(39, asked)) == DATA + b"\x90\x00"


def test_reset_loses_it(ahead: LookAhead) -> None:
    ahead.drop()
    assert ahead.answer(get(39)) is None
