# SPDX-License-Identifier: Apache-2.0
"""A user of a relay in memory who watches cards, as a client does for its program."""

from tests.support.relay_clients import Peer
from wsrc.protocol import messages as m
from wsrc.selection import Filter
from wsrc.user_client.core.feeds import (
    CardEvent,
    CardEvents,
    ReaderChange,
    ReaderFeed,
    ReaderSnapshot,
)


class CardWatcher:
    """What a peer that watches is told of cards; the watch begins at once."""

    def __init__(self, peer: Peer, **filters: str) -> None:
        self.peer = peer
        self._feed = ReaderFeed(filtered=bool(filters))
        self._events = CardEvents(Filter(m.ListCards(**filters)))
        peer.say(m.WatchReaders(id=peer.new_id(), **filters))

    def told(self) -> list[CardEvent]:
        """Take all that came, which is about readers, and give what became of cards."""
        heard, self.peer.inbox = self.peer.inbox, []
        return [event for message in heard for event in self.hear(message)]

    def hear(self, message: m.Message) -> list[CardEvent]:
        """Take one message and give what became of cards."""
        assert isinstance(message, m.WatchReadersAck | m.ListReadersAck | m.ReaderEvent), message
        self._feed.hear(message)
        events: list[CardEvent] = []
        while self._feed._unread:
            news = self._feed._unread.popleft()
            assert isinstance(news, ReaderSnapshot | ReaderChange)
            events += self._events.of(news)
        assert self._feed._end is None
        assert self._feed.after is None
        return events
