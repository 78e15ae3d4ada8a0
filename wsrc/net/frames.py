# SPDX-License-Identifier: Apache-2.0
"""Frames of a WebSocket (RFC 6455 section 5): read from octets cut anywhere, and written."""

from collections.abc import Callable

from wsrc.errors import RemoteProtocolError
from wsrc.protocol.conversation import CloseCode

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
"""Opcodes (RFC 6455 section 11.8); 0 goes on with a message."""

LAST = 0x80
"""The bit in the first octet of a frame that ends its message; a message of one frame has it."""

_WHOLE_TEXT = LAST | TEXT
_RESERVED = 0x70
_MASKED = 0x80
_MASK_OCTETS = 4
_CONTROL = 8
_KNOWN = frozenset({0, TEXT, BINARY, CLOSE, PING, PONG})

_SHORT, _MEDIUM = 126, 1 << 16
"""Lengths from which a head has two, and eight octets more (RFC 6455 section 5.2)."""

_BLOCK = 1 << 16
"""Octets that are masked at a time, a multiple of a mask's."""

_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
"""The codes that a close frame may have (RFC 6455 section 7.4, and the registry of 11.7)."""

_NOTHING = bytearray()
"""What stands for an empty one, which nothing is ever added to."""

Take = Callable[[int, bytes], None]
"""Takes the opcode and the payload of a message, or of a control frame."""


class Frames:
    """
    Reads what a peer sends, wherever it is cut.

    Nothing is read after a close frame, a wrong frame, or `stop`.

    Args:
        masked: Whether each frame must have a mask, as a client's; else none may.
        longest: Octets of the longest message that is taken.
    """

    def __init__(self, *, masked: bool, longest: int) -> None:
        self._bit = _MASKED if masked else 0
        self._mask_octets = _MASK_OCTETS if masked else 0
        self._longest = longest
        self._over = False
        self._head = b""
        self._first = 0
        self._mask = b""
        self._payload = _NOTHING
        self._left = 0
        self._kind = 0
        self._message = _NOTHING
        self.unfinished = 0
        """Octets of a message, or of a control frame, that is not whole yet."""

    def stop(self) -> None:
        """Read nothing more."""
        self._over = True

    def feed(self, data: bytes, take: Take) -> None:
        """
        Read the next octets, and have `take` called for all that is whole.

        What `take` raises goes through, and the rest is not read.

        Raises:
            RemoteProtocolError: At the first wrong frame, seen from its head where that tells.
        """
        try:
            self._read(data, take)
        except BaseException:
            self._over = True
            raise

    def _read(self, data: bytes, take: Take) -> None:
        at = self._go_on(data, take) if self._left else 0
        if self._head:
            data, self._head = self._head + data, b""
        end, bit, mask_octets = len(data), self._bit, self._mask_octets
        while end - at >= 2 and not self._over:
            first, size, begin = data[at], data[at + 1] ^ bit, at + 2
            if first != _WHOLE_TEXT or size >= _SHORT or self._kind:
                self._check(first, size)
                if size >= _SHORT:
                    begin += 2 if size == _SHORT else 8
                    if begin > end:
                        break
                    size = _length(data[at + 2 : begin])
                self._check_length(first, size)
            begin += mask_octets
            if begin > end:
                break
            at, mask = begin + size, data[begin - mask_octets : begin]
            if at > end:
                self._begin(first, mask, data[begin:], at - end)
                return
            payload = data[begin:at]
            if mask:
                payload = _masked(payload, mask) if size <= _BLOCK else masked(payload, mask)
            if first == _WHOLE_TEXT:
                take(TEXT, payload)
            else:
                self._frame(first, payload, take)
        self._head = b"" if self._over else data[at:]

    def _begin(self, first: int, mask: bytes, part: bytes, left: int) -> None:
        """Keep what there is of a payload."""
        self._first, self._mask, self._left = first, mask, left
        self._payload = bytearray(part)
        self.unfinished += len(part)

    def _go_on(self, data: bytes, take: Take) -> int:
        """Add to a payload that was not whole; return how many octets are of it."""
        part = data[: self._left]
        self._left -= len(part)
        self._payload += part
        self.unfinished += len(part)
        if not self._left:
            payload, self._payload = bytes(self._payload), _NOTHING
            self.unfinished -= len(payload)
            self._frame(self._first, masked(payload, self._mask), take)
        return len(part)

    def _check(self, first: int, size: int) -> None:
        """Check the first two octets of a head; the bit for the mask is 0 where it is right."""
        opcode = first & 0x0F
        if size & _MASKED:
            raise _wrong("A client masks its frames." if self._bit else _UNMASKED)
        if first & _RESERVED:
            raise _wrong("A frame has a reserved bit, and no extension was agreed on.")
        if opcode not in _KNOWN:
            raise _wrong(f"There is no frame with opcode {opcode}.")
        if opcode >= _CONTROL:
            if first < LAST:
                raise _wrong("A control frame may not be in fragments.")
            if size >= _SHORT:
                raise _wrong("A control frame may have 125 octets at most.")
        elif opcode and self._kind:
            raise _wrong("A message begins amid another one.")
        elif not opcode and not self._kind:
            raise _wrong("A frame goes on with a message that was not begun.")

    def _check_length(self, first: int, size: int) -> None:
        whole = len(self._message) + size
        if first & 0x0F < _CONTROL and whole > self._longest:
            why = f"A message of {whole} octets is too long; it may have {self._longest}."
            raise RemoteProtocolError(why, CloseCode.TOO_LONG)

    def _frame(self, first: int, payload: bytes, take: Take) -> None:
        opcode = first & 0x0F
        if opcode >= _CONTROL:
            if opcode == CLOSE:
                self._over = True
                closing(payload)
        elif first < LAST:
            self._kind = self._kind or opcode
            self._message = self._message or bytearray()
            self._message += payload
            self.unfinished = len(self._message)
            return
        elif self._kind:
            opcode, payload = self._kind, bytes(self._message) + payload
            self._kind, self._message, self.unfinished = 0, _NOTHING, 0
        take(opcode, payload)


_UNMASKED = "A server does not mask its frames."


def _wrong(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(why, CloseCode.PROTOCOL_ERROR)


def _length(octets: bytes) -> int:
    """Return a length of two or eight octets, which must need them (RFC 6455 section 5.2)."""
    size = int.from_bytes(octets)
    if size < (_SHORT if len(octets) == 2 else _MEDIUM):
        raise _wrong(f"The length {size} of a frame is written in more octets than it needs.")
    return size


def masked(payload: bytes, mask: bytes) -> bytes:
    """
    Return a payload with a mask of four octets put on it, or taken off (RFC 6455 section 5.3).

    An empty mask changes nothing.
    """
    if not mask:
        return payload
    if len(payload) <= _BLOCK:
        return _masked(payload, mask)
    blocks = range(0, len(payload), _BLOCK)
    return b"".join([_masked(payload[at : at + _BLOCK], mask) for at in blocks])


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * ((size + 3) // 4))[:size]
    both = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return both.to_bytes(size, "little")


def head_of(opcode: int, size: int, *, mask: bool) -> bytes:
    """Return the head of a frame that is a whole message; the mask itself is to follow."""
    bit = _MASKED if mask else 0
    if size < _SHORT:
        return bytes((LAST | opcode, bit | size))
    if size < _MEDIUM:
        return bytes((LAST | opcode, bit | 126)) + size.to_bytes(2)
    return bytes((LAST | opcode, bit | 127)) + size.to_bytes(8)


def closing(payload: bytes) -> tuple[int, str]:
    """
    Return the code and the reason of a close frame; without a code it is 1005.

    Raises:
        RemoteProtocolError: If it has half a code, one that no close frame may have, or a reason
            that is not UTF-8.
    """
    if not payload:
        return CloseCode.NONE, ""
    code = int.from_bytes(payload[:2])
    if len(payload) == 1 or code not in _CODES:
        raise _wrong(f"Invalid close code: {code}")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError as exc:
        why = "The reason of a close frame is not UTF-8."
        raise RemoteProtocolError(why, CloseCode.INVALID_TEXT) from exc
