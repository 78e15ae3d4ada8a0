# SPDX-License-Identifier: Apache-2.0
"""wsrc.guard.control: a control code is judged as the command that it gives the card."""

import pytest

from tests.support.guard_talk import LAST_TRY, VERIFY, Talk
from wsrc.guard.machine import Orders

FEATURES = "060400330006" + "0704" + "00330007" + "0a04" + "0033000a" + "1304" + "00330013"


def pad(command: str, *, head: int = 19) -> str:
    octets = bytes.fromhex(command)
    return (bytes(head - 4) + len(octets).to_bytes(4, "little") + octets).hex()


def code(
    talk: Talk, number: int, octets: str, *, features: str = FEATURES, card: bool = True
) -> str | None:
    """Return the rule by which a control code is refused, if it is."""
    judging = talk.guard.judge_control(
        number, bytes.fromhex(octets), bytes.fromhex(features), harmless=False, card=card
    )
    refusal = talk.hear(judging)
    return None if refusal is None else refusal.rule


@pytest.mark.parametrize("features", [FEATURES, ""])
@pytest.mark.parametrize(("number", "head"), [(0x330006, 19), (0x330007, 24)])
def test_a_pin_pad_is_judged_as_the_command_in_it(number: int, head: int, features: str) -> None:
    few, more = Talk(uicc=True, ins20="63c1"), Talk(uicc=True, ins20="63c2")
    octets = pad(VERIFY, head=head)
    assert code(few, number, octets, features=features) == "last-try"
    assert code(more, number, octets, features=features) is None
    assert code(more, number, octets, features=features, card=False) == "vendor-codes"
    assert code(Talk(Orders(frozenset({"no-pin"}))), number, octets) == "no-pin"


def test_a_pin_pad_without_data_fills_them_in() -> None:
    assert code(Talk(uicc=True, ins20="63c1"), 0x330006, pad("0020000100")) == "last-try"


def test_what_a_pin_pad_was_answered_teaches() -> None:
    talk = Talk()
    octets = bytes.fromhex(pad(VERIFY))
    talk.guard.saw_control(0x330006, octets, bytes.fromhex(FEATURES), b"\x63\xc1")
    assert not talk.passes(VERIFY)


@pytest.mark.parametrize(
    ("number", "octets"),
    [
        (1, ""),
        (2048, "00"),
        (0x330013, "00"),
        (0x330008, VERIFY),
        (0x330020, ""),
        (0x330006, ""),
        (0x330006, "00" * 19),
        (0x330006, pad(VERIFY)[:-2]),
        (0x330006, pad(VERIFY) + "00"),
    ],
)
def test_a_code_that_may_hide_a_command_is_refused_unless_allowed(number: int, octets: str) -> None:
    assert code(Talk(uicc=True, ins20="63c3"), number, octets) == "vendor-codes"
    allowing = Orders(LAST_TRY, allowed=frozenset({"vendor-codes"}))
    assert code(Talk(allowing), number, octets) is None


@pytest.mark.parametrize("number", [3400, 0x33000A, 0x330012, 0x330005])
def test_a_code_that_asks_the_reader_alone_passes(number: int) -> None:
    assert code(Talk(Orders(frozenset({"read-only"}))), number, "") is None


def test_a_reader_that_says_two_things_of_a_code_is_not_believed() -> None:
    features = FEATURES + "0a04" + "00330006"
    assert code(Talk(uicc=True, ins20="63c3"), 0x330006, pad(VERIFY), features=features) == (
        "vendor-codes"
    )


def test_the_last_try_may_be_typed_where_it_may_be_sent() -> None:
    orders = Orders(LAST_TRY, allowed=frozenset({"pin-last-try"}), keep_tries=0)
    assert code(Talk(orders, uicc=True, ins20="63c1"), 0x330006, pad(VERIFY)) is None
    assert code(Talk(orders), 0x330006, pad(VERIFY), card=False) is None
    assert Talk(orders, uicc=True, ins20="63c1").passes(VERIFY)


def test_attributes_are_set_unless_all_is_read_only() -> None:
    assert Talk().guard.judge_attribute() is None
    refusal = Talk(Orders(frozenset({"read-only"}))).guard.judge_attribute()
    assert refusal is not None
    assert refusal.rule == "read-only"
