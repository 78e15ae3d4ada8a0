# SPDX-License-Identifier: Apache-2.0
"""A server, a card host and users that seal their sessions, in one process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.evil_relay import EvilRelay
from tests.support.pki import Pki
from tests.support.world import UICC, Host, World, running
from wsrc.protocol import messages as m
from wsrc.user_client.aio import Card, Client

HOST = "bench.example"
"""The card host, as its certificate has it."""

WRONG_PIN = bytes.fromhex("0020000108 39393939ffffffff")
"""Takes a try of the PIN each time that a card runs it."""

ASK_TRIES = bytes.fromhex("00200001")


class SealedWorld:
    """What a test of seals needs; made by `sealed`."""

    def __init__(self, world: World, pki: Pki) -> None:
        self.world = world
        self.pki = pki
        self.relay = EvilRelay(world)

    async def host(self, **options: Any) -> Host:
        """Connect a card host with a certificate of the CA."""
        pair = self.pki.host(HOST)
        given = {"seal": "preferred", "tls_cert": pair.cert, "tls_key": pair.key} | options
        return await self.world.host(**given)

    async def user(self, **options: Any) -> Client:
        """Connect a user who requires a seal by a card host of the CA."""
        return await self.world.user(**self._wanted(options))

    def client(self, **options: Any) -> Client:
        """Make such a user that is not connected yet."""
        return self.world.client(**self._wanted(options))

    def _wanted(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"seal": "required", "card_ca": self.pki.folder.ca} | options

    async def card(self, **options: Any) -> Card:
        """Select a card, as that user does."""
        return await (await self.user(**options)).select(iccid=UICC)

    def of(self, *kinds: type[m.Message]) -> list[m.Message]:
        """Return what the relay was told of these kinds."""
        return [message for message in self.relay.heard if isinstance(message, kinds)]


@asynccontextmanager
async def sealed(
    path: Path, pki: Pki | None = None, **settings: Any
) -> AsyncGenerator[SealedWorld]:
    """Run a server and what is connected to it, with certificates of its own unless given."""
    pki = pki or Pki(path / "pki")
    async with running(pki.server, **settings) as world:
        yield SealedWorld(world, pki)


async def tries(card: Card) -> int:
    """Return how many tries the PIN has left."""
    response = await card.transmit(ASK_TRIES)
    return response.sw & 0xF
