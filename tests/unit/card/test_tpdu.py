# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.tpdu against tests/vectors/tpdu.json: which blocks a T=0 card sees."""

import json
import re
from typing import Any

import pytest

from tests.support.paths import VECTORS
from wsrc.card.tpdu import MAX_BLOCKS, exchange
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
    response = exchange(octets(v["apdu"]), card.send)
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
