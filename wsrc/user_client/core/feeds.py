# SPDX-License-Identifier: Apache-2.0
"""Readers and cards as a watcher sees them: a snapshot, and every change after it, once each."""

import asyncio
from collections import deque
from typing import NamedTuple

from wsrc.errors import (
    ConnectionLostError,
    ErrorCode,
    RefusedError,
    RemoteProtocolError,
    WsrcError,
)
from wsrc.protocol import messages as m
from wsrc.protocol.messages import CardInfo, Change, ReaderView, card_of
from wsrc.selection import Filter
from wsrc.user_client.naming import CardKey, key_of

MAX_UNREAD = 100_000
"""News that may wait for a watcher; one more ends the watch."""


class ReaderMark(NamedTuple):
    """Up to where readers are known, a change of one run of a server; a watch can go on there."""

    instance: str
    seq: int


class _Snapshot(NamedTuple):
    readers: tuple[ReaderView, ...]
    mark: ReaderMark


class ReaderSnapshot(_Snapshot):
    """
    All readers as they are at `mark`; whatever was known before is void.

    `unanswered`, which is no part of the tuple, names the servers of a cluster whose readers are
    missing, for they did not answer in time.
    """

    unanswered: tuple[str, ...] = ()


class ReaderChange(NamedTuple):
    """What happened to a reader; one that was removed is described as it was."""

    change: Change
    reader: ReaderView
    mark: ReaderMark


ReaderNews = ReaderSnapshot | ReaderChange

Notification = m.StateChange | m.ListChange


class ReaderFeed:
    """
    Turns messages, in the order in which the server sent them, into news.

    A snapshot may come in several parts, with changes between them; it is given when it is
    whole. `after` says where the next part begins, and is None when there is none. Notifications
    are given after the snapshot, as they came, and after those of one event the mark that they
    go up to.

    Args:
        filtered: Whether the server tells of some readers only, and leaves numbers out.
    """

    def __init__(self, *, filtered: bool = False) -> None:
        self.after: int | None = None
        self._filtered = filtered
        self._instance: str | None = None
        self._seq = 0
        self._partial: dict[int, ReaderView] | None = None
        self._missing: dict[str, None] = {}
        self._held: list[Notification | ReaderMark] = []
        self._unread: deque[ReaderNews | Notification | ReaderMark] = deque()
        self._wake = asyncio.Event()
        self._end: WsrcError | None = None

    def hear(self, message: m.Message) -> None:
        """Take one message; what comes before the answer to our watch is another's."""
        match message:
            case m.WatchReadersAck():
                self._instance, self._seq = message.instance, message.seq
                if message.readers is not None:
                    self._partial, self._missing = {}, {}
                    self._page(message.readers, message.next)
            case m.ListReadersAck() if self._partial is not None:
                self._missing.update(dict.fromkeys(message.unanswered))
                self._page(message.readers, message.next)
            case m.Error(id=None, code=ErrorCode.FORBIDDEN) if self._instance is not None:
                self._finish(RefusedError(ErrorCode.FORBIDDEN, message.message))
            case m.ReaderEvent() if self._instance is not None:
                self._event(message)
            case m.StateChange() | m.ListChange() if self._instance is not None:
                self._notified(message)
            case m.ReaderMark() if self._instance is not None:
                self._notified(ReaderMark(self._instance, message.seq))
            case _:
                pass

    def lost(self, reason: str) -> None:
        """End the feed after what is unread, for the connection is lost; `reason` is a sentence."""
        self._finish(ConnectionLostError(reason))

    @property
    def is_cut(self) -> bool:
        """Whether the connection was lost, and nothing else ended the feed before."""
        return isinstance(self._end, ConnectionLostError)

    async def next(self) -> ReaderNews | Notification | ReaderMark:
        """
        Return the next news, however long it takes to come.

        Raises:
            ConnectionLostError: If the connection was lost.
            RefusedError: If too much was left unread.
            RemoteProtocolError: If what the server said cannot be true.
        """
        while not self._unread:
            if self._end is not None:
                raise self._end
            self._wake.clear()
            await self._wake.wait()
        return self._unread.popleft()

    @property
    def _mark(self) -> ReaderMark:
        return ReaderMark(self._instance or "", self._seq)

    def _page(self, readers: tuple[ReaderView, ...], after: int | None) -> None:
        assert self._partial is not None
        self._partial |= {reader.number: reader for reader in readers}
        self.after = after
        if after is None:
            whole, self._partial = self._partial, None
            there = tuple(whole[number] for number in sorted(whole))
            snapshot = ReaderSnapshot(there, self._mark)
            snapshot.unanswered = tuple(self._missing)
            self._tell(snapshot)
            for news in self._held:
                self._tell(news)

    def _notified(self, news: Notification | ReaderMark) -> None:
        if self._partial is not None:
            self._held.append(news)
        else:
            self._tell(news)

    def _event(self, event: m.ReaderEvent) -> None:
        before = self._seq
        if event.seq <= before or (event.seq > before + 1 and not self._filtered):
            why = f"The server sent change {event.seq} of readers after {before}."
            self._finish(RemoteProtocolError(why))
            return
        self._seq = event.seq
        if self._partial is None:
            self._tell(ReaderChange(event.change, event.reader, self._mark))
        elif event.change is Change.REMOVED:
            self._partial.pop(event.reader.number, None)
        else:
            self._partial[event.reader.number] = event.reader

    def _tell(self, news: ReaderNews | Notification | ReaderMark) -> None:
        if self._end is not None:
            return
        if len(self._unread) == MAX_UNREAD:
            why = f"{MAX_UNREAD} changes were left unread; watch again and read faster."
            self._finish(RefusedError(ErrorCode.TOO_MANY, why))
            return
        self._unread.append(news)
        self._wake.set()

    def _finish(self, why: WsrcError) -> None:
        if self._end is None:
            self._end = why
        self._wake.set()


class CardEvent(NamedTuple):
    """What happened to a card; one that was removed is described as it was."""

    change: Change
    card: CardInfo


class _Shown(NamedTuple):
    card: CardInfo
    insertion: int


class CardEvents:
    """
    Turns news of readers into events of cards, each change once.

    A card is `added` when it begins to match, `removed` when it does not match any more. After
    another snapshot, a card is the one that was in the same place before.

    Args:
        wanted: Which cards are told of.
    """

    def __init__(self, wanted: Filter) -> None:
        self._wanted = wanted
        self._shown: dict[int, _Shown] = {}
        """The cards that were told of, by the number of their reader."""

    def of(self, news: ReaderNews) -> list[CardEvent]:
        """Return what happened to cards."""
        if isinstance(news, ReaderSnapshot):
            return self._of_snapshot(news.readers)
        reader = news.reader
        before = self._shown.pop(reader.number, None)
        now = self._show(reader) if news.change is not Change.REMOVED else None
        if before is not None and now is not None and _is_another(before, now):
            return _events(before.card, None) + _events(None, now.card)
        return _events(before and before.card, now and now.card)

    def _of_snapshot(self, readers: tuple[ReaderView, ...]) -> list[CardEvent]:
        former: dict[CardKey, CardInfo] = {key_of(s.card): s.card for s in self._shown.values()}
        self._shown = {}
        events: list[CardEvent] = []
        for reader in readers:
            now = self._show(reader)
            if now is not None:
                events += _events(former.pop(key_of(now.card), None), now.card)
        return events + [event for card in former.values() for event in _events(card, None)]

    def _show(self, reader: ReaderView) -> _Shown | None:
        card = card_of(reader)
        if card is None or not self._wanted.matches(card):
            return None
        now = self._shown[reader.number] = _Shown(card, reader.insertion)
        return now


def _is_another(before: _Shown, now: _Shown) -> bool:
    """Return whether a card is another one, or is found elsewhere, as its reader is renamed."""
    return before.insertion != now.insertion or key_of(before.card) != key_of(now.card)


def _events(before: CardInfo | None, after: CardInfo | None) -> list[CardEvent]:
    """Return what happened to a card between two descriptions."""
    if before == after:
        return []
    if after is None:
        assert before is not None
        return [CardEvent(Change.REMOVED, before)]
    return [CardEvent(Change.ADDED if before is None else Change.CHANGED, after)]
