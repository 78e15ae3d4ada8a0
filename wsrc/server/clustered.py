# SPDX-License-Identifier: Apache-2.0
"""A server in its cluster: NATS tells the node what comes, and carries what the node says."""

import asyncio
import functools
import logging
import math
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from wsrc.cluster import items
from wsrc.cluster.effects import Ask, Flush, Publish, Reach, Straight, Subscribe, Unsubscribe
from wsrc.cluster.greeting import RUN_DIGITS, Me
from wsrc.cluster.joined import Joined
from wsrc.cluster.names import Names
from wsrc.cluster.nats import NatsCarrier, Place
from wsrc.cluster.neighbour import Neighbour
from wsrc.cluster.node import Node
from wsrc.cluster.roads import HERE_S
from wsrc.server.direct import Direct
from wsrc.server.node_files import NodeFiles
from wsrc.server.peers import Peers
from wsrc.server.relay_settings import given
from wsrc.server.shared_state import SharedState
from wsrc.settings.load import ServerSettings

_log = logging.getLogger(__name__)

JOIN_S, HEARD_S = 4.0, HERE_S + 0.2
"""How long a node waits for others before it serves, and how soon it has heard of each."""

_POLL_S = 0.02

FLUSH_S = 1.0
"""How long NATS may take to have what was published last, in seconds."""


def place_of(settings: ServerSettings) -> Place:
    """Return where NATS is, and how this server is known there."""
    return Place(
        settings.cluster_url,
        settings.cluster_ca,
        settings.cluster_cert,
        settings.cluster_key,
        settings.cluster_creds,
    )


class Clustered:
    """
    What a server needs to be a node.

    `node` is the relay of the server.

    Args:
        settings: Those of a server with `cluster_url`.

    Raises:
        ConfigError: If a file of the node cannot be read, or is not what it should be.
    """

    def __init__(self, settings: ServerSettings) -> None:
        names = Names(settings.cluster, settings.node_name)
        self.files = files = NodeFiles(settings)
        me = Me(
            name=names.node,
            cluster=names.cluster,
            run=secrets.token_hex(RUN_DIGITS // 2),
            features=items.FEATURES,
            credentials=files.credentials,
            new_nonce=lambda: secrets.token_bytes(32),
            epoch=lambda: datetime.now(UTC).timestamp(),
        )
        url = settings.node_url or ""
        joined = Joined(
            names, me.run, functools.partial(Neighbour, me), url, settings.public_host or ""
        )
        self.node = Node(joined, **given(settings))
        self.carrier = NatsCarrier(place_of(settings), names.node, names.inbox, self)
        self.carrier.check()
        self._loop = asyncio.get_running_loop()
        self.direct = Direct(names, settings.cluster_ca, self._heard_straight, self._reached)
        self._peers: Peers | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, peers: Peers, tasks: asyncio.TaskGroup) -> None:
        """Join the cluster; NATS may come later."""
        self._peers = peers
        peers.carry_with(self._carry)
        self.direct.start(tasks)
        peers.act(self.node.begin, self._loop.time())
        self._task = tasks.create_task(self.carrier.run(), name="cluster")

    def renewed(self) -> None:
        """Take note that the files of the node are others by now."""
        if self._peers is not None:
            self._peers.act(self.node.renewed, self._loop.time())

    async def joined(self) -> None:
        """
        Wait until there are roads to the nodes that are there, `JOIN_S` at most.

        Until then what they have would not be found. NATS says at once if nobody else is there.
        """
        begun = self._loop.time()
        connected_at = math.inf
        while (now := self._loop.time()) < begun + JOIN_S:
            if self.node.alone:
                _log.info("No other server of the cluster is there yet")
                return
            connected_at = min(connected_at, now) if self.carrier.connected else math.inf
            if now >= connected_at + HEARD_S and all(self.node.nodes.values()):
                return
            await asyncio.sleep(_POLL_S)

    def serve(self) -> None:
        """Tell other nodes that this one takes clients now."""
        if self._peers is not None:
            self._peers.act(self.node.serve, self._loop.time())

    async def stop(self) -> None:
        """Tell other nodes that this one goes, and leave."""
        if self._peers is not None:
            self._peers.act(self.node.leave, self._loop.time())
        self.direct.stop()
        if self._task is not None:
            await self.carrier.flush(FLUSH_S)
            self._task.cancel()
            await asyncio.wait([self._task])

    def agreement(self, shared: SharedState) -> Mapping[str, int]:
        """
        Return what is known of what servers share.

        `shared` is 1 while that is up to date. `other_policy` counts the servers that are there and
        have another policy in force.
        """
        there = [name for name, is_up in self.node.nodes.items() if is_up]
        differ = shared.with_another_policy(there)
        return {"shared": int(shared.up_to_date), "other_policy": len(differ)}

    # What the carrier says

    def heard(self, subject: str, octets: bytes) -> None:
        """Take what was published under a subject."""
        if self._peers is not None:
            self._peers.act(self.node.heard, subject, octets, self._loop.time())

    def nobody(self, number: int) -> None:
        """Take note that nobody subscribes what was asked."""
        if self._peers is not None:
            self._peers.act(self.node.nobody, number, self._loop.time())

    def connection(self, *, is_there: bool) -> None:
        """Take note that NATS is lost, or there again."""
        if self._peers is not None:
            self._peers.act(self.node.carried, self._loop.time(), is_there=is_there)

    def _flush(self) -> None:
        if self._peers is not None:
            self.carrier.hold()
            try:
                self._peers.act(self.node.flush, self._loop.time())
            finally:
                self.carrier.write_out()

    def _heard_straight(self, node: str, octets: bytes) -> None:
        if self._peers is not None:
            self._peers.act(self.node.heard_straight, node, octets, self._loop.time())

    def _reached(self, node: str, is_there: bool) -> None:
        way = "without NATS" if is_there else "by NATS alone"
        _log.info("Server %s is reached %s", node, way)
        if self._peers is not None:
            self._peers.act(self.node.reached, node, self._loop.time(), is_there=is_there)

    def _carry(self, what: object) -> None:
        """Do what the node asks of its carrier."""
        match what:
            case Publish():
                self.carrier.publish(what.subject, what.octets)
            case Flush():
                self._loop.call_soon(self._flush)
            case Straight():
                self.direct.send(what.node, what.octets)
            case Reach():
                self.direct.reach(what.node, what.url)
            case Ask():
                self.carrier.ask(what.subject, what.octets, what.number)
            case Subscribe():
                self.carrier.subscribe(what.subject)
            case Unsubscribe():
                self.carrier.unsubscribe(what.subject)
            case _:
                raise TypeError(f"{type(what).__name__} is nothing to carry")
