# SPDX-License-Identifier: Apache-2.0
"""One connection of a user: the greeting, the task that reads, and what is told of its loss."""

import asyncio
import ssl
from contextlib import AsyncExitStack

from wsrc import messages as m
from wsrc.codec import UnreadableError, tag_of
from wsrc.conversation import CloseCode, Phase, Speaker, may_say
from wsrc.errors import ConnectionLostError, ErrorCode, RefusedError, RemoteProtocolError
from wsrc.net.dial import dial
from wsrc.net.websocket import Link
from wsrc.user_client.faults import from_error
from wsrc.user_client.requests import Requests
from wsrc.user_client.watching import CardFeed


class Connection:
    """
    A connection to a server; `open` and `close` are called by the same task.

    `requests` and `feed` outlive nothing: another connection has its own.
    """

    def __init__(
        self, url: str, context: ssl.SSLContext | None, *, connect_s: float, ping_s: float
    ) -> None:
        self.requests = Requests(self._send)
        self.feed: CardFeed | None = None
        self._url = url
        self._context = context
        self._connect_s = connect_s
        self._ping_s = ping_s
        self._stack = AsyncExitStack()
        self._link: Link | None = None
        self._restarting: m.Restarting | None = None

    async def open(self, hello: m.Hello) -> m.HelloAck:
        """
        Connect, greet, and begin to read.

        Raises:
            ConnectionLostError: If the server is not reached or does not answer in time.
            RemoteProtocolError: If it answers with something else.
            RefusedError: If it speaks the first form only, or refuses us.
        """
        try:
            self._link = await self._stack.enter_async_context(
                dial(self._url, self._context, connect_s=self._connect_s, ping_s=self._ping_s)
            )
            ack = await self._greet(self._link, hello)
            tasks = await self._stack.enter_async_context(asyncio.TaskGroup())
            tasks.create_task(self._read(self._link), name="reader")
        except BaseException:
            await self.close()
            raise
        return ack

    async def close(self) -> None:
        """Close the connection; requests that wait are failed."""
        if self._link is not None:
            self._link.close(CloseCode.DONE, "The user is done.")
        await self._stack.aclose()

    def _send(self, message: m.Message) -> bool:
        if self._link is None or self._link.closing:
            return False
        self._link.send(message)
        return True

    async def _greet(self, link: Link, hello: m.Hello) -> m.HelloAck:
        link.send(hello)
        try:
            async with asyncio.timeout(self._connect_s):
                answer, _ = await link.receive()
        except TimeoutError:
            raise ConnectionLostError(
                f"{self._url} took the connection but did not answer hello within "
                f"{self._connect_s:g} s; is it the port of a WSRC server for users?"
            ) from None
        except ConnectionLostError as exc:
            raise ConnectionLostError(f"{self._url} refused us: {exc}.") from exc
        except UnreadableError as exc:
            raise RemoteProtocolError(f"{self._url} does not speak WSRC: {exc}") from exc
        return self._check_greeting(answer)

    def _check_greeting(self, answer: m.Message) -> m.HelloAck:
        match answer:
            case m.HelloAck(version=None):
                raise RefusedError(
                    ErrorCode.NOT_SUPPORTED,
                    f"The server at {self._url} speaks the first form of the protocol only, which "
                    f"has no sessions; this program needs version {m.VERSION}.",
                )
            case m.HelloAck():
                return answer
            case m.Error():
                raise from_error(answer, command=False)
            case _:
                raise RemoteProtocolError(
                    f"{self._url} answered hello with {tag_of(answer)}; it must be hello_ack."
                )

    async def _read(self, link: Link) -> None:
        try:
            while True:
                await self._read_one(link)
        except ConnectionLostError as exc:
            self._lost(str(exc))
        except RemoteProtocolError as exc:
            link.close(CloseCode.PROTOCOL_ERROR, str(exc))
            self._lost(f"closed by us, for the server broke the protocol: {exc}")

    async def _read_one(self, link: Link) -> None:
        try:
            message, _ = await link.receive()
        except UnreadableError as exc:
            self.requests.unreadable(exc)
            return
        if not may_say(Speaker.SERVER_TO_USER, Phase.OPEN, message):
            raise RemoteProtocolError(f"A server does not say {tag_of(message)} to a user.")
        if isinstance(message, m.Restarting):
            self._restarting = message
        elif isinstance(message, m.CardEvent):
            if self.feed is not None:
                self.feed.hear(message)
        else:
            self.requests.deliver(message)

    def _lost(self, reason: str) -> None:
        sentence = f"The connection to {self._url} is lost: {reason.rstrip('.')}."
        if self._restarting is not None:
            wait_s = self._restarting.reconnect_in_s
            sentence += f" The server restarts; try again in {wait_s:g} s."
        self.requests.lost(sentence)
        if self.feed is not None:
            self.feed.lost(sentence)
