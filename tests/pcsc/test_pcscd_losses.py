# SPDX-License-Identifier: Apache-2.0
"""The socket with the whole system behind it: what the reader is asked, others' use, losses."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.programs.wire_client import SUCCESS, Line
from tests.support.pcsc.socket_programs import (
    ASK_PIN,
    DATA_LOST,
    MF,
    OUT_OF_REACH,
    RESET,
    UNAVAILABLE,
    VERIFY,
    VIOLATION,
    Programs,
    programs_of,
    slow_card,
)
from tests.support.world import UICC, World, hosting, running, until
from wsrc.card.slot import Share
from wsrc.readers.simulated_connection import ECHO_CONTROL
from wsrc.readers.simulation import default_cards
from wsrc.user_client.naming import Filters

REMOVED, UNSUPPORTED = 0x80100069, 0x8010001F
ECHO, FEATURES = 0x42000000 + ECHO_CONTROL, 0x42000D48
SERIAL, SUPPRESS = 0x00010103, 0x7FFF0007
DIRECT = 3


@pytest.fixture
async def world(certificates: Certificates) -> AsyncIterator[World]:
    async with running(certificates) as world:
        yield world


@pytest.fixture
async def programs(world: World, tmp_path: Path) -> AsyncIterator[Programs]:
    await world.host()
    async with programs_of(world.client, tmp_path / "socket", [Filters(iccid=UICC)]) as programs:
        await programs.shown.begun()
        yield programs


async def test_questions_reach_the_reader_and_cost_a_round_trip_each(programs: Programs) -> None:
    line = await programs.line()
    card = await programs.card(line)
    before = programs.asked
    for octets in (b"", b"hello", bytes(264)):
        assert await programs.do(lambda o=octets: line.control(card, ECHO, o)) == (SUCCESS, octets)
    assert programs.asked == before + 3
    code, serial = await programs.do(lambda: line.attribute(card, SERIAL))
    assert code == SUCCESS
    assert len(serial) == 8
    assert await programs.do(lambda: line.attribute(card, SUPPRESS, 0x10)) == (SUCCESS, b"\0" * 264)
    assert (await programs.do(lambda: line.attribute(card, SUPPRESS)))[1] == b"\0" * 264
    assert programs.asked == before + 6
    assert (await programs.do(lambda: line.attribute(card, 0x00020110)))[0] == UNSUPPORTED
    assert (await programs.do(lambda: line.control(card, 0x42000001)))[0] == UNSUPPORTED
    assert programs.asked == before + 8


async def test_features_cost_no_round_trip_while_the_card_is_ours(programs: Programs) -> None:
    line = await programs.line()
    direct = await programs.do(lambda: line.connect(f"WSRC {UICC} 00 00", DIRECT, 0))
    before = programs.asked
    assert await programs.do(lambda: line.control(direct[1], FEATURES)) == (SUCCESS, b"")
    assert programs.asked == before
    card = await programs.card(line)
    before = programs.asked
    for _ in range(5):
        assert await programs.do(lambda: line.control(card, FEATURES)) == (SUCCESS, b"")
    assert programs.asked == before


async def test_reader_alone_is_given_back_after_each_question(
    world: World, programs: Programs
) -> None:
    line = await programs.line()
    code, card, _ = await programs.do(lambda: line.connect(f"WSRC {UICC} 00 00", DIRECT, 0))
    assert code == SUCCESS
    for _ in range(3):
        assert await programs.do(lambda: line.control(card, ECHO, b"1")) == (SUCCESS, b"1")
    other = await world.user("first")
    async with other.select(iccid=UICC, wait_s=10):
        assert await programs.do(lambda: line.control(card, ECHO, b"1")) == (VIOLATION, b"")
        assert (await programs.do(lambda: line.attribute(card, SERIAL)))[0] == VIOLATION
        assert await programs.do(lambda: line.status(card)) == SUCCESS
    shared = await programs.card(line)
    assert await programs.transmit(line, shared, MF) == "6127"


async def test_use_by_others_is_shown_as_it_comes_and_goes(
    world: World, programs: Programs
) -> None:
    line = await programs.line()
    other, another = await world.user("first"), await world.user("third")
    card = await other.select(iccid=UICC)
    await programs.shows(line, lambda rs: rs[0].sharing == -1)
    await card.detach()
    await programs.shows(line, lambda rs: rs[0].sharing == 0)
    card = await other.select(iccid=UICC, share=Share.SHARED)
    await programs.shows(line, lambda rs: rs[0].sharing == 1)
    async with another.select(iccid=UICC, share=Share.SHARED):
        await programs.shows(line, lambda rs: rs[0].sharing == 2)
        readers = await programs.readers(line)
        assert (await programs.do(lambda: line.connect(readers[0].name)))[0] == VIOLATION
    await programs.shows(line, lambda rs: rs[0].sharing == 1)
    await card.detach()
    await programs.shows(line, lambda rs: rs[0].sharing == 0)


async def test_own_use_is_not_shown_as_that_of_others(programs: Programs) -> None:
    line, watcher = await programs.line(), await programs.line()
    seen: list[int] = []
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            seen.append((await programs.readers(watcher))[0].sharing)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        for _ in range(3):
            card = await programs.card(line)
            assert await programs.transmit(line, card, MF) == "6127"
            assert await programs.do(lambda card=card: line.disconnect(card)) == SUCCESS
            await asyncio.sleep(0.5)  # longer than the card is kept for a program that comes back
        done.set()
    assert set(seen) == {0, 1}


async def test_lease_that_ends_is_seen_without_a_command(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with running(certificates, lease_idle_s=0.5) as world:
        await world.host()
        async with programs_of(world.client, tmp_path / "socket") as programs:
            await programs.shown.begun()
            line, watcher = await programs.line(), await programs.line()
            card = await programs.card(line)
            before = programs.asked
            await programs.shows(watcher, lambda rs: rs[0].state == 0x34)
            await programs.do(watcher.begin_wait)
            assert await programs.do(lambda: watcher.event(20)) == SUCCESS

            async def is_told() -> bool:
                return await programs.do(lambda: line.status(card)) == RESET

            await until(is_told)
            assert programs.asked == before
            assert await programs.do(lambda: line.begin(card)) == RESET


async def test_card_host_that_vanishes_is_seen_without_a_command(
    world: World, certificates: Certificates, tmp_path: Path
) -> None:
    async with programs_of(world.client, tmp_path / "socket") as programs:
        line, watcher = await programs.line(), await programs.line()
        told: set[int] = set()
        async with hosting(world.card_url, certificates, [default_cards()[0]], "bench"):
            await programs.shows(watcher, lambda rs: len(rs) == 1 and rs[0].state == 4)
            card = await programs.card(line)
        while UNAVAILABLE not in told:
            told.add(await programs.do(lambda: line.status(card)))
        assert told <= {SUCCESS, UNAVAILABLE}
        [gone] = await programs.readers(watcher)
        assert (gone.state, gone.atr) == (OUT_OF_REACH, b"")
        for ask in (line.begin, line.end, line.reconnect):
            assert await programs.do(lambda ask=ask: ask(card)) == UNAVAILABLE
        assert (await programs.do(lambda: line.control(card, ECHO)))[0] == UNAVAILABLE
        assert (await programs.do(lambda: line.connect(gone.name, DIRECT, 0)))[0] == UNAVAILABLE


async def test_reader_that_is_unplugged_is_out_of_reach_and_a_card_that_is_taken_out_is_not(
    world: World, tmp_path: Path
) -> None:
    host = await world.host(default_cards()[:1])
    [name] = host.source.names
    async with programs_of(world.client, tmp_path / "socket") as programs:
        line = await programs.line()
        await programs.shows(line, lambda rs: len(rs) == 1 and rs[0].state == 4)
        card = await programs.card(line)
        taken = host.source.remove(name)
        await programs.shows(line, lambda rs: rs[0].state == 2)
        assert await programs.do(lambda: line.status(card)) == REMOVED
        host.source.insert(name, taken)
        await programs.shows(line, lambda rs: rs[0].state == 4)
        assert await programs.do(lambda: line.reconnect(card)) == SUCCESS
        host.source.unplug(name)
        await programs.shows(line, lambda rs: rs[0].state == OUT_OF_REACH)
        assert await programs.do(lambda: line.status(card)) == UNAVAILABLE


async def test_card_host_that_vanishes_while_the_card_works_leaves_the_outcome_unknown(
    world: World, certificates: Certificates, tmp_path: Path
) -> None:
    card = slow_card(30.0)
    async with programs_of(world.client, tmp_path / "socket") as programs, asyncio.TaskGroup() as g:
        line = await programs.line()
        async with hosting(world.card_url, certificates, [card], "bench") as host:
            await programs.shows(line, lambda rs: len(rs) == 1 and rs[0].state == 4)
            handle = await programs.card(line)
            pending = g.create_task(programs.transmit(line, handle, VERIFY))
            await until(card.struck.is_set)
            host.stop.set()
            card.power_off()
            assert await pending in {hex(DATA_LOST), hex(UNAVAILABLE)}
        await programs.shows(line, lambda rs: rs[0].state == OUT_OF_REACH)
        assert await programs.do(lambda: line.status(handle)) == UNAVAILABLE


async def test_another_user_takes_the_card_after_our_lease_ended(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with running(certificates, lease_idle_s=0.5) as world:
        await world.host(default_cards()[:1])
        async with programs_of(world.client, tmp_path / "socket") as programs:
            await programs.shown.begun()
            line: Line = await programs.line()
            card = await programs.card(line)
            other = await world.user("first")
            async with other.select(iccid=UICC, wait_s=10) as theirs:
                await programs.shows(line, lambda rs: rs[0].sharing == -1)
                assert await programs.do(lambda: line.status(card)) == RESET
                assert await programs.do(lambda: line.reconnect(card)) == VIOLATION
                assert (await theirs.transmit(ASK_PIN)).sw == 0x63C3
            await programs.shows(line, lambda rs: rs[0].sharing == 1)
            assert await programs.do(lambda: line.reconnect(card)) == SUCCESS
