# SPDX-License-Identifier: Apache-2.0
"""The whole system in one process, over real TLS on loopback."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.certificates import Certificates
from tests.support.seal_way import HOST_SEAL, SEAL
from wsrc.card_client.agent import Agent
from wsrc.protocol.messages import CardInfo, CardState
from wsrc.readers.simulated import SimulatedSource
from wsrc.readers.simulation import Card, Faults, default_cards, make_card, parse_description
from wsrc.server.app import App, serve
from wsrc.server.connection import Connection
from wsrc.settings.load import CardClientSettings, ServerSettings
from wsrc.user_client.aio import Card as TakenCard, Client, Selecting

LIMIT_S = 60.0
"""How long anything here may take before the test fails."""

UICC = "8988211000000430010"
EUICC = "89882119900000000000000000007280"
PIN = bytes.fromhex("0020000108 31323334ffffffff")
ASK_PIN = bytes.fromhex("00200001")
READ_ICCID = (
    bytes.fromhex("00a4000c023f00"),
    bytes.fromhex("00a4000c022fe2"),
    bytes.fromhex("00b000000a"),
)


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until a condition holds; fail after a limit."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            holds = condition()
            if await holds if isinstance(holds, Awaitable) else holds:
                return
            await asyncio.sleep(0.01)


async def taken(selecting: Selecting) -> TakenCard:
    """Take a card, in a task of its own."""
    return await selecting


def uicc(iccid: str, faults: Faults | None = None) -> Card:
    """Make a UICC of this ICCID."""
    card = make_card(parse_description(f'kind = "uicc"\niccid = "{iccid}"', "test"))
    if faults is not None:
        card.faults = faults
    return card


class Served:
    """A server that runs, and where its ports are."""

    def __init__(self, app: App) -> None:
        self.app = app

    @property
    def user_url(self) -> str:
        return f"wss://localhost:{self.app.user_port}/user"

    @property
    def http_url(self) -> str:
        return f"http://localhost:{self.app.http_port}"

    @property
    def card_url(self) -> str:
        return f"wss://localhost:{self.app.card_port}/card"


class World(Served):
    """A server and what is connected to it; made by `running`."""

    def __init__(self, app: App, certificates: Certificates, stack: AsyncExitStack) -> None:
        super().__init__(app)
        self.seal, self.host_seal = SEAL, HOST_SEAL
        """What users and card hosts have as `seal`; None leaves it to the programs."""

        self._certificates = certificates
        self._stack = stack

    @property
    def ca(self) -> Path:
        return self._certificates.ca

    @property
    def in_flight(self) -> int:
        """Requests that card clients have not answered yet."""
        return self.app._peers.relay.in_flight

    @property
    def handshakes(self) -> int:
        """TLS handshakes that are under way."""
        assert self.app._door is not None
        return len(self.app._door.handshakes)

    @property
    def connections(self) -> list[Connection]:
        """All connections that were accepted and are not over."""
        assert self.app._door is not None
        return list(self.app._door.connections)

    @property
    def counts(self) -> dict[str, int]:
        return self.app.counts

    def all_seal(self, seal: str | None) -> None:
        """Have users and card hosts that connect from now on have this as `seal`."""
        self.seal = self.host_seal = seal

    async def host(
        self, cards: Sequence[Card] | None = None, name: str = "bench", **options: Any
    ) -> "Host":
        """Connect a card client with simulated cards, and wait until they are ready."""
        host = await self.host_without_waiting(cards, name, **options)
        await host.ready(self)
        return host

    async def host_without_waiting(
        self, cards: Sequence[Card] | None, name: str, **options: Any
    ) -> "Host":
        """Connect a card client some of whose cards will never be ready."""
        given = {"seal": self.host_seal} | options
        return await self._stack.enter_async_context(
            hosting(self.card_url, self._certificates, cards, name, **given)
        )

    async def user(self, name: str = "first", **settings: Any) -> Client:
        """Connect a user client."""
        return await self._stack.enter_async_context(self.client(name, **settings))

    def client(self, name: str = "second", **settings: Any) -> Client:
        """Make a user client that is not connected yet."""
        given = {"seal": self.seal} | settings
        return Client(self.user_url, ca=self._certificates.ca, name=name, **given)

    async def state_of(self, **filters: str) -> CardState | None:
        """Say what a card is doing, as a new user sees it."""
        cards = await self.cards(**filters)
        return cards[0].state if cards else None

    async def cards(self, **filters: Any) -> list[CardInfo]:
        async with self.client("looker-on") as client:
            return await client.list_cards(**filters)


class Host:
    """A card client of the world, in a task that can be ended."""

    def __init__(self, source: SimulatedSource, name: str, agent: Agent) -> None:
        self.source = source
        self.name = name
        self.agent = agent
        self.stop = asyncio.Event()

    async def ready(self, world: World) -> None:
        """Wait until every card that is in a reader was identified."""

        async def all_ready() -> bool:
            seen = [card for card in await world.cards() if card.host == self.name]
            ready = [card for card in seen if card.state is CardState.READY]
            return len(ready) == len(self.source.names)

        await until(all_ready)


@asynccontextmanager
async def hosting(
    url: str,
    certificates: Certificates,
    cards: Sequence[Card] | None,
    name: str,
    **options: Any,
) -> AsyncGenerator[Host]:
    """Run a card client for as long as the context lasts."""
    source = SimulatedSource(default_cards() if cards is None else cards)
    given: dict[str, Any] = {"ping_s": 5.0, "command_s": 10.0, "seal": HOST_SEAL} | options
    settings = CardClientSettings(
        server_url=url,
        tls_ca=certificates.ca,
        name=name,
        reconnect_min_s=0.02,
        reconnect_max_s=0.2,
        **given,
    )
    agent = Agent(settings, [source])
    host = Host(source, name, agent)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(agent.run(host.stop))
        try:
            yield host
        finally:
            host.stop.set()
            async with asyncio.timeout(LIMIT_S):
                await asyncio.wait([task])


@asynccontextmanager
async def running(certificates: Certificates, **settings: Any) -> AsyncGenerator[World]:
    """Run a server on free ports; everything that is connected to it ends with it."""
    chosen = {
        "user_port": 0,
        "card_port": 0,
        "http_port": 0,
        "ping_s": 5.0,
        "drain_s": 2.0,
    } | settings
    if not chosen.get("no_tls"):
        chosen |= {"tls_cert": certificates.cert, "tls_key": certificates.key}
    async with serve(ServerSettings(**chosen)) as app, AsyncExitStack() as stack:
        yield World(app, certificates, stack)
