# SPDX-License-Identifier: Apache-2.0
"""PINs of the simulated card: counters, blocking, unblocking, and what they protect."""

import pytest

from tests.support.card_user import BOTH, SELECT_USIM, VERIFY_ADM, VERIFY_PIN1, apdu, card
from wsrc.readers.base import ResetKind
from wsrc.readers.simulation import Card

WRONG = "00200001 08 30303030ffffffff"
ASK = "00200001"
PUK = "3132333435363738"
NEW = "35353535ffffffff"
OLD = "31323334ffffffff"


@pytest.fixture(params=BOTH)
def uicc(request: pytest.FixtureRequest) -> Card:
    return card(protocol=request.param)


def test_asking_spends_no_try(uicc: Card) -> None:
    assert [apdu(uicc, ASK) for _ in range(5)] == ["63c3"] * 5
    assert apdu(uicc, VERIFY_PIN1) == "9000"
    assert apdu(uicc, ASK) == "9000"


def test_wrong_pin_is_counted_across_resets_until_blocked(uicc: Card) -> None:
    assert apdu(uicc, WRONG) == "63c2"
    uicc.reset(ResetKind.COLD)
    assert apdu(uicc, WRONG) == "63c1"
    uicc.reset(ResetKind.WARM)
    assert apdu(uicc, ASK) == "63c1"
    assert apdu(uicc, WRONG) == "63c0"
    assert apdu(uicc, VERIFY_PIN1) == "6983"
    assert apdu(uicc, ASK) == "63c0"


def test_right_pin_fills_the_counter_and_a_wrong_one_ends_its_effect(uicc: Card) -> None:
    apdu(uicc, WRONG)
    assert apdu(uicc, VERIFY_PIN1) == "9000"
    assert apdu(uicc, WRONG) == "63c2"
    assert apdu(uicc, ASK) == "63c2"


@pytest.mark.parametrize("kind", list(ResetKind))
def test_verification_ends_with_a_reset(uicc: Card, kind: ResetKind) -> None:
    apdu(uicc, VERIFY_PIN1)
    uicc.reset(kind)
    assert apdu(uicc, ASK) == "63c3"


def test_verification_ends_with_the_power(uicc: Card) -> None:
    apdu(uicc, VERIFY_PIN1)
    uicc.power_off()
    uicc.power_on()
    assert apdu(uicc, ASK) == "63c3"


def test_unblock_sets_a_new_pin_and_verifies_it(uicc: Card) -> None:
    for _ in range(3):
        apdu(uicc, WRONG)
    assert apdu(uicc, "002c0001") == "63ca"
    assert apdu(uicc, f"002c0001 10 {NEW}{NEW}") == "63c9"
    assert apdu(uicc, f"002c0001 10 {PUK}{NEW}") == "9000"
    assert apdu(uicc, "002c0001") == "63ca"
    assert apdu(uicc, ASK) == "9000"
    uicc.reset(ResetKind.COLD)
    assert apdu(uicc, VERIFY_PIN1) == "63c2"
    assert apdu(uicc, f"00200001 08 {NEW}") == "9000"


def test_unblock_is_blocked_after_ten_wrong_ones(uicc: Card) -> None:
    for left in range(9, -1, -1):
        assert apdu(uicc, f"002c0001 10 {NEW}{NEW}") == f"63c{left}"
    assert apdu(uicc, f"002c0001 10 {PUK}{NEW}") == "6983"
    assert apdu(uicc, VERIFY_PIN1) == "9000"


def test_change_pin(uicc: Card) -> None:
    assert apdu(uicc, f"00240001 10 {NEW}{NEW}") == "63c2"
    assert apdu(uicc, f"00240001 10 {OLD}{NEW}") == "9000"
    assert apdu(uicc, VERIFY_PIN1) == "63c2"
    assert apdu(uicc, f"00200001 08 {NEW}") == "9000"


def test_disabled_pin_is_not_asked_for(uicc: Card) -> None:
    assert apdu(uicc, f"00280001 08 {OLD}") == "6985"
    assert apdu(uicc, f"00260001 08 {OLD}") == "9000"
    assert apdu(uicc, f"00260001 08 {OLD}") == "6985"
    uicc.reset(ResetKind.COLD)
    assert apdu(uicc, SELECT_USIM) == "9000"
    assert apdu(uicc, "00b08700 01") == "089000"
    assert apdu(uicc, ASK) == "9000"
    assert apdu(uicc, VERIFY_PIN1) == "6984"
    assert apdu(uicc, f"00240001 10 {OLD}{NEW}") == "6984"
    assert apdu(uicc, f"00280001 08 {NEW}") == "63c2"
    assert apdu(uicc, f"00280001 08 {OLD}") == "9000"
    uicc.reset(ResetKind.COLD)
    apdu(uicc, SELECT_USIM)
    assert apdu(uicc, "00b08700 01") == "6982"


def test_administrative_key_has_no_unblock_pin(uicc: Card) -> None:
    assert apdu(uicc, "0020000a") == "63c3"
    assert apdu(uicc, "002c000a") == "6a88"
    assert apdu(uicc, "0026000a 08 3132333435363738") == "6a88"
    assert apdu(uicc, VERIFY_ADM) == "9000"
    assert apdu(uicc, "0020000a 08 3030303030303030") == "63c2"
    assert apdu(uicc, "0020000a") == "63c2"


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("00200101", "6a86"),
        ("00200002", "6a88"),
        ("00200001 04 31323334", "6700"),
        ("00240001 08 31323334ffffffff", "6700"),
    ],
)
def test_refusals(uicc: Card, command: str, sw: str) -> None:
    assert apdu(uicc, command) == sw


def test_pin_holds_on_every_channel(uicc: Card) -> None:
    apdu(uicc, "00700000 01")
    assert apdu(uicc, VERIFY_PIN1.replace("00200001", "01200001")) == "9000"
    assert apdu(uicc, ASK) == "9000"
