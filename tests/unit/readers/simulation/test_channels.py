# SPDX-License-Identifier: Apache-2.0
"""Logical channels of the simulated UICC, and the commands that have no file."""

import pytest

from tests.support.card_user import BOTH, SELECT_USIM, VERIFY_PIN1, apdu, card
from wsrc.readers.base import ResetKind
from wsrc.readers.simulation import Card

OPEN = "00700000 01"


@pytest.fixture(params=BOTH)
def uicc(request: pytest.FixtureRequest) -> Card:
    return card(protocol=request.param)


def test_three_channels_open_and_the_fourth_is_refused(uicc: Card) -> None:
    assert [apdu(uicc, OPEN) for _ in range(4)] == ["019000", "029000", "039000", "6a81"]
    assert apdu(uicc, "00708002") == "9000"
    assert apdu(uicc, OPEN) == "029000"


def test_each_channel_has_its_own_current_file(uicc: Card) -> None:
    apdu(uicc, OPEN)
    apdu(uicc, "00a4000c 02 2f05")
    assert apdu(uicc, "01a4000c 02 2fe2") == "9000"
    assert apdu(uicc, "01b00000 0a") == "988812010000400310f09000"
    assert apdu(uicc, "00b00000 02") == "656e9000"


def test_channel_opened_from_the_basic_one_starts_at_the_mf(uicc: Card) -> None:
    apdu(uicc, SELECT_USIM)
    apdu(uicc, OPEN)
    assert apdu(uicc, "01a4000c 02 2fe2") == "9000"
    assert apdu(uicc, "01a4000c 02 7fff") == "6a82"


def test_channel_opened_from_another_starts_there(uicc: Card) -> None:
    apdu(uicc, OPEN)
    apdu(uicc, "01a4040c 07 a0000000871002")
    assert apdu(uicc, "01700000 01") == "029000"
    assert apdu(uicc, "02a4000c 02 6f07") == "9000"


def test_closed_channel_is_gone_and_forgets(uicc: Card) -> None:
    apdu(uicc, OPEN)
    apdu(uicc, "01a4000c 02 2fe2")
    assert apdu(uicc, "00708001") == "9000"
    assert apdu(uicc, "01b00000 0a") == "6881"
    assert apdu(uicc, "00708001") == "6881"
    apdu(uicc, OPEN)
    assert apdu(uicc, "01b00000 0a") == "6986"
    assert apdu(uicc, "01708000") == "9000"
    assert apdu(uicc, "01b00000 0a") == "6881"


@pytest.mark.parametrize("command", ["00708000", "00700002 01", "00704000"])
def test_bad_parameters(uicc: Card, command: str) -> None:
    assert apdu(uicc, command) == "6a86"


@pytest.mark.parametrize("kind", list(ResetKind))
def test_reset_closes_all_channels(uicc: Card, kind: ResetKind) -> None:
    apdu(uicc, OPEN)
    uicc.reset(kind)
    assert apdu(uicc, "01a4000c 02 3f00") == "6881"


def test_wrong_le_opens_no_channel() -> None:
    uicc = card()
    assert uicc.transmit(bytes.fromhex("0070000000")).hex() == "6c01"
    assert uicc.transmit(bytes.fromhex("0070000001")).hex() == "019000"


@pytest.mark.parametrize("protocol", BOTH)
def test_card_without_logical_channels(protocol: str) -> None:
    uicc = card("logical_channels = 0", protocol=protocol)
    assert apdu(uicc, OPEN) == "6881"


def test_challenges_differ(uicc: Card) -> None:
    first, second = apdu(uicc, "00840000 08"), apdu(uicc, "00840000 08")
    assert len(first) == len(second) == 20
    assert first != second


def test_terminal_profile(uicc: Card) -> None:
    assert apdu(uicc, "80100000 03 ffffff") == "9000"
    assert apdu(uicc, "80100001 03 ffffff") == "6a86"


def test_terminal_capability_only_before_the_first_application(uicc: Card) -> None:
    capability = "80aa0000 05 a903830180"
    assert apdu(uicc, capability) == "9000"
    assert apdu(uicc, "80aa0000 05 a803830180") == "6a80"
    apdu(uicc, SELECT_USIM)
    assert apdu(uicc, capability) == "6985"
    uicc.reset(ResetKind.COLD)
    assert apdu(uicc, capability) == "9000"


def test_authenticate_needs_the_usim(uicc: Card) -> None:
    assert apdu(uicc, f"00880081 22 10{'00' * 16}10{'00' * 16} 00") == "6985"
    apdu(uicc, VERIFY_PIN1)
    apdu(uicc, SELECT_USIM)
    assert apdu(uicc, f"00880081 22 10{'00' * 16}10{'00' * 16} 00") == "9862"
