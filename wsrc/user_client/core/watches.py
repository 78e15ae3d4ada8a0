# SPDX-License-Identifier: Apache-2.0
"""The part of `aio.Client` that asks for readers."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Unpack

from wsrc.errors import ConnectionLostError, ErrorCode, LocalProtocolError, RefusedError
from wsrc.protocol import messages as m
from wsrc.user_client.core import arguments
from wsrc.user_client.core.connection import Connection
from wsrc.user_client.core.feeds import (
    Notification,
    ReaderChange,
    ReaderFeed,
    ReaderMark,
    ReaderNews,
    ReaderSnapshot,
)
from wsrc.user_client.core.listed import missing
from wsrc.user_client.naming import Filters


class ReaderCalls:
    """What a client can ask about readers; whether there is a card in them does not matter."""

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s

    async def list_readers(self, **filters: Unpack[Filters]) -> ReaderSnapshot:
        """
        Return the readers that all filters match, empty ones too.

        Where there are so many that they come in parts, and one changes meanwhile, the mark is
        that of the first part: a watch from there on yields the change again.

        Raises:
            ConnectionLostError: If the connection is lost or the server does not answer in time.
            RefusedError: If the server does not know of readers.
        """
        filters = arguments.filters(filters)
        await self._known(m.ListReaders(**filters))
        pages = await self._listed(m.ListReaders(**filters))
        readers = tuple(reader for page in pages for reader in page.readers)
        mark = ReaderMark(pages[0].instance, pages[0].seq)
        snapshot = ReaderSnapshot(readers, mark)
        snapshot.unanswered = missing(pages)
        return snapshot

    async def set_tags(
        self,
        values: Mapping[str, str],
        *,
        unset: Sequence[str] = (),
        **which: Unpack[Filters],
    ) -> m.ReaderView:
        """
        Set tags of one card, or of one reader, for all who may list it; they outlive the server.

        Args:
            values: Value of each tag, by its key.
            unset: Keys of tags that were set so, and are to go.
            which: What the card, or the reader, must be; exactly one must match.

        Returns:
            The reader as it is shown from now on.

        Raises:
            NoSuchCardError: If none matches.
            RefusedError: If we may not, there are too many tags, or the server cannot write.
            ConnectionLostError: If the connection is lost: the tags may be set or not.
        """
        request = m.SetTags(
            set=arguments.tags(values, "values"),
            unset=tuple(arguments.text(key, "unset") for key in arguments.several(unset, "unset")),
            **arguments.filters(which),
        )
        return await self._noted(request)

    async def set_comment(self, comment: str, **which: Unpack[Filters]) -> m.ReaderView:
        """
        Note something of one card, or of one reader; an empty text takes it away. As `set_tags`.

        Raises as `set_tags`.
        """
        comment = arguments.text(comment, "comment")
        return await self._noted(m.SetComment(comment=comment, **arguments.filters(which)))

    async def _noted(self, request: m.SetTags | m.SetComment) -> m.ReaderView:
        await self._known(request)
        ack = await self._connection.requests.ask(request, self._timeout_s)
        assert isinstance(ack, m.SetTagsAck | m.SetCommentAck)
        return ack.reader

    async def watch_readers(
        self,
        since: ReaderMark | None = None,
        *,
        again: bool = True,
        **filters: Unpack[Filters],
    ) -> AsyncGenerator[ReaderNews, None]:
        """
        Yield a snapshot of the readers, and then every change, once and in order.

        With filters, the changes are those of readers that match before or after.

        Each has a `mark`. After a reconnection, the changes that were missed are
        yielded, or another snapshot where the server does not know them any more; another client
        goes on like that `since` the last mark. Without `again` the watch ends with the
        connection. A client has one watch at a time.

        Raises:
            LocalProtocolError: If the client watches already.
            ConnectionLostError: If the connection is lost.
            RefusedError: If the server does not know of readers.
        """
        while True:
            async with self._watching(m.ReaderForm.WSRC, since, filters) as feed:
                try:
                    while True:
                        news = await feed.next()
                        if isinstance(news, ReaderSnapshot | ReaderChange):
                            since = news.mark
                            yield news
                except ConnectionLostError:
                    if not (again and self._goes_on(feed)):
                        raise

    async def watch_reader_notifications(
        self, *, again: bool = True
    ) -> AsyncGenerator[Notification, None]:
        """
        Yield the readers as JSON-RPC notifications: first all that there are, then what happens.

        A list that is too long for a notification is asked for. After a reconnection, the
        notifications that were missed are yielded, or all readers once more where
        the server does not know those any more. Without `again` the watch ends with the
        connection.

        Raises as `watch_readers`, with which it shares the one watch of a client.
        """
        since: ReaderMark | None = None
        while True:
            async with self._watching(m.ReaderForm.JSON_RPC, since, {}) as feed:
                try:
                    while True:
                        notifications, mark = await self._notifications(feed)
                        for notification in notifications:
                            yield notification
                        since = mark
                except ConnectionLostError:
                    if not (again and self._goes_on(feed)):
                        raise

    async def _notifications(self, feed: ReaderFeed) -> tuple[list[Notification], ReaderMark]:
        """Return the notifications of an event or a snapshot, and the mark that they go up to."""
        told: list[Notification] = []
        while True:
            news = await feed.next()
            match news:
                case ReaderSnapshot(readers, mark):
                    return [m.list_change(readers), *map(m.state_change, readers)], mark
                case ReaderMark():
                    return told, news
                case m.ListChange() if news.params.names is None:
                    told.append(m.list_change((await self.list_readers()).readers))
                case m.ListChange() | m.StateChange():
                    told.append(news)
                case _:
                    pass

    async def _known(self, request: m.Selecting) -> None:
        """
        Wait until the server has answered to our greeting, where it might pass over a condition.

        Raises:
            RefusedError: If it is of a version that would.
        """
        noting = isinstance(request, m.SetTags | m.SetComment)
        needed = ["tags"] if request.tags or noting else []
        if isinstance(request, m.SelectCard) and request.pick is not m.Pick.ONE:
            needed.append("pick")
        if isinstance(request, m.SelectCard) and request.reservation is not None:
            needed.append("reservations")
        if needed and not {*needed} <= {*(await self._connection.greeted()).features}:
            why = f"The server is of a version that does not know {needed[-1]!r}."
            raise RefusedError(ErrorCode.NOT_SUPPORTED, why)

    def _goes_on(self, feed: ReaderFeed) -> bool:
        """
        Return whether the connection of a feed was lost and will be made again.

        Raises:
            ConnectionLostError: If it will not.
        """
        self._connection.requests.check()
        return feed.is_cut

    @asynccontextmanager
    async def _watching(
        self, form: m.ReaderForm, since: ReaderMark | None, filters: Filters
    ) -> AsyncGenerator[ReaderFeed, None]:
        connection = self._connection
        filters = arguments.filters(filters)
        await self._known(m.ListReaders(**filters))
        instance, seq = arguments.mark(since, "since") if since is not None else (None, None)
        if connection.feed is not None:
            raise LocalProtocolError("This client watches already; use another for another watch.")
        connection.feed = feed = ReaderFeed(
            filtered=any(each is not None for each in filters.values())
        )
        request = m.WatchReaders(form=form, since=seq, instance=instance, **filters)
        try:
            await connection.requests.ask(request, self._timeout_s, hear=feed.hear)
            if feed.after is not None:
                await self._listed(m.ListReaders(after=feed.after, **filters), feed)
            yield feed
        finally:
            connection.feed = None

    async def _listed(
        self, request: m.ListReaders, feed: ReaderFeed | None = None
    ) -> list[m.ListReadersAck]:
        hear = feed.hear if feed is not None else None
        pages = await self._connection.requests.pages(request, self._timeout_s, hear)
        return [page for page in pages if isinstance(page, m.ListReadersAck)]


def following(
    client: ReaderCalls, since: ReaderMark | None = None
) -> AbstractAsyncContextManager[ReaderFeed]:
    """
    Return a feed of all readers for the block, of this connection; the server has agreed by then.

    Raises as `ReaderCalls.watch_readers`, with which it shares the one watch of a client.
    """
    watching = client._watching  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return watching(m.ReaderForm.WSRC, since, {})
