# SPDX-License-Identifier: Apache-2.0
"""The socket while the server is out of reach: nobody hangs who need not wait for the card."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.gate import Gate
from tests.support.pcsc.programs.wire_client import CANCELLED, SUCCESS, Line
from tests.support.pcsc.socket_programs import (
    ASK_PIN,
    DATA_LOST,
    MF,
    RESET,
    UNAVAILABLE,
    VERIFY,
    Programs,
    programs_of,
    slow_card,
    transmit_body,
)
from tests.support.proxy import listening
from tests.support.world import LIMIT_S, World, running, until
from wsrc.bridges.pcscd import server as pcscd
from wsrc.bridges.remote.cards import clients
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import Card, Faults, default_cards
from wsrc.settings.load import UserSettings

TRANSMIT, PRESENT = 0x09, 0x04


class Bench:
    """A card, the socket, and a gate between the socket and the server."""

    def __init__(self, world: World, gate: Gate, programs: Programs) -> None:
        self.world = world
        self.gate = gate
        self.programs = programs

    async def cut(self) -> None:
        """Have the server out of reach, and the socket know it."""
        self.gate.shut()
        await until(lambda: not self.programs.shown.reachable)

    def heal(self) -> None:
        self.gate.open()

    async def is_free(self) -> bool:
        return await self.world.state_of() is CardState.READY


@asynccontextmanager
async def benched(
    certificates: Certificates, path: Path, card: Card | None = None, keep_s: float = 600.0
) -> AsyncIterator[Bench]:
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(running(certificates))
        await world.host([card] if card is not None else default_cards()[:1])
        gate = await stack.enter_async_context(listening(Gate(world.app.user_port)))
        url = f"wss://localhost:{gate.port}/user"
        settings = UserSettings(server_url=url, tls_ca=world.ca, name="desk", keep_s=keep_s)
        programs = await stack.enter_async_context(programs_of(clients(settings), path))
        await programs.shown.begun()
        try:
            yield Bench(world, gate, programs)
        finally:
            async with asyncio.timeout(LIMIT_S):
                await stack.aclose()


@pytest.fixture
async def bench(certificates: Certificates, tmp_path: Path) -> AsyncIterator[Bench]:
    async with benched(certificates, tmp_path / "socket") as bench:
        yield bench


async def test_end_does_not_wait_for_the_server(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pcscd, "STOP_S", 2 * LIMIT_S)
    async with benched(certificates, tmp_path / "socket") as bench:
        programs = bench.programs
        line, other = await programs.line(), await programs.line()
        card = await programs.card(line)
        await bench.cut()
        await programs.do(lambda: line.send(TRANSMIT, transmit_body(card, MF), MF))
        await programs.readers(other)


async def test_what_needs_no_card_is_answered_while_a_command_waits(bench: Bench) -> None:
    programs = bench.programs
    line, other, waiter = [await programs.line() for _ in range(3)]
    card, second = await programs.card(line), await programs.card(other)
    await bench.cut()
    async with asyncio.TaskGroup() as tasks:
        pending = tasks.create_task(programs.transmit(line, card, MF))
        [reader] = await programs.do(waiter.begin_wait)
        assert await programs.do(lambda: other.cancel(waiter.context)) == SUCCESS
        assert await programs.do(lambda: waiter.event(LIMIT_S)) == CANCELLED
        for ask in (other.status, other.begin, other.end):
            assert await programs.do(lambda ask=ask: ask(second)) == SUCCESS
        third = await programs.card(waiter)
        assert await programs.do(lambda: waiter.disconnect(third)) == SUCCESS
        assert not pending.done()
        bench.heal()
        assert await pending == "6127"
    assert [reader.name] == [each.name for each in await programs.readers(other)]


@pytest.mark.parametrize("busy", [False, True])
async def test_program_that_is_killed_while_the_server_is_away_gives_the_card_back(
    bench: Bench, *, busy: bool
) -> None:
    programs = bench.programs
    line, other = await programs.line(), await programs.line()
    card = await programs.card(line)
    assert await programs.transmit(line, card, VERIFY) == "9000"
    await bench.cut()
    if busy:
        await programs.do(lambda: line.send(TRANSMIT, transmit_body(card, MF), MF))
        await programs.readers(other)
    await programs.do(line.socket.close)
    bench.heal()
    await until(bench.is_free)
    card = await programs.card(other)
    assert await programs.transmit(other, card, ASK_PIN) == "63c3"


async def test_card_that_is_wanted_again_while_the_server_is_away(bench: Bench) -> None:
    programs = bench.programs
    line, other = await programs.line(), await programs.line()
    card = await programs.card(line)
    await bench.cut()
    await programs.do(line.socket.close)
    async with asyncio.TaskGroup() as tasks:
        pending = tasks.create_task(programs.card(other))
        bench.heal()
        card = await pending
    assert await programs.transmit(other, card, ASK_PIN) == "63c3"


@pytest.mark.parametrize(("busy", "code"), [(False, UNAVAILABLE), (True, DATA_LOST)])
async def test_server_that_is_away_for_too_long(
    certificates: Certificates, tmp_path: Path, code: int, *, busy: bool
) -> None:
    slow = slow_card(30.0)
    async with benched(certificates, tmp_path / "socket", slow, keep_s=0.5) as bench:
        programs = bench.programs
        line = await programs.line()
        card = await programs.card(line)
        if busy:
            await programs.do(lambda: line.send(TRANSMIT, transmit_body(card, VERIFY), VERIFY))
            await until(slow.struck.is_set)
        await bench.cut()
        if not busy:
            await programs.do(lambda: line.send(TRANSMIT, transmit_body(card, VERIFY), VERIFY))
        assert await programs.do(lambda: transmitted(line)) == code
        slow.faults = Faults()
        slow.power_off()
        assert await programs.do(lambda: line.status(card)) == UNAVAILABLE
        bench.heal()
        await programs.shows(line, lambda rs: rs[0].state == PRESENT)
        assert await programs.transmit(line, card, MF) == hex(RESET)
        assert await programs.do(lambda: line.reconnect(card)) == SUCCESS
        assert await programs.transmit(line, card, ASK_PIN) == "63c3"


def transmitted(line: Line) -> int:
    """Read the answer to a command that failed, and give its code."""
    code: int = struct.unpack("=iIIIIIII", line.read(32))[-1]
    return code
