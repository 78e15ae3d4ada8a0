# SPDX-License-Identifier: Apache-2.0
"""A server of a cluster that ends hands its peers over to another (issue 16, 4)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.certificates import Certificates, make
from tests.support.nats import nats_server, until_logged
from tests.support.ports import free_port
from tests.support.world import LIMIT_S, PIN, UICC, World, hosting, running, uicc
from wsrc.user_client.aio import Card, Client

FIRST, SECOND = "127.0.0.1", "127.0.0.2"
ASK_PIN = bytes.fromhex("00200001")


class Pair(NamedTuple):
    """A server that clients are told of, which can be ended and begun again, and another."""

    first: World
    second: World
    end_first: AsyncExitStack
    begin_first: Callable[[], AbstractAsyncContextManager[World]]


@asynccontextmanager
async def pair(
    certificates: Certificates, folder: Path, others: Certificates | None = None
) -> AsyncGenerator[Pair]:
    """Run two servers at the same ports; the second may show other certificates."""
    ports = {"user_port": free_port(), "card_port": free_port()}
    async with AsyncExitStack() as stack, AsyncExitStack() as ends:
        nats = stack.enter_context(nats_server(folder / "nats"))

        def node(name: str, host: str, shown: Certificates) -> AbstractAsyncContextManager[World]:
            given: dict[str, Any] = {"cluster_url": (nats.url,), "node_name": name}
            given |= {"state_dir": folder / name, "host": host, "public_host": host}
            given |= {"reconnect_in_s": 3600.0}  # for who comes back to the same server alone
            return running(shown, **given, **ports)

        def first() -> AbstractAsyncContextManager[World]:
            return node("a", FIRST, certificates)

        second = await stack.enter_async_context(node("b", SECOND, others or certificates))
        yield Pair(await ends.enter_async_context(first()), second, ends, first)


@asynccontextmanager
async def holding(both: Pair, certificates: Certificates) -> AsyncGenerator[Card]:
    """Have a card with the first server, and its PIN verified."""
    cards, seal = [uicc(UICC)], {"seal": "preferred"}
    url, given = both.first.user_url, {"ca": certificates.ca, "keep_s": 300.0, **seal}
    async with (
        hosting(both.first.card_url, certificates, cards, "bench", **seal),
        Client(url, **given) as client,  # type: ignore[arg-type]  # fields by name
    ):
        card = await client.select(iccid=UICC, wait_s=10)
        assert (await card.transmit(PIN)).sw == 0x9000
        yield card


async def test_sessions_go_on_with_the_other_server(
    certificates: Certificates, tmp_path: Path
) -> None:
    """Nobody listens any more where the URL of the clients leads."""
    async with pair(certificates, tmp_path) as both, holding(both, certificates) as card:
        await both.end_first.aclose()
        async with asyncio.timeout(LIMIT_S):
            assert (await card.transmit(ASK_PIN)).sw == 0x9000
        assert both.second.counts["peers"] == 2


async def test_nobody_goes_to_a_server_that_does_not_show_the_name_of_the_url(
    certificates: Certificates, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """So a node that lies sends clients to nobody who could not be it as well."""
    caplog.set_level(logging.INFO)
    others = make(tmp_path / "others")
    async with pair(certificates, tmp_path, others) as both, holding(both, certificates) as card:
        await both.end_first.aclose()
        await until_logged(caplog, f"at {SECOND}, where a server that ended has sent us, ")
        async with both.begin_first():
            assert (await card.transmit(ASK_PIN)).sw == 0x9000
        assert both.second.app._door is not None
        assert not both.second.app._door.accepted
