# SPDX-License-Identifier: Apache-2.0
"""The heads of frames in what a peer sends (RFC 6455 section 5): order, masks, how much came."""

MASKED = 0x80
"""The bit in the second octet of a frame."""

_CONTROL = 8
"""The first opcode of a control frame."""

_LAST = 0x80
"""The bit in the first octet of a frame that ends its message."""


class Heads:
    """
    Follows frames wherever they are cut; a client masks each of them and a server none.

    `octets` is what came of messages and was not taken yet: those that wait, and what there is of
    one that is not finished, in any number of fragments. `why` tells what a wrong frame lacks.

    Args:
        masked: Whether every frame must have a mask; else none may.
    """

    def __init__(self, *, masked: bool) -> None:
        self.octets = 0
        self.why = "A client masks its frames." if masked else "A server does not mask its frames."
        self._bit = MASKED if masked else 0
        self._mask = 4 if masked else 0
        self._head = b""
        self._rest = 0
        self._is_data = False
        self._begun = False

    def wrong_at(self, data: bytes) -> int | None:
        """
        Return where in the next octets the first wrong frame begins.

        One is wrong that is not masked as it must be, or begins a message amid another one.
        0 is also for one that began in the octets before, None for none.
        """
        before = len(self._head)
        if before:
            data, self._head = self._head + data, b""
        at, end, bit, mask = self._rest, len(data), self._bit, self._mask
        if self._is_data:
            self.octets += min(at, end)
        while at + 2 <= end:  # once for each frame: a message may come in many
            second = data[at + 1]
            if second & MASKED != bit:
                return max(at - before, 0)
            size, begin = second & 0x7F, at + 2
            if size >= 126:
                begin = at + (4 if size == 126 else 10)
                size = int.from_bytes(data[at + 2 : begin])
            begin += mask
            if begin > end:
                break
            start, first, at = at, data[at], begin + size
            self._is_data = first & 0x0F < _CONTROL
            if self._is_data:
                if self._begun and first & 0x0F:
                    self.why = "A message begins amid another one."
                    return max(start - before, 0)
                self._begun = first < _LAST
                self.octets += min(size, end - begin)
        if at < end:
            self._head, self._rest = data[at:], 0
        else:
            self._rest = at - end
        return None

    def taken(self, octets: int) -> None:
        """Note that a message of so many octets was taken."""
        self.octets = max(0, self.octets - octets)
