# SPDX-License-Identifier: Apache-2.0
"""
Whether frames are masked as RFC 6455 section 5.1 has it, which aiohttp does not check.

A client masks every frame and a server masks none; either closes with 1002 at a frame that is not
so.
"""

from typing import Any

from aiohttp import ClientWebSocketResponse, WSCloseCode
from aiohttp.http_websocket import WebSocketError
from aiohttp.web import WebSocketResponse

MASKED = 0x80
"""The bit in the second octet of a frame."""


class Frames:
    """
    Follows the heads of frames through what a peer sends.

    Args:
        masked: Whether every frame must have a mask; else none may.
    """

    def __init__(self, *, masked: bool) -> None:
        self._bit = MASKED if masked else 0
        self._mask = 4 if masked else 0
        self._head = b""
        self._rest = 0

    def wrong_at(self, data: bytes) -> int | None:
        """
        Return where in the next octets the first wrong frame begins, if any does.

        0 is also for one that began in the octets before.
        """
        before = len(self._head)
        if before:
            data, self._head = self._head + data, b""
        at, end, bit, mask = self._rest, len(data), self._bit, self._mask
        while at + 2 <= end:  # once for each frame: a message may come in many
            second = data[at + 1]
            if second & MASKED != bit:
                return max(at - before, 0)
            size = second & 0x7F
            if size < 126:
                at += 2 + mask + size
                continue
            long = at + (4 if size == 126 else 10)
            if long > end:
                break
            at = long + mask + int.from_bytes(data[at + 2 : long])
        if at < end:
            self._head, self._rest = data[at:], 0
        else:
            self._rest = at - end
        return None


class Checked:
    """
    A reader of aiohttp that takes no wrong frame.

    Args:
        reader: That of aiohttp.
        queue: Where it puts what it read, and where its reader is told what is wrong.
        masked: See `Frames`.
    """

    def __init__(self, reader: Any, queue: Any, *, masked: bool) -> None:
        self._reader = reader
        self._queue = queue
        self._frames = Frames(masked=masked)
        self._why = "A client masks its frames." if masked else "A server does not mask its frames."
        self._wrong = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take octets; return whether the rest is not to be read, and that."""
        if self._wrong:
            return True, data
        at = self._frames.wrong_at(data)
        if at is None:
            done: tuple[bool, bytes] = self._reader.feed_data(data)
            return done
        self._wrong = True
        broken, _ = self._reader.feed_data(data[:at])
        if not broken:
            self._queue.set_exception(WebSocketError(WSCloseCode.PROTOCOL_ERROR, self._why))
        return True, b""

    def feed_eof(self) -> None:
        """Note that nothing more comes."""
        self._reader.feed_eof()


class ServerSocket(WebSocketResponse[bool]):
    """The server's end of a WebSocket, which takes masked frames only."""

    _checked: Checked | None = None

    @property
    def _parser(self) -> Any:
        return self._checked

    @_parser.setter
    def _parser(self, reader: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._checked = None if reader is None else Checked(reader, self._reader, masked=True)


class ClientSocket(ClientWebSocketResponse[bool]):
    """A client's end of a WebSocket, which takes unmasked frames only."""

    _checked: Checked | None = None

    @property
    def _parser(self) -> Any:
        return self._checked

    @_parser.setter
    def _parser(self, reader: Any) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self._checked = None if reader is None else Checked(reader, self._reader, masked=False)
