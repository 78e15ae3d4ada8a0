# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.feeds: what a watcher is given, and what is unread at the end."""

import asyncio
from typing import Any

import msgspec
import pytest

from wsrc.card.slot import Share, SlotState
from wsrc.errors import ConnectionLostError, RefusedError, RemoteProtocolError
from wsrc.protocol import messages as m
from wsrc.protocol.messages import Change
from wsrc.selection import Filter
from wsrc.user_client.core import feeds
from wsrc.user_client.core.feeds import (
    CardEvent,
    CardEvents,
    ReaderChange,
    ReaderFeed,
    ReaderMark,
    ReaderSnapshot,
)


def view(number: int, state: SlotState = SlotState.EMPTY) -> m.ReaderView:
    name = f"r{number}"
    return m.ReaderView(number=number, reader=name, name=name, host="bench", state=state)


def event(seq: int, change: Change, reader: m.ReaderView) -> m.ReaderEvent:
    return m.ReaderEvent(seq=seq, change=change, reader=reader)


async def test_a_snapshot_comes_before_the_changes() -> None:
    feed = ReaderFeed()
    feed.hear(m.WatchReadersAck(instance="i", seq=4, readers=(view(1), view(2))))
    feed.hear(event(5, Change.REMOVED, view(2)))
    assert await feed.next() == ReaderSnapshot((view(1), view(2)), ReaderMark("i", 4))
    assert await feed.next() == ReaderChange(Change.REMOVED, view(2), ReaderMark("i", 5))


async def test_who_goes_on_is_given_no_snapshot() -> None:
    feed = ReaderFeed()
    feed.hear(m.WatchReadersAck(instance="i", seq=4))
    feed.hear(event(5, Change.ADDED, view(2)))
    assert await feed.next() == ReaderChange(Change.ADDED, view(2), ReaderMark("i", 5))


async def test_a_snapshot_in_parts_is_given_whole_with_the_changes_between() -> None:
    feed = ReaderFeed()
    feed.hear(m.WatchReadersAck(instance="i", seq=4, readers=(view(1), view(2)), next=2))
    assert feed.after == 2
    feed.hear(event(5, Change.REMOVED, view(1)))
    feed.hear(event(6, Change.CHANGED, view(2, SlotState.PRESENT)))
    feed.hear(event(7, Change.REMOVED, view(9)))
    page = m.ListReadersAck(instance="i", seq=7, readers=(view(3),))
    feed.hear(page)
    assert feed.after is None
    there = (view(2, SlotState.PRESENT), view(3))
    assert await feed.next() == ReaderSnapshot(there, ReaderMark("i", 7))
    feed.hear(page)
    feed.hear(event(8, Change.REMOVED, view(3)))
    assert await feed.next() == ReaderChange(Change.REMOVED, view(3), ReaderMark("i", 8))


async def test_what_an_earlier_watch_is_told_does_not_count() -> None:
    feed = ReaderFeed()
    feed.hear(event(3, Change.REMOVED, view(2)))
    feed.hear(m.state_change(view(1)))
    feed.hear(m.ReaderMark(seq=3))
    feed.hear(m.WatchReadersAck(instance="i", seq=4, readers=()))
    assert await feed.next() == ReaderSnapshot((), ReaderMark("i", 4))


@pytest.mark.parametrize("seq", [4, 6])
async def test_a_change_that_is_doubled_or_missing_ends_the_feed(seq: int) -> None:
    feed = ReaderFeed()
    feed.hear(m.WatchReadersAck(instance="i", seq=4))
    feed.hear(event(seq, Change.REMOVED, view(1)))
    feed.lost("Gone.")
    with pytest.raises(RemoteProtocolError, match=f"sent change {seq} of readers after 4"):
        await feed.next()


async def test_notifications_come_after_the_snapshot_and_as_they_are() -> None:
    feed = ReaderFeed()
    feed.hear(m.WatchReadersAck(instance="i", seq=1, readers=(view(1),), next=1))
    told = m.state_change(view(1)), m.list_change([view(1)])
    feed.hear(told[0])
    feed.hear(m.ReaderMark(seq=2))
    feed.hear(m.ListReadersAck(instance="i", seq=2, readers=()))
    feed.hear(told[1])
    assert isinstance(await feed.next(), ReaderSnapshot)
    feed.hear(m.ReaderMark(seq=3))
    given = [await feed.next() for _ in range(4)]
    assert given == [told[0], ReaderMark("i", 2), told[1], ReaderMark("i", 3)]


async def test_what_is_unread_is_given_before_the_loss() -> None:
    feed = ReaderFeed()
    feed.hear(m.WatchReadersAck(instance="i", seq=0, readers=()))
    feed.lost("Gone.")
    assert isinstance(await feed.next(), ReaderSnapshot)
    with pytest.raises(ConnectionLostError, match=r"Gone\."):
        await feed.next()


# What is unread


def watched() -> ReaderFeed:
    """Return a feed to which the server has agreed; each mark that it hears is news."""
    feed = ReaderFeed()
    feed.hear(m.WatchReadersAck(instance="i", seq=0))
    return feed


def mark(seq: int) -> ReaderMark:
    return ReaderMark("i", seq)


async def test_what_is_unread_is_given_before_the_end() -> None:
    feed = watched()
    feed.hear(m.ReaderMark(seq=1))
    feed.hear(m.ReaderMark(seq=2))
    feed.lost("Gone.")
    feed.hear(m.ReaderMark(seq=3))
    assert [await feed.next(), await feed.next()] == [mark(1), mark(2)]
    for _ in range(2):
        with pytest.raises(ConnectionLostError, match=r"Gone\."):
            await feed.next()
    assert feed.is_cut


async def test_too_much_unread_ends_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_UNREAD", 1)
    feed = watched()
    feed.hear(m.ReaderMark(seq=1))
    feed.hear(m.ReaderMark(seq=2))
    feed.lost("Gone.")
    assert await feed.next() == mark(1)
    with pytest.raises(RefusedError, match="left unread"):
        await feed.next()
    assert not feed.is_cut


async def test_who_is_there_first_waits() -> None:
    feed = watched()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(feed.next())
        await asyncio.sleep(0)
        feed.hear(m.ReaderMark(seq=1))
    assert waiting.result() == mark(1)


async def test_who_waits_is_told_of_the_end() -> None:
    feed = watched()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_end_of(feed))
        await asyncio.sleep(0)
        feed.lost("Gone.")
    assert "Gone." in waiting.result()


async def _end_of(feed: ReaderFeed) -> str:
    with pytest.raises(ConnectionLostError) as caught:
        await feed.next()
    return str(caught.value)


# With filters


@pytest.mark.parametrize("seq", [3, 4])
async def test_who_watches_with_filters_is_told_greater_numbers_or_the_feed_ends(seq: int) -> None:
    feed = ReaderFeed(filtered=True)
    feed.hear(m.WatchReadersAck(instance="i", seq=4))
    feed.hear(event(9, Change.CHANGED, view(1)))
    assert await feed.next() == ReaderChange(Change.CHANGED, view(1), ReaderMark("i", 9))
    feed.hear(event(seq, Change.REMOVED, view(1)))
    with pytest.raises(RemoteProtocolError, match=f"sent change {seq} of readers after 9"):
        await feed.next()


# Cards


def with_card(number: int, insertion: int = 1, **more: Any) -> m.ReaderView:
    there = {"state": SlotState.PRESENT, "card_state": m.CardState.READY, "label": "mine"}
    name = f"r{number}"
    return m.ReaderView(
        number=number, reader=name, name=name, host="bench", insertion=insertion, **(there | more)
    )


def cards(**filters: str) -> CardEvents:
    return CardEvents(Filter(m.ListCards(**filters)))


def told(
    events: CardEvents, change: Change, reader: m.ReaderView
) -> list[tuple[str, str | None, str | None]]:
    news = ReaderChange(change, reader, mark(1))
    return [(e.change.value, e.card.reader, e.card.label) for e in events.of(news)]


def of_snapshot(events: CardEvents, *readers: m.ReaderView) -> list[tuple[str, str | None]]:
    return [(e.change.value, e.card.reader) for e in events.of(ReaderSnapshot(readers, mark(1)))]


def test_each_change_of_a_card_is_told_once_and_of_empty_readers_nothing() -> None:
    events = cards()
    assert of_snapshot(events, view(1), with_card(2)) == [("added", "r2")]
    assert told(events, Change.CHANGED, with_card(2, in_use=True)) == []
    assert told(events, Change.CHANGED, with_card(2, label="blue")) == [("changed", "r2", "blue")]
    assert told(events, Change.CHANGED, view(2)) == [("removed", "r2", "blue")]
    assert told(events, Change.CHANGED, with_card(2, 2)) == [("added", "r2", "mine")]
    assert told(events, Change.REMOVED, with_card(2, 2)) == [("removed", "r2", "mine")]
    assert told(events, Change.REMOVED, view(1)) == []


def test_a_card_in_place_of_another_went_and_came() -> None:
    events = cards()
    of_snapshot(events, with_card(1))
    assert told(events, Change.CHANGED, with_card(1, 2, label="blue")) == [
        ("removed", "r1", "mine"),
        ("added", "r1", "blue"),
    ]


def test_a_card_comes_into_a_filter_and_leaves_it() -> None:
    events = cards(label="mine*")
    assert of_snapshot(events, with_card(1, label="yours")) == []
    assert told(events, Change.CHANGED, with_card(1, label="mine too")) == [
        ("added", "r1", "mine too")
    ]
    assert told(events, Change.CHANGED, with_card(1, label="yours")) == [
        ("removed", "r1", "mine too")
    ]


def test_another_snapshot_is_told_as_what_changed() -> None:
    events = cards()
    of_snapshot(events, with_card(1), with_card(2), with_card(3))
    moved = msgspec.structs.replace(with_card(2), number=1)
    other = msgspec.structs.replace(with_card(3, label="blue"), number=2)
    assert of_snapshot(events, moved, other, with_card(4)) == [
        ("changed", "r3"),
        ("added", "r4"),
        ("removed", "r1"),
    ]
    assert told(events, Change.REMOVED, moved) == [("removed", "r2", "mine")]


def test_a_card_event_says_all_that_a_list_of_cards_says() -> None:
    lease = m.LeaseInfo(holder="ida", since="2026-01-01T00:00:00Z", share=Share.SHARED)
    reader = with_card(1, iccid="8949020000012345678", eids=("89" * 16,), lease=lease)
    [given] = cards().of(ReaderSnapshot((reader,), mark(1)))
    card = m.CardInfo(
        remote_addr=("bench", 0),
        identities=m.Identities(iccid="8949020000012345678", eid="89" * 16),
        state=m.CardState.READY,
        host="bench",
        reader="r1",
        reader_name="r1",
        eids=("89" * 16,),
        label="mine",
        lease=lease,
    )
    assert given == CardEvent(Change.ADDED, card)
