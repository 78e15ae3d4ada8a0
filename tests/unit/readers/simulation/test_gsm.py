# SPDX-License-Identifier: Apache-2.0
"""A card that knows class A0 alone (3GPP TS 51.011)."""

import pytest

from tests.support.card_user import apdu, block, card
from wsrc.readers.base import ResetKind
from wsrc.readers.simulation import Card

FILES = """
[[file]]
path = "6fe1"
structure = "linear_fixed"
record_octets = 2
[[file]]
path = "6fe2"
structure = "cyclic"
record_octets = 2
"""


@pytest.fixture
def sim() -> Card:
    return card("gsm_only = true\n" + FILES)


def test_selection_announces_22_octets_by_9fxx(sim: Card) -> None:
    assert block(sim, "a0a40000023f00") == "9f16"
    mf = block(sim, "a0c0000016")
    assert mf[8:14] == "3f0001"
    assert mf[36:40] == "838a"
    assert mf.endswith("9000")
    assert block(sim, "a0a40000027f20") == "9f16"
    assert block(sim, "a0c0000016")[8:14] == "7f2002"
    assert block(sim, "a0f2000016")[8:14] == "7f2002"
    assert block(sim, "a0f2000000") == "6716"


@pytest.mark.parametrize(("file", "structure"), [("2fe2", "00"), ("6fe1", "01"), ("6fe2", "03")])
def test_description_of_files(sim: Card, file: str, structure: str) -> None:
    answer = apdu(sim, f"a0a40000 02 {file} 00")
    assert answer[8:14] == file + "04"
    assert answer[26:28] == structure


def test_iccid(sim: Card) -> None:
    assert apdu(sim, "a0a40000 02 2fe2") == "9f0f"
    assert apdu(sim, "a0b00000 0a") == "988812010000400310f09000"
    assert block(sim, "a0b0000000") == "670a"


def test_imsi_needs_the_chv(sim: Card) -> None:
    apdu(sim, "a0a40000 02 7f20")
    apdu(sim, "a0a40000 02 6f07")
    assert apdu(sim, "a0b00000 09") == "9804"
    assert apdu(sim, "a0200001 08 30303030ffffffff") == "9804"
    assert apdu(sim, "a0200001 08 31323334ffffffff") == "9000"
    assert apdu(sim, "a0b00000 09") == "0809101000000000109000"
    sim.reset(ResetKind.COLD)
    for sw in ("9804", "9804", "9840", "9840"):
        assert apdu(sim, "a0200001 08 30303030ffffffff") == sw


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("00a40000 02 3f00", "6e00"),
        ("00700000 01", "6e00"),
        ("a0a40400 02 3f00", "6b00"),
        ("a0a40000 01 3f", "6700"),
        ("a0a40000 02 dead", "9404"),
        ("a0b00000 01", "9400"),
        ("a0700000 01", "6d00"),
    ],
)
def test_refusals(sim: Card, command: str, sw: str) -> None:
    assert apdu(sim, command) == sw
