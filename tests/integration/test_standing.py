# SPDX-License-Identifier: Apache-2.0
"""What operators order is in the state of the server: after a restart, and when it is not."""

import asyncio
import json
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.state_file import full, locked
from tests.support.world import World, running, uicc
from wsrc.command_line.program import run
from wsrc.errors import ErrorCode, RefusedError
from wsrc.relay.effects import Uphold
from wsrc.relay.standing import HOST, Standing
from wsrc.server import state_keeper
from wsrc.server.state_store import FILE, StateStore
from wsrc.user_client.operating import Admin

ICCID = "8988211000000430010"
ADDRESS = "192.0.2.7"
BENCH = Standing(HOST, "bench", "bench", "boss", "a new rack")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


async def in_force(admin: Admin) -> set[str]:
    """Return who is banned, and which hosts are drained."""
    hosts = (await admin.peers()).drained
    return {each.who for each in await admin.bans()} | {each.host for each in hosts}


def test_orders_are_kept_in_their_order_and_without_an_end(folder: Path) -> None:
    ban = Standing("principal", "eve", "eve", "boss", "", 1e9)
    later = Standing("principal", "eve", "eve", "boss", "again", 2e9)
    with StateStore(folder) as store:
        store.uphold([Uphold(1, ban), Uphold(2, BENCH), Uphold(3, later)])
        assert store.orders() == (BENCH, later)
        assert store.orders()[0].until == math.inf
        store.uphold([Uphold(4, BENCH), Uphold(5, BENCH, drops=True)])
        assert store.orders() == (later,)


async def test_bans_and_drained_hosts_stand_after_a_restart(
    certificates: Certificates, folder: Path
) -> None:
    async with running(certificates, state_dir=folder) as world:
        await world.host([uicc(ICCID)])
        boss = await world.user("boss")
        assert not (folder / FILE).exists()
        ban = await boss.admin.ban(ADDRESS, for_s=60, why="a loop")
        await boss.admin.ban("eve", for_s=60)
        await boss.admin.unban("eve")
        assert await boss.admin.drain("bench", why="a new rack") == 0
    async with running(certificates, state_dir=folder) as world:
        boss = await world.user("boss")
        assert await boss.admin.bans() == [ban]
        assert await in_force(boss.admin) == {ADDRESS, "bench"}
        await world.host([uicc(ICCID)])
        with pytest.raises(RefusedError, match=r"drained \(a new rack\)"):
            await boss.select(iccid=ICCID)
        await boss.admin.undrain("bench")
        async with boss.select(iccid=ICCID):
            pass
    with StateStore(folder) as store:
        assert [each.who for each in store.orders()] == [ADDRESS]


@pytest.mark.parametrize("trouble", [locked, full])
async def test_what_cannot_be_written_is_in_force_and_said(
    certificates: Certificates,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[Path], AbstractContextManager[None]],
) -> None:
    monkeypatch.setattr(state_keeper, "LOCK_S", 0.1)
    with StateStore(folder) as store:
        store.uphold([Uphold(0, BENCH)])
    async with running(certificates, state_dir=folder) as world:
        boss = await world.user("boss")
        with trouble(folder):
            for asked in (boss.admin.ban(ADDRESS), boss.admin.undrain("bench")):
                with pytest.raises(RefusedError, match="until the server is started") as refused:
                    await asked
                assert refused.value.code is ErrorCode.NOT_KEPT
                assert str(folder) not in str(refused.value)
            assert await in_force(boss.admin) == {ADDRESS}
        await boss.admin.ban("eve")
        assert await in_force(boss.admin) == {ADDRESS, "eve"}
    async with running(certificates, state_dir=folder) as world:
        boss = await world.user("boss")
        assert await in_force(boss.admin) == {"bench", "eve"}


async def test_orders_of_a_state_that_may_only_be_read_are_in_force(
    certificates: Certificates, folder: Path
) -> None:
    with StateStore(folder) as store:
        store.uphold([Uphold(0, BENCH)])
    async with running(certificates, state_dir=folder) as world:
        keeper = world.app._state
        assert keeper is not None
        await keeper._do(lambda: keeper._ordered()._database.execute("PRAGMA query_only = 1"))
        boss = await world.user("boss")
        assert await in_force(boss.admin) == {"bench"}
        with pytest.raises(RefusedError, match=r"^The cards of bench can be had until"):
            await boss.admin.undrain("bench")
        assert await in_force(boss.admin) == set()


async def test_who_is_drained_is_shown_though_it_is_not_there(
    certificates: Certificates, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with StateStore(folder) as store:
        store.uphold([Uphold(0, BENCH)])
    async with running(certificates, state_dir=folder) as world:
        await wsrc(world, "admin", "peers")
        assert "Card host bench is drained by boss: a new rack.\n" in capsys.readouterr().err
        await wsrc(world, "admin", "peers", "--json")
        (drained,) = json.loads(capsys.readouterr().out)["drained"]
        assert drained == {"host": "bench", "by": "boss", "why": "a new rack"}


async def wsrc(world: World, *arguments: str) -> None:
    options = ["--server-url", world.user_url, "--tls-ca", str(world.ca)]
    assert await asyncio.to_thread(run, [*options, *arguments]) == 0
