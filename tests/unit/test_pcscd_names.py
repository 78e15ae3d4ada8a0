# SPDX-License-Identifier: Apache-2.0
"""Names of readers, and which card is in which of them."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from wsrc.messages import CardEvent, CardInfo, CardState, Change, Identities
from wsrc.user_client.pcscd_names import reader_name
from wsrc.user_client.pcscd_shelf import MAX_EMPTY, Shelf

ICCID, OTHER, EID = "8988211000000430010", "8988211000000430028", "89882119900000000000000000007280"


def card(iccid: str | None = ICCID, reader: str = "r1", **more: Any) -> CardInfo:
    more = {"state": CardState.READY, "host": "bench"} | more
    return CardInfo(
        remote_addr=("bench", 0),
        identities=Identities(atr="3b00", iccid=iccid),
        reader=reader,
        **more,
    )


@pytest.mark.parametrize(
    ("info", "name"),
    [
        (card(), f"WSRC {ICCID} 00 00"),
        (card(eids=(EID,)), f"WSRC {EID} 00 00"),
        (card(label="blue"), "WSRC blue 00 00"),
        (card(label="größer 大"), "WSRC größer 大 00 00"),
        (card(label="a\0b\n\x1b[31mc"), "WSRC a b [31mc 00 00"),
        (card(label="\0"), "WSRC card 00 00"),
        (card(None, reader_name="ACS ACR38 00 00"), "WSRC ACS ACR38 00 00 00 00"),
        (card(None), "WSRC r1 00 00"),
    ],
)
def test_name_tells_the_card(info: CardInfo, name: str) -> None:
    assert reader_name(info, ()) == name.encode()


def test_same_names_are_told_apart_by_their_number() -> None:
    taken: set[bytes] = set()
    for _ in range(300):
        taken.add(reader_name(card(label="x" * 200), taken))
    assert len(taken) == 300
    assert all(len(name) <= 127 for name in taken)
    assert b"WSRC " + b"x" * 116 + b" 01 00" in taken


@given(st.text(max_size=200))
def test_name_is_good_for_any_program(label: str) -> None:
    name = reader_name(card(label=label), ())
    assert len(name) <= 127
    assert b"\0" not in name
    assert name.decode().isprintable()


def names(shelf: Shelf) -> dict[str, bool]:
    return {seen.name.decode().split()[1]: seen.present for seen in shelf.seen()}


def hear(shelf: Shelf, change: Change, info: CardInfo) -> bool:
    return shelf.hear(CardEvent(change=change, card=info))


def test_reader_stays_when_its_card_goes_and_is_used_when_it_comes_back() -> None:
    shelf = Shelf()
    assert hear(shelf, Change.ADDED, card())
    assert shelf.holds(card())
    name = shelf.seen()[0].name
    assert hear(shelf, Change.REMOVED, card())
    assert not shelf.holds(card())
    assert names(shelf) == {ICCID: False}
    assert shelf.card(name) is None
    assert hear(shelf, Change.ADDED, card(reader="r2"))
    assert [(s.name, s.present, s.event_count) for s in shelf.seen()] == [(name, True, 3)]
    found = shelf.card(name)
    assert found is not None
    assert found.reader == "r2"


def test_another_card_in_the_place_has_a_reader_of_its_own() -> None:
    shelf = Shelf()
    hear(shelf, Change.ADDED, card())
    hear(shelf, Change.REMOVED, card())
    hear(shelf, Change.ADDED, card(OTHER))
    assert names(shelf) == {OTHER: True}


def test_reader_keeps_its_name_when_the_card_is_called_otherwise() -> None:
    shelf = Shelf()
    hear(shelf, Change.ADDED, card())
    hear(shelf, Change.CHANGED, card(OTHER, label="blue"))
    assert names(shelf) == {ICCID: True}


def test_card_that_is_being_identified_is_not_shown_yet() -> None:
    shelf = Shelf()
    assert not hear(shelf, Change.ADDED, card(None, state=CardState.IDENTIFYING))
    assert shelf.seen() == []
    assert hear(shelf, Change.CHANGED, card())
    assert hear(shelf, Change.CHANGED, card(None, state=CardState.IDENTIFYING))
    assert names(shelf) == {ICCID: False}


def test_cards_with_one_number_have_two_readers() -> None:
    shelf = Shelf()
    hear(shelf, Change.ADDED, card())
    hear(shelf, Change.ADDED, card(reader="r2"))
    assert [seen.name.decode()[-5:] for seen in shelf.seen()] == ["00 00", "01 00"]


def test_mute_card_is_shown_as_such() -> None:
    shelf = Shelf()
    hear(shelf, Change.ADDED, card(None, state=CardState.MUTE))
    assert [(seen.present, seen.mute) for seen in shelf.seen()] == [(True, True)]


def test_news_that_changes_nothing_is_no_change() -> None:
    shelf = Shelf()
    hear(shelf, Change.ADDED, card())
    assert not hear(shelf, Change.CHANGED, card(state=CardState.ASSOCIATED))
    assert not hear(shelf, Change.REMOVED, card(OTHER, reader="r9"))


def test_empty_readers_are_not_kept_without_end() -> None:
    shelf = Shelf()
    for number in range(3 * MAX_EMPTY):
        info = card(f"89882110000000{number:05}", reader=f"r{number}")
        hear(shelf, Change.ADDED, info)
        hear(shelf, Change.REMOVED, info)
    assert len(shelf.seen()) <= MAX_EMPTY + 1
    shelf.clear()
    assert shelf.seen() == []
