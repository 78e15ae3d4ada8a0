# SPDX-License-Identifier: Apache-2.0
"""One end of a WebSocket (RFC 6455): frames as calls, without a task of its own."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from wsrc.errors import RemoteProtocolError
from wsrc.net.frames import CLOSE, PING, PONG, TEXT, Frames, closing
from wsrc.net.outbox import Outbox, Unread, why_closed
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.conversation import CloseCode, Parting, parting

FRAME_OCTETS = 192
"""What a frame that waits takes beside its payload."""

_FAULT = 1011
"""The code of whoever cannot go on for a reason of its own (RFC 6455 section 7.4.1)."""


_NONE: deque[tuple[int, bytes]] = deque(maxlen=0)
"""The frames of all peers that need not wait: most never do, and a deque takes 760 octets."""


class Speaker(Protocol):
    """What a peer says is said to this, one frame at a time."""

    def may_speak(self) -> bool:
        """Return whether the next frame may be looked at; else `Endpoint.go_on` is called later."""
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

    def ended(self, why: str, parting: Parting) -> None:
        """Take note that nothing more comes, and what that says of the peer; called once."""
        ...


class Endpoint(Outbox):
    """
    One end of a WebSocket, from the end of its handshake on.

    The connection gives it what it reads, and tells when it may write and when it is lost.

    Args:
        transport: What it runs over.
        hold: Stops reading from the transport, or goes on.
        is_client: Whether it is the client's end; else it is the server's.
        longest: Octets of the longest message that is sent.
        unread: What all of a server share.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        hold: Callable[[bool], None],
        *,
        is_client: bool = False,
        longest: int | None = None,
        unread: Unread | None = None,
    ) -> None:
        super().__init__(transport, is_client=is_client, longest=longest, unread=unread)
        self.heard = True
        """Whether anything came since this was last set to False."""
        self.pinged = False
        """Whether a ping was sent since anything came."""
        self._hold = hold
        self._speaker: Speaker | None = None
        self._frames = Frames(masked=not is_client, longest=MAX_MESSAGE_OCTETS)
        self._fed_later = 0
        self._broken = False
        self._inbox: deque[tuple[int, bytes]] = _NONE
        self._inbox_octets = 0
        self.waits = False
        """Whether what the peer sends has to wait."""
        self._pong: bytes | None = None

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
        if self._unread is not None:
            self._unread.received += len(data)
        self._fed_later = waiting
        try:
            self._frames.feed(data, self._arrived)
        except Exception as exc:  # noqa: BLE001 - a fault of ours ends one connection
            self._break(exc)
        if self._noted or waiting or self._inbox or self._queued_octets or self._frames.unfinished:
            self._note()

    def lost(self) -> None:
        """Note that the connection is gone; a goodbye that waits for its turn was said."""
        self._unbound()
        goodbye = next((payload for opcode, payload in self._inbox if opcode == CLOSE), None)
        code, reason = closing(goodbye) if goodbye is not None else (None, None)
        self._end(code, reason, Parting.LOSS if code is None else parting(code))
        self._closing = self._closing or (CloseCode.ABNORMAL, "")
        self._deafen()
        self._forget()

    def resume_writing(self) -> None:
        """Send what was queued; a peer that reads is there."""
        self._paused = False
        self.heard, self.pinged = True, False
        pong, self._pong = self._pong, None
        if pong is not None and not self._said_goodbye:
            self._frame(PONG, pong)
        super().resume_writing()

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

    def take_all(self) -> None:
        """Look at all that had to wait, whether the speaker has room for it or not."""
        while self._inbox:
            self._take(*self._inbox.popleft())

    def probe(self) -> None:
        """Ask the peer whether it is there."""
        self.pinged = True
        if not (self._paused or self._said_goodbye or self._transport.is_closing()):
            self._frame(PING, b"")

    def beat(self) -> None:
        """
        Ping a peer that was silent since the last call, and break with one that was twice.

        Called every half of the time after which one is to be pinged.
        """
        if self.heard or self.waits:
            self.heard = False
        elif self.pinged:
            self.abort()
        else:
            self.probe()

    def dismiss(self, code: int, reason: str) -> None:
        """Close on a peer that is not to come back: nothing is kept for it."""
        self._end(None, reason, Parting.GOODBYE)
        self.close(code, reason)

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
            if opcode == TEXT:
                speaker.text(payload)
            else:
                self._take(opcode, payload)
            return
        if self._inbox is _NONE:
            self._inbox = deque()
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
        self._end(None, f"the connection broke: {error}", Parting.LOSS)
        self._deafen()
        self._forget()
        if isinstance(error, RemoteProtocolError):
            self.close(error.close_code, str(error))
            return
        if isinstance(error, MemoryError):
            self.close(CloseCode.TRY_AGAIN_LATER, "There is no memory for this.")
            return
        self.close(_FAULT, "This end of the connection has a bug.")
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
        self._end(code, reason, Parting.LOSS if ours else parting(code))
        self._deafen()
        self._forget()
        if self._closing is None:
            self._closing = (CloseCode.DONE if code == CloseCode.NONE else code, "")
        if not self._said_goodbye:
            self._say_goodbye(*self._closing)
        self._transport.close()

    def _end(self, code: int | None, reason: str | None, what: Parting) -> None:
        speaker, self._speaker = self._speaker, None
        self._inbox = _NONE
        self._inbox_octets = 0
        if speaker is None:
            return
        why = reason or "" if code is None and reason else why_closed(self._closing, code, reason)
        speaker.ended(why, what)

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
