# SPDX-License-Identifier: Apache-2.0
"""
WebSockets between two servers of a cluster, for datagrams that would go by NATS.

Whoever connects says which node it is, and need not be believed: a datagram counts only if it is
sealed by the keys of a road, which that node alone has.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from wsrc.cluster.names import Names
from wsrc.errors import ConfigError, ConnectionLostError
from wsrc.net.dial import Backoff, connected
from wsrc.net.endpoint import Endpoint
from wsrc.net.frames import BINARY
from wsrc.net.proxy import proxy_for
from wsrc.net.tls import client_context
from wsrc.principal import is_node_name
from wsrc.protocol.conversation import CloseCode, Parting
from wsrc.settings.address import Address
from wsrc.settings.clustering import check_node_url

_log = logging.getLogger(__name__)

PATH = "/node"
"""Where other servers connect, unless their URL says otherwise."""

CONNECT_S = 5.0
LEAST_S, MOST_S = 0.2, 10.0
"""Waits between attempts to connect, in seconds."""

HELLO_S = 5.0
"""How long who connects may take to say who it is."""

PING_S = 5.0
"""How often a silent connection is pinged."""

MAX_STRANGERS = 64
"""Connections of which it is not known yet whose they are."""

Heard = Callable[[str, bytes], None]
Reached = Callable[[str, bool], None]


class Straight:
    """
    One connection to another node.

    Args:
        link: The WebSocket.
        node: Whose it is; empty where it has to say so first.
        hears: Told what comes.
        gone: Called once when it is over.
    """

    def __init__(
        self, link: Endpoint, node: str, hears: "Direct", gone: Callable[["Straight"], None]
    ) -> None:
        self.node = node
        self._link, self._hears, self._gone = link, hears, gone
        self._loop = asyncio.get_running_loop()
        self._pulse = self._loop.call_later(HELLO_S if not node else PING_S / 2, self._beat)
        self._is_over = False
        link.listen(self)

    def send(self, octets: bytes) -> None:
        """Send a datagram."""
        self._link.forward(octets)

    def close(self, why: str) -> None:
        """End it."""
        self._link.close(CloseCode.DONE, why)

    def _beat(self) -> None:
        self._pulse = self._loop.call_later(PING_S / 2, self._beat)
        if not self.node:
            self.close("Say which node this is.")
        else:
            self._link.beat()

    # What the other node says

    def may_speak(self) -> bool:
        """Return that the next frame may be looked at."""
        return True

    def text(self, text: bytes) -> None:
        """Take the name of the node; nothing else is text."""
        name = text.decode(errors="replace")
        if self.node or not is_node_name(name):
            self.close("This is no node.")
            return
        self.node = name
        self._hears.named(self)

    def binary(self, octets: bytes) -> None:
        """Take a datagram."""
        if self.node:
            self._hears.heard(self, octets)

    def ping(self) -> None:
        """Take no note of a ping, which is answered."""

    def ended(self, why: str, parting: Parting) -> None:
        """Note that nothing more comes."""
        _log.debug("The connection with node %s ended: %s (%s)", self.node, why, parting)
        if not self._is_over:
            self._is_over = True
            self._pulse.cancel()
            self._gone(self)


class Direct:
    """
    The connections of a node to others; used by one event loop.

    Args:
        names: Of the node.
        ca: PEM file of the CAs of the certificates of others, instead of those of the system.
        heard: Called with the name of a node, and a datagram.
        reached: Called with the name of a node, and whether there is a connection to it.
    """

    def __init__(self, names: Names, ca: Path | None, heard: Heard, reached: Reached) -> None:
        self._names, self._ca = names, ca
        self._heard, self._reached = heard, reached
        self._tasks: asyncio.TaskGroup | None = None
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._links: dict[str, Straight] = {}
        self._strangers: set[Straight] = set()

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Connect from now on."""
        self._tasks = tasks

    def stop(self) -> None:
        """End all connections."""
        for task in self._dialling.values():
            task.cancel()
        for link in (*self._links.values(), *self._strangers):
            link.close("The server ends.")

    def reach(self, node: str, url: str) -> None:
        """Connect to a node, again and again; an empty URL is not to."""
        task = self._dialling.pop(node, None)
        if task is not None:
            task.cancel()
        if url and not _may_be(url):
            _log.warning("Server %s says that it is at a URL that none can be", node)
            url = ""
        if url and self._tasks is not None:
            name = f"to node {node}"
            self._dialling[node] = self._tasks.create_task(self._dial(node, url), name=name)

    def send(self, node: str, octets: bytes) -> None:
        """Send a node a datagram, if there is a connection; the road notices if there is none."""
        link = self._links.get(node)
        if link is not None:
            link.send(octets)

    def accept(self, transport: asyncio.Transport, hold: Callable[[bool], None]) -> Endpoint:
        """Begin to serve a WebSocket that another node has made."""
        link = Endpoint(transport, hold, kind=BINARY)
        straight = Straight(link, "", self, self._gone)
        self._strangers.add(straight)
        if len(self._strangers) > MAX_STRANGERS:
            straight.close("There are too many connections.")
        return link

    def named(self, link: Straight) -> None:
        """Take note of whose a connection is."""
        self._strangers.discard(link)
        if link.node == self._names.node:
            link.close("This is the same node.")
        elif link.node in self._links:
            link.close("There is a connection already.")  # whoever says a name need not have it
        else:
            self._enter(link)

    def heard(self, link: Straight, octets: bytes) -> None:
        """Pass on a datagram."""
        self._heard(link.node, octets)

    def _enter(self, link: Straight) -> None:
        before, self._links[link.node] = self._links.get(link.node), link
        if before is not None:
            before.close("There is a newer connection.")
        self._reached(link.node, True)

    def _gone(self, link: Straight) -> None:
        self._strangers.discard(link)
        if self._links.get(link.node) is link:
            del self._links[link.node]
            self._reached(link.node, False)

    async def _dial(self, node: str, url: str) -> None:
        backoff = Backoff(LEAST_S, MOST_S)
        said = ""
        while True:
            try:
                await self._once(node, url)
                backoff.succeeded()
            except (ConnectionLostError, ConfigError) as exc:
                if str(exc) != said:
                    said = str(exc)
                    _log.info("Server %s is reached by NATS alone: %s", node, said)
            await asyncio.sleep(backoff.wait_s())

    async def _once(self, node: str, url: str) -> None:
        """Be connected until that is lost."""
        address = Address(url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}{PATH}")
        wire, _ = await connected(address, proxy_for(address), self._context(url), CONNECT_S, None)
        over = asyncio.Event()

        def gone(link: Straight) -> None:
            over.set()
            self._gone(link)

        try:
            link = Endpoint(wire.transport, wire.hold, is_client=True, kind=BINARY)
            straight = Straight(link, node, self, gone)
            link.say(self._names.node.encode())
            wire.carry(link)
            if not over.is_set():
                self._enter(straight)
                await over.wait()
        finally:
            wire.abort()
            await wire.gone(0)

    def _context(self, url: str) -> ssl.SSLContext | None:
        return client_context(self._ca, None, None) if url.startswith("wss://") else None


def _may_be(url: str) -> bool:
    """Return whether a URL may be that of a node, as it is set there."""
    try:
        check_node_url(url)
    except ConfigError:
        return False
    return True
