# SPDX-License-Identifier: Apache-2.0
"""What a watcher has not read yet, up to a bound, and why there will be no more."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

from wsrc.errors import ConnectionLostError, ErrorCode, RefusedError, WsrcError

MAX_UNREAD = 100_000
"""What may wait for a watcher; one more ends the watch."""

T = TypeVar("T")


class Feed(Generic[T]):
    """News in the order in which they are told, each given once."""

    def __init__(self) -> None:
        self._unread: deque[T] = deque()
        self._wake = asyncio.Event()
        self._end: WsrcError | None = None

    def lost(self, reason: str) -> None:
        """End the feed after what is unread, for the connection is lost; `reason` is a sentence."""
        self._finish(ConnectionLostError(reason))

    @property
    def is_cut(self) -> bool:
        """Whether the connection was lost, and nothing else ended the feed before."""
        return isinstance(self._end, ConnectionLostError)

    async def next(self) -> T:
        """
        Return the next news, however long it takes to come.

        Raises:
            ConnectionLostError: If the connection was lost.
            RefusedError: If too much was left unread.
            RemoteProtocolError: If what the server told cannot be.
        """
        while not self._unread:
            if self._end is not None:
                raise self._end
            self._wake.clear()
            await self._wake.wait()
        return self._unread.popleft()

    def _tell(self, news: T) -> None:
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
