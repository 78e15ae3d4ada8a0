# SPDX-License-Identifier: Apache-2.0
"""Messages over one WebSocket, for both sides: reading, a bounded queue for writing, closing."""

import asyncio
from collections import deque

from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMsgType
from aiohttp.web import WebSocketResponse

from wsrc.errors import ConnectionLostError, LocalProtocolError, RemoteProtocolError
from wsrc.protocol import codec
from wsrc.protocol.conversation import CloseCode
from wsrc.protocol.messages import Message

MAX_QUEUED_MESSAGES = 10_000
MAX_QUEUED_OCTETS = 16 << 20
"""What may wait for a peer that reads slowly; one more and its connection is closed."""

MAX_REASON_OCTETS = 123
"""Longest reason in a close frame (RFC 6455 section 5.5)."""

FLUSH_S = 5.0
"""How long a connection that is being closed may take to send what is queued."""

CLOSE_S = 2.0
"""How long a peer may take to answer a closing handshake."""

_COMPLAINTS = frozenset({CloseCode.PROTOCOL_ERROR, WSCloseCode.MESSAGE_TOO_BIG})

WebSocket = ClientWebSocketResponse[bool] | WebSocketResponse[bool]


class Link:
    """
    One WebSocket that carries messages.

    `run_writer` must run as a task for as long as the link is in use; it ends after `close`, or
    when the connection breaks. `receive` is for one task. A message of more than `longest` octets
    is not sent.
    """

    def __init__(self, socket: WebSocket, longest: int | None = None) -> None:
        self._socket = socket
        self._longest = longest
        self._queue: deque[bytes] = deque()
        self._queued_octets = 0
        self._wake = asyncio.Event()
        self._closing: tuple[int, str] | None = None
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
        self._queued_octets += len(text)
        if len(self._queue) > MAX_QUEUED_MESSAGES or self._queued_octets > MAX_QUEUED_OCTETS:
            self._queue.clear()
            self.close(CloseCode.TRY_AGAIN_LATER, "This peer reads too slowly.")
        self._wake.set()

    def close(self, code: int, reason: str) -> None:
        """Close once the writer has sent what is queued; the first call decides."""
        if self._closing is None:
            self._closing = (code, reason)
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
        try:
            frame = await self._socket.receive()
        except OSError as exc:  # the pong that is due cannot be written
            raise ConnectionLostError(f"the connection broke: {exc}") from exc
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

    def _why_closed(self, reason: str | None) -> str:
        code = self._socket.close_code
        if self._closing is not None:
            return f"closed by us ({self._closing[0]}): {self._closing[1]}"
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
            async with asyncio.timeout(FLUSH_S):
                await self._flush()
        except (OSError, RuntimeError, TimeoutError):
            self._queue.clear()
        code, reason = self._closing or (CloseCode.DONE, "")
        self._closing = (code, reason)
        await self._socket.close(code=code, message=_shortened(reason))

    def stop_writer(self) -> None:
        """Stop the writer, for the peer is gone."""
        self.close(CloseCode.DONE, "")

    async def _flush(self) -> None:
        while self._queue:
            text = self._queue.popleft()
            self._queued_octets -= len(text)
            await self._socket.send_frame(text, WSMsgType.TEXT)


def _shortened(reason: str) -> bytes:
    """Return as much of a reason as a close frame carries, in whole characters."""
    return reason.encode()[:MAX_REASON_OCTETS].decode(errors="ignore").encode()
