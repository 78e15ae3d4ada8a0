# SPDX-License-Identifier: Apache-2.0
"""The cards as a watcher sees them: pages of a list and events, made one stream of events."""

import asyncio
from collections import deque

from wsrc import messages as m
from wsrc.errors import ConnectionLostError, ErrorCode, RefusedError, WsrcError

MAX_UNREAD = 100_000
"""Events that may wait for a watcher; one more ends the watch."""

_Key = tuple[str, str | None, str | None]


class CardFeed:
    """
    Take messages in the order in which the server sent them; give each change once.

    A page of a list counts as news of each card in it: what an event told before is not told
    again, and a card that went before it was listed is not told at all.
    """

    def __init__(self) -> None:
        self._cards: dict[_Key, m.CardInfo] = {}
        self._unlisted: set[_Key] = set()
        self._unread: deque[m.CardEvent] = deque()
        self._news = asyncio.Event()
        self._end: WsrcError | None = None

    def hear(self, message: m.Message) -> None:
        """Take one message; those that say nothing of cards are passed over."""
        match message:
            case m.ListCardsAck(cards=cards):
                for card in cards:
                    self._there(card)
            case m.CardEvent(change=m.Change.REMOVED, card=card):
                if self._cards.pop(_key(card), None) is not None:
                    self._tell(m.Change.REMOVED, card)
            case m.CardEvent(card=card):
                self._there(card)
            case _:
                pass

    def lost(self, reason: str) -> None:
        """End the feed after what is unread."""
        self._finish(ConnectionLostError(reason))

    @property
    def is_cut(self) -> bool:
        """Whether the connection was lost; another may bring the feed to life again."""
        return isinstance(self._end, ConnectionLostError)

    def begin_again(self) -> None:
        """Go on with another connection, on which all cards are listed, and then `listed`."""
        self._end = None
        self._unlisted = set(self._cards)

    def listed(self) -> None:
        """Tell of the cards that went while there was no connection: they were not listed."""
        unlisted, self._unlisted = self._unlisted, set()
        for key in unlisted:
            card = self._cards.pop(key, None)
            if card is not None:
                self._tell(m.Change.REMOVED, card)

    async def next(self) -> m.CardEvent:
        """
        Give the next event, however long it takes to come.

        Raises:
            ConnectionLostError: If the connection was lost.
            RefusedError: If too many events were left unread.
        """
        while not self._unread:
            if self._end is not None:
                raise self._end
            self._news.clear()
            await self._news.wait()
        return self._unread.popleft()

    def _there(self, card: m.CardInfo) -> None:
        self._unlisted.discard(_key(card))
        before = self._cards.get(_key(card))
        if before == card:
            return
        self._cards[_key(card)] = card
        self._tell(m.Change.ADDED if before is None else m.Change.CHANGED, card)

    def _tell(self, change: m.Change, card: m.CardInfo) -> None:
        if self._end is not None:
            return
        if len(self._unread) == MAX_UNREAD:
            why = f"{MAX_UNREAD} changes were left unread; watch again and read faster."
            self._finish(RefusedError(ErrorCode.TOO_MANY, why))
            return
        self._unread.append(m.CardEvent(change=change, card=card))
        self._news.set()

    def _finish(self, why: WsrcError) -> None:
        if self._end is None:
            self._end = why
        self._news.set()


def _key(card: m.CardInfo) -> _Key:
    return card.remote_addr[0], card.host, card.reader
