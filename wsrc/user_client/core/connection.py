# SPDX-License-Identifier: Apache-2.0
"""The connection of a user: the greeting, the task that reads, and the next one after a loss."""

import asyncio
import logging
from typing import NamedTuple

import msgspec

from wsrc.errors import (
    ConnectionLostError,
    ErrorCode,
    RemoteProtocolError,
    WsrcError,
)
from wsrc.net.dial import Backoff, Instead, dial
from wsrc.net.greeting import answer_to
from wsrc.net.tls_files import ClientTls
from wsrc.net.websocket import Link
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS, UnreadableError, tag_of
from wsrc.protocol.conversation import CloseCode, Phase, Speaker, may_say
from wsrc.settings.load import UserSettings
from wsrc.user_client.core.feeds import ReaderFeed
from wsrc.user_client.core.requests import Requests

_log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 0.1, 2.0
"""How long to wait before connecting again; it doubles each time."""

KEPT_S = "kept_s"
"""Attribute of the record of a loss: for how many seconds from then on a card of ours is kept."""

PART_S = 8.0
"""How long it is tried to give cards back, after the connection that was to do it is lost."""

_DONE = "The user is done."

_OF_READERS = (m.ReaderEvent, m.ReaderMark, m.StateChange, m.ListChange)


class _Opening(NamedTuple):
    """Who waits for a first connection: to use it, and for the answer to `hello`."""

    usable: "asyncio.Future[None]"
    greeted: "asyncio.Future[m.HelloAck]"

    def is_usable(self) -> None:
        if not self.usable.done():
            self.usable.set_result(None)

    def succeed(self, ack: m.HelloAck) -> None:
        self.is_usable()
        self.greeted.set_result(ack)

    def fail(self, why: WsrcError) -> None:
        if not self.usable.done():
            self.usable.set_exception(why)
        if not self.greeted.done():
            self.greeted.set_exception(why)
            self.greeted.exception()  # there may be nobody who waits for it


class Connection:
    """
    The connection to a server, retried for up to `keep_s` after a loss.

    It is opened once and closed, in one event loop. `requests` outlives a loss; a feed does not.

    Args:
        settings: Those of a user.
        tls: TLS of a client of `server_url`.
    """

    def __init__(self, settings: UserSettings, tls: ClientTls) -> None:
        self.requests = Requests(self._send, settings.keep_s)
        self.feed: ReaderFeed | None = None
        self._settings = settings
        self._tls = tls
        self._task: asyncio.Task[None] | None = None
        self._link: Link | None = None
        self._closing = False
        self._in_order = False
        self._restarting: m.Restarting | None = None
        self._instead = Instead(settings.server_url)
        self._hello: m.Hello | None = None
        self._greeting: asyncio.Future[m.HelloAck] | None = None
        self.server = ""

    async def open(self, hello: m.Hello) -> None:
        """
        Connect, say `hello`, and begin to read.

        Where the server chose our subprotocol, what is asked now follows `hello` at once, and
        fails with what `greeted` raises if the server refuses us. Else this waits for the answer.

        Raises:
            ConnectionLostError: If the server is not reached or does not answer in time.
            RemoteProtocolError: If it answers with something else.
            RefusedError: If it speaks the first form only, or refuses us.
        """
        loop = asyncio.get_running_loop()
        opening = _Opening(loop.create_future(), loop.create_future())
        self._hello, self._greeting = hello, opening.greeted
        # `close` waits for it: whoever opened may be a task that ended meanwhile.
        self._task = loop.create_task(self._run(hello, opening), name="connection")
        try:
            await opening.usable
        except BaseException:
            await self.close()
            raise

    def check(self) -> None:
        """
        Raise the reason why nothing can be asked any more.

        Raises:
            WsrcError: As `Requests.check`, or because the connection ends and is not retried.
        """
        self.requests.check()
        if not self._settings.keep_s and self._link is not None and self._link.closing:
            raise ConnectionLostError(self._sentence("it is being closed"))

    async def greeted(self) -> m.HelloAck:
        """
        Return the answer to the first `hello`, once it is there.

        Raises:
            WsrcError: As `open`, or because it was not opened.
        """
        if self._greeting is None:
            self.requests.check()
        assert self._greeting is not None
        return await asyncio.shield(self._greeting)

    async def close(self) -> None:
        """
        Close the connection with a goodbye; waiting requests fail.

        The answer to the goodbye is waited for where cards were ours: it tells that the server
        has taken what was said before. Without it, cards are given back on another connection.
        """
        self._closing = True
        link = self._link
        if link is not None:
            part = link.close if self.requests.has_cards else link.leave
            part(CloseCode.DONE, _DONE)
        elif self._task is not None:
            self._task.cancel()
        try:
            if self._task is not None:
                await asyncio.wait([self._task])
        except asyncio.CancelledError:
            assert self._task is not None
            self._task.cancel()
            await asyncio.wait([self._task])
            raise
        finally:
            self.requests.lost(f"The connection to {self._settings.server_url} is closed.")
        if self._task is not None and not self._task.cancelled():
            self._task.result()
        if link is not None and link.confirmed:
            self.requests.unconfirmed.clear()
        await self._give_back()

    async def _give_back(self) -> None:
        """Say once more what is given back, where it is not known that the server has taken it."""
        goodbyes = list(self.requests.unconfirmed.values())
        if not goodbyes or not self._settings.keep_s or self._hello is None:
            return
        backoff = Backoff(FIRST_RETRY_S, LAST_RETRY_S)
        _log.info("The server has not confirmed that the card was given back. Trying again.")
        try:
            async with asyncio.timeout(PART_S):
                while True:
                    if await self._said(self._hello, goodbyes):
                        return
                    await asyncio.sleep(backoff.wait_s())
        except TimeoutError:
            _log.warning(
                "%s has not confirmed that the card was given back; it may keep it for %g s.",
                self._settings.server_url,
                self._settings.keep_s,
            )

    async def _said(self, hello: m.Hello, goodbyes: list[m.Detach]) -> bool:
        """Give back on a connection of its own; return whether the server has taken it."""
        settings = self._settings
        try:
            async with dial(
                settings.server_url,
                self._tls.context(),
                token=self._tls.token(),
                connect_s=settings.connect_s,
                ping_s=settings.ping_s,
                host=self._instead.next(),
            ) as link:
                link.send(hello)
                await answer_to(hello, link, settings.connect_s, settings.server_url)
                for number, goodbye in enumerate(goodbyes, 1):
                    link.send(msgspec.structs.replace(goodbye, id=number))
                link.close(CloseCode.DONE, _DONE)
        except WsrcError:
            return False
        return link.confirmed

    def _send(self, message: m.Message) -> bool:
        if self._link is None or self._link.closing:
            return False
        self._link.send(message)
        return True

    async def _run(self, hello: m.Hello, opening: "_Opening") -> None:
        """Run the connection; whatever ends it, nobody waits for an answer after that."""
        why = f"The connection to {self._settings.server_url} is closed."
        try:
            await self._keep(hello, opening)
        finally:
            opening.fail(ConnectionLostError(why))
            self.requests.lost(why)

    async def _keep(self, hello: m.Hello, opening: "_Opening") -> None:
        """Stay connected, reconnecting for up to `keep_s`."""
        loop = asyncio.get_running_loop()
        try:
            reason = await self._once(hello, opening)
        except WsrcError as exc:
            if not self._closing:
                opening.fail(exc)
                self.requests.refused(exc)
            return
        while True:
            self._disconnected(reason)
            why = await self._connect_again(hello, loop.time() + self._settings.keep_s)
            if why is None:
                self._lost(reason)
                return
            reason = why

    async def _connect_again(self, hello: m.Hello, until: float) -> str | None:
        """Connect and converse; return why that ended, None if nothing connected in time."""
        loop, backoff = asyncio.get_running_loop(), Backoff(FIRST_RETRY_S, LAST_RETRY_S)
        at_least = self._restarting.reconnect_in_s if self._restarting is not None else None
        while not self._closing:
            wait_s = backoff.wait_s()
            if at_least is not None and not self._instead:
                wait_s = max(wait_s, at_least)
            left_s = until - loop.time()
            if left_s < FIRST_RETRY_S:
                return None
            await asyncio.sleep(min(wait_s, left_s / 2))
            self._restarting = None
            try:
                return await self._once(hello)
            except WsrcError as exc:
                at_least = exc.retry_after_s
        return None

    async def _once(self, hello: m.Hello, opening: "_Opening | None" = None) -> str:
        """
        Connect, greet and converse; return why the connection ended.

        Raises:
            WsrcError: If there was none.
        """
        settings, self._in_order = self._settings, False
        async with dial(
            settings.server_url,
            self._tls.context(),
            token=self._tls.token(),
            connect_s=settings.connect_s,
            ping_s=settings.ping_s,
            longest=MAX_MESSAGE_OCTETS,
            host=self._instead.next(),
        ) as link:
            try:
                link.send(hello)
                if opening is not None and link.agreed:
                    self._link = link
                    opening.is_usable()
                ack = await answer_to(hello, link, settings.connect_s, settings.server_url)
                self._instead.told(())
                self._link = link
                self.server = ack.server or ""
                self.requests.limits = ack.limits or m.ServerLimits()
                self.requests.features = frozenset(ack.features)
                self.requests.nonce = ack.nonce or b""
                if opening is None:
                    _log.info("The connection to %s is back.", settings.server_url)
                    self.requests.connected()
                else:
                    opening.succeed(ack)
                return await self._read(link)
            finally:
                self._link = None

    async def _read(self, link: Link) -> str:
        """Read from the server until the connection ends; return why it did."""
        try:
            while True:
                await self._read_one(link)
        except ConnectionLostError as exc:
            self._in_order = link.peer_restarts
            if link.peer_complained and not self.requests.complained(self._sentence(str(exc))):
                self._closing = True
            return str(exc)
        except RemoteProtocolError as exc:
            link.close(exc.close_code, str(exc))
            self._closing = True
            return f"closed by us because the server broke the protocol: {exc}"

    async def _read_one(self, link: Link) -> None:
        try:
            message, _ = await link.receive()
        except UnreadableError as exc:
            self.requests.unreadable(exc)
            return
        if not may_say(Speaker.SERVER_TO_USER, Phase.OPEN, message):
            raise RemoteProtocolError(f"A server does not send {tag_of(message)} to a user.")
        if isinstance(message, m.Restarting):
            self._restarting = message
            self._instead.told(message.instead)
        elif isinstance(message, _OF_READERS):
            if self.feed is not None:
                self.feed.hear(message)
        elif self.feed is not None and _ends_watch(message):
            self.feed.hear(message)
        else:
            self.requests.deliver(message)

    def _sentence(self, reason: str) -> str:
        sentence = f"The connection to {self._settings.server_url} is lost: {reason.rstrip('.')}."
        if self._restarting is not None:
            wait_s = self._restarting.reconnect_in_s
            sentence += f" The server restarts; try again in {wait_s:g} s."
        return sentence

    def _disconnected(self, reason: str) -> None:
        sentence = self._sentence(reason)
        if self.feed is not None:
            self.feed.lost(sentence)
        if self._closing or not self._settings.keep_s:
            self.requests.lost(sentence)
        else:
            kept = {KEPT_S: self.requests.kept_s(self._settings.keep_s)}
            _log.info("%s Trying again for %g s.", sentence, self._settings.keep_s, extra=kept)
            self.requests.disconnected(sentence, in_order=self._in_order)

    def _lost(self, reason: str) -> None:
        sentence = self._sentence(reason)
        if self._settings.keep_s and not self._closing:
            sentence += f" It could not be restored within {self._settings.keep_s:g} s."
        self.requests.lost(sentence)


def _ends_watch(message: m.Message) -> bool:
    """Return whether a message says that a watch is not allowed any more."""
    match message:
        case m.Error(id=None, code=ErrorCode.FORBIDDEN):
            return True
        case _:
            return False
