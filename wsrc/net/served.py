# SPDX-License-Identifier: Apache-2.0
"""The server's end of a WebSocket (RFC 6455): frames as calls, without a task of its own."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from wsrc.errors import RemoteProtocolError
from wsrc.net.frames import CLOSE, PING, PONG, TEXT, Frames, closing, head_of
from wsrc.net.outbox import LAST_S, SENDS_A_TURN, Outbox, Unread, shortened, why_closed
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.conversation import CloseCode, Parting, parting

FRAME_OCTETS = 192
"""What a frame that waits takes beside its payload."""

_FAULT = 1011
"""The code of whoever cannot go on for a reason of its own (RFC 6455 section 7.4.1)."""

_LONG = 1 << 16
"""Octets from which a payload is written by itself, for it would take long to copy."""


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
        self._frames = Frames(masked=True, longest=MAX_MESSAGE_OCTETS)
        self._fed_later = 0
        self._broken = False
        self._inbox: deque[tuple[int, bytes]] = deque()
        self._inbox_octets = 0
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
        self._fed_later = waiting
        try:
            self._frames.feed(data, self._arrived)
        except Exception as exc:  # noqa: BLE001 - a fault of ours ends one connection
            self._break(exc)
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
            self._frame(PONG, pong)
        self._pump()

    # What the speaker says

    def go_on(self) -> None:
        """Look at the frames that had to wait, and then read on."""
        try:
            while self._inbox:
                opcode, payload = self._inbox.popleft()
                self._inbox_octets -= len(payload) + FRAME_OCTETS
                self._take(opcode, payload)
                if self._inbox and not self._may_speak():
                    return
        except Exception as exc:  # noqa: BLE001 - a fault of ours ends one connection
            self._break(exc)
        self._note()
        if self.waits:
            self.waits = False
            self._hold(False)

    def ping(self) -> None:
        """Ask the peer whether it is there."""
        self.pinged = True
        if not (self._paused or self._said_goodbye or self._transport.is_closing()):
            self._frame(PING, b"")

    def abort(self) -> None:
        """Break the connection."""
        self._transport.abort()

    def _may_speak(self) -> bool:
        return self._speaker is None or self._speaker.may_speak()

    # Frames that come

    def _arrived(self, opcode: int, payload: bytes) -> None:
        """Take a frame at once, or let it wait."""
        speaker = self._speaker
        if speaker is None:
            return
        if not self.waits and speaker.may_speak():
            self._take(opcode, payload)
            return
        self._inbox.append((opcode, payload))
        self._inbox_octets += len(payload) + FRAME_OCTETS
        if not self.waits:
            self.waits = True
            self._hold(True)

    def _break(self, error: Exception) -> None:
        """Close on a peer that broke RFC 6455, or where we fail; the first fault decides."""
        if self._broken:
            return
        self._broken = True
        self._end(None, f"the connection broke: {error}")
        self._deafen()
        self._forget()
        if isinstance(error, RemoteProtocolError):
            self.close(error.close_code, str(error))
            return
        if isinstance(error, MemoryError):
            self.close(CloseCode.TRY_AGAIN_LATER, "The server has no memory for this.")
            return
        self.close(_FAULT, "The server has a bug.")
        told = {"message": "A frame could not be dealt with", "exception": error}
        asyncio.get_running_loop().call_exception_handler(told)

    def _take(self, opcode: int, payload: bytes) -> None:
        speaker = self._speaker
        if speaker is None:
            return
        if opcode == TEXT:
            speaker.text(payload)
        elif opcode == PING:
            self._answer(payload)
            speaker.ping()
        elif opcode == CLOSE:
            self._asked_to_close(*closing(payload))
        elif opcode != PONG:
            speaker.binary()

    def _answer(self, payload: bytes) -> None:
        """Answer a ping; of those that come while nothing can be written, the last one."""
        if self._paused:
            self._pong = payload
        elif not self._said_goodbye:
            self._frame(PONG, payload)

    def _asked_to_close(self, code: int, reason: str) -> None:
        """Take the peer's close frame, and answer it; nothing else is sent after that."""
        ours = self._closing is not None and self._closing[0] != CloseCode.DONE
        self._end(code, reason, goodbye=parting(code) is Parting.GOODBYE and not ours)
        self._deafen()
        self._forget()
        if self._closing is None:
            self._closing = (CloseCode.DONE if code == CloseCode.NONE else code, "")
        if not self._said_goodbye:
            self._say_goodbye(*self._closing)
        self._transport.close()

    def _end(self, code: int | None, reason: str | None, *, goodbye: bool = False) -> None:
        speaker, self._speaker = self._speaker, None
        self._inbox.clear()
        self._inbox_octets = 0
        if speaker is None:
            return
        why = reason or "" if code is None and reason else why_closed(self._closing, code, reason)
        speaker.ended(why, goodbye=goodbye)

    def _deafen(self) -> None:
        super()._deafen()
        self._frames.stop()

    @property
    def held(self) -> int:
        """Octets that are held for the peer, to it and from it."""
        if self._deaf:
            return self._queued_octets
        come = self._frames.unfinished + self._inbox_octets + self._fed_later
        return self._queued_octets + come

    # Frames that go

    def _write(self, text: bytes) -> bool:
        if self._paused or self._transport.is_closing():
            return False
        self._frame(TEXT, text)
        return True

    def _frame(self, opcode: int, payload: bytes) -> None:
        """Write a frame that is whole; a server's has no mask (RFC 6455 section 5.2)."""
        head = head_of(opcode, len(payload), mask=False)
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
