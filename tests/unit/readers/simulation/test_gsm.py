# SPDX-License-Identifier: Apache-2.0
"""Cards that are a SIM (3GPP TS 51.011): one that is nothing else, and UICCs."""

import pytest

from tests.support.card_user import apdu, block, card
from wsrc.readers.base import CardProtocol, ResetKind
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


@pytest.fixture
def uicc() -> Card:
    return card("")


def test_a_uicc_is_a_sim_as_well(uicc: Card) -> None:
    assert block(uicc, "a0a40000 02 3f00") == "9f16"
    assert block(uicc, "a0c00000 16")[8:14] == "3f0001"
    assert apdu(uicc, "a0a40000 02 2fe2") == "9f0f"
    assert apdu(uicc, "a0b00000 0a") == "988812010000400310f09000"
    assert block(uicc, "00a40004 02 3f00").startswith("61")


def test_a_pin_of_a_uicc_is_verified_for_both_classes_and_has_one_counter(uicc: Card) -> None:
    for path in ("7f20", "6f07"):
        apdu(uicc, f"a0a40000 02 {path}")
    assert apdu(uicc, "a0b00000 09") == "9804"
    assert apdu(uicc, "a0200001 08 30303030ffffffff") == "9804"
    assert apdu(uicc, "00200001") == "63c2"
    assert apdu(uicc, "00200001 08 31323334ffffffff") == "9000"
    assert apdu(uicc, "a0b00000 09") == "0809101000000000109000"


@pytest.mark.parametrize("kind", ["uicc", "euicc"])
def test_a_uicc_need_not_be_a_sim_and_never_is_under_t1(kind: str) -> None:
    select = "a0a40000 02 3f00"
    assert apdu(card("gsm_access = false", kind=kind), select) == "6e00"
    assert apdu(card(kind=kind, protocol=CardProtocol.T1), select) == "6e00"


def test_an_euicc_is_a_sim_by_its_enabled_profile() -> None:
    none = '[[profile]]\niccid = "8988211000000430010"\nname = "off"'
    assert apdu(card(none, kind="euicc"), "a0a40000 02 3f00") == "6e00"
    assert apdu(card(kind="euicc"), "a0a40000 02 3f00") == "9f16"
