# SPDX-License-Identifier: Apache-2.0
"""A user client with a card, and a server that cuts its connections and says what it is told."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed

from tests.support.scripted_server import HELLO_ACK, LIMIT_S, Peer, card, scripted
from wsrc.user_client.aio import Card, Client

READ = bytes.fromhex("00b0000000")
SELECT = bytes.fromhex("00a40000023f00")
GET_RESPONSE = bytes.fromhex("00c0000004")
SHORT_S = 0.2
"""A limit that a test waits for."""


class Wire:
    """The connections of one client; `shut` breaks those that it makes."""

    def __init__(self) -> None:
        self.shut = False
        self.broken = 0
        self.over = asyncio.Event()
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()

    async def serve(self, peer: Peer) -> None:
        """Greet a connection, and keep it until the test is over."""
        with contextlib.suppress(ConnectionClosed):
            if self.shut:
                self.broken += 1
                peer.abort()
                return
            await peer.hear("hello")
            await peer.say(**HELLO_ACK)
            self._peers.put_nowait(peer)
            await self.over.wait()

    async def next(self) -> Peer:
        """Return the next connection."""
        async with asyncio.timeout(LIMIT_S):
            return await self._peers.get()

    @property
    def silent(self) -> bool:
        """Whether the client has made no other connection."""
        return self._peers.empty()


class Scene(NamedTuple):
    """A client with a card, and where it is connected."""

    wire: Wire
    client: Client
    peer: Peer
    card: Card
    asked: dict[str, Any]


@asynccontextmanager
async def wired(**settings: Any) -> AsyncGenerator[tuple[Wire, Client, Peer]]:
    wire = Wire()
    async with scripted(wire.serve, greet=False) as url:
        try:
            async with Client(url, **settings) as client:
                yield wire, client, await wire.next()
        finally:
            wire.over.set()


@asynccontextmanager
async def holding(
    granted_s: float = 30.0, *, raw_tpdu: bool = False, **settings: Any
) -> AsyncGenerator[Scene]:
    async with wired(**settings) as (wire, client, peer), asyncio.TaskGroup() as tasks:
        select = client.select(any="x", raw_tpdu=raw_tpdu).__aenter__()
        selecting = tasks.create_task(select)
        asked = await peer.hear("select_card")
        await grant(peer, asked, granted_s)
        yield Scene(wire, client, peer, await selecting, asked)


async def grant(peer: Peer, asked: dict[str, Any], keep_s: float) -> None:
    fields = {"session": "s1", "keep_s": keep_s, "card": card()}
    await peer.say("select_card_ack", id=asked["id"], identities=card()["identities"], **fields)


async def resumed(wire: Wire, seq: int, **fields: Any) -> tuple[Peer, dict[str, Any]]:
    """Take the next connection, and answer its resume."""
    peer = await wire.next()
    asked = await peer.hear("resume")
    await peer.say("resumed", id=asked["id"], session="s1", seq=seq, **fields)
    return peer, asked


def r_apdu(command: dict[str, Any], response: str = "", sw: str = "9000") -> dict[str, Any]:
    """Make the answer of a card client to a command."""
    ids = {key: command[key] for key in ("id", "session", "seq")}
    return {"msg_type": "r_apdu", **ids, "response": response, "sw": sw}


def begin(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coroutine)


async def ended(task: asyncio.Task[Any]) -> Any:
    """Wait for a task, for no longer than a test may take."""
    async with asyncio.timeout(LIMIT_S):
        return await task
