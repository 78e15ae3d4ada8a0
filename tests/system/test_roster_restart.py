# SPDX-License-Identifier: Apache-2.0
"""The roster: cards of a server that is restarted, whose card hosts are late."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest

from certs.make_certs import Certificates
from tests.support.world import LIMIT_S, UICC, World, running, until
from wsrc.bridges.remote import roster as module
from wsrc.bridges.remote.roster import FollowingClient, Roster
from wsrc.readers.simulation import default_cards

SELECT_MF = bytes.fromhex("00a4000c023f00")


def followers(world: World) -> Callable[[], FollowingClient]:
    return functools.partial(FollowingClient, world.user_url, ca=world.ca, keep_s=LIMIT_S)


@asynccontextmanager
async def restarted(
    certificates: Certificates, notes: list[str]
) -> AsyncGenerator[tuple[World, Roster]]:
    """Return a server that was restarted, and a roster that knew a card before."""
    async with running(certificates) as former:
        port = former.app.user_port
        await former.host(default_cards()[:1])
        roster = Roster(followers(former), {}, notes.append)
        try:
            await asyncio.to_thread(roster.open)
            assert len(roster.cards) == 1
            await former.app.stop()
            async with running(certificates, user_port=port) as world:
                await until(lambda: any("Connected" in note for note in notes))
                yield world, roster
                await asyncio.to_thread(roster.close)
        finally:
            await asyncio.to_thread(roster.close)


async def test_a_card_is_there_though_its_host_is_late(certificates: Certificates) -> None:
    notes: list[str] = []
    async with restarted(certificates, notes) as (world, roster):
        [card] = roster.cards
        version = roster.version
        async with asyncio.TaskGroup() as tasks:
            taking = tasks.create_task(asyncio.to_thread(roster.take, card))
            await until(lambda: world.app.counts["waiting"] == 1)
            assert (roster.cards, roster.version) == ([card], version)
            await world.host_without_waiting(default_cards()[:1], "bench")
        taken = taking.result()
        assert (await asyncio.to_thread(taken.transmit, SELECT_MF)).sw == 0x9000
        assert [each.identities.iccid for each in roster.cards] == [UICC]
        await asyncio.to_thread(taken.detach)


async def test_a_card_that_does_not_come_back_goes(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETURN_S", 0.2)
    async with restarted(certificates, []) as (_, roster):
        await until(lambda: not roster.cards)
        assert roster.fault is None
