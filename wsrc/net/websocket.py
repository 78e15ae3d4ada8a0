# SPDX-License-Identifier: Apache-2.0
"""The client's end of a WebSocket: messages that a task reads, and a writer for what must wait."""

import asyncio
from contextlib import suppress

from aiohttp import ClientWebSocketResponse, WSMsgType
from aiohttp.http_websocket import WSMessageNoDecodeText

from wsrc.errors import ConnectionLostError, RemoteProtocolError
from wsrc.net.outbox import LAST_S, SENDS_A_TURN, Outbox, shortened, why_closed
from wsrc.protocol import codec
from wsrc.protocol.conversation import CloseCode, Parting, parting
from wsrc.protocol.messages import Message

DIRECT_OCTETS = 1 << 16
"""What may wait in a transport for a message to be given to it at once."""


class Link(Outbox):
    """
    One WebSocket that carries messages.

    `run_writer` must run as a task for as long as the link is in use; it ends after `close`, or
    when the connection breaks. `receive` is for one task.

    Args:
        socket: The WebSocket.
        transport: What it runs over; it is aborted where the peer keeps us from closing it.
        longest: Octets of the longest message that is sent; the peer may say otherwise later.
        agreed: Whether the peer chose our subprotocol, so that its protocol has sessions.
    """

    def __init__(
        self,
        socket: ClientWebSocketResponse[bool],
        transport: asyncio.Transport,
        *,
        longest: int | None = None,
        agreed: bool = False,
    ) -> None:
        super().__init__(transport, longest=longest)
        self.agreed = agreed
        self.confirmed = False
        """Whether the peer answered our close frame, and so has taken all that we sent before."""
        self._waits = True
        self._socket = socket
        self._wake = asyncio.Event()
        self._parting = Parting.LOSS

    @property
    def peer_said_goodbye(self) -> bool:
        """Whether the peer closed the link because it is done, and not in answer to our close."""
        return self._parting is Parting.GOODBYE

    @property
    def peer_complained(self) -> bool:
        """Whether the peer closed the link because of what it was sent."""
        return self._parting is Parting.COMPLAINT

    async def receive(self) -> tuple[Message, bytes]:
        """
        Return the next message and its text.

        Raises:
            UnreadableError: If the message is to be answered with this error; the link goes on.
            RemoteProtocolError: If the peer broke the protocol and must be closed.
            ConnectionLostError: If the connection is closed; the sentence has code and reason.
        """
        frame = await self._frame()
        match frame.type:
            case WSMsgType.TEXT:
                codec.check_utf8(frame.data)
                return codec.decode(frame.data), frame.data
            case WSMsgType.BINARY:
                why = "Binary frames are not used; send JSON as text."
                raise RemoteProtocolError(why, CloseCode.NO_TEXT)
            case WSMsgType.ERROR:
                raise ConnectionLostError(f"the connection broke: {frame.data}") from frame.data
            case _:
                ours = self._closing is not None and self._closing[0] != CloseCode.DONE
                if frame.type is WSMsgType.CLOSE and not ours:
                    self._parting = parting(frame.data or CloseCode.NONE)
                raise ConnectionLostError(self._why_closed(frame.extra))

    async def _frame(self) -> WSMessageNoDecodeText:
        """Return the next frame that is neither a ping, which is answered, nor a pong."""
        try:
            while True:
                frame = await self._socket.receive()
                if frame.type is WSMsgType.PING:
                    await self._socket.pong(frame.data)
                elif frame.type is not WSMsgType.PONG:
                    return frame
        except OSError as exc:  # the pong that is due cannot be written
            raise ConnectionLostError(f"the connection broke: {exc}") from exc

    def _why_closed(self, reason: str | None) -> str:
        return why_closed(self._closing, self._socket.close_code, reason)

    def _write(self, text: bytes) -> bool:
        transport = self._transport
        if self._socket.closed or transport.is_closing():
            return False
        if transport.get_write_buffer_size() > DIRECT_OCTETS:
            return False
        sending = self._socket.send_frame(text, WSMsgType.TEXT)
        try:
            sending.send(None)  # it writes all before it waits, if it has to wait at all
        except StopIteration:
            return True
        except OSError:
            return False
        sending.close()
        return True

    def _pump(self) -> None:
        self._wake.set()

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
        if not self._waits:
            await self._go(code, reason)
            return
        was_open = not self._socket.closed
        await self._socket.close(code=code, message=shortened(reason))
        self.confirmed = was_open and self._socket.close_code == code

    def leave(self, code: int, reason: str) -> None:
        """Close without waiting for an answer of the peer, which has nothing of ours."""
        self._waits = False
        self.close(code, reason)

    async def _go(self, code: int, reason: str) -> None:
        """Send the close frame and the end of TLS, and be gone."""
        with suppress(OSError):
            await self._socket.send_frame(code.to_bytes(2) + shortened(reason), WSMsgType.CLOSE)
        self._transport.close()
        self._transport.abort()

    def stop_writer(self) -> None:
        """Stop the writer, for the peer is gone."""
        self.close(CloseCode.DONE, "")

    async def _flush(self) -> None:
        """Send what is queued; others have their turn after each `SENDS_A_TURN` messages."""
        sent = 0
        while self._queue:
            await self._socket.send_frame(self._next(), WSMsgType.TEXT)
            sent += 1
            if sent % SENDS_A_TURN == 0:
                await asyncio.sleep(0)
