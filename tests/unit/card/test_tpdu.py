# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.tpdu against tests/vectors/tpdu.json: which blocks a T=0 card sees."""

import json
import re
from typing import Any

import pytest

from tests.support.paths import VECTORS
from wsrc.card.tpdu import MAX_BLOCKS, Channels, carrier_cla, exchange, is_certain
from wsrc.errors import BadApduError, CardTransmissionError

CASES = json.loads((VECTORS / "tpdu.json").read_text("utf-8"))


def octets(text: str) -> bytes:
    """Read hexadecimal digits in which <xx*n> stands for n octets xx."""
    return bytes.fromhex(
        re.sub(r"<(..)\*(\d+)>", lambda found: found[1] * int(found[2]), text),
    )


class ScriptedCard:
    """A card that expects some blocks and has an answer to each."""

    def __init__(self, blocks: list[tuple[str, str]]) -> None:
        self.left = [(octets(sent), octets(answer)) for sent, answer in blocks]

    def send(self, block: bytes) -> bytes:
        assert self.left, f"one block too many: {block.hex()}"
        expected, answer = self.left.pop(0)
        assert block.hex() == expected.hex()
        return answer


@pytest.mark.parametrize("v", [pytest.param(v, id=v["name"]) for v in CASES["exchanges"]])
def test_exchanges(v: dict[str, Any]) -> None:
    card = ScriptedCard(v["blocks"])
    response = exchange(octets(v["apdu"]), card.send, v.get("channels", []))
    assert card.left == []
    assert response.hex() == octets(v["response"]).hex()


@pytest.mark.parametrize("v", [pytest.param(v, id=v["name"]) for v in CASES["endless"]])
def test_an_exchange_without_end_is_ended(v: dict[str, Any]) -> None:
    seen: list[bytes] = []

    def send(block: bytes) -> bytes:
        seen.append(block)
        return octets(v["answers"][len(seen) % len(v["answers"])])

    with pytest.raises(CardTransmissionError, match=f"within {MAX_BLOCKS} T=0 blocks"):
        exchange(octets(v["apdu"]), send)
    assert len(seen) == MAX_BLOCKS


def test_no_block_is_sent_for_what_is_no_apdu() -> None:
    card = ScriptedCard([])
    with pytest.raises(BadApduError):
        exchange(b"\0\xa4\0", card.send)


@pytest.mark.parametrize("answer", [b"", b"\x90"])
def test_less_than_a_status_word_is_a_transmission_error(answer: bytes) -> None:
    with pytest.raises(CardTransmissionError):
        exchange(bytes.fromhex("00a40000"), lambda _: answer)


def test_data_without_end_is_cut() -> None:
    response = exchange(bytes.fromhex("00ca000000"), lambda _: bytes(256) + b"\x61\x00")
    assert response.endswith(b"\x61\x00")


@pytest.mark.parametrize(
    ("exchanges", "left"),
    [
        ([("0070000001", "049000")], {4}),
        ([("0070000500", "9000")], {5}),
        ([("0070000001", "049000"), ("00708004", "9000")], set()),
        ([("0070000001", "049000"), ("40708000", "9000")], set()),
        ([("0070000001", "6881"), ("0070000001", "9000"), ("8070000001", "049000")], set()),
        ([("00a40000", "9000"), ("00708007", "9000")], set()),
    ],
)
def test_a5_channels_are_known_from_what_was_asked_and_answered(
    exchanges: list[tuple[str, str]], left: set[int]
) -> None:
    channels = Channels()
    for command, answer in exchanges:
        channels.saw(bytes.fromhex(command), bytes.fromhex(answer))
    assert channels.open == left


@pytest.mark.parametrize(
    ("cla", "channels", "carrier", "certain"),
    [
        (0x00, (), 0x00, (True, True)),
        (0x13, (), 0x03, (True, True)),
        (0x4F, (), 0x4F, (True, True)),
        (0xA0, (), 0xA0, (True, True)),
        (0x80, (), 0x00, (False, True)),
        (0x81, (1,), 0x01, (True, True)),
        (0xC0, (), 0xC0, (False, False)),
        (0xC0, (4,), 0x40, (True, True)),
        (0xE3, (7,), 0x43, (True, True)),
        (0xA1, (1,), 0xA1, (False, False)),
        (0xB0, (), 0xB0, (False, False)),
        (0xF0, (), 0xF0, (False, False)),
    ],
)
def test_a5_the_class_of_get_response(
    cla: int, channels: tuple[int, ...], carrier: int, certain: tuple[bool, bool]
) -> None:
    assert carrier_cla(cla, channels) == carrier
    assert tuple(is_certain(cla, channels, uicc=uicc) for uicc in (False, True)) == certain
