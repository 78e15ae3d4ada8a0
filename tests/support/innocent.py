# SPDX-License-Identifier: Apache-2.0
"""A session that must not notice what others do, and peers that come from other addresses."""

import re
import socket
import ssl
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.world import ASK_PIN, PIN, World, uicc
from wsrc.server.door import Door
from wsrc.user_client.aio import Card

THEIRS = "8988211999000000027"

ATTACKER, ANOTHER = "127.0.0.2", "127.0.0.3"
"""Addresses of loopback, from which nobody else comes."""


class Innocent:
    """A user with a card whose PIN is verified."""

    def __init__(self, world: World, card: Card) -> None:
        self._world = world
        self._card = card

    async def works(self) -> None:
        """Use the card as it was left."""
        assert (await self._card.transmit(ASK_PIN)).sw == 0x9000

    async def others_get_in(self) -> None:
        """Have somebody connect who was not there, and see the card."""
        cards = await self._world.cards()
        assert "innocent" in {card.host for card in cards}


@asynccontextmanager
async def innocent(world: World) -> AsyncGenerator[Innocent]:
    """Connect one, who has the card in the same state at the end."""
    await world.host([uicc(THEIRS)], "innocent")
    client = await world.user("innocent")
    async with client.select(iccid=THEIRS) as card:
        assert (await card.transmit(PIN)).sw == 0x9000
        one = Innocent(world, card)
        await one.works()
        yield one
        await one.works()


def door_of(world: World) -> Door:
    """Return where connections come in."""
    assert world.app._door is not None
    return world.app._door


def half_open(world: World) -> int:
    """Return how many connections are no WebSockets yet."""
    door = door_of(world)
    return len(door.connections) - door.websockets


@contextmanager
def attackers(
    port: int, count: int, octets: bytes = b"", source: str = ATTACKER
) -> Iterator[list[socket.socket]]:
    """Connect so many times from an address, and send something that is no whole request."""
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket()
            made.append(one)
            one.bind((source, 0))
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(("127.0.0.1", port))
            if octets:
                one.setblocking(True)
                with suppress(ConnectionError):
                    one.sendall(octets)
        yield made
    finally:
        for one in made:
            one.close()


def client_hello() -> bytes:
    """Return what a client begins TLS with."""
    sent = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()


def tls_to(port: int, ca: Path, source: str = ATTACKER) -> ssl.SSLSocket:
    """Connect with TLS from an address; a call of this waits."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
    return ssl.create_default_context(cafile=str(ca)).wrap_socket(raw, server_hostname="localhost")


def told(caplog: pytest.LogCaptureFixture, pattern: str) -> tuple[int, int]:
    """Return how many lines of a log have a pattern, and how often it happened by these lines."""
    lines = [text for text in caplog.messages if re.search(pattern, text)]
    more = [re.search(r"\((\d+) more like it since", line) for line in lines]
    return len(lines), sum(int(each[1]) if each else 1 for each in more)
