# SPDX-License-Identifier: Apache-2.0
"""The client's end of a WebSocket: messages that a task reads one by one."""

import asyncio
from collections import deque
from collections.abc import Callable

from wsrc.errors import ConnectionLostError, RemoteProtocolError
from wsrc.net.endpoint import Endpoint
from wsrc.net.outbox import CLOSE_S
from wsrc.protocol import codec
from wsrc.protocol.conversation import CloseCode, Parting
from wsrc.protocol.messages import Message

MAX_UNTAKEN_OCTETS = 2 * codec.MAX_MESSAGE_OCTETS
"""How much of messages may wait for `receive` for another one to be taken from the server."""

END_S = 0.5
"""How long the server may take to end TLS and the connection after both have closed."""


class Link(Endpoint):
    """
    One WebSocket that carries messages. `receive` is for one task.

    Args:
        transport: What it runs over; it is aborted where the peer keeps us from closing it.
        hold: Stops reading from the transport, or goes on.
        longest: Octets of the longest message that is sent; the peer may say otherwise later.
        agreed: Whether the peer chose our subprotocol, so that its protocol has sessions.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        hold: Callable[[bool], None],
        *,
        longest: int | None = None,
        agreed: bool = False,
    ) -> None:
        super().__init__(transport, hold, is_client=True, longest=longest)
        self.agreed = agreed
        self.confirmed = False
        """Whether the peer answered our close frame, and so has taken all that we sent before."""
        self._closed = False
        self._stays = True
        self._come: deque[bytes | None] = deque()
        self._come_octets = 0
        self._waiter: asyncio.Future[None] | None = None
        self._why: str | None = None
        self._parting = Parting.LOSS
        self._pulse: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.listen(self)

    def keep_alive(self, ping_s: float) -> None:
        """Break the connection with a peer that is silent for 1.5 times `ping_s`, pings or not."""

        def beat() -> None:
            self._pulse = self._loop.call_later(ping_s / 2, beat)
            self.beat()

        self._pulse = self._loop.call_later(ping_s / 2, beat)

    @property
    def peer_said_goodbye(self) -> bool:
        """Whether the peer closed the link because it is done, and not in answer to our close."""
        return self._parting is Parting.GOODBYE

    @property
    def peer_complained(self) -> bool:
        """Whether the peer closed the link because of what it was sent."""
        return self._parting is Parting.COMPLAINT

    @property
    def peer_restarts(self) -> bool:
        """Whether the peer closed the link for a restart, and had said all that it had to say."""
        return self._parting is Parting.RESTART

    async def receive(self) -> tuple[Message, bytes]:
        """
        Return the next message and its text.

        Raises:
            UnreadableError: If the message is to be answered with this error; the link goes on.
            RemoteProtocolError: If the peer broke the protocol and must be closed.
            ConnectionLostError: If the connection is closed; the sentence has code and reason.
        """
        while not self._come:
            if self._why is not None:
                raise ConnectionLostError(self._why)
            self._waiter = self._loop.create_future()
            await self._waiter
        text = self._come.popleft()
        if text is None:
            why = "Binary frames are not used; send JSON as text."
            raise RemoteProtocolError(why, CloseCode.NO_TEXT)
        self._come_octets -= len(text)
        if self.waits and self.may_speak():
            self.go_on()
        codec.check_utf8(text)
        return codec.decode(text), text

    @property
    def closing(self) -> bool:
        """
        Whether `close` was called while the peer was there.

        What is sent to one that is gone counts as lost on its way, until `receive` says so.
        """
        return self._closed

    def close(self, code: int, reason: str) -> None:
        """Close once what is queued is sent; the first call decides."""
        self._closed = self._closed or self._why is None
        super().close(code, reason)

    def leave(self, code: int, reason: str) -> None:
        """Close without waiting for an answer of the peer, which has nothing of ours."""
        self._stays = False
        self.close(code, reason)

    # What the connection says

    def lost(self) -> None:
        """Note that the connection is gone; what came before is received still."""
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
        self.take_all()
        super().lost()

    # What the peer says

    def may_speak(self) -> bool:
        """Return whether there is room for another message."""
        return self._come_octets < MAX_UNTAKEN_OCTETS

    def text(self, text: bytes) -> None:
        """Keep a message for `receive`."""
        self._come.append(text)
        self._come_octets += len(text)
        self._wake()

    def binary(self, octets: bytes) -> None:
        """Keep what has no place for `receive`."""
        del octets
        self._come.append(None)
        self._wake()

    def ping(self) -> None:
        """Take no note of a ping, which is answered."""

    def ended(self, why: str, parting: Parting) -> None:
        """Note why nothing more comes."""
        self._why, self._parting = why, parting
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _asked_to_close(self, code: int, reason: str) -> None:
        ours = self._closing
        self.confirmed = self._said_goodbye and ours is not None and ours[0] == code
        super()._asked_to_close(code, reason)
        self._bound(END_S)

    def _say_goodbye(self, code: int, reason: str) -> None:
        super()._say_goodbye(code, reason)
        self._bound(CLOSE_S)
        if not self._stays:
            self._transport.close()
            self._loop.call_soon(self._transport.abort)
