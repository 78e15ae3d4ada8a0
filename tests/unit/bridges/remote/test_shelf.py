# SPDX-License-Identifier: Apache-2.0
"""Which card is in which reader of the socket, and what became of those that are gone."""

from typing import Any

import msgspec
import pytest

from tests.support.card_rows import ICCID, card
from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.shelf import MAX_EMPTY, Place, Shelf
from wsrc.card.slot import Share, SlotState
from wsrc.protocol.messages import CardEvent, CardInfo, CardState, Change, LeaseInfo, ReaderView
from wsrc.user_client.core.reader_feed import ReaderChange, ReaderMark, ReaderSnapshot

OTHER = "8988211000000430028"
MARK = ReaderMark("run", 1)


def names(shelf: Shelf) -> dict[str, bool]:
    return {seen.name.decode().split()[1]: seen.present for seen in shelf.seen()}


def view(state: SlotState, reader: str = "r1", number: int = 1) -> ReaderView:
    return ReaderView(number=number, reader=reader, name=reader, host="bench", state=state)


def hear_reader(
    shelf: Shelf,
    state: SlotState,
    reader: str = "r1",
    number: int = 1,
    change: Change = Change.CHANGED,
) -> bool:
    return shelf.hear_reader(ReaderChange(change, view(state, reader, number), MARK))


def snapshot(shelf: Shelf, *views: ReaderView) -> bool:
    return shelf.hear_reader(ReaderSnapshot(views, MARK))


def stocked(*readers: str) -> Shelf:
    """Make a shelf with a card that is there, in each of some readers."""
    shelf = Shelf()
    for number, reader in enumerate(readers or ("r1",)):
        hear(shelf, Change.ADDED, card(f"8988211000000430{number:03}", reader))
    snapshot(shelf, *(view(SlotState.PRESENT, r, n) for n, r in enumerate(readers or ("r1",), 1)))
    return shelf


def only(shelf: Shelf) -> Seen:
    [seen] = shelf.seen()
    return seen


def hear(shelf: Shelf, change: Change, info: CardInfo) -> bool:
    return shelf.hear(CardEvent(change=change, card=info))


def test_reader_stays_when_its_card_goes_and_is_used_when_it_comes_back() -> None:
    shelf = Shelf()
    assert hear(shelf, Change.ADDED, card())
    assert shelf.holds(card())
    name = shelf.seen()[0].name
    snapshot(shelf, view(SlotState.PRESENT))
    assert not hear(shelf, Change.REMOVED, card())
    assert hear_reader(shelf, SlotState.EMPTY)
    assert not shelf.holds(card())
    assert names(shelf) == {ICCID: False}
    assert hear(shelf, Change.ADDED, card(reader="r2"))
    assert [(s.name, s.present, s.event_count) for s in shelf.seen()] == [(name, True, 3)]
    found = shelf.find(name)
    assert found is not None
    assert found.card.reader == "r2"


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
    snapshot(shelf)
    for number in range(3 * MAX_EMPTY):
        info = card(f"89882110000000{number:05}", reader=f"r{number}")
        hear(shelf, Change.ADDED, info)
        hear_reader(shelf, SlotState.PRESENT, f"r{number}", number, Change.ADDED)
        hear(shelf, Change.REMOVED, info)
        hear_reader(shelf, SlotState.EMPTY, f"r{number}", number)
    assert len(shelf.seen()) <= MAX_EMPTY + 1
    shelf.out_of_reach()
    assert {seen.unavailable for seen in shelf.seen()} == {True}


def test_card_that_is_taken_out_leaves_an_empty_reader() -> None:
    shelf = stocked()
    assert not hear(shelf, Change.REMOVED, card("8988211000000430000"))
    assert hear_reader(shelf, SlotState.EMPTY)
    seen = only(shelf)
    assert (seen.present, seen.unavailable, seen.event_count) == (False, False, 2)


@pytest.mark.parametrize(
    ("state", "change"),
    [(SlotState.UNAVAILABLE, Change.CHANGED), (SlotState.PRESENT, Change.REMOVED)],
)
@pytest.mark.parametrize("reader_first", [False, True])
def test_reader_that_goes_with_its_card_is_out_of_reach(
    state: SlotState, change: Change, *, reader_first: bool
) -> None:
    shelf = stocked()
    gone = card("8988211000000430000")
    if reader_first:
        assert not hear_reader(shelf, state, change=change)
        assert hear(shelf, Change.REMOVED, gone)
    else:
        assert not hear(shelf, Change.REMOVED, gone)
        assert hear_reader(shelf, state, change=change)
    seen = only(shelf)
    assert (seen.present, seen.unavailable, seen.event_count) == (False, True, 1)
    hear_reader(shelf, SlotState.PRESENT, number=2, change=Change.ADDED)
    assert only(shelf) == seen
    assert hear(shelf, Change.ADDED, gone)
    assert (only(shelf).present, only(shelf).unavailable) == (True, False)
    assert only(shelf).event_count == 2


def test_reader_that_comes_back_empty_is_empty() -> None:
    shelf = stocked()
    hear(shelf, Change.REMOVED, card("8988211000000430000"))
    hear_reader(shelf, SlotState.PRESENT, change=Change.REMOVED)
    assert hear_reader(shelf, SlotState.EMPTY, number=2, change=Change.ADDED)
    assert (only(shelf).unavailable, only(shelf).event_count) == (False, 2)
    assert hear_reader(shelf, SlotState.UNAVAILABLE, number=2)
    assert only(shelf).unavailable


def test_card_in_place_of_another_is_in_a_reader_of_its_own() -> None:
    shelf = stocked()
    hear(shelf, Change.REMOVED, card("8988211000000430000"))
    assert hear(shelf, Change.ADDED, card(OTHER))
    assert names(shelf) == {OTHER: True}


def test_card_that_nobody_looked_at_yet_is_not_shown() -> None:
    shelf = stocked()
    gone = card("8988211000000430000")
    hear(shelf, Change.REMOVED, gone)
    hear_reader(shelf, SlotState.EMPTY)
    alone = {"state": CardState.ASSOCIATED, "lease": lease("a", Share.DIRECT)}
    assert not hear(shelf, Change.ADDED, card(None, **alone))
    for state in (CardState.RESETTING, CardState.IDENTIFYING):
        assert not hear(shelf, Change.CHANGED, card(None, state=state))
    assert hear(shelf, Change.CHANGED, gone)
    assert (only(shelf).present, only(shelf).event_count) == (True, 3)
    nameless = Shelf()
    hear(nameless, Change.ADDED, card(None))
    assert hear(nameless, Change.CHANGED, card(None, **alone))
    assert only(nameless).others == -1


def test_same_card_put_in_again_at_once_is_another_insertion() -> None:
    shelf = stocked()
    hear(shelf, Change.REMOVED, card("8988211000000430000"))
    assert hear(shelf, Change.ADDED, card("8988211000000430000"))
    assert (only(shelf).present, only(shelf).event_count) == (True, 3)


def test_card_whose_reader_is_not_said_to_have_changed_is_doubted_once() -> None:
    shelf = stocked()
    hear(shelf, Change.REMOVED, card("8988211000000430000"))
    [place] = shelf.doubtful()
    assert place.leaving
    assert place.where == ("bench", "r1")
    assert shelf.doubtful() == []
    hear_reader(shelf, SlotState.EMPTY)
    assert not place.leaving


def test_server_that_says_nothing_of_readers_is_believed_about_cards() -> None:
    shelf = Shelf()
    hear(shelf, Change.ADDED, card())
    hear(shelf, Change.REMOVED, card())
    assert shelf.blind()
    assert not only(shelf).unavailable
    hear(shelf, Change.ADDED, card())
    assert hear(shelf, Change.REMOVED, card())
    assert only(shelf).event_count == 4


def test_what_is_found_when_the_server_is_back() -> None:
    shelf = stocked("r1", "r2", "r3", "r4")
    shelf.out_of_reach()
    assert [seen.unavailable for seen in shelf.seen()] == [True] * 4
    there = [view(SlotState.PRESENT, "r1"), view(SlotState.EMPTY, "r2", 2)]
    assert snapshot(shelf, *there, view(SlotState.PRESENT, "r3", 3))
    hear(shelf, Change.ADDED, card("8988211000000430000", "r1"))
    hear(shelf, Change.ADDED, card("8988211000000430003", "r9"))
    states = [(seen.present, seen.unavailable) for seen in shelf.seen()]
    assert states == [(True, False), (False, False), (False, True), (True, False)]
    assert [seen.event_count for seen in shelf.seen()] == [2, 2, 1, 2]


def test_readers_of_one_name_do_not_take_each_other_away() -> None:
    shelf = stocked()
    hear_reader(shelf, SlotState.PRESENT, number=2, change=Change.ADDED)
    hear_reader(shelf, SlotState.PRESENT, number=1, change=Change.REMOVED)
    hear(shelf, Change.REMOVED, card("8988211000000430000"))
    assert only(shelf).present


def lease(holder: str, share: Share = Share.EXCLUSIVE, second: int = 0) -> LeaseInfo:
    return LeaseInfo(holder=holder, since=f"2026-01-01T00:00:{second:02}Z", share=share)


@pytest.mark.parametrize(
    ("more", "others"),
    [
        ({}, 0),
        ({"state": CardState.RESETTING}, 0),
        ({"state": CardState.IN_USE}, 1),
        ({"state": CardState.ASSOCIATED, "lease": lease("a")}, -1),
        ({"state": CardState.ASSOCIATED, "lease": lease("a", Share.DIRECT)}, -1),
        ({"state": CardState.ASSOCIATED, "lease": lease("a", Share.SHARED)}, 1),
        (
            {
                "state": CardState.ASSOCIATED,
                "lease": lease("a", Share.SHARED),
                "others": (lease("b", Share.SHARED),),
            },
            2,
        ),
    ],
)
def test_use_by_others(more: dict[str, Any], others: int) -> None:
    shelf = Shelf()
    hear(shelf, Change.ADDED, card())
    hear(shelf, Change.CHANGED, card(**more))
    assert only(shelf).others == others


def test_our_own_use_is_not_that_of_others() -> None:
    place = Place(card(), Seen(b"reader"))
    ours, theirs = lease("me"), lease("me", second=1)
    place.take()
    place.put_in(card(state=CardState.ASSOCIATED, lease=ours))
    assert place.seen.others == 0
    place.taken(msgspec.structs.replace(ours, until="2026-01-01T01:00:00Z"))
    place.put_in(card(state=CardState.ASSOCIATED, lease=ours))
    assert place.seen.others == 0
    place.put_in(card(state=CardState.ASSOCIATED, lease=theirs))
    assert place.seen.others == -1


def test_use_by_another_who_was_first_is_shown_when_we_are_refused() -> None:
    place = Place(card(), Seen(b"reader"))
    place.take()
    place.put_in(card(state=CardState.ASSOCIATED, lease=lease("other")))
    assert place.seen.others == 0
    place.taken(None)
    assert place.seen.others == -1
    place.take_out()
    place.taken(None)
    assert place.seen.others == 0


def test_equal_names_have_their_numbers_by_host() -> None:
    listed = [msgspec.structs.replace(card(), label="blue", host=host) for host in "cab"]
    shelf = Shelf()
    assert shelf.expect(listed)
    for info in listed:
        assert not hear(shelf, Change.ADDED, info)
    assert not shelf.doubtful()
    given = [place.card.host for place in map(shelf.find, (s.name for s in shelf.seen())) if place]
    assert given == ["a", "b", "c"]
    assert [seen.name.split()[2] for seen in shelf.seen()] == [b"00", b"01", b"02"]
    assert not shelf.expect(listed)


def test_what_is_listed_and_never_told_of_is_doubted() -> None:
    shelf = Shelf()
    shelf.expect([card()])
    [place] = shelf.doubtful()
    assert place.leaving


@pytest.mark.parametrize("lost", [False, True], ids=["swapped", "while the connection was lost"])
def test_card_of_the_same_label_in_the_place_of_another_is_an_insertion(*, lost: bool) -> None:
    shelf = Shelf()
    hear(shelf, Change.ADDED, card(label="blue"))
    snapshot(shelf, view(SlotState.PRESENT))
    before = only(shelf)
    if lost:
        shelf.doubt()
    else:
        hear(shelf, Change.REMOVED, card(label="blue"))
    hear(shelf, Change.ADDED, card(OTHER, label="blue"))
    now = only(shelf)
    assert (now.name, now.present) == (before.name, True)
    assert now.event_count == before.event_count + 2


def test_card_of_the_same_label_after_ours_is_an_insertion() -> None:
    shelf = Shelf()
    hear(shelf, Change.ADDED, card(label="blue"))
    snapshot(shelf, view(SlotState.PRESENT))
    before = only(shelf)
    place = shelf.find(before.name)
    assert place is not None
    ours = object()
    place.hold(ours)
    hear(shelf, Change.REMOVED, card(label="blue"))
    hear(shelf, Change.ADDED, card(OTHER, label="blue"))
    assert only(shelf) == before
    place.release(ours)
    assert only(shelf).event_count == before.event_count + 2
