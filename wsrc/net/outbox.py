# SPDX-License-Identifier: Apache-2.0
"""What one end of a WebSocket sends: written at once or queued, bounded; and how it closes."""

import asyncio
import os
from collections import deque
from collections.abc import Iterator

from wsrc.errors import LocalProtocolError
from wsrc.net.frames import CLOSE, TEXT, head_of, masked
from wsrc.protocol import codec
from wsrc.protocol.conversation import CloseCode
from wsrc.protocol.messages import Message

MAX_QUEUED_MESSAGES = 10_000
MAX_QUEUED_OCTETS = 16 << 20
"""What may wait for a peer that reads slowly; one more and its connection is closed."""

MAX_REASON_OCTETS = 123
"""Longest reason in a close frame (RFC 6455 section 5.5)."""

FLUSH_S = 5.0
"""How long a connection may take, from `close` on, to send what is queued; then it is broken."""

CLOSE_S = 2.0
"""How long a peer may take to answer a closing handshake."""

LAST_S = 2 * CLOSE_S
"""How long a connection may take to close once nothing is queued; then it is broken."""

_LONG = 1 << 16
"""Octets from which a payload is written by itself, for it would take long to copy."""

SENDS_A_TURN = 32
"""Queued messages that are sent to one peer in one turn of the loop."""

_POOL_OCTETS = 512
"""Random octets that are asked for at a time, for masks."""

MESSAGE_OCTETS = 64
"""What a queued message takes beside its text."""

MAX_UNREAD_OCTETS = 64 << 20
"""What may be held for all peers of a server together, to them and from them."""


_NOTHING: deque[bytes] = deque(maxlen=0)
"""The queue of all to whom nothing waits to be sent; a deque takes 760 octets."""


class Outbox:
    """
    Sends messages over one WebSocket, each at once where the transport takes it.

    Args:
        transport: What it runs over; it is aborted where the peer keeps us from closing it.
        is_client: Whether this is a client's end, which masks what it sends.
        kind: Opcode of the messages that are sent.
        longest: Octets of the longest message that is sent; the peer may say otherwise later.
        unread: What all outboxes of a program share, if they do.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        is_client: bool = False,
        kind: int = TEXT,
        longest: int | None = None,
        unread: "Unread | None" = None,
    ) -> None:
        self._transport = transport
        self._kind = kind
        self._masks = _masks() if is_client else None
        self.longest = longest
        self._unread = unread
        self._queue: deque[bytes] = _NOTHING
        self._queued_octets = 0
        self._noted = 0
        self._deaf = False
        self._closing: tuple[int, str] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._paused = False
        self._pumping = False
        self._said_goodbye = False

    def pause_writing(self) -> None:
        """Queue what is sent from now on."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send what was queued."""
        self._paused = False
        self._pump()

    def send(self, message: Message) -> None:
        """
        Send a message, or queue it; an outbox that is closing drops it.

        Raises:
            LocalProtocolError: If a text in it has no form in UTF-8, or it is too long.
        """
        try:
            text = codec.encode(message)
        except UnicodeEncodeError as exc:
            what = codec.tag_of(message)
            raise LocalProtocolError(f"A text for {what!r} cannot be written in UTF-8.") from exc
        if self.longest is not None and len(text) > self.longest:
            what, size = codec.tag_of(message), len(text)
            why = f"A message {what!r} of {size} octets is too long; it may have {self.longest}."
            raise LocalProtocolError(why)
        self.forward(text)

    def forward(self, text: bytes) -> None:
        """Send the text of a message as it is, or queue it; too long a queue closes with 1013."""
        if self._closing is not None:
            return
        if not (self._queue or self._paused or self._transport.is_closing()):
            self._frame(self._kind, text)
            return
        if self._queue is _NOTHING:
            self._queue = deque()
        self._queue.append(text)
        self._count(len(text) + MESSAGE_OCTETS)
        if len(self._queue) > MAX_QUEUED_MESSAGES or self._queued_octets > MAX_QUEUED_OCTETS:
            self.overflow()
        self._pump()

    def say(self, text: bytes) -> None:
        """Send a text at once, before anything else is sent, whatever kind messages are of."""
        self._frame(TEXT, text)

    def overflow(self) -> None:
        """
        Close on a peer for which too much is held, and forget that.

        What came from it and is not a message yet is gone with its connection alone, which is
        broken at once.
        """
        if 2 * self._queued_octets >= self.held:
            self._forget()
            self.close(CloseCode.TRY_AGAIN_LATER, "This peer reads too slowly.")
            return
        self._deafen()
        self._forget()
        self.close(CloseCode.TRY_AGAIN_LATER, "Too much of what this peer sends is unfinished.")
        self._transport.abort()

    def close(self, code: int, reason: str) -> None:
        """
        Close once what is queued is sent; the first call decides.

        A peer that does not take it within `FLUSH_S` loses its connection without a goodbye.
        """
        if self._closing is None:
            self._closing = (code, reason)
            self._bound(FLUSH_S)
        self._pump()

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing is not None

    def _write(self, text: bytes) -> bool:
        """Give the transport a message, and return True; False if it must be queued."""
        if self._paused or self._transport.is_closing():
            return False
        self._frame(self._kind, text)
        return True

    def _frame(self, opcode: int, payload: bytes) -> None:
        """Write a frame that is whole; a client's has a mask that nobody can foresee."""
        if self._masks is None:
            head = head_of(opcode, len(payload), mask=False)
        else:
            mask = next(self._masks)
            head = head_of(opcode, len(payload), mask=True) + mask
            payload = masked(payload, mask)
        if self._unread is not None:
            self._unread.sent += len(head) + len(payload)
        if len(payload) < _LONG:
            self._transport.write(head + payload)
        else:
            self._transport.write(head)
            self._transport.write(payload)

    def _pump(self) -> None:
        """Send what is queued, some in each turn of the loop, and then the close frame."""
        if self._pumping:
            return
        for _ in range(SENDS_A_TURN):
            if not self._queue or self._paused:
                break
            if not self._write(self._queue[0]):
                return
            self._next()
        if self._queue:
            if not self._paused:
                self._pumping = True
                asyncio.get_running_loop().call_soon(self._pump_on)
            return
        if self._closing is not None and not self._said_goodbye and not self._paused:
            self._say_goodbye(*self._closing)

    def _pump_on(self) -> None:
        self._pumping = False
        self._pump()

    def _say_goodbye(self, code: int, reason: str) -> None:
        """Send the close frame; the peer has its time to answer it."""
        self._said_goodbye = True
        if self._transport.is_closing():
            return
        self._bound(LAST_S)
        self._frame(CLOSE, code.to_bytes(2) + shortened(reason))

    def _next(self) -> bytes:
        """Take the oldest message from the queue."""
        text = self._queue.popleft()
        self._count(-len(text) - MESSAGE_OCTETS)
        return text

    def _forget(self) -> None:
        self._queue = _NOTHING
        self._count(-self._queued_octets)

    def _count(self, octets: int) -> None:
        self._queued_octets += octets
        self._note()

    @property
    def held(self) -> int:
        """Octets that are held for the peer, to it and from it."""
        return self._queued_octets

    def _deafen(self) -> None:
        """Count no more what comes from the peer."""
        self._deaf = True

    def _note(self) -> None:
        held = self.held
        if self._unread is not None and held != self._noted:
            self._noted = held
            self._unread.note(self, held)

    def _bound(self, seconds: float) -> None:
        """Break the connection after that time, if it is not closed by then."""
        self._unbound()
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(seconds, self._transport.abort)

    def _unbound(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def _masks() -> Iterator[bytes]:
    """Yield masks that the system has made by chance, many with one call of it."""
    while True:
        pool = os.urandom(_POOL_OCTETS)
        yield from (pool[at : at + 4] for at in range(0, _POOL_OCTETS, 4))


class Unread:
    """
    What is held for all peers of a program: what they have not read, or not finished.

    Where it is too much, the outbox that holds most of it is closed. The one that is found holds
    at least half as much as any other; finding it takes no longer where there are more.

    `sent` and `received` are the octets of all frames since the start.

    Args:
        most: Octets that all outboxes may hold together.
    """

    def __init__(self, most: int) -> None:
        self.octets = 0
        self.sent = 0
        self.received = 0
        self._most = most
        self._sizes: dict[Outbox, int] = {}
        self._by_length: list[dict[Outbox, None]] = [
            {} for _ in range(MAX_QUEUED_OCTETS.bit_length() + 2)
        ]

    def note(self, outbox: Outbox, octets: int) -> None:
        """Note how much one holds now; close others, or this one, while it is too much."""
        before = self._sizes.pop(outbox, 0)
        self.octets += octets - before
        if before.bit_length() != octets.bit_length():
            self._by_length[before.bit_length()].pop(outbox, None)
            if octets:
                self._by_length[octets.bit_length()][outbox] = None
        if octets:
            self._sizes[outbox] = octets
        while self.octets > self._most:
            self.shed()

    def shed(self) -> None:
        """Close the one that holds most, if any holds anything."""
        largest = next((boxes for boxes in reversed(self._by_length) if boxes), None)
        if largest is not None:
            next(iter(largest)).overflow()


def shortened(reason: str) -> bytes:
    """Return as much of a reason as a close frame carries, in whole characters."""
    return reason.encode()[:MAX_REASON_OCTETS].decode(errors="ignore").encode()


def why_closed(ours: tuple[int, str] | None, code: int | None, reason: str | None) -> str:
    """Return who closed a connection, and why: we, with code and reason, or the peer."""
    if ours is not None:
        code, reason = ours
        return f"closed by us ({code}){': ' + reason if reason else ''}"
    if code in {None, CloseCode.ABNORMAL}:
        return "the connection broke without a goodbye, or its pings were not answered"
    return f"closed by the peer ({code}){': ' + reason if reason else ''}"
