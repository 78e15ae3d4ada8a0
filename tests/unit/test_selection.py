# SPDX-License-Identifier: Apache-2.0
"""wsrc.selection: what a user means by a select, and filters with wildcards."""

import pytest

from tests.support.relay_clients import ATR, ICCID
from tests.support.relay_world import reader
from wsrc.errors import ErrorCode, RefusedError
from wsrc.protocol.messages import CardInfo, ListCards, SelectCard, card_info
from wsrc.relay.readers import view_of
from wsrc.relay.records import CardPeer, Slot
from wsrc.selection import Filter, selection_of

EID = "89049032123451234512345678901235"


def card() -> CardInfo:
    info = reader(eids=("89" + "0" * 30, EID), label="Bench Card")
    slot = Slot(1, CardPeer(1, name="bench"), info)
    return card_info(view_of(slot, ()), slot.state)


def test_all_fields_are_conditions() -> None:
    selection = selection_of(SelectCard(iccid="1", label="x", any="y"))
    assert selection.items == (("iccid", "1"), ("label", "x"), ("any", "y"))
    assert str(selection) == "ICCID 1 and LABEL x and name y"


@pytest.mark.parametrize("kind", ["ICCID", "iccid", "Eid", "ATR", "reader", "label", "any"])
def test_the_first_form_names_the_kind_in_either_case(kind: str) -> None:
    assert selection_of(SelectCard(id_type=kind, id_str="7")).items == ((kind.lower(), "7"),)


@pytest.mark.parametrize(
    "select",
    [
        SelectCard(),
        SelectCard(iccid=" "),
        SelectCard(id_type="iccid"),
        SelectCard(id_str="8949"),
        SelectCard(id_type="iccid", id_str=""),
    ],
)
def test_nothing_selected_is_refused(select: SelectCard) -> None:
    with pytest.raises(RefusedError, match="Nothing is selected") as refused:
        selection_of(select)
    assert refused.value.code is ErrorCode.NOTHING_SELECTED


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(RefusedError, match="use one of iccid, eid, atr, reader, label or any"):
        selection_of(SelectCard(id_type="imsi", id_str="901"))


@pytest.mark.parametrize(
    "by",
    [
        {},
        {"iccid": ICCID},
        {"iccid": "8949*"},
        {"iccid": "*5678"},
        {"iccid": "89*00*12*78"},
        {"iccid": "*"},
        {"eid": "*" + EID[-4:]},
        {"atr": ATR.hex().upper()},
        {"reader": "r1"},
        {"reader": "reader*"},
        {"label": "BENCH*"},
        {"any": "bench card"},
        {"any": "*5678"},
        {"iccid": "8949*", "label": "*card", "any": "r1"},
    ],
)
def test_a_filter_matches(by: dict[str, str]) -> None:
    assert Filter(ListCards(**by)).matches(card())


@pytest.mark.parametrize(
    "by",
    [
        {"iccid": "8949"},
        {"iccid": "*9"},
        {"iccid": "8*x*8"},
        {"iccid": ICCID[:-3] + "*" + ICCID[3:]},
        {"iccid": "....*"},
        {"eid": ""},
        {"label": "card*"},
        {"any": "nothing"},
        {"iccid": "8949*", "label": "other"},
    ],
)
def test_a_filter_does_not_match(by: dict[str, str]) -> None:
    assert not Filter(ListCards(**by)).matches(card())


def test_a_filter_takes_time_in_proportion_to_its_length() -> None:
    wanted = Filter(ListCards(atr="*0" * 500 + "*x"))
    state = card().state
    zeros = CardInfo(
        remote_addr=("", 0), identities=type(card().identities)(atr="0" * 2000), state=state
    )
    assert not wanted.matches(zeros)
