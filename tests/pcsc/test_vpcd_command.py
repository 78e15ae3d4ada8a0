# SPDX-License-Identifier: Apache-2.0
"""`wsrc vpcd`: a card behind a server in a reader of a real pcscd."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.asking import ASK_PIN, MF, VERIFY_PIN, send
from tests.support.pcsc.bench import SOCKET_VARIABLE, Bench, Slot
from tests.support.pcsc.inserted import inserted
from tests.support.processes import Program, Programs, argv, running
from tests.support.world import EUICC, UICC, Host, World, running as world_running, until
from wsrc.bridges.remote.cards import RemoteCards, clients
from wsrc.bridges.remote.one_card import OneCard
from wsrc.bridges.vpcd import VpcdSlot
from wsrc.card.identity import shorten
from wsrc.command_line.invocation import Exit
from wsrc.errors import CardError
from wsrc.protocol.messages import CardState
from wsrc.readers.base import CardProtocol, ResetKind
from wsrc.readers.pcsc import PcscSource
from wsrc.readers.pcsc_reader import PcscConnection
from wsrc.readers.simulation import Card, default_cards, make_card, parse_description
from wsrc.settings.hosts import host_name
from wsrc.settings.load import UserSettings
from wsrc.user_client.naming import alternatives

pytestmark = pytest.mark.pcscd


class Desk:
    """A remote card in a slot of the bench, and the programs at it."""

    def __init__(self, bench: Bench, slot: Slot, source: PcscSource, world: World) -> None:
        self.bench = bench
        self.slot = slot
        self.world = world
        self.notes: list[str] = []
        self._source = source

    async def present(self) -> None:
        await asyncio.to_thread(self.bench.wait_present, self.slot)

    async def empty(self) -> None:
        await asyncio.to_thread(self.bench.wait_empty, self.slot)

    async def state(self) -> CardState | None:
        return await self.world.state_of(iccid=UICC)

    async def is_free(self) -> bool:
        return await self.state() is CardState.READY

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[PcscConnection]:
        reader = self._source.open(self.slot.reader)
        connection = await asyncio.to_thread(reader.connect)
        try:
            yield connection
        finally:
            await asyncio.to_thread(connection.close)
            reader.close()

    @contextlib.asynccontextmanager
    async def served(self, certificates: Certificates, idle_s: float) -> AsyncIterator[None]:
        settings = UserSettings(server_url=self.world.user_url, tls_ca=certificates.ca, name="desk")
        wanted = alternatives({"iccid": [UICC[:-1]]})
        cards = RemoteCards(clients(settings), wanted, self.notes.append)
        async with self.filled(cards, idle_s):
            yield

    @contextlib.asynccontextmanager
    async def filled(self, cards: RemoteCards, idle_s: float) -> AsyncIterator[None]:
        """Put one card after the other into the slot."""
        slot = VpcdSlot(cards, ("127.0.0.1", self.slot.port), idle_s, self.notes.append)
        async with asyncio.TaskGroup() as tasks:
            at_work = [tasks.create_task(each) for each in (cards.run(slot.look), slot.run())]
            await cards.begun()
            yield
            for task in at_work:
                task.cancel()


@contextlib.asynccontextmanager
async def desk(
    bench: Bench,
    slot: Slot,
    source: PcscSource,
    certificates: Certificates,
    card: Card | None = None,
    idle_s: float = 60.0,
) -> AsyncIterator[tuple[Desk, Host]]:
    async with world_running(certificates) as world:
        host = await world.host([card or default_cards()[0]])
        desk = Desk(bench, slot, source, world)
        async with desk.served(certificates, idle_s):
            await desk.present()
            yield desk, host
        await desk.empty()


async def tell(connection: PcscConnection, octets: bytes) -> bytes:
    return await asyncio.to_thread(send, connection, octets)


async def fails(connection: PcscConnection) -> bool:
    try:
        await tell(connection, MF)
    except CardError:
        return True
    return False


async def test_a_card_is_there_before_it_is_taken(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    card = default_cards()[0]
    async with desk(bench, slot, source, certificates, card) as (at, _):
        async with at.connected() as connection:
            assert connection.atr == card.atr
            assert await at.is_free()
            assert (await tell(connection, MF))[:1] == b"\x61"
            assert await at.state() is CardState.ASSOCIATED
        assert await at.state() is CardState.ASSOCIATED
    assert at.notes[0].startswith(f"In the slot: the card {shorten(UICC)} in reader")


async def test_a_card_that_rests_is_given_back_and_stays_in_the_slot(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    async with desk(bench, slot, source, certificates, idle_s=0.1) as (at, _):
        for _ in range(2):
            async with at.connected() as connection:
                await tell(connection, MF)
                assert await tell(connection, VERIFY_PIN) == b"\x90\x00"
            await until(at.is_free)
        async with at.connected() as connection:
            await tell(connection, MF)
            assert await tell(connection, ASK_PIN[:4]) == b"\x63\xc3"
        assert len(at.notes) == 1, at.notes


async def test_power_off_and_reset_forget_what_the_card_knew(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    async with desk(bench, slot, source, certificates) as (at, _):
        for kind in ResetKind:
            async with at.connected() as connection:
                await tell(connection, MF)
                assert await tell(connection, VERIFY_PIN) == b"\x90\x00"
                assert await tell(connection, ASK_PIN[:4]) == b"\x90\x00"
                await asyncio.to_thread(connection.reset, kind)
                await tell(connection, MF)
                assert await tell(connection, ASK_PIN[:4]) == b"\x63\xc3"
                assert await tell(connection, VERIFY_PIN) == b"\x90\x00"
        async with at.connected() as connection:
            await tell(connection, MF)
            assert await tell(connection, ASK_PIN[:4]) == b"\x63\xc3"


@pytest.mark.parametrize("protocol", list(CardProtocol))
async def test_responses_wait_at_t0_and_come_whole_at_t1(
    bench: Bench,
    slot: Slot,
    source: PcscSource,
    certificates: Certificates,
    protocol: CardProtocol,
) -> None:
    description = f'kind = "uicc"\nprotocol = "{protocol}"\niccid = "{UICC}"'
    card = make_card(parse_description(description, "test"))
    async with desk(bench, slot, source, certificates, card) as (at, _), at.connected() as line:
        assert line.protocol is protocol
        select = bytes.fromhex("00a40004023f00" + ("" if protocol is CardProtocol.T0 else "00"))
        answer = await asyncio.to_thread(line.transmit, select)
        if protocol is CardProtocol.T0:
            assert answer[:1] == b"\x61"
            fetch = bytes((0x00, 0xC0, 0, 0, answer[1]))
            answer = await asyncio.to_thread(line.transmit, fetch)
        assert answer[:1] == b"\x62"
        assert answer[-2:] == b"\x90\x00"


async def test_what_is_no_command_is_answered(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    card = make_card(parse_description(f'kind = "uicc"\nprotocol = "T1"\niccid = "{UICC}"', "test"))
    async with desk(bench, slot, source, certificates, card) as (at, _), at.connected() as line:
        wrong = bytes.fromhex("00a4000c053f00")
        assert await asyncio.to_thread(line.transmit, wrong) == b"\x67\x00"
        assert await at.state() is CardState.ASSOCIATED


async def test_a_card_comes_and_goes(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    async with desk(bench, slot, source, certificates) as (at, host):
        [name] = host.source.names
        for _ in range(2):
            host.source.remove(name)
            await at.empty()
            host.source.insert(name)
            await at.present()
        assert "the card was removed" in at.notes[1]


async def test_a_card_that_is_pulled_while_it_is_used(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    async with desk(bench, slot, source, certificates) as (at, host), at.connected() as line:
        await tell(line, MF)
        [name] = host.source.names
        host.source.remove(name)
        await until(lambda: fails(line))
        await at.empty()
        host.source.insert(name)
        await at.present()


async def test_pcscd_restarts(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    async with desk(bench, slot, source, certificates) as (at, _):
        async with at.connected() as connection:
            assert (await tell(connection, MF))[:1] == b"\x61"
        await asyncio.to_thread(bench.restart)
        await at.present()
        async with at.connected() as connection:
            assert (await tell(connection, MF))[:1] == b"\x61"


async def test_the_slot_is_empty_while_another_user_holds_the_card(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    async with desk(bench, slot, source, certificates) as (at, _):
        user = await at.world.user("third")
        async with user.select(iccid=UICC):
            await at.empty()
        await at.present()
        assert "held by third" in at.notes[1]


async def test_any_card_is_waited_for_in_turn_with_an_empty_slot(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    async with world_running(certificates) as world:
        await world.host([default_cards()[0]])
        at, user = Desk(bench, slot, source, world), await world.user("third")
        held = await user.select(iccid=UICC)
        settings = UserSettings(server_url=world.user_url, tls_ca=certificates.ca, name="desk")
        cards = OneCard(clients(settings), {}, at.notes.append, wait_s=60.0)
        async with at.filled(cards, idle_s=0.0):
            await until(lambda: world.counts["waiting"] == 1)
            async with asyncio.TaskGroup() as tasks:
                late = tasks.create_task(user.select(iccid=UICC, wait_s=60.0).__aenter__())
                await until(lambda: world.counts["waiting"] == 2)
                await held.detach()
                await at.present()
                async with at.connected() as connection:
                    assert (await tell(connection, MF))[:1] == b"\x61"
                    assert not late.done()
            await late.result().detach()


async def test_the_slot_is_empty_while_the_card_host_is_away(
    bench: Bench, slot: Slot, source: PcscSource, certificates: Certificates
) -> None:
    async with desk(bench, slot, source, certificates) as (at, host), at.connected() as line:
        await tell(line, MF)
        host.stop.set()
        await at.empty()
        await at.world.host([default_cards()[0]], "other")
        await at.present()


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as programs:
        yield programs


def test_the_command_serves_until_it_is_terminated(
    programs: Programs, bench: Bench, slot: Slot
) -> None:
    programs.server()
    host = programs.card_client("--simulated", "default", "--no-pcsc")
    host.wait_for("Connected to")
    host.wait_for("eUICC.* has card")
    select = ("vpcd", "--iccid", UICC, "--port", str(slot.port))
    command = programs._start(argv("wsrc", *select), programs.user_environment)
    command.wait_for("In the slot")
    bench.wait_present(slot)
    assert command.end() == 0
    bench.wait_empty(slot)
    assert "Traceback" not in command.output


def serve_this_host(programs: Programs, bench: Bench) -> Program:
    """Serve all readers of the bench, by the name that a card client has without a setting."""
    env = {SOCKET_VARIABLE: str(bench.socket_path)}
    include = [f"--reader-include={pattern}" for pattern in bench.patterns]
    return programs.card_client("--name", host_name(), *include, env=env)


def test_d29_a_card_of_this_pcscd_is_not_offered_back_to_it(
    programs: Programs, bench: Bench, slot: Slot, other_slot: Slot
) -> None:
    programs.server()
    with inserted(bench, other_slot, default_cards()[0]):
        host = serve_this_host(programs, bench)
        host.wait_for(f"{other_slot.reader} has card")
        environment = programs.user_environment | {SOCKET_VARIABLE: str(bench.socket_path)}
        select = ("vpcd", "--iccid", UICC, "--port", str(slot.port))
        command = programs._start(argv("wsrc", *select), environment)
        command.wait_for(f"Left out: the card .* in reader {other_slot.reader} .* on {host_name()}")
        command.wait_for("No card is there that matches")
        elsewhere = programs.card_client("--no-pcsc", "--simulated", "default")
        elsewhere.wait_for(" UICC.* has card")
        command.wait_for("In the slot: .* on bench")
        bench.wait_present(slot)
        assert command.end() == 0
        bench.wait_empty(slot)


def test_d29_the_card_of_the_slot_is_not_offered_back_to_it(
    programs: Programs, bench: Bench, slot: Slot
) -> None:
    programs.server()
    far = programs.card_client("--no-pcsc", "--simulated", "default")
    far.wait_for(" UICC.* has card")
    host = serve_this_host(programs, bench)
    host.wait_for("Connected to")
    environment = programs.user_environment | {SOCKET_VARIABLE: str(bench.socket_path)}
    select = ("vpcd", "--iccid", UICC, "--port", str(slot.port))
    command = programs._start(argv("wsrc", *select), environment)
    command.wait_for("In the slot: .* on bench")
    host.wait_for(f"{slot.reader} has card")
    command.wait_for(f"Left out: .* in reader {slot.reader} .* --reader-exclude '{slot.reader}'")
    far.end()
    command.wait_for("The slot is empty")
    bench.wait_empty(slot)
    assert command.output.count("In the slot") == 1
    assert command.end() == 0


def test_the_command_says_that_it_waits_for_a_card(programs: Programs) -> None:
    programs.server()
    command = programs._start(argv("wsrc", "vpcd", "--iccid", UICC), programs.user_environment)
    command.wait_for("No card is there that matches")
    assert command.end() == 0


def test_the_command_needs_one_card(programs: Programs) -> None:
    programs.server()
    host = programs.card_client("--simulated", "default", "--no-pcsc")
    for line in ("Connected to", "eUICC.* has card", " UICC.* has card"):
        host.wait_for(line)
    none = programs.wsrc("vpcd")
    assert none.returncode == Exit.USAGE
    assert "Say which card" in none.stderr
    several = programs.wsrc("vpcd", "--iccid", "8*")
    assert several.returncode == Exit.REFUSED
    assert EUICC in several.stderr
