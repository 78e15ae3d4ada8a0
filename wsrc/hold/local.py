# SPDX-License-Identifier: Apache-2.0
"""
The card that is held, offered to programs of its user by a server on loopback.

It is the server and the card client that there are, in one process with the client that has the
card: tokens let in, a folder has all that is kept, and nothing of it outlives the block.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from wsrc.card_client.agent import Agent
from wsrc.errors import ConnectionLostError
from wsrc.hold.folder import CARD_TOKEN, TOKEN, Folder
from wsrc.hold.reader import HeldSource
from wsrc.principal import is_name
from wsrc.process.loop import ungrouped
from wsrc.protocol.messages import ClientType
from wsrc.server.app import serve
from wsrc.server.token_store import TokenStore
from wsrc.settings.clients import TagTable
from wsrc.settings.held import HeldFile, HeldHostSettings
from wsrc.settings.load import ServerSettings, UserSettings
from wsrc.tags import DERIVED
from wsrc.user_client.aio import Card

LOOPBACK = "127.0.0.1"

SHOWN_S = 10.0
"""How long it may take until programs find the card."""

EXTRA_S = 60.0
"""How much longer than our own client those on loopback wait for an answer."""

_LOOK_S = 0.01

_QUIET = ("wsrc.server", "wsrc.card_client", "wsrc.relay", "asyncio")
"""What says nothing to the person at the terminal: they hear of the card, not of how it is had."""


@asynccontextmanager
async def offered(
    card: Card, source: HeldSource, settings: UserSettings, folder: Folder
) -> AsyncGenerator[HeldFile]:
    """
    Offer a card in the block, and give what its programs are told.

    Raises:
        ConfigError: If no server can be had on loopback.
    """
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    limit_s = settings.timeout_s + settings.keep_s + EXTRA_S
    whose = {ClientType.USER: settings.name, ClientType.CARD: _host_name(card)}
    tokens = _tokens(folder, whose)
    async with serve(_server(folder.path, limit_s)) as app:
        url = f"ws://{LOOPBACK}:{app.card_port}/card"
        agent = Agent(_host(card, source, url, tokens[ClientType.CARD], limit_s), [source])
        async with _served(agent):
            await _shown(lambda: app.counts.get("cards", 0))
            yield HeldFile(
                server_url=f"ws://{LOOPBACK}:{app.user_port}/user",
                token_file=str(tokens[ClientType.USER]),
                control=str(folder.control),
                reader=source.name,
                sealed=card.sealed,
                card=card.info.label or card.info.identities.iccid or source.name,
            )


@asynccontextmanager
async def _served(agent: Agent) -> AsyncGenerator[None]:
    """Run a card client in the block; raise what the block raises, not a group of it."""
    stop = asyncio.Event()
    with ungrouped():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(agent.run(stop), name="card client")
            try:
                yield
            finally:
                stop.set()


async def _shown(cards: Callable[[], int]) -> None:
    """Wait until there is a card."""
    until = time.monotonic() + SHOWN_S
    while not cards():
        if time.monotonic() > until:
            raise ConnectionLostError("The card could not be offered on loopback.")
        await asyncio.sleep(_LOOK_S)


def _host_name(card: Card) -> str:
    """Return what the host of the card is called, as it is to be called on loopback."""
    host = card.info.host or ""
    return host if is_name(host) else "card host"


def _tokens(folder: Folder, whose: Mapping[ClientType, str]) -> dict[ClientType, Path]:
    """Make a token for each side, in files that only their user may read."""
    now, files = (
        datetime.now(UTC).timestamp(),
        {ClientType.USER: TOKEN, ClientType.CARD: CARD_TOKEN},
    )
    with TokenStore(folder.path) as store:
        return {
            role: folder.keep(name, store.add(whose[role], role, now, None))
            for role, name in files.items()
        }


def _server(folder: Path, limit_s: float) -> ServerSettings:
    return ServerSettings(
        host=LOOPBACK,
        user_port=0,
        card_port=0,
        no_http=True,
        no_tls=True,
        tokens=True,
        state_dir=folder,
        name="wsrc take",
        command_s=limit_s,
        lease_idle_s=0.0,
        drain_s=0.5,
    )


def _host(
    card: Card, source: HeldSource, url: str, token_file: Path, limit_s: float
) -> HeldHostSettings:
    info = card.info
    tags = {key: value for key, value in (info.tags or {}).items() if key not in DERIVED}
    return HeldHostSettings(
        server_url=url,
        token_file=token_file,
        name=_host_name(card),
        seal="off",
        pcsc=False,
        guard_profile=("full",),
        command_s=limit_s,
        read_ahead_s=0.0,
        reconnect_min_s=0.05,
        reconnect_max_s=1.0,
        labels={source.name: info.label} if info.label else {},
        tags=(TagTable(cards="*", set=tags),) if tags else (),
    )
