# SPDX-License-Identifier: Apache-2.0
"""The socket with the whole system behind it: leases, losses, round trips."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import first_form
from tests.support.certificates import Certificates
from tests.support.first_form_bench import Bench
from tests.support.pcsc.programs.wire_client import SUCCESS, Line
from tests.support.pcsc.socket_programs import (
    ASK_PIN,
    DATA_LOST,
    MF,
    OUT_OF_REACH,
    RESET,
    UNAVAILABLE,
    UNKNOWN_READER,
    VERIFY,
    VIOLATION,
    Programs,
    programs_of,
    slow_card,
    transmit_body,
)
from tests.support.world import EUICC, UICC, World, hosting, running, until
from wsrc.errors import ConnectionLostError
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import default_cards
from wsrc.user_client.aio import Client
from wsrc.user_client.naming import Filters


@pytest.fixture
async def world(certificates: Certificates) -> AsyncIterator[World]:
    async with running(certificates) as world:
        yield world


@pytest.fixture
async def programs(world: World, tmp_path: Path) -> AsyncIterator[Programs]:
    await world.host()
    async with programs_of(world.client, tmp_path / "socket") as programs:
        await programs.shown.begun()
        yield programs


async def test_card_is_taken_by_the_first_program_and_given_back_after_the_last(
    world: World, programs: Programs
) -> None:
    one, two = await programs.line(), await programs.line()
    assert [r.name for r in await programs.readers(one)] == [
        f"WSRC {UICC} 00 00",
        f"WSRC {EUICC} 00 00",
    ]
    assert await world.state_of(iccid=UICC) is CardState.READY
    first, second = await programs.card(one), await programs.card(two)
    assert await world.state_of(iccid=UICC) is CardState.ASSOCIATED
    assert await world.state_of(eid=EUICC) is CardState.READY
    assert await programs.do(lambda: one.disconnect(first)) == SUCCESS
    await asyncio.sleep(0.5)  # longer than the card is kept for a program that comes back
    assert await programs.transmit(two, second, VERIFY) == "9000"
    assert await world.state_of(iccid=UICC) is CardState.ASSOCIATED
    await programs.do(two.socket.close)

    async def is_free() -> bool:
        return await world.state_of(iccid=UICC) is CardState.READY

    await until(is_free)
    card = await programs.card(one)
    assert await programs.transmit(one, card, ASK_PIN) == "63c3"


async def test_card_of_another_user_is_shared_with_nobody(world: World, programs: Programs) -> None:
    line = await programs.line()
    first = await world.user("first")
    async with first.select(iccid=UICC):
        held = next(r.name for r in await programs.readers(line) if UICC in r.name)
        assert (await programs.do(lambda: line.connect(held)))[0] == VIOLATION
        direct = await programs.do(lambda: line.connect(held, 3, 0))
        assert direct[0] == SUCCESS
        assert await programs.do(lambda: line.disconnect(direct[1])) == SUCCESS
    card = await programs.card(line)
    assert await programs.transmit(line, card, MF) == "6127"


async def test_lease_that_ends_is_a_reset_for_every_handle(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with running(certificates, lease_idle_s=0.3) as world:
        await world.host()
        async with programs_of(world.client, tmp_path / "socket") as programs:
            await programs.shown.begun()
            one, two = await programs.line(), await programs.line()
            first, second = await programs.card(one), await programs.card(two)
            assert await programs.transmit(one, first, VERIFY) == "9000"

            async def is_free() -> bool:
                return await world.state_of(iccid=UICC) is CardState.READY

            await until(is_free)
            assert await programs.transmit(one, first, ASK_PIN) == hex(RESET)
            assert await programs.do(lambda: two.status(second)) == RESET
            assert await programs.do(lambda: one.reconnect(first)) == SUCCESS
            assert await programs.transmit(one, first, ASK_PIN) == "63c3"
            assert await programs.do(lambda: two.reconnect(second)) == SUCCESS
            assert await programs.transmit(two, second, ASK_PIN) == "63c3"


@pytest.mark.parametrize("fetches", [False, True])
async def test_d25_card_of_a_first_form_card_client_is_used(
    world: World, certificates: Certificates, tmp_path: Path, *, fetches: bool
) -> None:
    """Some of them fetch a response that was not asked for and correct Le, some do not."""
    bench = Bench(default_cards()[0])

    def transmit(command: bytes) -> bytes:
        answer = bench.transmit(command)
        if fetches and answer[-2] == 0x61:
            return bench.transmit(bytes((command[0], 0xC0, 0, 0, answer[-1])))
        if fetches and answer[-2] == 0x6C:
            return bench.transmit(command[:4] + answer[-1:])
        return answer

    async with (
        first_form.card_client(world.card_url, certificates.ca, transmit, bench.reset) as client,
        programs_of(lambda: world.client(seal=None), tmp_path / "socket") as programs,
    ):
        await until(lambda: client.states[:1] == ["ready"])
        line = await programs.line()
        await programs.shows(line, lambda rs: len(rs) == 1 and rs[0].state == 4)
        card = await programs.card(line)
        for get in ("00c0000027", "00c0000000"):
            assert await programs.transmit(line, card, MF) == "6127"
            whole = await programs.transmit(line, card, bytes.fromhex(get))
            assert whole.startswith("62")
            assert whole.endswith("9000")
            assert len(whole) == 2 * 0x27 + 4
        for get in ("00c0000030", "00b00000ff", "00b0000000"):
            if get.startswith("00b0"):
                await programs.transmit(line, card, bytes.fromhex("00a4000c022fe2"))
            else:
                await programs.transmit(line, card, MF)
            told = await programs.transmit(line, card, bytes.fromhex(get))
            assert told == ("6c27" if get.startswith("00c0") else "6c0a")
            again = bytes.fromhex(get[:8] + told[2:])
            assert len(await programs.transmit(line, card, again)) == 2 * again[4] + 4
        assert await programs.transmit(line, card, ASK_PIN) == "63c3"
        assert await programs.do(lambda: line.reconnect(card, 1)) == SUCCESS
        assert await programs.transmit(line, card, MF) == "6127"


async def test_card_host_that_goes_and_comes_back(
    world: World, certificates: Certificates, tmp_path: Path
) -> None:
    async with programs_of(world.client, tmp_path / "socket") as programs:
        line = await programs.line()
        async with hosting(world.card_url, certificates, [default_cards()[0]], "bench"):
            await programs.shows(line, lambda rs: len(rs) == 1 and rs[0].state == 4)
            card = await programs.card(line)
            assert await programs.transmit(line, card, MF) == "6127"
        [gone] = await programs.shows(line, lambda rs: rs[0].state == OUT_OF_REACH)
        assert await programs.transmit(line, card, MF) == hex(UNAVAILABLE)
        async with hosting(world.card_url, certificates, [default_cards()[0]], "bench"):
            [back] = await programs.shows(line, lambda rs: rs[0].state == 4)
            assert (back.name, back.events) == (gone.name, gone.events + 1)
            assert await programs.transmit(line, card, MF) == hex(RESET)
            assert await programs.do(lambda: line.reconnect(card)) == SUCCESS
            assert await programs.transmit(line, card, MF) == "6127"


async def test_server_that_goes_and_comes_back(certificates: Certificates, tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with running(certificates) as world:
            make = functools.partial(world.client, keep_s=0)
            programs = await stack.enter_async_context(programs_of(make, tmp_path / "socket"))
            ports = {"user_port": world.app.user_port, "card_port": world.app.card_port}
            await stack.enter_async_context(hosting(world.card_url, certificates, None, "bench"))
            line = await programs.line()
            await programs.shows(line, lambda rs: len(rs) == 2)
            card = await programs.card(line)
            assert await programs.transmit(line, card, MF) == "6127"
        await programs.shows(line, lambda rs: [r.state for r in rs] == [OUT_OF_REACH] * 2)
        assert await programs.transmit(line, card, MF) == hex(UNAVAILABLE)
        assert (await programs.do(lambda: line.connect(f"WSRC {UICC} 00 00")))[0] == UNAVAILABLE
        assert await programs.do(lambda: line.disconnect(card)) == SUCCESS
        async with running(certificates, **ports):
            await programs.shows(line, lambda rs: [r.state for r in rs] == [4, 4])
            card = await programs.card(line)
            assert await programs.transmit(line, card, MF) == "6127"


async def test_server_that_never_was_there(tmp_path: Path) -> None:
    async with programs_of(lambda: Client("ws://localhost:1"), tmp_path / "socket") as programs:
        with pytest.raises(ConnectionLostError):
            await programs.shown.begun()
        line = await programs.line(6)
        assert await programs.readers(line) == []
        assert (await programs.do(lambda: line.connect("WSRC")))[0] == UNKNOWN_READER


async def test_connection_that_is_lost_while_the_card_works_leaves_the_outcome_unknown(
    world: World, tmp_path: Path
) -> None:
    card = slow_card(30.0)
    await world.host([card])
    make = functools.partial(world.client, keep_s=0)
    async with programs_of(make, tmp_path / "socket") as programs, asyncio.TaskGroup() as g:
        line = await programs.line()
        await programs.shows(line, lambda rs: len(rs) == 1)
        handle = await programs.card(line)
        pending = g.create_task(programs.transmit(line, handle, VERIFY))
        await until(card.struck.is_set)
        programs.cut()
        assert await pending == hex(DATA_LOST)
        card.power_off()


async def test_program_that_is_killed_leaves_its_command_to_end(
    world: World, tmp_path: Path
) -> None:
    card = slow_card(0.3)
    await world.host([card])
    async with programs_of(world.client, tmp_path / "socket") as programs:
        line, other = await programs.line(), await programs.line()
        await programs.shows(line, lambda rs: len(rs) == 1)
        handle = await programs.card(line)
        mine = await programs.card(other)
        before = programs.asked
        await programs.do(lambda: line.send(0x09, transmit_body(handle, VERIFY), VERIFY))
        await until(card.struck.is_set)
        await programs.do(line.socket.close)
        assert await programs.transmit(other, mine, ASK_PIN) == "9000"
        assert programs.asked == before + 2
        await programs.do(other.socket.close)

        async def is_free() -> bool:
            return await world.state_of(iccid=UICC) is CardState.READY

        await until(is_free)


async def test_program_that_is_killed_while_it_connects_gives_the_card_back(
    world: World, programs: Programs
) -> None:
    for _ in range(5):
        line = await programs.line()
        name = (await programs.readers(line))[0].name
        await programs.do(lambda line=line, name=name: kill_while_connecting(line, name))

    async def is_free() -> bool:
        return await world.state_of(iccid=UICC) is CardState.READY

    await until(is_free)


async def test_what_programs_poll_costs_no_round_trip(programs: Programs) -> None:
    line = await programs.line()
    card = await programs.card(line)
    await programs.transmit(line, card, MF)
    before = programs.asked
    for _ in range(20):
        await programs.readers(line)
        assert await programs.do(lambda: line.status(card)) == SUCCESS
        await programs.do(line.begin_wait)
        await programs.do(line.stop_wait)
        assert (await programs.do(lambda: line.attribute(card, 0x00090303)))[0] == SUCCESS
        assert await programs.do(lambda: line.begin(card)) == SUCCESS
        assert await programs.do(lambda: line.end(card)) == SUCCESS
    assert programs.asked == before


async def test_t0_done_by_the_program_costs_one_round_trip_for_each_select(
    programs: Programs,
) -> None:
    line = await programs.line()
    card = await programs.card(line)
    before = programs.asked
    for file in ("3f00", "2fe2", "3f00", "2f00"):
        answer = await programs.transmit(line, card, bytes.fromhex(f"00a4000402{file}"))
        assert answer[:2] == "61"
        fetched = await programs.transmit(line, card, bytes.fromhex(f"00c00000{answer[2:]}"))
        assert fetched.endswith("9000")
        assert len(fetched) == 2 * bytes.fromhex(answer)[1] + 4
    assert programs.asked == before + 4
    await programs.transmit(line, card, bytes.fromhex("00a40004022fe2"))
    assert await programs.transmit(line, card, bytes.fromhex("00b000000a")) == (
        "988812010000400310f09000"
    )
    assert programs.asked == before + 6


async def test_second_disconnect_with_reset_costs_nothing_until_the_card_is_used(
    programs: Programs,
) -> None:
    one, two = await programs.line(), await programs.line()
    first, second = await programs.card(one), await programs.card(two)
    await programs.transmit(one, first, VERIFY)
    before = programs.asked
    assert await programs.do(lambda: two.disconnect(second, 2)) == SUCCESS
    assert await programs.do(lambda: one.status(first)) == RESET
    assert await programs.do(lambda: one.reconnect(first)) == SUCCESS
    assert programs.asked == before
    assert await programs.transmit(one, first, ASK_PIN) == "63c3"
    assert programs.asked == before + 2


async def test_cards_that_match_are_shown_and_no_others(world: World, tmp_path: Path) -> None:
    await world.host(labels={UICC: "blue", EUICC: "über"})
    chosen: list[tuple[list[Filters], list[str]]] = [
        ([Filters(label="blue")], ["WSRC blue 00 00"]),
        ([Filters(iccid=f"{UICC[:-1]}*")], ["WSRC blue 00 00"]),
        ([Filters(label="none")], []),
        ([Filters(label="blue"), Filters(eid=EUICC)], ["WSRC blue 00 00", "WSRC uber 00 00"]),
        ([Filters()], ["WSRC blue 00 00", "WSRC uber 00 00"]),
    ]
    for number, (wanted, names) in enumerate(chosen):
        async with programs_of(world.client, tmp_path / f"socket{number}", wanted) as programs:
            await programs.shown.begun()
            line = await programs.line()
            assert sorted(r.name for r in await programs.readers(line)) == names


async def test_card_that_is_put_in_again_has_the_reader_of_its_name(
    world: World, tmp_path: Path
) -> None:
    host = await world.host()
    async with programs_of(world.client, tmp_path / "socket") as programs:
        await programs.shown.begun()
        line = await programs.line()
        names = [r.name for r in await programs.readers(line)]
        reader, other = host.source.names
        uicc, euicc = host.source.remove(reader), host.source.remove(other)
        await programs.shows(line, lambda rs: [r.state for r in rs] == [2, 2])
        host.source.insert(reader, euicc)
        readers = await programs.shows(line, lambda rs: rs[-1].state == 4)
        assert [r.name for r in readers if r.state == 4] == [names[1]]
        host.source.insert(other, uicc)
        readers = await programs.shows(line, lambda rs: [r.state for r in rs] == [4, 4])
        assert sorted(r.name for r in readers) == sorted(names)


def kill_while_connecting(line: Line, name: str) -> None:
    body = line.context.to_bytes(4, "little") + name.encode().ljust(128, b"\0")
    line.send(0x04, body + b"".join(n.to_bytes(4, "little") for n in (2, 3, 0, 0, 0)))
    line.socket.close()
