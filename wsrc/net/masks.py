# SPDX-License-Identifier: Apache-2.0
"""A client's reader of frames, which checks what aiohttp does not: a server masks none of them."""

from typing import Any

from aiohttp import ClientWebSocketResponse, WSCloseCode
from aiohttp.http_websocket import WebSocketError

from wsrc.net.heads import Heads


class Checked:
    """
    A reader of aiohttp that takes no wrong frame.

    Args:
        reader: That of aiohttp.
        queue: Where it puts what it read, and where its reader is told what is wrong.
    """

    def __init__(self, reader: Any, queue: Any) -> None:
        self._reader = reader
        self._queue = queue
        self._heads = Heads(masked=False)
        self._wrong = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take octets; return whether the rest is not to be read, and that."""
        if self._wrong:
            return True, data
        at = self._heads.wrong_at(data)
        if at is None:
            done: tuple[bool, bytes] = self._reader.feed_data(data)
            return done
        self._wrong = True
        broken, _ = self._reader.feed_data(data[:at])
        if not broken:
            self._queue.set_exception(WebSocketError(WSCloseCode.PROTOCOL_ERROR, self._heads.why))
        return True, b""

    def feed_eof(self) -> None:
        """Note that nothing more comes."""
        self._reader.feed_eof()


class ClientSocket(ClientWebSocketResponse[bool]):
    """A client's end of a WebSocket, which takes unmasked frames only."""

    _checked: Checked | None = None

    @property
    def _parser(self) -> Any:
        return self._checked

    @_parser.setter
    def _parser(self, reader: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._checked = None if reader is None else Checked(reader, self._reader)
