# SPDX-License-Identifier: Apache-2.0
"""The server's end of a WebSocket (RFC 6455): frames as calls, without a task of its own."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from aiohttp import WSCloseCode, WSMsgType
from aiohttp.http_websocket import (
    WebSocketError,
    WebSocketReader,
    WSMessageNoDecodeText,
)
from aiohttp.web_ws import WebSocketDataQueue  # type: ignore[attr-defined]  # kept in step by tests

from wsrc.net.heads import Heads
from wsrc.net.outbox import (
    LAST_S,
    READ_LIMIT,
    SENDS_A_TURN,
    Outbox,
    Unread,
    shortened,
    why_closed,
)
from wsrc.protocol.conversation import CloseCode, Parting, parting

FRAME_OCTETS = 192
"""What a frame that waits takes beside its payload."""

_NOBODY_SENDS = frozenset({CloseCode.NONE, CloseCode.ABNORMAL})
"""What tells how a connection ended, and is in no close frame (RFC 6455 section 7.4.1)."""

_MOST_CODE = 4999
"""The last of the codes of a close frame (RFC 6455 section 7.4.2)."""

_SHORT, _MEDIUM = 126, 1 << 16
_TEXT, _PING, _PONG, _CLOSE = 0x81, 0x89, 0x8A, 0x88


class Speaker(Protocol):
    """What a peer says is said to this, one frame at a time."""

    def may_speak(self) -> bool:
        """Return whether the next frame may be looked at; else `Served.go_on` is called later."""
        ...

    def text(self, text: bytes) -> None:
        """Take a message."""
        ...

    def binary(self) -> None:
        """Take note of a binary message."""
        ...

    def ping(self) -> None:
        """Take note of a ping, which is answered."""
        ...

    def ended(self, why: str, *, goodbye: bool) -> None:
        """Take note that nothing more comes; called once."""
        ...


class Served(Outbox):
    """
    A WebSocket that a server has accepted.

    The connection gives it what it reads, and tells when it may write and when it is lost.

    Args:
        transport: What it runs over.
        hold: Stops reading from the transport, or goes on.
        longest: Octets of the longest message that is sent.
        unread: What all of a server share.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        hold: Callable[[bool], None],
        *,
        longest: int | None = None,
        unread: Unread | None = None,
    ) -> None:
        super().__init__(transport, longest=longest, unread=unread)
        self.heard = True
        """Whether anything came since this was last set to False."""
        self.pinged = False
        """Whether a ping was sent since anything came."""
        self._hold = hold
        self._speaker: Speaker | None = None
        inbox = _Inbox(self)
        self._reader: WebSocketReader | None = WebSocketReader(
            inbox, READ_LIMIT, compress=False, decode_text=False
        )
        self._heads = Heads(masked=True)
        self._waiting = 0
        self._broken = False
        self._frames: deque[WSMessageNoDecodeText] = deque()
        self.waits = False
        """Whether what the peer sends has to wait."""
        self._paused = False
        self._pumping = False
        self._pong: bytes | None = None
        self._said_goodbye = False

    def listen(self, speaker: Speaker) -> None:
        """Say to `speaker` what comes from now on."""
        self._speaker = speaker

    # What the connection says

    def feed(self, data: bytes, waiting: int = 0) -> None:
        """
        Take what was read.

        Args:
            data: The octets; frames may begin and end anywhere in them.
            waiting: How many came after these, and are fed later.
        """
        self.heard, self.pinged = True, False
        self._waiting = waiting
        reader = self._reader
        if reader is None:
            return
        wrong_at = self._heads.wrong_at(data)
        if wrong_at is None:
            reader.feed_data(data)
        else:
            reader.feed_data(data[:wrong_at])
            self.broken(WebSocketError(WSCloseCode.PROTOCOL_ERROR, self._heads.why))
        self._note()

    def lost(self) -> None:
        """Note that the connection is gone."""
        self._unbound()
        self._end(None, None)
        self._closing = self._closing or (CloseCode.ABNORMAL, "")
        self._deafen()
        self._forget()

    def pause_writing(self) -> None:
        """Queue what is sent from now on."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send what was queued; a peer that reads is there."""
        self._paused = False
        self.heard, self.pinged = True, False
        pong, self._pong = self._pong, None
        if pong is not None and not self._said_goodbye:
            self._frame(_PONG, pong)
        self._pump()

    # What the speaker says

    def go_on(self) -> None:
        """Look at the frames that had to wait, and then read on."""
        try:
            while self._frames:
                self._take(self._frames.popleft())
                if self._frames and not self._may_speak():
                    return
        except Exception as exc:  # noqa: BLE001 - as the reader of frames does
            self.broken(exc)
        self._note()
        if self.waits:
            self.waits = False
            self._hold(False)

    def ping(self) -> None:
        """Ask the peer whether it is there."""
        self.pinged = True
        if not (self._paused or self._said_goodbye or self._transport.is_closing()):
            self._frame(_PING, b"")

    def dismiss(self, code: int, reason: str) -> None:
        """Close on a peer that is not to come back: nothing is kept for it."""
        self._end(None, reason, goodbye=True)
        self.close(code, reason)

    def abort(self) -> None:
        """Break the connection."""
        self._transport.abort()

    def _may_speak(self) -> bool:
        return self._speaker is None or self._speaker.may_speak()

    # Frames that come

    def arrived(self, frame: WSMessageNoDecodeText) -> None:
        """Take a frame at once, or let it wait."""
        speaker = self._speaker
        if speaker is None:
            return
        if not self.waits and speaker.may_speak():
            self._take(frame)
            return
        self._frames.append(frame)
        if not self.waits:
            self.waits = True
            self._hold(True)

    def broken(self, error: BaseException) -> None:
        """Close on a peer that broke RFC 6455; the first fault decides."""
        if self._broken:
            return
        self._broken = True
        self._end(None, f"the connection broke: {error}")
        self._deafen()
        self._forget()
        if isinstance(error, WebSocketError):
            self.close(error.code, str(error))
            return
        if isinstance(error, MemoryError):
            self.close(CloseCode.TRY_AGAIN_LATER, "The server has no memory for this.")
            return
        self.close(WSCloseCode.INTERNAL_ERROR, "The server has a bug.")
        told = {"message": "A frame could not be dealt with", "exception": error}
        asyncio.get_running_loop().call_exception_handler(told)

    def _take(self, frame: WSMessageNoDecodeText) -> None:
        speaker = self._speaker
        if speaker is None:
            return
        match frame.type:
            case WSMsgType.TEXT:
                self._heads.taken(len(frame.data))
                speaker.text(frame.data)
            case WSMsgType.PING:
                self._answer(frame.data)
                speaker.ping()
            case WSMsgType.PONG:
                pass
            case WSMsgType.CLOSE:
                self._asked_to_close(frame)
            case _:
                self._heads.taken(len(frame.data))
                speaker.binary()

    def _answer(self, payload: bytes) -> None:
        """Answer a ping; of those that come while nothing can be written, the last one."""
        if self._paused:
            self._pong = payload
        elif not self._said_goodbye:
            self._frame(_PONG, payload)

    def _asked_to_close(self, frame: WSMessageNoDecodeText) -> None:
        """Take the peer's close frame, and answer it; nothing else is sent after that."""
        code = frame.data or CloseCode.NONE
        if frame.data in _NOBODY_SENDS or code > _MOST_CODE:
            why = f"Invalid close code: {code}"
            self.broken(WebSocketError(WSCloseCode.PROTOCOL_ERROR, why))
            return
        ours = self._closing is not None and self._closing[0] != CloseCode.DONE
        self._end(code, frame.extra, goodbye=parting(code) is Parting.GOODBYE and not ours)
        self._deafen()
        self._forget()
        if self._closing is None:
            self._closing = (CloseCode.DONE if code == CloseCode.NONE else code, "")
        if not self._said_goodbye:
            self._say_goodbye(*self._closing)
        self._transport.close()

    def _end(self, code: int | None, reason: str | None, *, goodbye: bool = False) -> None:
        speaker, self._speaker = self._speaker, None
        self._frames.clear()
        if speaker is None:
            return
        why = reason or "" if code is None and reason else why_closed(self._closing, code, reason)
        speaker.ended(why, goodbye=goodbye)

    def _deafen(self) -> None:
        super()._deafen()
        self._reader = None

    @property
    def held(self) -> int:
        """Octets that are held for the peer, to it and from it."""
        if self._deaf:
            return self._queued_octets
        come = self._heads.octets + len(self._frames) * FRAME_OCTETS + self._waiting
        return self._queued_octets + come

    # Frames that go

    def _write(self, text: bytes) -> bool:
        if self._paused or self._transport.is_closing():
            return False
        self._frame(_TEXT, text)
        return True

    def _frame(self, first: int, payload: bytes) -> None:
        """Write a frame that is whole; a server's has no mask (RFC 6455 section 5.2)."""
        size = len(payload)
        if size < _SHORT:
            self._transport.write(bytes((first, size)) + payload)
        elif size < _MEDIUM:
            self._transport.write(bytes((first, 126)) + size.to_bytes(2) + payload)
        else:
            self._transport.write(bytes((first, 127)) + size.to_bytes(8))
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
        self._frame(_CLOSE, code.to_bytes(2) + shortened(reason))


class _Inbox(WebSocketDataQueue):
    """Where the reader puts frames; they go on at once, so that it never holds any."""

    _size = _limit = 0

    def __init__(self, served: Served) -> None:  # pyright: ignore[reportMissingSuperCall]
        self._served = served

    def feed_data(self, data: WSMessageNoDecodeText, size: int) -> None:
        del size
        self._served.arrived(data)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        del exc_cause
        self._served.broken(exc)

    def feed_eof(self) -> None:
        """Take no note of it: the connection tells of its end itself."""
