# SPDX-License-Identifier: Apache-2.0
"""wsrc.guard.machine: what the guard asks, remembers and follows."""

import pytest

from tests.support.guard_talk import LAST_TRY, OK, PIN, UNBLOCK, VERIFY, Talk, select
from wsrc.guard.commands import Secret
from wsrc.guard.machine import Orders
from wsrc.guard.tries import MAX_CARDS, MAX_SECRETS, Memory, Tries, Where

USIM, OTHER = "a0000000871002", "d27600012401"


# What a card that can be asked is asked


def test_a_uicc_is_asked_before_each_presentation_and_for_nothing_else() -> None:
    talk = Talk(uicc=True, ins20="63c3", ins2c="63ca")
    for octets in ("00a40004023f00", "00b000000a", "00200001", "80f2000000", "0088008100"):
        assert talk.passes(octets)
    assert talk.asked == []
    assert talk.passes(VERIFY)
    assert talk.passes(UNBLOCK)
    assert talk.passes(f"0324008110{PIN}{PIN}")
    assert talk.asked == ["00200001", "002c0001", "03200081"]


@pytest.mark.parametrize(("says", "passes"), [("63c3", True), ("63c2", True), ("63c1", False)])
def test_what_a_uicc_says_counts(says: str, passes: bool) -> None:
    assert Talk(uicc=True, ins20=says).passes(VERIFY) is passes


def test_more_tries_are_kept_if_wanted() -> None:
    orders = Orders(LAST_TRY, keep_tries=2)
    assert not Talk(orders, uicc=True, ins20="63c2").passes(VERIFY)
    assert Talk(orders, uicc=True, ins20="63c3").passes(VERIFY)


def test_a_card_that_says_that_a_pin_is_blocked_may_say_so_to_its_user() -> None:
    assert Talk(uicc=True, ins20="6983").passes(VERIFY, "6983")
    assert Talk(uicc=True, ins20="63c0").passes(VERIFY, "6983")


def test_what_was_answered_counts_where_the_card_does_not_say_the_number() -> None:
    """A PIN that is verified, or disabled, is answered 9000; its counter goes on all the same."""
    talk = Talk(uicc=True, ins20=OK)
    assert talk.passes(f"0028000108{PIN}", "63c2")
    assert talk.passes(f"0024000110{PIN}{PIN}", "63c1")
    assert not talk.passes(f"0028000108{PIN}")
    assert talk.passes(UNBLOCK, "63c9")
    assert not talk.passes(f"0024000110{PIN}{PIN}")
    assert talk.passes(UNBLOCK, OK)
    assert talk.passes(f"0024000110{PIN}{PIN}")


def test_a_channel_that_cannot_be_asked_on_is_asked_for_on_the_basic_one() -> None:
    talk = Talk(uicc=True, ins20="6881")
    assert talk.passes(f"c720000108{PIN}")
    assert talk.asked == ["4720000" + "1", "00200001"]


@pytest.mark.parametrize(("aid", "asked"), [(USIM, 1), ("a000000308000010", 1), (OTHER, 0)])
def test_an_application_of_a_standard_is_asked(aid: str, asked: int) -> None:
    talk = Talk(ins20="63c1")
    assert talk.passes(select(aid))
    assert talk.passes(f"0020008008{PIN}") is (asked == 0)
    assert len(talk.asked) == asked


@pytest.mark.parametrize(
    ("command", "at"), [("20000108", 18), ("2c000010", 19), ("24000210", 20), ("2c000210", 21)]
)
def test_a_sim_is_asked_by_status(command: str, at: int) -> None:
    octets = "a0" + command + PIN * (int(command[-2:], 16) // 8)
    state = [0x83, 0x8A, 0x83, 0x8A]
    state[at - 18] = 0x81
    talk = Talk(insf2="00" * 18 + bytes(state).hex() + OK)
    assert not talk.passes(octets)
    assert talk.asked == ["a0f2000016"]
    state[at - 18] = 0x82
    assert Talk(insf2="00" * 18 + bytes(state).hex() + OK).passes(octets)


def test_a_sim_with_a_longer_status_is_asked_for_all_of_it() -> None:
    talk = Talk(insf2="6717")
    assert talk.passes(f"a020000108{PIN}", "9804")
    assert talk.asked == ["a0f2000016", "a0f2000017"]


def test_class_a0_is_no_way_around_what_a_uicc_says() -> None:
    full = "00" * 18 + "838a838a" + OK
    assert not Talk(uicc=True, ins20="63c1", insf2=full).passes(f"a020000108{PIN}")


# What is remembered of a card that cannot be asked


@pytest.mark.parametrize(
    ("answers", "left"),
    [(["63c1"], 1), (["63c2", "63c1"], 1), (["9804", "9804"], 1), (["6983"], 0), (["9840"], 0)],
)
def test_what_a_card_answered_is_remembered(answers: list[str], left: int) -> None:
    talk = Talk()
    for answer in answers:
        assert talk.passes(f"a020000108{PIN}", answer)
    refusal = talk.give(VERIFY)
    assert refusal is not None
    assert refusal.rule == "last-try"
    assert f"{left} {'try is' if left == 1 else 'tries are'} left of PIN 01" in refusal.why


def test_a_question_of_a_user_teaches() -> None:
    talk = Talk()
    assert talk.passes("00200081", "63c1")
    assert not talk.passes(f"0020008108{PIN}")
    assert talk.passes("0020008100", "63c3")
    assert talk.passes(f"0020008108{PIN}")


def test_a_right_pin_fills_its_counter_and_a_question_or_half_a_command_does_not() -> None:
    for said in (
        "00200001",
        "0020000100",
        "00200001000000",
        f"1020000108{PIN}",
        f"0020000100{PIN}",
    ):
        talk = Talk()
        assert talk.passes(VERIFY, "63c2")
        assert talk.passes(said, OK)
        assert talk.passes(VERIFY, "63c1")
        talk.passes(said, OK)
        assert not talk.passes(VERIFY), said
    talk = Talk()
    assert talk.passes(VERIFY, "63c2")
    assert talk.passes(VERIFY, OK)
    assert talk.tries.known(Where(), Secret.PIN, 1) is None


def test_a_presentation_without_an_answer_took_a_try() -> None:
    talk = Talk()
    assert talk.passes(VERIFY, "63c2")
    assert talk.passes(VERIFY, None)
    assert not talk.passes(VERIFY)


def test_13_a_pin_that_cannot_be_used_takes_no_try_and_gives_none() -> None:
    """6984 says that it is disabled, or cannot be used (ISO/IEC 7816-4 clause 5.6)."""
    talk = Talk()
    assert talk.passes(VERIFY, "63c2")
    assert talk.passes(VERIFY, "6984")
    assert talk.tries.known(Where(), Secret.PIN, 1) == 2
    assert talk.passes(VERIFY, "63c1")
    assert talk.passes("00200001", "6984")
    assert not talk.passes(VERIFY)


def test_a_key_counts_by_its_own() -> None:
    talk = Talk()
    assert talk.passes(f"0082000108{PIN}", "63c1")
    assert talk.passes(VERIFY)
    assert not talk.passes(f"0082000108{PIN}")
    assert talk.passes(f"0082000208{PIN}")
    assert talk.passes(f"0086000208{PIN}", "63c1")
    assert not talk.passes(f"1086000208{PIN}")


def test_a_global_key_is_one_in_all_applications_and_a_local_one_is_not() -> None:
    talk = Talk()
    assert talk.passes(select("a000000001"))
    assert talk.passes(VERIFY, "63c1")
    assert talk.passes(f"0020008108{PIN}", "63c1")
    assert talk.passes(select("b000000002"))
    assert not talk.passes(VERIFY)
    assert talk.passes(f"0020008108{PIN}")


@pytest.mark.parametrize(
    "around",
    [
        select("a0000000"),
        select("a000000001ff"),
        select("a000000001", p2="02"),
        "00a40004023f00",
        "10a4040c02a000",
    ],
)
def test_an_application_that_may_be_the_same_is(around: str) -> None:
    talk = Talk()
    assert talk.passes(select("a000000001"))
    assert talk.passes(f"0020008108{PIN}", "63c1")
    assert talk.passes(around)
    assert not talk.passes(f"0020008108{PIN}")


@pytest.mark.parametrize("reference", ["00", "a1", "c1", "e1"])
def test_a_reference_that_may_be_the_same_is(reference: str) -> None:
    talk = Talk()
    assert talk.passes(f"0020008108{PIN}", "63c1")
    assert not talk.passes(f"002000{reference}08{PIN}")


def test_each_channel_has_its_application() -> None:
    talk = Talk()
    assert talk.passes(select("a000000001"))
    assert talk.passes("0070000001", "01" + OK)
    assert talk.passes(select("b000000002", channel=1))
    assert talk.passes(f"0120008108{PIN}", "63c1")
    assert talk.passes(f"0020008108{PIN}")
    assert not talk.passes(f"0120008108{PIN}")
    assert talk.passes("01700000" + "01", "02" + OK)
    assert not talk.passes(f"0220008108{PIN}")
    assert talk.passes("00708002")
    assert talk.passes("4070000001", "05" + OK)


def test_a_selection_that_failed_is_none() -> None:
    talk = Talk()
    assert talk.passes(select("a000000001"))
    assert talk.passes(f"0020008108{PIN}", "63c1")
    assert talk.passes(select("b000000002"), "6a82")
    assert not talk.passes(f"0020008108{PIN}")


def test_a_reset_takes_the_selection_and_leaves_the_counters() -> None:
    talk = Talk()
    assert talk.passes(select("a000000001"))
    assert talk.passes(f"0020008108{PIN}", "63c1")
    talk.guard.was_reset()
    assert not talk.passes(f"0020008108{PIN}")
    assert not Talk(tries=talk.tries).passes(f"0020008108{PIN}")


def test_what_is_remembered_has_bounds() -> None:
    tries = Tries()
    for number in range(2 * MAX_SECRETS):
        aid = number.to_bytes(5)
        tries.learn(Where(aid, certain=True), Secret.PIN, 0x81, 0x63C1 if number < 9 else 0x63C5)
    assert len(tries._left) == MAX_SECRETS
    first = Where((3).to_bytes(5), certain=True)
    assert tries.known(first, Secret.PIN, 0x81) == 1
    memory = Memory()
    kept = memory.of("0")
    for number in range(MAX_CARDS + 5):
        memory.of(str(number))
        assert memory.of("0") is kept
    assert len(memory._cards) == MAX_CARDS


def test_what_needs_no_look_is_told_by_one_look_up() -> None:
    guard = Talk().guard
    for octets in ("00b000000a", "00c0000010", "80f2000000", "00d6000001aa", "80e2910001bf"):
        assert guard.ignores(bytes.fromhex(octets))
    for octets in (VERIFY, "00a40004023f00", "00c2000001aa", "ffca000000", "0070000001"):
        assert not guard.ignores(bytes.fromhex(octets))
    asked = Talk(uicc=True).guard
    for octets in ("00a40004023f00", "0070000001"):
        assert asked.ignores(bytes.fromhex(octets))
