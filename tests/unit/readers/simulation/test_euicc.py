# SPDX-License-Identifier: Apache-2.0
"""The simulated eUICC: EIDs, EuiccInfo1, profiles, and identification of every kind of card."""

import pytest

from tests.support.card_user import BOTH, apdu, card
from wsrc.card import tlv
from wsrc.card.apdu import parse_response
from wsrc.card.identify import Identified, identify
from wsrc.readers.base import ResetKind
from wsrc.readers.simulation import Card, default_cards

EID = "89882119900000000000000000007280"
OTHER_EID = "89049032000000000000000000000043"
ISD_R = "a0000005591010ffffffff8900000100"
SELECT_ISD_R = f"00a4040c 10 {ISD_R}"
GET_EID = "80e29100 06 bf3e035c015a 00"
PROFILES = """
[[profile]]
iccid = "8988211000000430028"
enabled = true
[[profile]]
iccid = "8988211000000430036"
"""
FIRST, SECOND = "988812010000400320f8", "988812010000400330f6"


def enable(iccid: str) -> str:
    return f"80e29100 14 bf3111a00c5a0a{iccid}8101ff 00"


def disable(iccid: str) -> str:
    return f"80e29100 14 bf3211a00c5a0a{iccid}8101ff 00"


def iccid_of(card: Card) -> str:
    return apdu(card, "00b08200 0a")


def identified(card: Card) -> Identified:
    questions = identify()
    question = next(questions)
    try:
        while True:
            response = parse_response(bytes.fromhex(apdu(card, question.encode().hex())))
            question = questions.send(response)
    except StopIteration as done:
        return done.value


@pytest.fixture(params=BOTH)
def euicc(request: pytest.FixtureRequest) -> Card:
    return card(PROFILES, kind="euicc", protocol=request.param)


def test_eid_is_given_by_the_isd_r_alone(euicc: Card) -> None:
    assert apdu(euicc, GET_EID) == "6d00"
    assert apdu(euicc, SELECT_ISD_R) == "9000"
    assert apdu(euicc, GET_EID) == f"bf3e125a10{EID}9000"
    assert apdu(euicc, "80f20001 12") == f"8410{ISD_R}9000"
    assert apdu(euicc, "00a4040c 07 a0000000871002") == "9000"
    assert apdu(euicc, GET_EID) == "6d00"


def test_isd_r_on_a_supplementary_channel(euicc: Card) -> None:
    apdu(euicc, "00700000 01")
    answer = apdu(euicc, f"01a40400 10 {ISD_R} 00")
    assert tlv.find(bytes.fromhex(answer)[:-2], 0x6F, 0x84) == bytes.fromhex(ISD_R)
    assert apdu(euicc, GET_EID.replace("80e2", "81e2", 1)) == f"bf3e125a10{EID}9000"
    assert apdu(euicc, GET_EID) == "6d00"


def test_request_in_several_blocks(euicc: Card) -> None:
    apdu(euicc, SELECT_ISD_R)
    assert apdu(euicc, "80e21100 03 bf3e03") == "9000"
    assert apdu(euicc, "80e29101 03 5c015a 00") == f"bf3e125a10{EID}9000"


def test_euicc_info1(euicc: Card) -> None:
    apdu(euicc, SELECT_ISD_R)
    info = bytes.fromhex(apdu(euicc, "80e29100 03 bf2000 00"))[:-2]
    assert tlv.find(info, 0xBF20, 0x82) == bytes((2, 5, 0))
    assert tlv.find(info, 0xBF20, 0xA9) == tlv.find(info, 0xBF20, 0xAA)
    assert len(tlv.find(info, 0xBF20, 0xA9, 0x04) or b"") == 20


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("80e29100 01 bf 00", "6a80"),
        ("80e29100 06 bf2000bf2000 00", "6a80"),
        ("80e29100 03 bf7700 00", "6a88"),
        ("80e20000 03 bf2000 00", "6a86"),
        ("80e29100 06 bf3e035c0142 00", "6a80"),
        ("80ca005a 00", "6a88"),
    ],
)
def test_refusals(euicc: Card, command: str, sw: str) -> None:
    apdu(euicc, SELECT_ISD_R)
    assert apdu(euicc, command) == sw


def test_request_has_a_bound(euicc: Card) -> None:
    apdu(euicc, SELECT_ISD_R)
    answers = {apdu(euicc, f"80e21101 ff {'00' * 255}") for _ in range(17)}
    assert answers == {"9000", "6700"}


def test_profile_switch_takes_effect_at_the_next_reset(euicc: Card) -> None:
    assert iccid_of(euicc) == FIRST + "9000"
    apdu(euicc, "00d68500 01 65")
    apdu(euicc, SELECT_ISD_R)
    assert apdu(euicc, enable(SECOND)) == "bf31038001009000"
    assert iccid_of(euicc) == FIRST + "9000"
    euicc.reset(ResetKind.WARM)
    assert iccid_of(euicc) == SECOND + "9000"
    apdu(euicc, SELECT_ISD_R)
    assert apdu(euicc, enable(SECOND)) == "bf31038001029000"
    assert apdu(euicc, enable("98881201000040039999")) == "bf31038001019000"
    assert apdu(euicc, "80e29100 03 bf3100 00") == "bf310380017f9000"


def test_each_profile_keeps_its_own_counters(euicc: Card) -> None:
    assert apdu(euicc, "00200001 08 30303030ffffffff") == "63c2"
    apdu(euicc, SELECT_ISD_R)
    apdu(euicc, enable(SECOND))
    euicc.reset(ResetKind.COLD)
    assert apdu(euicc, "00200001") == "63c3"
    apdu(euicc, SELECT_ISD_R)
    apdu(euicc, enable(FIRST))
    euicc.reset(ResetKind.COLD)
    assert apdu(euicc, "00200001") == "63c2"


def test_without_an_enabled_profile_there_is_no_iccid(euicc: Card) -> None:
    apdu(euicc, SELECT_ISD_R)
    assert apdu(euicc, disable(SECOND)) == "bf32038001029000"
    assert apdu(euicc, disable(FIRST)) == "bf32038001009000"
    euicc.reset(ResetKind.COLD)
    assert iccid_of(euicc) == "6a82"
    assert identified(euicc).identities.iccid is None
    assert identified(euicc).identities.eids == (EID,)


def test_list_of_profiles(euicc: Card) -> None:
    apdu(euicc, SELECT_ISD_R)
    listed = bytes.fromhex(apdu(euicc, "80e29100 03 bf2d00 00"))[:-2]
    entries = list(tlv.decode(tlv.find(listed, 0xBF2D, 0xA0) or b""))
    assert [tlv.find(entry, 0x5A) for _, entry in entries] == [
        bytes.fromhex(FIRST),
        bytes.fromhex(SECOND),
    ]
    assert [tlv.find(entry, 0x9F70) for _, entry in entries] == [b"\x01", b"\x00"]
    aid = (tlv.find(entries[1][1], 0x4F) or b"").hex()
    assert apdu(euicc, f"80e29100 1a bf3117a0124f10{aid}8101ff 00") == "bf31038001009000"


def test_identification_of_the_default_cards() -> None:
    uicc, euicc = default_cards()
    uicc.power_on()
    euicc.power_on()
    assert identified(uicc).identities.iccid == "8988211000000430010"
    assert identified(uicc).identities.eids == ()
    assert identified(euicc).identities.iccid == "8988211000000430028"
    assert identified(euicc).identities.eids == (EID,)
    assert not identified(euicc).moved


def test_identification_of_a_card_with_two_isd_rs() -> None:
    made = card(
        f"""
        [[isd_r]]
        eid = "{EID}"
        aid = "a06573746b6d65ffff4953442d522030"
        [[isd_r]]
        eid = "{OTHER_EID}"
        aid = "a06573746b6d65ffff4953442d522031"
        """,
        kind="euicc",
    )
    assert identified(made).identities.eids == (EID, OTHER_EID)


def test_identification_by_the_ecasd() -> None:
    made = card(f'ecasd = true\n[[isd_r]]\neid = "{EID}"\naid = "a000000559ffffffff"', kind="euicc")
    assert identified(made).identities.eids == (EID,)
    apdu(made, "00a4040c 10 a0000005591010ffffffff8900000200")
    assert apdu(made, "00ca005a 12") == f"5a10{EID}9000"
    assert apdu(made, "00ca0042 12") == "6a88"


def test_identification_without_logical_channels_moves_the_basic_one() -> None:
    made = card("logical_channels = 0")
    assert identified(made).moved
    assert identified(made).identities.iccid == "8988211000000430010"


def test_identification_of_a_gsm_sim() -> None:
    made = card("gsm_only = true")
    assert identified(made).moved
    assert identified(made).identities.iccid == "8988211000000430010"
