# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.reader_feed: what a watcher of readers is given."""

import pytest

from wsrc.card.slot import SlotState
from wsrc.errors import ConnectionLostError, RemoteProtocolError
from wsrc.protocol import messages as m
from wsrc.protocol.messages import Change
from wsrc.user_client.core.reader_feed import ReaderChange, ReaderFeed, ReaderMark, ReaderSnapshot


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
    with pytest.raises(RemoteProtocolError, match=f"told change {seq} of readers after 4"):
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
