# SPDX-License-Identifier: Apache-2.0
"""Connected peers: what they say goes to the relay, what the relay decides goes to them."""

import asyncio
import logging

from aiohttp import web

from wsrc.errors import ConnectionLostError, RemoteProtocolError
from wsrc.net.websocket import Link
from wsrc.protocol.codec import UnreadableError
from wsrc.protocol.conversation import CloseCode
from wsrc.protocol.messages import ClientType
from wsrc.relay.effects import Close, Effect, Note, Send
from wsrc.relay.machine import Relay

_log = logging.getLogger(__name__)

RESTARTING = "The server is restarting."


class Peers:
    """All connections of a server; used by one event loop."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._links: dict[int, Link] = {}
        self._last = 0
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.stopping = False
        self._stopped = False
        self._idle = asyncio.Event()

    def __len__(self) -> int:
        return len(self._links)

    @property
    def counts(self) -> dict[str, int]:
        """Return the counts of the relay."""
        return self._relay.counts

    async def serve(
        self, socket: web.WebSocketResponse[bool], role: ClientType, address: str
    ) -> None:
        """Carry one connection from its handshake to its end."""
        self._last += 1
        number, link = self._last, Link(socket)
        self._links[number] = link
        _log.info("%s client %d connected from %s", role, number, address)
        if self._stopped:
            link.close(CloseCode.RESTARTING, RESTARTING)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(link.run_writer(), name=f"writer of peer {number}")
            try:
                self._perform(self._relay.connected(number, role, self._loop.time()))
                await self._converse(number, link, role)
            finally:
                del self._links[number]
                now, goodbye = self._loop.time(), link.peer_said_goodbye
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

    async def _converse(self, number: int, link: Link, role: ClientType) -> None:
        """Take messages until the connection is gone; those that cross our close are dropped."""
        while True:
            effects: list[Effect] = []
            try:
                message, text = await link.receive()
                if not link.closing:
                    effects = self._relay.received(number, message, text, self._loop.time())
            except UnreadableError as exc:
                effects = self._relay.unreadable(number, exc, self._loop.time())
            except RemoteProtocolError as exc:
                _log.warning("%s client %d broke the protocol: %s", role, number, exc)
                effects = self._relay.malformed(number, exc, self._loop.time())
            except ConnectionLostError as exc:
                _log.info("%s client %d is gone: %s", role, number, exc)
                return
            self._perform(effects)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(peer=peer, message=message, text=text):
                    link = self._links.get(peer)
                    if link is not None:
                        link.send(message) if text is None else link.forward(text)
                case Close(peer=peer, code=code, reason=reason):
                    link = self._links.get(peer)
                    if link is not None:
                        link.close(code, reason)
                case Note(sentence=sentence):
                    _log.info("%s", sentence)
        if self.stopping and not self._relay.in_flight:
            self._idle.set()
        self._set_timer()

    def _set_timer(self) -> None:
        deadline = self._relay.deadline()
        if deadline is None:
            return
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._perform(self._relay.tick(self._loop.time()))
