# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.identify against scripted cards: what is asked, and what is made of the answers."""

import re
from collections.abc import Generator, Sequence
from typing import TypeVar

import pytest

from tests.support.paths import ROOT
from wsrc.card.apdu import Command, Response, parse_response
from wsrc.card.identify import ECASD_AID, ISD_R_AIDS, Identified, identify, identify_again
from wsrc.card.identity import Identities

ICCID, EF_ICCID = "8988211000000430010", "988812010000400310f0"
EID, EID_2 = "89882119900000000000000000007280", "89049032000000000000000000000071"
ECASD = "a0000005591010ffffffff8900000200"
AID, AID_2 = "a0000005591010ffffffff8900000100", "a0000005591010ffffffff8900050500"
GET_EID = "80e2910006bf3e035c015a00"


R = TypeVar("R")


def eid_answer(eid: str) -> str:
    return f"bf3e125a10{eid}9000"


class Card:
    """A card that knows some command APDUs and answers 6A82 to all others."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def transmit(self, command: Command) -> bytes:
        apdu = command.encode().hex()
        self.asked.append(apdu)
        return bytes.fromhex(self.answers.get(apdu, "6a82"))


def ask(card: Card, isd_r_aids: Sequence[bytes] = (bytes.fromhex(AID),)) -> Identified:
    return run(card, identify(isd_r_aids))


def run(card: Card, questions: Generator[Command, Response, R]) -> R:
    command = next(questions)
    for _ in range(100):
        try:
            command = questions.send(parse_response(card.transmit(command)))
        except StopIteration as done:
            result: R = done.value
            return result
    pytest.fail("identification does not end")


def iccid_on(cla: str) -> dict[str, str]:
    return {
        f"{cla}a4000c023f00": "9000",
        f"{cla}a4000c022fe2": "9000",
        f"{cla}b000000a": EF_ICCID + "9000",
    }


def test_a_uicc_is_asked_on_a_supplementary_channel_which_is_closed_again() -> None:
    card = Card({"0070000001": "019000", **iccid_on("01"), "00708001": "9000"})
    assert ask(card) == Identified(Identities(ICCID), moved=False)
    assert card.asked == [
        "0070000001",
        "01a4000c023f00",
        "01a4000c022fe2",
        "01b000000a",
        f"01a4040010{AID}00",
        f"01a4040010{ECASD}00",
        "00708001",
    ]


def test_a_channel_of_the_second_form_is_used() -> None:
    card = Card({"0070000001": "139000", **iccid_on("4f"), "00708013": "9000"})
    assert ask(card).identities.iccid == ICCID
    assert card.asked[-1] == "00708013"


@pytest.mark.parametrize("opened", ["6881", "6a81", "6d00", "9000", "149000", "01029000", "009000"])
def test_a_card_that_opens_no_channel_is_asked_on_the_basic_one_and_must_be_reset(
    opened: str,
) -> None:
    card = Card({"0070000001": opened, **iccid_on("00")})
    assert ask(card) == Identified(Identities(ICCID), moved=True)
    assert not any(apdu.startswith("007080") for apdu in card.asked)


@pytest.mark.parametrize("refusal", ["6e00", "6d00"])
def test_a_sim_of_gsm_is_asked_with_class_a0(refusal: str) -> None:
    card = Card(
        {
            "0070000001": "6e00",
            "00a4000c023f00": refusal,
            "a0a40000023f00": "9f16",
            "a0a40000022fe2": "9f0f",
            "a0b000000a": EF_ICCID + "9000",
        }
    )
    assert ask(card) == Identified(Identities(ICCID), moved=True)


@pytest.mark.parametrize("refusal", ["6a86", "6b00"])
def test_a_card_that_must_return_the_fcp_is_asked_so(refusal: str) -> None:
    card = Card(
        {
            "0070000001": "019000",
            "01a4000c023f00": refusal,
            "01a40004023f0000": "62009000",
            "01a4000c022fe2": refusal,
            "01a40004022fe200": "62006283",
            "01b000000a": EF_ICCID + "9000",
        }
    )
    assert ask(card).identities.iccid == ICCID


@pytest.mark.parametrize(
    "missing", ["01a4000c023f00", "01a4000c022fe2", "01b000000a"], ids=["MF", "EF", "content"]
)
def test_a_card_without_iccid_is_asked_for_its_eid_all_the_same(missing: str) -> None:
    answers = {"0070000001": "019000", **iccid_on("01"), f"01a4040010{AID}00": "9000"}
    answers["81" + GET_EID[2:]] = eid_answer(EID)
    del answers[missing]
    assert ask(Card(answers)) == Identified(Identities(None, (EID,)), moved=False)


def test_each_eid_is_told_once() -> None:
    class Euicc(Card):
        """The answer to GetEuiccData depends on the application that is selected."""

        def transmit(self, command: Command) -> bytes:
            apdu = command.encode().hex()
            if apdu[2:4] == "a4":
                self.answers["81" + GET_EID[2:]] = eid_answer(EID_2 if AID_2 in apdu else EID)
            return super().transmit(command)

    aids = [AID, AID_2, "a0000005591010000000008900000300"]
    selects = {f"01a4040010{aid}00": "9000" for aid in aids}
    card = Euicc({"0070000001": "019000", **selects})
    assert ask(card, [bytes.fromhex(aid) for aid in aids]).identities.eids == (EID, EID_2)
    assert f"01a4040010{ECASD}00" not in card.asked


def test_an_isd_r_that_tells_no_eid_leaves_it_to_the_ecasd() -> None:
    """SGP.02: tag 5A of the ECASD."""
    card = Card(
        {
            "0070000001": "019000",
            f"01a4040010{AID}00": "9000",
            "81" + GET_EID[2:]: "6985",
            f"01a4040010{ECASD}00": "9000",
            "81ca005a00": f"5a10{EID}9000",
        }
    )
    assert ask(card).identities.eids == (EID,)


def test_an_ecasd_without_eid_gives_none() -> None:
    card = Card({"0070000001": "019000", f"01a4040010{ECASD}00": "9000", "81ca005a00": "6a88"})
    assert ask(card) == Identified(Identities(), moved=False)


def test_a_card_that_knows_nothing_is_nobody_and_must_be_reset() -> None:
    assert ask(Card({}), ()) == Identified(Identities(), moved=True)


def test_the_iccid_alone_is_asked_again_after_a_profile_switch() -> None:
    card = Card({"0070000001": "019000", **iccid_on("01"), "00708001": "9000"})
    assert run(card, identify_again()) == ICCID
    assert card.asked == [
        "0070000001",
        "01a4000c023f00",
        "01a4000c022fe2",
        "01b000000a",
        "00708001",
    ]


def test_it_is_not_asked_again_on_the_basic_channel() -> None:
    card = Card({"0070000001": "6881", **iccid_on("00")})
    assert run(card, identify_again()) is None
    assert card.asked == ["0070000001"]


def test_nothing_is_verified_or_written() -> None:
    """SELECT, READ BINARY, MANAGE CHANNEL, GET DATA, and STORE DATA of the GetEuiccData form."""
    harmless = {"a4", "b0", "70", "ca"}
    cards = [Card({}), Card({"0070000001": "019000", **iccid_on("01")})]
    cards.append(Card({f"00a4040010{aid.hex()}00": "9000" for aid in ISD_R_AIDS}))
    for card in cards:
        ask(card, ISD_R_AIDS)
        assert card.asked
        assert all(a[2:4] in harmless or a[2:] == GET_EID[2:] for a in card.asked)


def test_every_aid_is_known_once() -> None:
    assert len(set(ISD_R_AIDS)) == len(ISD_R_AIDS)
    assert all(5 <= len(aid) <= 16 for aid in ISD_R_AIDS)


def test_a3_a_card_is_not_asked_again_for_what_a_card_of_its_eid_does_not_have() -> None:
    other = bytes.fromhex("a0000005591010ffffffff8900000177")
    aids = (bytes.fromhex(AID), bytes.fromhex(AID_2), other)
    answers = {
        "0070000001": "019000",
        **iccid_on("01"),
        f"01a4040010{AID}00": "9000",
        "81" + GET_EID[2:]: eid_answer(EID),
        "00708001": "9000",
    }
    absent: dict[str, frozenset[bytes]] = {}
    for asked in (3, 1):
        card = Card(answers)
        found = run(card, identify(aids, absent=absent))
        assert found.identities == Identities(ICCID, (EID,))
        assert sum(apdu.startswith("01a4040010") for apdu in card.asked) == asked
    assert absent == {EID: frozenset(aids[1:])}


@pytest.mark.parametrize("eids", [(), (EID,)])
def test_a3_eids_that_are_known_are_not_asked_for(eids: tuple[str, ...]) -> None:
    card = Card({"0070000001": "019000", **iccid_on("01"), "00708001": "9000"})
    found = run(card, identify((bytes.fromhex(AID),), eids))
    assert found.identities == Identities(ICCID, eids)
    assert not any(apdu.startswith("01a404") for apdu in card.asked)


def test_e32_the_document_names_every_application_that_is_asked() -> None:
    protocol = (ROOT / "docs" / "protocol.md").read_text("utf-8")
    named = re.findall(r"^\| `([0-9a-f]{32})` \| (ISD-R|ECASD): ", protocol, re.MULTILINE)
    assert [bytes.fromhex(aid) for aid, what in named if what == "ISD-R"] == list(ISD_R_AIDS)
    assert [aid for aid, what in named if what == "ECASD"] == [ECASD_AID.hex()]
