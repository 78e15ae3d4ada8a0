# SPDX-License-Identifier: Apache-2.0
"""Messages over one WebSocket, for both sides: reading, a bounded queue for writing, closing."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, TypeAlias

from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMsgType
from aiohttp.http_websocket import WSMessageNoDecodeText

from wsrc.errors import ConnectionLostError, LocalProtocolError, RemoteProtocolError
from wsrc.protocol import codec
from wsrc.protocol.conversation import CloseCode
from wsrc.protocol.messages import Message

if TYPE_CHECKING:
    from aiohttp.web import WebSocketResponse

READ_LIMIT = codec.MAX_MESSAGE_OCTETS + 1
"""What aiohttp is told, which refuses a message of as many octets as its limit."""

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

SENDS_A_TURN = 32
"""Messages that are sent to one peer in one turn of the loop."""

MESSAGE_OCTETS = 64
"""What a queued message takes beside its text."""

MAX_UNREAD_OCTETS = 64 << 20
"""What may wait for all peers of a server together; the longest queue goes first."""

_COMPLAINTS = frozenset({CloseCode.PROTOCOL_ERROR, WSCloseCode.MESSAGE_TOO_BIG})

WebSocket: TypeAlias = "ClientWebSocketResponse[bool] | WebSocketResponse[bool]"


class Pace(Protocol):
    """Decides when the next frame of a peer may be looked at."""

    async def next(self) -> None:
        """Wait for it; the one before is dealt with."""
        ...

    def begin(self) -> None:
        """Note that there is one, which is dealt with from now on."""
        ...


class Link:
    """
    One WebSocket that carries messages.

    `run_writer` must run as a task for as long as the link is in use; it ends after `close`, or
    when the connection breaks. `receive` is for one task.

    Args:
        socket: The WebSocket.
        transport: What it runs over; it is aborted where the peer keeps us from closing it.
        longest: Octets of the longest message that is sent.
        unread: What all links of a program share, if they do.
        pace: When the next frame may be looked at; None is at once.
    """

    def __init__(
        self,
        socket: WebSocket,
        transport: asyncio.Transport,
        *,
        longest: int | None = None,
        unread: "Unread | None" = None,
        pace: Pace | None = None,
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._longest = longest
        self._unread = unread
        self._pace = pace
        self._queue: deque[bytes] = deque()
        self._queued_octets = 0
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._goodbye = False
        self._complained = False

    def send(self, message: Message) -> None:
        """
        Queue a message; a link that is closing drops it.

        Raises:
            LocalProtocolError: If a text in it has no form in UTF-8, or it is too long.
        """
        try:
            text = codec.encode(message)
        except UnicodeEncodeError as exc:
            what = codec.tag_of(message)
            raise LocalProtocolError(f"A text for {what!r} cannot be written in UTF-8.") from exc
        if self._longest is not None and len(text) > self._longest:
            what, size = codec.tag_of(message), len(text)
            why = f"A message {what!r} of {size} octets is too long; it may have {self._longest}."
            raise LocalProtocolError(why)
        self.forward(text)

    def forward(self, text: bytes) -> None:
        """Queue the text of a message as it is; too long a queue closes the link with 1013."""
        if self._closing is not None:
            return
        self._queue.append(text)
        self._count(len(text) + MESSAGE_OCTETS)
        if len(self._queue) > MAX_QUEUED_MESSAGES or self._queued_octets > MAX_QUEUED_OCTETS:
            self.overflow()
        self._wake.set()

    def overflow(self) -> None:
        """Close the link of a peer that does not read what it is sent, and forget that."""
        self._forget()
        self.close(CloseCode.TRY_AGAIN_LATER, "This peer reads too slowly.")

    def close(self, code: int, reason: str) -> None:
        """
        Close once the writer has sent what is queued; the first call decides.

        A peer that does not take it within `FLUSH_S` loses its connection without a goodbye.
        """
        if self._closing is None:
            self._closing = (code, reason)
            self._bound(FLUSH_S)
        self._wake.set()

    @property
    def closing(self) -> bool:
        """Whether `close` was called."""
        return self._closing is not None

    @property
    def peer_said_goodbye(self) -> bool:
        """Whether the peer closed the link with 1000, and not in answer to another code."""
        return self._goodbye

    @property
    def peer_complained(self) -> bool:
        """Whether the peer closed the link because of what it was sent: 1002 or 1009."""
        return self._complained

    async def receive(self) -> tuple[Message, bytes]:
        """
        Return the next message and its text.

        Raises:
            UnreadableError: If the message is to be answered with this error; the link goes on.
            RemoteProtocolError: If the peer broke the protocol and must be closed with 1002.
            ConnectionLostError: If the connection is closed; the sentence has code and reason.
        """
        frame = await self._frame()
        match frame.type:
            case WSMsgType.TEXT:
                return codec.decode(frame.data), frame.data
            case WSMsgType.BINARY:
                raise RemoteProtocolError("Binary frames are not used; send JSON as text.")
            case WSMsgType.ERROR:
                raise ConnectionLostError(f"the connection broke: {frame.data}") from frame.data
            case _:
                ours = self._closing is not None and self._closing[0] != CloseCode.DONE
                by_peer = frame.type is WSMsgType.CLOSE and frame.data == CloseCode.DONE
                self._goodbye = by_peer and not ours
                self._complained = frame.type is WSMsgType.CLOSE and frame.data in _COMPLAINTS
                raise ConnectionLostError(self._why_closed(frame.extra))

    async def _frame(self) -> WSMessageNoDecodeText:
        """Return the next frame that is neither a ping, which is answered, nor a pong."""
        try:
            while True:
                if self._pace is not None:
                    await self._pace.next()
                frame = await self._socket.receive()
                if self._pace is not None:
                    self._pace.begin()
                if frame.type is WSMsgType.PING:
                    await self._socket.pong(frame.data)
                elif frame.type is not WSMsgType.PONG:
                    return frame
        except OSError as exc:  # the pong that is due cannot be written
            raise ConnectionLostError(f"the connection broke: {exc}") from exc

    def _why_closed(self, reason: str | None) -> str:
        code = self._socket.close_code
        if self._closing is not None:
            code, reason = self._closing
            return f"closed by us ({code}){': ' + reason if reason else ''}"
        if code in {None, CloseCode.ABNORMAL}:
            return "the connection broke without a goodbye, or its pings were not answered"
        return f"closed by the peer ({code}){': ' + reason if reason else ''}"

    async def run_writer(self) -> None:
        """Send what is queued until the link is closed or breaks; never raises for either."""
        try:
            while self._closing is None and not self._socket.closed:
                await self._wake.wait()
                self._wake.clear()
                await self._flush()
            await self._flush()
        except (OSError, RuntimeError):
            pass
        self._forget()
        code, reason = self._closing or (CloseCode.DONE, "")
        self._closing = (code, reason)
        self._bound(LAST_S)
        await self._socket.close(code=code, message=_shortened(reason))

    def stop_writer(self) -> None:
        """Stop the writer, for the peer is gone."""
        self.close(CloseCode.DONE, "")

    async def _flush(self) -> None:
        """Send what is queued; others have their turn after each `SENDS_A_TURN` messages."""
        sent = 0
        while self._queue:
            text = self._queue.popleft()
            self._count(-len(text) - MESSAGE_OCTETS)
            await self._socket.send_frame(text, WSMsgType.TEXT)
            sent += 1
            if sent % SENDS_A_TURN == 0:
                await asyncio.sleep(0)

    def _forget(self) -> None:
        self._queue.clear()
        self._count(-self._queued_octets)

    def _count(self, octets: int) -> None:
        self._queued_octets += octets
        if self._unread is not None:
            self._unread.note(self, self._queued_octets)

    def _bound(self, seconds: float) -> None:
        """Break the connection after that time, if it is not closed by then."""
        if self._limit is not None:
            self._limit.cancel()
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(seconds, self._transport.abort)


class Unread:
    """
    What all peers of a program have not read yet.

    Where it is too much, the link that holds most of it is closed. The one that is found holds
    at least half as much as any other; finding it takes no longer where there are more links.

    Args:
        most: Octets that all queues may hold together.
    """

    def __init__(self, most: int) -> None:
        self.octets = 0
        self._most = most
        self._sizes: dict[Link, int] = {}
        self._by_length: list[dict[Link, None]] = [
            {} for _ in range(MAX_QUEUED_OCTETS.bit_length() + 2)
        ]

    def note(self, link: Link, octets: int) -> None:
        """Note how much a link holds now; close others, or this one, while it is too much."""
        before = self._sizes.pop(link, 0)
        self.octets += octets - before
        if before.bit_length() != octets.bit_length():
            self._by_length[before.bit_length()].pop(link, None)
            if octets:
                self._by_length[octets.bit_length()][link] = None
        if octets:
            self._sizes[link] = octets
        while self.octets > self._most:
            self.shed()

    def shed(self) -> None:
        """Close the link that holds most, if any holds anything."""
        largest = next((links for links in reversed(self._by_length) if links), None)
        if largest is not None:
            next(iter(largest)).overflow()


def _shortened(reason: str) -> bytes:
    """Return as much of a reason as a close frame carries, in whole characters."""
    return reason.encode()[:MAX_REASON_OCTETS].decode(errors="ignore").encode()
