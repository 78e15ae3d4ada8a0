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
        self._masked = masked
        self._head = b""
        self._rest = 0

    def wrong_at(self, data: bytes) -> int | None:
        """
        Return where in the next octets the first wrong frame begins, if any does.

        0 is also for one that began in the octets before.
        """
        at, end = 0, len(data)
        while at < end:
            if self._rest:
                passed = min(self._rest, end - at)
                self._rest -= passed
                at += passed
                continue
            begin = at - len(self._head)
            head = self._head + data[at : at + 10 - len(self._head)]
            if len(head) < 2:
                self._head = head
                return None
            if bool(head[1] & MASKED) is not self._masked:
                return max(begin, 0)
            size = _head_octets(head[1])
            if len(head) < size:
                self._head = head
                return None
            self._head = b""
            self._rest = _payload_octets(head) + (4 if self._masked else 0)
            at = begin + size
        return None


def _head_octets(second: int) -> int:
    """Return the octets of a head up to its mask, by its second octet."""
    return {126: 4, 127: 10}.get(second & 0x7F, 2)


def _payload_octets(head: bytes) -> int:
    length = head[1] & 0x7F
    return length if length < 126 else int.from_bytes(head[2 : _head_octets(head[1])])


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
