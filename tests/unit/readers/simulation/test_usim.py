# SPDX-License-Identifier: Apache-2.0
"""AUTHENTICATE of the simulated USIM (3GPP TS 31.102 clause 7.1.2)."""

import pytest

from tests.support.card_user import BOTH, SELECT_USIM, VERIFY_PIN1, apdu, card
from wsrc.readers.base import ResetKind
from wsrc.readers.simulation import Card
from wsrc.readers.simulation.milenage import Milenage, exclusive_or

MILENAGE = Milenage(
    bytes.fromhex("465b5ce8b199b49faa5f0a2ee238a6bc"),
    bytes.fromhex("cd63cb71954a9f4e48a5994e37a02baf"),
)
RAND = bytes.fromhex("23553cbe9637a89d218ae64dae47bf35")


@pytest.fixture(params=BOTH)
def uicc(request: pytest.FixtureRequest) -> Card:
    made = card('sqn = "000000000020"', protocol=request.param)
    apdu(made, SELECT_USIM)
    return made


def authenticate(uicc: Card, sqn: int) -> str:
    autn = MILENAGE.autn(RAND, sqn.to_bytes(6))
    return apdu(uicc, f"00880081 22 10{RAND.hex()}10{autn.hex()} 00")


def test_published_set_1_as_a_network_would_send_it(uicc: Card) -> None:
    answer = apdu(
        uicc,
        "00880081 2210 23553cbe9637a89d218ae64dae47bf3510 55f328b43577b9b94a9ffac354dfafb3 00",
    )
    assert answer == (
        "db08a54211d5e3ba50bf10b40ba9a3c58b2a05bbf0d987b21bf8cb"
        "10f769bcd751044604127672711c6d34419000"
    )


def test_sequence_number_is_accepted_once_and_outlives_a_reset(uicc: Card) -> None:
    assert authenticate(uicc, 0x21).startswith("db08")
    uicc.reset(ResetKind.COLD)
    apdu(uicc, SELECT_USIM)
    assert authenticate(uicc, 0x21).startswith("dc0e")
    assert authenticate(uicc, 0x22).startswith("db08")


def test_auts_carries_the_number_of_the_card(uicc: Card) -> None:
    answer = bytes.fromhex(authenticate(uicc, 0x20))
    assert answer[:2] == b"\xdc\x0e"
    auts = answer[2:16]
    sqn = exclusive_or(auts[:6], MILENAGE.f5_star(RAND))
    assert int.from_bytes(sqn) == 0x20
    assert auts[6:] == MILENAGE.f1_star(RAND, sqn, bytes(2))


def test_wrong_mac_changes_nothing(uicc: Card) -> None:
    assert apdu(uicc, f"00880081 22 10{RAND.hex()}10{'00' * 16} 00") == "9862"
    assert authenticate(uicc, 0x21).startswith("db08")


def test_gsm_context(uicc: Card) -> None:
    answer = apdu(uicc, f"00880080 11 10{RAND.hex()} 00")
    keys = MILENAGE.f2345(RAND)
    assert answer[:10] == "04" + exclusive_or(keys.res[:4], keys.res[4:]).hex()
    assert answer[10:12] == "08"
    assert len(answer) == 2 * (1 + 4 + 1 + 8 + 2)


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("00880181 01 00", "6a86"),
        ("00880081 01 00", "6700"),
        ("00880081 02 1000", "6700"),
        ("00880082 11 10 00000000000000000000000000000000", "9864"),
    ],
)
def test_refusals(uicc: Card, command: str, sw: str) -> None:
    assert apdu(uicc, command) == sw


@pytest.mark.parametrize("protocol", BOTH)
def test_pin_is_needed_where_the_description_says_so(protocol: str) -> None:
    uicc = card("authenticate_needs_pin = true", protocol=protocol)
    apdu(uicc, SELECT_USIM)
    assert authenticate(uicc, 1) == "6982"
    apdu(uicc, VERIFY_PIN1)
    assert authenticate(uicc, 1).startswith("db08")
