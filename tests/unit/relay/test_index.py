# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.index: what a card is found by, and at what cost."""

import sys
from types import FrameType

import pytest

from tests.support.relay_clients import ATR, ICCID
from tests.support.relay_world import reader
from wsrc.card.identity import luhn_digit
from wsrc.octets import Octets
from wsrc.protocol.messages import ReaderInfo, SelectCard
from wsrc.relay.index import Index, matches
from wsrc.relay.records import CardPeer, Slot
from wsrc.selection import Selection, keys_of, lookups, selection_of

EID = "89049032123451234512345678901235"
I18 = "894902000001234567"
I19 = I18 + luhn_digit(I18)
I19_BARE = "8949020000012345670"
I20 = I19_BARE + luhn_digit(I19_BARE)


def filed(*infos: ReaderInfo) -> tuple[Index, list[Slot]]:
    index, slots = Index(), []
    for number, info in enumerate(infos, start=1):
        slot = Slot(number, CardPeer(1), info)
        index.put(slot, keys_of(info))
        slots.append(slot)
    return index, slots


def found(index: Index, **by: str) -> list[int]:
    return [slot.number for slot in index.find(selection_of(SelectCard(**by)))]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("iccid", ICCID),
        ("eid", EID),
        ("atr", ATR.hex()),
        ("atr", ATR.hex().upper()),
        ("atr", ATR.hex(" ")),
        ("reader", "r1"),
        ("reader", "READER R1"),
        ("label", "The Card"),
        ("label", " the card "),
    ],
)
def test_a_card_is_found_by_each_kind_of_name_and_by_any(kind: str, value: str) -> None:
    index, _ = filed(reader(eids=("0" * 32, EID), label="The Card"), reader("r2", None, atr=None))
    assert found(index, **{kind: value}) == [1]
    assert found(index, any=value) == [1]
    assert found(index, **{kind: "00"}) == []


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (I18, I18),
        (I18, I19),
        (I19, I18),
        (I19, I19),
        (I19_BARE, I20),
        (I20, I19_BARE),
        (I20, I20),
        (I19, I19 + "f"),
        (I18, I18 + "FF"),
        (I19 + "F", I19),
        (I19, "8949 0200 0001 2345 67" + I19[-1]),
        (I19, I19[:6] + "-" + I19[6:]),
    ],
)
def test_an_iccid_is_found_with_and_without_check_digit_and_filler(stored: str, asked: str) -> None:
    index, (slot,) = filed(reader(iccid=stored))
    assert found(index, iccid=asked) == [1]
    assert found(index, any=asked) == [1]
    assert matches(Selection((("iccid", asked),)), slot)


def test_a_wrong_check_digit_is_another_card() -> None:
    wrong = I18 + str((int(I19[-1]) + 1) % 10)
    index, _ = filed(reader(iccid=I18))
    assert found(index, iccid=wrong) == []


def test_an_exact_iccid_hides_one_that_agrees_but_for_the_check_digit() -> None:
    index, _ = filed(reader("r1", I19), reader("r2", I18))
    assert found(index, iccid=I18) == [2]
    assert found(index, iccid=I19) == [1]


@pytest.mark.parametrize("odd", ["²" * 19, "٣" * 19, "f", "", "--"])
def test_odd_text_is_no_iccid_and_does_no_harm(odd: str) -> None:
    index, _ = filed(reader(iccid=ICCID))
    assert list(lookups("iccid", odd))
    assert index.find(Selection((("iccid", odd),))) == []


def test_several_conditions_must_all_hold() -> None:
    index, _ = filed(reader("r1", I19, label="a"), reader("r2", I19, label="b"))
    assert found(index, iccid=I19) == [1, 2]
    assert found(index, iccid=I19, label="b") == [2]
    assert found(index, iccid=I19, label="b", reader="r1") == []


def test_a_slot_is_filed_anew_and_struck_without_trace() -> None:
    index, (slot,) = filed(reader(label="a"))
    index.put(slot, keys_of(slot.info))
    index.put(slot, keys_of(reader(label="b")))
    assert found(index, label="a") == []
    assert found(index, label="b") == [1]
    index.put(slot, ())
    assert len(index) == 0


def test_a_card_without_names_is_found_by_its_reader() -> None:
    index, _ = filed(ReaderInfo(reader="x", name="X", state=reader().state))
    assert found(index, reader="x") == [1]


def cost_of_find(cards: int) -> int:
    """Count the calls, of Python and of C, that one look-up makes."""
    infos = [
        reader(
            f"r{n}", f"{8949020000000000000 + n}", atr=Octets(ATR + n.to_bytes(2)), label=f"l{n}"
        )
        for n in range(cards)
    ]
    index, _ = filed(*infos)
    wanted = [
        selection_of(SelectCard(iccid="8949020000000000007")),
        selection_of(SelectCard(any="r7", atr=(ATR + b"\0\7").hex(), label="l7")),
    ]
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        slots = [index.find(each) for each in wanted]
    finally:
        sys.setprofile(None)
    assert [[slot.number for slot in each] for each in slots] == [[8], [8]]
    return calls


def test_a_look_up_costs_the_same_among_10_and_1000_cards() -> None:
    assert cost_of_find(10) == cost_of_find(1000)
