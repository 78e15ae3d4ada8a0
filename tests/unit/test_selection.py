# SPDX-License-Identifier: Apache-2.0
"""wsrc.selection: what a user means by a select, and filters with wildcards."""

import json
from typing import Any

import pytest

from tests.support.paths import VECTORS
from tests.support.relay_clients import ATR, ICCID
from tests.support.relay_world import reader
from wsrc.errors import ErrorCode, RefusedError
from wsrc.octets import Octets
from wsrc.protocol.messages import (
    CardInfo,
    ListCards,
    ReaderInfo,
    ReaderState,
    SelectCard,
    WatchReaders,
    card_info,
)
from wsrc.relay.index import Index, Places, matches
from wsrc.relay.readers import view_of
from wsrc.relay.records import CardPeer, Slot
from wsrc.selection import Filter, Selection, keys_of, selection_of

EID = "89049032123451234512345678901235"


def shown(slot: Slot) -> CardInfo:
    return card_info(view_of(slot, ()), slot.state)


def card() -> CardInfo:
    info = reader(eids=("89" + "0" * 30, EID), label="Bench Card")
    slot = Slot(1, CardPeer(1, name="bench"), info)
    return shown(slot)


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


CASES = json.loads((VECTORS / "identity.json").read_text("utf-8"))


def vectors(section: str) -> Any:
    return pytest.mark.parametrize("v", [pytest.param(v, id=v["name"]) for v in CASES[section]])


def having(kind: str, name: str) -> Slot:
    """Make a card that has one name of its own, and no other that could match."""
    fields: dict[str, Any] = {"reader": "-r-", "name": "-n-"}
    match kind:
        case "eid":
            fields["eids"] = (name,)
        case "atr":
            fields["atr"] = Octets.fromhex(name)
        case _:
            fields[kind] = name
    info = ReaderInfo(state=ReaderState.READY, **fields)
    slot = Slot(1, CardPeer(1, name="bench"), info)
    Index().put(slot, keys_of(info))
    return slot


@vectors("names")
@pytest.mark.parametrize("by", ["its kind", "any"])
def test_a_name_means_a_card_whichever_way_it_is_looked_for(v: dict[str, Any], by: str) -> None:
    slot = having(v["kind"], v["card"])
    kind = v["kind"] if by == "its kind" else "any"
    selection = Selection(((kind, v["text"]),))
    index = Index()
    slot.keys = ()
    index.put(slot, keys_of(slot.info))
    assert bool(index.find(selection)) is v["same"]
    assert matches(selection, slot) is v["same"]
    for asked in (ListCards(**{kind: v["text"]}), WatchReaders(**{kind: v["text"]})):
        assert Filter(asked).matches(shown(slot)) is v["same"]


@pytest.mark.parametrize(
    "v", [pytest.param(v, id=v["name"]) for v in CASES["names"] if v["kind"] == "reader"]
)
def test_an_empty_reader_is_found_by_the_same_names(v: dict[str, Any]) -> None:
    places, slot = Places(), having("reader", v["card"])
    places.put(slot)
    assert bool(places.find(Selection((("reader", v["text"]),)))) is v["same"]


@vectors("patterns")
def test_a_pattern_means_a_card(v: dict[str, Any]) -> None:
    slot = having(v["kind"], v["card"])
    assert Filter(ListCards(**{v["kind"]: v["text"]})).matches(shown(slot)) is v["same"]
    assert not matches(Selection(((v["kind"], v["text"]),)), slot)


def test_a_card_of_the_first_form_is_listed_by_its_eid() -> None:
    told = card()
    ids = type(told.identities)(atr="3b00", eid=EID)
    first = CardInfo(remote_addr=("", 0), identities=ids, state=told.state)
    assert Filter(ListCards(eid=EID)).matches(first)
    assert not Filter(ListCards(eid=EID[:-1])).matches(first)


def test_a_name_of_which_nothing_is_left_finds_no_card() -> None:
    odd = ReaderInfo(reader="r", name="r", state=reader().state, iccid="FF", eids=("-",), label=" ")
    assert keys_of(odd) == (("reader", "r"),)


def test_the_very_iccid_is_closer_than_one_that_agrees_but_for_the_check_digit() -> None:
    short, long = (
        shown(having("iccid", name)) for name in ("898821100000043001", "8988211000000430010")
    )
    for name, closest in (("898821100000043001", [short]), ("8988 2110 0000 0430 010", [long])):
        wanted = Filter(ListCards(iccid=name))
        assert wanted.matches(short)
        assert wanted.matches(long)
        assert wanted.closest([short, long]) == closest
        assert Filter(ListCards(any=name)).closest([short, long]) == closest
    assert Filter(ListCards(iccid="8988*")).closest([short, long]) == [short, long]
    assert Filter(ListCards(label="")).closest([short, long]) == [short, long]
