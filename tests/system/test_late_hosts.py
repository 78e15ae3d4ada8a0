# SPDX-License-Identifier: Apache-2.0
"""Remote cards as readers at a server that is restarted, whose card hosts are late."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.world import LIMIT_S, UICC, World, running, until
from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote import cards as module
from wsrc.bridges.remote.cards import RemoteCards, clients
from wsrc.readers.simulation import default_cards
from wsrc.settings.load import UserSettings

SELECT_MF = bytes.fromhex("00a4000c023f00")

Reports = list[list[Seen]]


@asynccontextmanager
async def restarted(
    certificates: Certificates,
) -> AsyncGenerator[tuple[World, RemoteCards, Reports]]:
    """Return a server that was restarted, remote cards of which one was there, and the reports."""
    notes: list[str] = []
    reports: Reports = []
    async with AsyncExitStack() as stack, running(certificates) as former:
        port = former.app.user_port
        await former.host(default_cards()[:1])
        settings = UserSettings(server_url=former.user_url, tls_ca=Path(former.ca), keep_s=LIMIT_S)
        cards = RemoteCards(clients(settings), [], notes.append)
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        watching = tasks.create_task(cards.run(lambda seen: reports.append(list(seen))))
        stack.callback(watching.cancel)
        await cards.begun()
        [place] = cards.places
        assert place.seen.present
        await former.app.stop()
        async with running(certificates, user_port=port) as world:
            await until(lambda: "The server is there again." in notes)
            await until(lambda: place.seen.unavailable)
            yield world, cards, reports
            watching.cancel()


async def test_a_card_is_awaited_though_its_host_is_late(certificates: Certificates) -> None:
    async with restarted(certificates) as (world, cards, reports):
        [place] = cards.places
        assert place.returning
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(cards.open(place.seen.name))
            await until(lambda: world.app.counts["waiting"] == 1)
            assert ([*cards.places], place.returning) == ([place], True)
            await world.host_without_waiting(default_cards()[:1], "bench")
        taken = taking.result()
        assert (await taken.transmit(SELECT_MF))[-2:] == b"\x90\x00"
        assert [each.card.identities.iccid for each in cards.places] == [UICC]
        assert not place.returning
        await taken.close()
        assert all(each.present or each.unavailable for seen in reports for each in seen), reports


async def test_a_card_that_does_not_come_back_is_given_up(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETURN_S", 0.2)
    async with restarted(certificates) as (_, cards, _):
        [place] = cards.places
        await until(lambda: not place.returning)
        assert place.seen.unavailable
        assert cards.trouble is None
