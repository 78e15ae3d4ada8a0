# SPDX-License-Identifier: Apache-2.0
"""How much of a peer's messages came and was not taken: what a WebSocket holds, from its octets."""

from collections.abc import Callable

MAX_HEADER_OCTETS = 14
"""Longest header of a frame (RFC 6455 section 5.2)."""


class Incoming:
    """
    Octets of one peer that are held until they are taken as messages.

    They are counted as they come, before the WebSocket has a message to give: a message that is
    not finished has no end to it, and may come in any number of fragments.
    """

    def __init__(self) -> None:
        self.tell: Callable[[], None] | None = None
        """Called when `octets` may have changed."""
        self._rest = 0
        self._came = 0
        self._header = b""
        self._left = 0
        self._is_data = False

    @property
    def octets(self) -> int:
        """What is held: messages that are not taken, what came of the next, and what is not fed."""
        return self._rest + self._came

    def feed(self, data: bytes, rest: int = 0) -> None:
        """
        Count octets that are passed on to the WebSocket.

        Args:
            data: The octets; frames may begin and end anywhere in them.
            rest: Octets that came after these, and are fed later.
        """
        self._rest = rest
        at, end = 0, len(data)
        while at < end:
            if not self._left:
                at = self._begin_frame(data, at)
                continue
            step = min(self._left, end - at)
            at += step
            self._left -= step
            self._came += step if self._is_data else 0
        self._told()

    def taken(self, octets: int) -> None:
        """Note that a message of so many octets was taken."""
        self._came = max(0, self._came - octets)
        self._told()

    def _begin_frame(self, data: bytes, at: int) -> int:
        """Read a header, or what there is of it; return where the payload begins."""
        before = len(self._header)
        header = self._header + data[at : at + MAX_HEADER_OCTETS - before]
        size = _size_of(header)
        if len(header) < size:
            self._header = header
            return len(data)
        self._header = b""
        flag = header[1] & 0x7F
        extended = {126: 2, 127: 8}.get(flag, 0)
        self._left = int.from_bytes(header[2 : 2 + extended]) if extended else flag
        self._is_data = header[0] & 0x0F < 8
        return at + size - before

    def _told(self) -> None:
        if self.tell is not None:
            self.tell()


def _size_of(header: bytes) -> int:
    """Return the octets of a header that begins so, at least one more than there are of it."""
    if len(header) < 2:
        return 2
    flag = header[1]
    return 2 + {126: 2, 127: 8}.get(flag & 0x7F, 0) + (4 if flag & 0x80 else 0)
