# SPDX-License-Identifier: Apache-2.0
"""Three servers that share a state: what is made at one is in force wherever its card is."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.shared import Kept, is_up_to_date, keeping
from tests.support.world import World, hosting, running, uicc, until
from wsrc.card.slot import Pick
from wsrc.errors import ErrorCode, RefusedError

ONE, TWO = "8988211000000430010", "8988211000000430028"
SELECT_MF = bytes.fromhex("00A40004023F00")
NODES = ("a", "b", "c")


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    with keeping("nats", tmp_path) as kept:
        yield kept


@pytest.fixture
async def worlds(certificates: Certificates, kept: Kept) -> AsyncIterator[dict[str, World]]:
    async with AsyncExitStack() as stack:
        served = [
            await stack.enter_async_context(running(certificates, node_name=name, **kept.settings))
            for name in NODES
        ]
        worlds = dict(zip(NODES, served, strict=True))
        await until(lambda: all(_others(world) == 2 for world in served))
        yield worlds


def _others(world: World) -> int:
    return world.app._peers.relay.beside["nodes"]


async def test_tags_and_a_comment_go_with_the_card_to_another_server(
    worlds: dict[str, World], certificates: Certificates
) -> None:
    user = await worlds["c"].user()
    async with hosting(worlds["a"].card_url, certificates, [uicc(ONE)], "bench") as host:
        await host.ready(worlds["a"])
        await user.set_tags({"kind": "sgp22"}, iccid=ONE)
        await user.set_comment("in the drawer", iccid=ONE)
    async with hosting(worlds["b"].card_url, certificates, [uicc(ONE)], "elsewhere") as host:
        await host.ready(worlds["b"])
        (card,) = await user.list_cards(tags={"kind": "sgp22"})
        assert (card.host, card.comment) == ("elsewhere", "in the drawer")
        await user.set_tags({}, unset=("kind",), iccid=ONE)
    await until(lambda: not worlds["a"].app._peers.relay._state.kept_tags[f"iccid {ONE}"].tags)


async def test_a_reservation_is_kept_wherever_its_card_is_and_taken_from_anywhere(
    worlds: dict[str, World], certificates: Certificates
) -> None:
    a, b, c = (worlds[name] for name in NODES)
    ida, bob = await c.user("ida"), await b.user("bob")
    async with hosting(a.card_url, certificates, [uicc(ONE)], "bench") as host:
        await host.ready(a)
        made = await ida.reserve(3600, iccid=ONE)
        for user in (ida, bob, await a.user()):
            with pytest.raises(RefusedError, match="is reserved for another until"):
                await user.select(iccid=ONE)
        async with ida.select(reservation=made.token) as card:
            assert (await card.transmit(SELECT_MF)).sw
        async with bob.select(reservation=made.token) as card:
            assert (await card.transmit(SELECT_MF)).sw
    async with hosting(b.card_url, certificates, [uicc(ONE)], "elsewhere") as host:
        await host.ready(b)
        with pytest.raises(RefusedError, match="is reserved for another until"):
            await (await a.user()).select(iccid=ONE)
        async with ida.select(reservation=made.token, wait_s=30) as card:
            assert (await card.transmit(SELECT_MF)).sw
            assert card.info.host == "elsewhere"
        with pytest.raises(RefusedError, match="cards that may be reserved are reserved then"):
            await ida.reserve(60, pick=Pick.ANY)
        number = made.reservation.number
        (shown,) = await (await a.user()).reservations()
        assert shown.number == number
        assert await (await a.user()).cancel_reservation(number) == number
        async with bob.select(iccid=ONE, wait_s=30):
            assert await ida.reservations() == []


async def test_a_reservation_that_was_cancelled_at_another_server_frees_the_card(
    worlds: dict[str, World], certificates: Certificates
) -> None:
    a, b = worlds["a"], worlds["b"]
    async with hosting(a.card_url, certificates, [uicc(ONE)], "bench") as host:
        await host.ready(a)
        ida = await a.user("ida")
        made = await ida.reserve(3600, iccid=ONE)
        waits = (await a.user("bob")).select(iccid=ONE, wait_s=60)
        async with asyncio.TaskGroup() as tasks:
            taken = tasks.create_task(_took(waits))
            await until(lambda: a.counts["waiting"] == 1)
            await (await b.user()).cancel_reservation(made.reservation.number)
        assert taken.result()


async def _took(waits: object) -> bool:
    async with waits as card:  # type: ignore[attr-defined]  # a select
        return bool((await card.transmit(SELECT_MF)).sw)


async def test_a_server_that_loses_nats_says_so_refuses_to_write_and_catches_up(
    worlds: dict[str, World], certificates: Certificates, kept: Kept
) -> None:
    a, b = worlds["a"], worlds["b"]
    assert kept.nats is not None
    async with hosting(a.card_url, certificates, [uicc(ONE)], "bench") as host:
        await host.ready(a)
        ida = await a.user("ida")
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        made = await ida.reserve(60, iccid=ONE, begins=tomorrow)
        kept.nats.kill()
        await until(lambda: not is_up_to_date(a.app))
        assert a.app._site is not None
        notes = " ".join(a.app._site.notes())
        assert "what servers share may be out of date, and nothing of it can be changed" in notes
        assert a.app._site.figures().beside["shared"] == 0
        for change in (
            ida.set_tags({"k": "v"}, iccid=ONE),
            ida.reserve(60, iccid=ONE),
            ida.cancel_reservation(made.reservation.number),
        ):
            with pytest.raises(RefusedError, match="could not write it") as refused:
                await change
            assert refused.value.code is ErrorCode.NOT_KEPT
        async with ida.select(iccid=ONE) as card:
            assert (await card.transmit(SELECT_MF)).sw
        kept.nats.start()
        await until(lambda: is_up_to_date(a.app) and is_up_to_date(b.app))
        assert a.app._site.figures().beside["shared"] == 1
        await ida.set_tags({"k": "v"}, iccid=ONE)
        number = made.reservation.number
        assert await (await b.user()).cancel_reservation(number) == number


async def test_servers_with_other_policies_say_so(
    certificates: Certificates, kept: Kept, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = [tmp_path / f"{name}.toml" for name in NODES[:2]]
    for file in files:
        file.write_text('[[grant]]\nto = ["anyone"]\ncards = "*"\nmay = ["list"]\n')
    files[1].write_text(f"{files[1].read_text()}# another\n")
    async with AsyncExitStack() as stack:
        a, b = [
            await stack.enter_async_context(
                running(certificates, node_name=file.stem, policy=file, **kept.settings)
            )
            for file in files
        ]

        def differ(world: World) -> bool:
            assert world.app._site is not None
            return any("have another policy in force" in note for note in world.app._site.notes())

        await until(lambda: differ(a) and differ(b))
        files[1].write_text(files[0].read_text())
        b.app.reload()
        await until(lambda: not differ(a) and not differ(b))
    assert "Server b has another policy in force than this one" in caplog.text
