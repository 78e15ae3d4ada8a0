# SPDX-License-Identifier: Apache-2.0
"""Simulated cards in the hands of a card client of the first form."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.support import first_form
from tests.support.certificates import Certificates
from tests.support.world import World, until
from wsrc.card.slot import ResetKind
from wsrc.card.tpdu import exchange
from wsrc.readers.simulation import Card


class Bench:
    """A simulated card in the hands of a first-form card client, which does T=0 itself."""

    def __init__(self, card: Card) -> None:
        self.card = card
        card.power_on()

    def transmit(self, command: bytes) -> bytes:
        return exchange(command, self.card.transmit)

    def reset(self) -> bytes:
        return self.card.reset(ResetKind.COLD)


@asynccontextmanager
async def benched(
    world: World, certificates: Certificates, card: Card
) -> AsyncGenerator[first_form.CardClient]:
    """Connect a card client with a card, and wait until it is identified."""
    bench = Bench(card)
    async with first_form.card_client(
        world.card_url, certificates.ca, bench.transmit, bench.reset
    ) as client:
        await until(lambda: client.states == ["ready"])
        yield client
