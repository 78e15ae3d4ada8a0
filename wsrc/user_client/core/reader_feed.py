# SPDX-License-Identifier: Apache-2.0
"""Readers as a watcher sees them: a snapshot, and every change after it, once each."""

from typing import NamedTuple

from wsrc.errors import RemoteProtocolError
from wsrc.protocol import messages as m
from wsrc.protocol.messages import Change, ReaderView
from wsrc.user_client.core.feed import Feed


class ReaderMark(NamedTuple):
    """Up to where readers are known: a change of one run of a server; another watch goes on."""

    instance: str
    seq: int


class ReaderSnapshot(NamedTuple):
    """All readers as they are at `mark`; whatever was known before is void."""

    readers: tuple[ReaderView, ...]
    mark: ReaderMark


class ReaderChange(NamedTuple):
    """What happened to a reader; one that was removed is described as it was."""

    change: Change
    reader: ReaderView
    mark: ReaderMark


ReaderNews = ReaderSnapshot | ReaderChange

Notification = m.StateChange | m.ListChange


class ReaderFeed(Feed[ReaderNews | Notification | ReaderMark]):
    """
    Take messages in the order in which the server sent them; give news.

    A snapshot may come in several parts, with changes between them; it is given when it is
    whole. `after` says where the next part begins, and is None when there is none. Notifications
    are given after the snapshot, as they came, and after those of one event the mark that they
    go up to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.after: int | None = None
        self._instance: str | None = None
        self._seq = 0
        self._partial: dict[int, ReaderView] | None = None
        self._held: list[Notification | ReaderMark] = []

    def hear(self, message: m.Message) -> None:
        """Take one message; what comes before the answer to our watch is another's."""
        match message:
            case m.WatchReadersAck():
                self._instance, self._seq = message.instance, message.seq
                if message.readers is not None:
                    self._partial = {}
                    self._page(message.readers, message.next)
            case m.ListReadersAck() if self._partial is not None:
                self._page(message.readers, message.next)
            case m.ReaderEvent() if self._instance is not None:
                self._event(message)
            case m.StateChange() | m.ListChange() if self._instance is not None:
                self._notified(message)
            case m.ReaderMark() if self._instance is not None:
                self._notified(ReaderMark(self._instance, message.seq))
            case _:
                pass

    @property
    def _mark(self) -> ReaderMark:
        return ReaderMark(self._instance or "", self._seq)

    def _page(self, readers: tuple[ReaderView, ...], after: int | None) -> None:
        assert self._partial is not None
        self._partial |= {reader.number: reader for reader in readers}
        self.after = after
        if after is None:
            whole, self._partial = self._partial, None
            self._tell(ReaderSnapshot(tuple(whole[number] for number in sorted(whole)), self._mark))
            for news in self._held:
                self._tell(news)

    def _notified(self, news: Notification | ReaderMark) -> None:
        if self._partial is not None:
            self._held.append(news)
        else:
            self._tell(news)

    def _event(self, event: m.ReaderEvent) -> None:
        if event.seq != self._seq + 1:
            why = f"The server told change {event.seq} of readers after {self._seq}."
            self._finish(RemoteProtocolError(why))
            return
        self._seq = event.seq
        if self._partial is None:
            self._tell(ReaderChange(event.change, event.reader, self._mark))
        elif event.change is Change.REMOVED:
            self._partial.pop(event.reader.number, None)
        else:
            self._partial[event.reader.number] = event.reader
