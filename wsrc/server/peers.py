# SPDX-License-Identifier: Apache-2.0
"""Connected peers: what they say goes to the relay, what the relay decides goes to them."""

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager

from aiohttp import web

from wsrc.errors import ConnectionLostError, LocalProtocolError, RemoteProtocolError
from wsrc.net.websocket import Link, Unread
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS, UnreadableError
from wsrc.protocol.conversation import CloseCode
from wsrc.protocol.messages import ClientType, Message
from wsrc.relay.effects import Close, Effect, Note, Send
from wsrc.relay.machine import Relay
from wsrc.server.turns import Budget, Line, Share

_log = logging.getLogger(__name__)

SPARE_OCTETS = 4 << 20
"""Memory kept for the shutdown of a server that has run out of it."""

RESTARTING = "The server is restarting."


COSTLY = (
    m.ListCards,
    m.ListReaders,
    m.WatchReaders,
    m.Resume,
    m.ReaderReport,
    m.ReaderGone,
)
"""What costs more than the command of one session, of either kind of client."""

BUDGETS = {ClientType.USER: (100.0, 500.0), ClientType.CARD: (200.0, 4096.0)}
"""
How many of these a peer may send in a second, and at once; what comes sooner is read later. A card
host with 1,024 readers tells each four times while it identifies its cards.
"""


class Peers:
    """
    All connections of a server; used by one event loop.

    Args:
        relay: Decides.
        line: The line of those who have used up their allowance.
        unread: Octets that all peers together may have unread.
    """

    def __init__(self, relay: Relay, line: Line, unread: int) -> None:
        self._relay = relay
        self._line = line
        self._links: dict[int, Link] = {}
        self._unread = Unread(unread)
        self._last = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.stopping = False
        self._stopped = False
        self._broken: Callable[[], None] | None = None
        self._spare: bytearray | None = bytearray(SPARE_OCTETS)
        self._idle = asyncio.Event()

    def __len__(self) -> int:
        return len(self._links)

    @property
    def broken(self) -> bool:
        """Whether the relay ran out of memory amid an event, and must not go on."""
        return self._spare is None

    def when_broken(self, tell: Callable[[], None]) -> None:
        """Call `tell` when the relay is broken."""
        self._broken = tell

    @property
    def counts(self) -> dict[str, int]:
        """Return the counts of the relay."""
        return self._relay.counts

    async def serve(
        self,
        socket: web.WebSocketResponse[bool],
        transport: asyncio.Transport,
        role: ClientType,
        address: str,
    ) -> None:
        """Carry one connection from its handshake to its end."""
        self._last += 1
        number = self._last
        share = Share(self._line)
        link = Link(socket, transport, longest=MAX_MESSAGE_OCTETS, unread=self._unread, pace=share)
        self._links[number] = link
        _log.info("%s client %d connected from %s", role, number, address)
        if self._stopped:
            link.close(CloseCode.RESTARTING, RESTARTING)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(link.run_writer(), name=f"writer of peer {number}")
            try:
                with self._in_whole():
                    self._perform(self._relay.connected(number, role, self._loop.time()))
                await self._converse(number, link, role, share)
            finally:
                del self._links[number]
                now, goodbye = self._loop.time(), link.peer_said_goodbye
                with self._in_whole():
                    self._perform(self._relay.disconnected(number, now, goodbye=goodbye))
                link.stop_writer()

    async def stop(self, reconnect_in_s: float, drain_s: float) -> None:
        """Announce the restart, give requests in flight `drain_s` to finish, close with 1012."""
        self.stopping = True
        self._perform(self._relay.shut_down(reconnect_in_s, self._loop.time()))
        try:
            async with asyncio.timeout(drain_s):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("%d requests are not answered yet", self._relay.in_flight)
        self._stopped = True
        for link in list(self._links.values()):
            link.close(CloseCode.RESTARTING, RESTARTING)

    async def _converse(self, number: int, link: Link, role: ClientType, share: Share) -> None:
        """Take messages until the connection is gone; those that cross our close are dropped."""
        costly = Budget(*BUDGETS[role])
        while True:
            effects: list[Effect] = []
            pause_s = 0.0
            try:
                message, text = await link.receive()
                if isinstance(message, COSTLY):
                    pause_s = costly.take(self._loop.time())
                if not link.closing:
                    with self._in_whole():
                        effects = self._relay.received(number, message, text, self._loop.time())
            except UnreadableError as exc:
                effects = self._relay.unreadable(number, exc, self._loop.time())
            except RemoteProtocolError as exc:
                _log.warning("%s client %d broke the protocol: %s", role, number, exc)
                effects = self._relay.malformed(number, exc, self._loop.time())
            except ConnectionLostError as exc:
                _log.info("%s client %d is gone: %s", role, number, exc)
                return
            except MemoryError:
                _log.warning(
                    "%s client %d is closed: there is no memory for its message", role, number
                )
                self._unread.shed()
                link.close(CloseCode.TRY_AGAIN_LATER, "The server has no memory for this.")
            with self._in_whole():
                self._perform(effects)
            share.sent(len(effects))
            if pause_s:
                await asyncio.sleep(pause_s)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(peer=peer, message=message, text=text):
                    link = self._links.get(peer)
                    if link is not None:
                        self._send(peer, link, message, text)
                case Close(peer=peer, code=code, reason=reason):
                    link = self._links.get(peer)
                    if link is not None:
                        link.close(code, reason)
                case Note(sentence=sentence):
                    _log.info("%s", sentence)
        if self.stopping and not self._relay.in_flight:
            self._idle.set()
        self._set_timer()

    def _send(self, peer: int, link: Link, message: Message, text: bytes | None) -> None:
        if text is not None:
            link.forward(text)
            return
        try:
            link.send(message)
        except LocalProtocolError as exc:  # its peers chose texts that no bound of the relay has
            _log.error("Client %d is not sent a message: %s", peer, exc)

    def _set_timer(self) -> None:
        deadline = self._relay.deadline()
        if deadline is None:
            return
        if self._timer is not None:
            if self._due <= deadline:
                return
            self._timer.cancel()
        self._due = deadline
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        with self._in_whole():
            self._perform(self._relay.tick(self._loop.time()))

    @contextmanager
    def _in_whole(self) -> Generator[None]:
        """
        End the server where an event cannot be completed for want of memory.

        What it knows of cards and sessions may be half changed; its peers know better, and bring
        it to the server that is started next.
        """
        try:
            yield
        except MemoryError:
            self._spare = None
            _log.critical("There is no memory left; the server ends and must be started again")
            self._unread.shed()
            if self._broken is not None:
                self._broken()
