# SPDX-License-Identifier: Apache-2.0
"""Which card is in which reader of the socket, and what became of those that are gone."""

# Longer than the aim: a reader and its card, and every turn that their story may take.

from typing import Any

import msgspec
import pytest

from tests.support.card_rows import ICCID
from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.cards import RemoteCards
from wsrc.bridges.remote.shelf import MAX_EMPTY, Place, Shelf
from wsrc.card.slot import Share, SlotState
from wsrc.errors import ReaderUnavailableError
from wsrc.octets import Octets
from wsrc.protocol.messages import (
    CardInfo,
    CardState,
    Change,
    LeaseInfo,
    ListCards,
    ReaderView,
    card_of,
)
from wsrc.selection import Filter
from wsrc.user_client.core.feeds import ReaderChange, ReaderMark, ReaderSnapshot

FIRST = "8988211000000430000"
OTHER = "8988211000000430028"


def names(shelf: Shelf) -> dict[str, bool]:
    return {seen.name.decode().split()[1]: seen.present for seen in shelf.seen()}


def view(state: SlotState, reader: str = "r1", number: int = 0, **more: Any) -> ReaderView:
    """Describe a reader without a card; its number is that in its name, unless another is given."""
    number = number or int(reader[1:])
    return ReaderView(number=number, reader=reader, name=reader, host="bench", state=state, **more)


def card(iccid: str | None = ICCID, reader: str = "r1", **more: Any) -> ReaderView:
    """Describe a reader with a card."""
    there = {"card_state": CardState.READY, "insertion": 1, "atr": Octets.fromhex("3b00")}
    return msgspec.structs.replace(
        view(SlotState.PRESENT, reader, more.pop("number", 0)), iccid=iccid, **(there | more)
    )


def hear(shelf: Shelf, reader: ReaderView, change: Change = Change.CHANGED) -> bool:
    return shelf.hear(ReaderChange(change, reader, ReaderMark("run", 1)))


def gone(shelf: Shelf, reader: str = "r1", number: int = 0) -> bool:
    return hear(shelf, view(SlotState.PRESENT, reader, number), Change.REMOVED)


def snapshot(shelf: Shelf, *views: ReaderView, run: str = "run") -> bool:
    return shelf.hear(ReaderSnapshot(views, ReaderMark(run, 1)))


def stocked(*readers: str) -> Shelf:
    """Make a shelf with a card that is there, in each of some readers."""
    shelf = Shelf()
    at = enumerate(readers or ("r1",))
    snapshot(shelf, *(card(f"8988211000000430{n:03}", reader) for n, reader in at))
    return shelf


def only(shelf: Shelf) -> Seen:
    [seen] = shelf.seen()
    return seen


def found(shelf: Shelf) -> Place:
    place = shelf.find(only(shelf).name)
    assert place is not None
    return place


def info_of(reader: ReaderView) -> CardInfo:
    info = card_of(reader)
    assert info is not None
    return info


def placed(reader: ReaderView) -> Place:
    return Place(reader, info_of(reader), Seen(b"reader"))


def put(place: Place, reader: ReaderView) -> None:
    place.put_in(reader, info_of(reader))


def test_reader_stays_when_its_card_goes_and_is_used_when_it_comes_back() -> None:
    shelf = Shelf()
    assert hear(shelf, card(), Change.ADDED)
    name = only(shelf).name
    assert hear(shelf, view(SlotState.EMPTY))
    assert names(shelf) == {ICCID: False}
    assert not hear(shelf, view(SlotState.EMPTY, "r2"), Change.ADDED)
    assert hear(shelf, card(reader="r2"))
    assert [(s.name, s.present, s.event_count) for s in shelf.seen()] == [(name, True, 3)]
    assert found(shelf).card.reader == "r2"
    assert not hear(shelf, view(SlotState.UNAVAILABLE))
    assert hear(shelf, view(SlotState.UNAVAILABLE, "r2"))


def test_another_card_in_the_place_has_a_reader_of_its_own() -> None:
    shelf = Shelf()
    hear(shelf, card(), Change.ADDED)
    hear(shelf, view(SlotState.EMPTY))
    hear(shelf, card(OTHER, insertion=2))
    assert names(shelf) == {OTHER: True}


def test_reader_keeps_its_name_when_the_card_is_called_otherwise() -> None:
    shelf = Shelf()
    hear(shelf, card(), Change.ADDED)
    hear(shelf, card(OTHER, label="blue"))
    assert names(shelf) == {ICCID: True}


def test_card_that_is_being_identified_is_not_shown_yet() -> None:
    shelf = Shelf()
    unknown = card(None, card_state=CardState.IDENTIFYING)
    assert not hear(shelf, unknown, Change.ADDED)
    assert shelf.seen() == []
    assert shelf.unknown == {1}
    assert hear(shelf, card())
    assert not shelf.unknown
    assert hear(shelf, unknown)
    assert names(shelf) == {ICCID: False}
    assert shelf.unknown == {1}
    assert not gone(shelf, "r2")
    gone(shelf)
    assert not shelf.unknown


def test_cards_with_one_number_have_two_readers() -> None:
    shelf = Shelf()
    hear(shelf, card(), Change.ADDED)
    hear(shelf, card(reader="r2"), Change.ADDED)
    assert [seen.name.decode()[-5:] for seen in shelf.seen()] == ["00 00", "01 00"]


def test_mute_card_is_shown_as_such() -> None:
    shelf = Shelf()
    hear(shelf, card(None, card_state=CardState.MUTE), Change.ADDED)
    assert [(seen.present, seen.mute) for seen in shelf.seen()] == [(True, True)]


def test_news_that_changes_nothing_is_no_change() -> None:
    shelf = Shelf()
    hear(shelf, card(), Change.ADDED)
    assert not hear(shelf, card(card_state=CardState.ASSOCIATED))
    assert not gone(shelf, "r9")
    assert not snapshot(shelf, card())


def test_empty_readers_are_not_kept_without_end() -> None:
    shelf = Shelf()
    snapshot(shelf)
    for number in range(1, 3 * MAX_EMPTY):
        hear(shelf, card(f"89882110000000{number:05}", f"r{number}"), Change.ADDED)
        hear(shelf, view(SlotState.EMPTY, f"r{number}"))
    assert len(shelf.seen()) <= MAX_EMPTY + 1
    assert len(shelf._at) + len(shelf._away) == len(shelf.seen())
    shelf.out_of_reach()
    assert {seen.unavailable for seen in shelf.seen()} == {True}


def test_card_that_is_taken_out_leaves_an_empty_reader() -> None:
    shelf = stocked()
    assert hear(shelf, view(SlotState.EMPTY))
    seen = only(shelf)
    assert (seen.present, seen.unavailable, seen.event_count) == (False, False, 2)


@pytest.mark.parametrize(
    ("state", "change"),
    [(SlotState.UNAVAILABLE, Change.CHANGED), (SlotState.PRESENT, Change.REMOVED)],
)
def test_reader_that_goes_with_its_card_is_out_of_reach(state: SlotState, change: Change) -> None:
    shelf = stocked()
    assert hear(shelf, view(state), change)
    seen = only(shelf)
    assert (seen.present, seen.unavailable, seen.event_count) == (False, True, 1)
    again = 2 if change is Change.REMOVED else 1
    assert not hear(shelf, card(None, number=again, card_state=CardState.IDENTIFYING))
    assert only(shelf) == seen
    assert hear(shelf, card(FIRST, number=again))
    assert (only(shelf).present, only(shelf).unavailable) == (True, False)
    assert only(shelf).event_count == 2


def test_reader_that_comes_back_empty_is_empty() -> None:
    shelf = stocked()
    gone(shelf)
    assert hear(shelf, view(SlotState.EMPTY, number=2), Change.ADDED)
    assert (only(shelf).unavailable, only(shelf).event_count) == (False, 2)
    assert not hear(shelf, view(SlotState.EMPTY, number=2, label="blue"))
    assert hear(shelf, view(SlotState.UNAVAILABLE, number=2))
    assert only(shelf).unavailable
    assert not gone(shelf, number=2)
    assert only(shelf).unavailable


def test_card_in_place_of_another_is_in_a_reader_of_its_own() -> None:
    shelf = stocked()
    assert hear(shelf, card(OTHER, insertion=2))
    assert names(shelf) == {OTHER: True}


def test_card_that_nobody_looked_at_yet_is_not_shown() -> None:
    shelf = stocked()
    hear(shelf, view(SlotState.EMPTY))
    alone = {"card_state": CardState.ASSOCIATED, "lease": lease("a", Share.DIRECT)}
    assert not hear(shelf, card(None, insertion=2, **alone))
    for state in (CardState.RESETTING, CardState.IDENTIFYING):
        assert not hear(shelf, card(None, insertion=2, card_state=state))
    assert hear(shelf, card(FIRST, insertion=2))
    assert (only(shelf).present, only(shelf).event_count) == (True, 3)
    assert hear(shelf, card(None, insertion=3, **alone))
    assert (only(shelf).present, only(shelf).event_count) == (False, 4)
    nameless = Shelf()
    hear(nameless, card(None), Change.ADDED)
    assert hear(nameless, card(None, **alone))
    assert only(nameless).others == -1


def test_same_card_put_in_again_at_once_is_another_insertion() -> None:
    shelf = stocked()
    assert hear(shelf, card(FIRST, insertion=2))
    assert (only(shelf).present, only(shelf).event_count) == (True, 3)


def test_card_that_is_not_wanted_is_not_shown() -> None:
    shelf = Shelf([Filter(ListCards(label="blue")), Filter(ListCards(iccid=OTHER))])
    assert not hear(shelf, card(), Change.ADDED)
    assert not hear(shelf, card(None, "r2", card_state=CardState.IDENTIFYING), Change.ADDED)
    assert not shelf.unknown
    assert hear(shelf, card(OTHER, "r2"))
    assert hear(shelf, card(label="blue"))
    assert len(shelf.seen()) == 2
    assert hear(shelf, card(label="red"))
    assert [seen.present for seen in shelf.seen()] == [True, False]


def test_what_is_found_when_the_server_is_back() -> None:
    shelf = stocked("r1", "r2", "r3", "r4")
    shelf.out_of_reach()
    assert [seen.unavailable for seen in shelf.seen()] == [True] * 4
    there = [card(FIRST, "r1"), view(SlotState.EMPTY, "r2")]
    unknown = card(None, "r3", card_state=CardState.IDENTIFYING)
    assert snapshot(shelf, *there, unknown, card("8988211000000430003", "r9"))
    states = [(seen.present, seen.unavailable) for seen in shelf.seen()]
    assert states == [(True, False), (False, False), (False, True), (True, False)]
    assert [seen.event_count for seen in shelf.seen()] == [2, 2, 1, 2]


def test_what_is_found_at_a_server_that_was_started_again() -> None:
    """A card in its place was there all the time; one whose host is late may come back."""
    shelf = stocked("r1", "r2", "r3", "r4")
    before = shelf.seen()
    there = card(FIRST, "r1", number=7, insertion=9), view(SlotState.EMPTY, "r2", number=1)
    assert snapshot(shelf, *there, card(OTHER, "r3", number=3, insertion=1), run="other")
    kept, emptied, late, new = shelf.seen()
    assert kept == before[0]
    assert (emptied.present, emptied.unavailable) == (False, False)
    assert (late.present, late.unavailable, late.event_count) == (False, True, 1)
    assert OTHER.encode() in new.name
    assert [place.returning for place in shelf.places] == [False, False, True, False]
    assert hear(shelf, card("8988211000000430003", "r4", number=8), Change.ADDED)
    assert (shelf.seen()[2].present, shelf.seen()[2].event_count) == (True, 2)
    assert not shelf.places[2].returning


def test_card_that_is_late_is_not_awaited_for_ever() -> None:
    shelf = stocked("r1", "r2")
    snapshot(shelf, run="other")
    assert [place.returning for place in shelf.places] == [True, True]
    hear(shelf, view(SlotState.EMPTY, number=1), Change.ADDED)
    shelf.await_no_more()
    assert [place.returning for place in shelf.places] == [False, False]
    assert [seen.unavailable for seen in shelf.seen()] == [False, True]
    snapshot(shelf, run="third")
    assert [place.returning for place in shelf.places] == [False, False]


def test_what_a_snapshot_of_the_same_run_leaves_out_is_out_of_reach_and_not_awaited() -> None:
    shelf = stocked("r1", "r2")
    assert snapshot(shelf, card("8988211000000430001", "r2"))
    assert [seen.unavailable for seen in shelf.seen()] == [True, False]
    assert not shelf.places[0].returning
    assert snapshot(shelf, card("8988211000000430001", "r2", insertion=2))
    assert shelf.seen()[1].event_count == 3


def test_readers_of_one_name_do_not_take_each_other_away() -> None:
    shelf = stocked()
    hear(shelf, card(OTHER, number=2), Change.ADDED)
    assert names(shelf) == {FIRST: True, OTHER: True}
    gone(shelf, number=1)
    assert [(seen.present, seen.unavailable) for seen in shelf.seen()] == [
        (False, True),
        (True, False),
    ]
    gone(shelf, number=2)
    assert [seen.unavailable for seen in shelf.seen()] == [True, True]
    hear(shelf, card(FIRST, number=3), Change.ADDED)
    hear(shelf, card(OTHER, number=4), Change.ADDED)
    assert OTHER in names(shelf)
    assert only_present(shelf) == {FIRST, OTHER}


def only_present(shelf: Shelf) -> set[str]:
    return {name for name, present in names(shelf).items() if present}


def lease(holder: str, share: Share = Share.EXCLUSIVE, second: int = 0) -> LeaseInfo:
    return LeaseInfo(holder=holder, since=f"2026-01-01T00:00:{second:02}Z", share=share)


@pytest.mark.parametrize(
    ("more", "others"),
    [
        ({}, 0),
        ({"card_state": CardState.RESETTING}, 0),
        ({"card_state": CardState.IN_USE}, 1),
        ({"card_state": CardState.ASSOCIATED, "lease": lease("a")}, -1),
        ({"card_state": CardState.ASSOCIATED, "lease": lease("a", Share.DIRECT)}, -1),
        ({"card_state": CardState.ASSOCIATED, "lease": lease("a", Share.SHARED)}, 1),
        (
            {
                "card_state": CardState.ASSOCIATED,
                "lease": lease("a", Share.SHARED),
                "others": (lease("b", Share.SHARED),),
            },
            2,
        ),
    ],
)
def test_use_by_others(more: dict[str, Any], others: int) -> None:
    shelf = Shelf()
    hear(shelf, card(), Change.ADDED)
    hear(shelf, card(**more))
    assert only(shelf).others == others


def test_our_own_use_is_not_that_of_others() -> None:
    place = placed(card())
    ours, theirs = lease("me"), lease("me", second=1)
    place.take()
    put(place, card(card_state=CardState.ASSOCIATED, lease=ours))
    assert place.seen.others == 0
    place.taken(msgspec.structs.replace(ours, until="2026-01-01T01:00:00Z"))
    put(place, card(card_state=CardState.ASSOCIATED, lease=ours))
    assert place.seen.others == 0
    put(place, card(card_state=CardState.ASSOCIATED, lease=theirs))
    assert place.seen.others == -1


def test_use_by_another_who_was_first_is_shown_when_we_are_refused() -> None:
    place = placed(card())
    place.take()
    put(place, card(card_state=CardState.ASSOCIATED, lease=lease("other")))
    assert place.seen.others == 0
    place.taken(None)
    assert place.seen.others == -1
    place.take_out()
    place.taken(None)
    assert place.seen.others == 0


def test_equal_names_have_their_numbers_by_host() -> None:
    hosts = enumerate("cab", 1)
    listed = [
        msgspec.structs.replace(card(), label="blue", host=host, number=n) for n, host in hosts
    ]
    shelf = Shelf()
    assert snapshot(shelf, *listed)
    for reader in listed:
        assert not hear(shelf, reader)
    given = [place.card.host for place in map(shelf.find, (s.name for s in shelf.seen())) if place]
    assert given == ["a", "b", "c"]
    assert [seen.name.split()[2] for seen in shelf.seen()] == [b"00", b"01", b"02"]
    assert not snapshot(shelf, *listed)


@pytest.mark.parametrize("lost", [False, True], ids=["swapped", "while the connection was lost"])
def test_card_of_the_same_label_in_the_place_of_another_is_an_insertion(*, lost: bool) -> None:
    shelf = Shelf()
    snapshot(shelf, card(label="blue"))
    before = only(shelf)
    other = card(OTHER, label="blue", insertion=2)
    if lost:
        snapshot(shelf, other, run="other")
    else:
        hear(shelf, other)
    now = only(shelf)
    assert (now.name, now.present) == (before.name, True)
    assert now.event_count == before.event_count + 2


# A card of ours


def test_card_of_the_same_label_after_ours_is_an_insertion() -> None:
    shelf = Shelf()
    snapshot(shelf, card(label="blue"))
    before = only(shelf)
    place = found(shelf)
    ours = object()
    place.hold(ours)
    assert not hear(shelf, view(SlotState.EMPTY))
    assert not hear(shelf, card(OTHER, label="blue", insertion=2))
    assert only(shelf) == before
    place.release(ours)
    assert only(shelf).event_count == before.event_count + 2


@pytest.mark.parametrize("run", ["run", "other"])
def test_our_card_that_comes_back_with_its_host_was_not_away(run: str) -> None:
    shelf = stocked()
    before = only(shelf)
    place = found(shelf)
    ours = object()
    place.hold(ours)
    if run == "run":
        assert not gone(shelf)
    else:
        assert not snapshot(shelf, run=run)
    assert not hear(shelf, card(None, number=9, card_state=CardState.IDENTIFYING), Change.ADDED)
    assert not hear(shelf, card(FIRST, number=9))
    place.release(ours)
    assert only(shelf) == before


@pytest.mark.parametrize(
    ("state", "seen"), [(SlotState.EMPTY, (False, 2)), (SlotState.UNAVAILABLE, (True, 1))]
)
def test_what_became_of_our_card_is_seen_when_our_session_is_over(
    state: SlotState, seen: tuple[bool, int]
) -> None:
    shelf = stocked()
    before = only(shelf)
    place = found(shelf)
    ours = object()
    place.hold(ours)
    assert not hear(shelf, view(state))
    assert only(shelf) == before
    place.release(object())
    assert only(shelf) == before
    place.release(ours)
    assert (only(shelf).present, only(shelf).unavailable, only(shelf).event_count) == (False, *seen)


def over(shelf: Shelf) -> None:
    """Have the session of the card that is ours end as its host is away."""
    cards = RemoteCards(lambda: pytest.fail("no client is made"), (), pytest.fail)
    cards._shelf = shelf
    place = found(shelf)
    cards._over(place, place._holder, ReaderUnavailableError("The card client is gone."))  # type: ignore[arg-type]


def test_d26_card_that_is_back_before_our_session_is_over_is_not_out_of_reach() -> None:
    shelf = stocked()
    before = only(shelf)
    found(shelf).hold(object())
    gone(shelf)
    hear(shelf, card(FIRST, number=9), Change.ADDED)
    over(shelf)
    assert only(shelf) == before


def test_d26_reader_that_is_back_without_our_card_is_empty() -> None:
    shelf = stocked()
    found(shelf).hold(object())
    gone(shelf)
    hear(shelf, view(SlotState.EMPTY, number=9), Change.ADDED)
    over(shelf)
    assert (only(shelf).present, only(shelf).unavailable) == (False, False)


@pytest.mark.parametrize("told", [False, True])
def test_d26_reader_that_went_with_our_session_is_out_of_reach(*, told: bool) -> None:
    shelf = stocked()
    found(shelf).hold(object())
    if told:
        gone(shelf)
    over(shelf)
    assert only(shelf).unavailable
    gone(shelf)
    assert only(shelf).unavailable
