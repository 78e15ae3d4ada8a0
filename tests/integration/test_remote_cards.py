# SPDX-License-Identifier: Apache-2.0
"""Remote cards as readers, and those of them that are ours, while connections come and go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.gate import Gate
from tests.support.proxy import listening
from tests.support.sent_commands import sent_commands
from tests.support.world import EUICC, LIMIT_S, UICC, Host, World, hosting, running, until
from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.cards import RemoteCards, clients
from wsrc.bridges.remote.shelf import Place
from wsrc.errors import (
    CardBusyError,
    ConnectionLostError,
    NoSuchCardError,
    NotExecutedError,
    OutcomeUnknownError,
    SessionLostError,
    WsrcError,
)
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import default_cards
from wsrc.settings.load import UserSettings

MF = bytes.fromhex("00a40004023f00")
ASK_PIN = bytes.fromhex("00200001")
VERIFY = bytes.fromhex("0020000108 31323334ffffffff")
AGAIN, FOR_GOOD = "Reconnecting; ", "could not be restored"
OK, RIGHT, WRONG = "9000", "9000", "63c3"


class Bench:
    """A card host, and a gate before each port of the server."""

    def __init__(self, world: World, certificates: Certificates, users: Gate, cards: Gate) -> None:
        self.world = world
        self.users = users
        self.cards = cards
        self.notes: list[str] = []
        self._certificates = certificates

    @contextlib.asynccontextmanager
    async def host(self) -> AsyncIterator[Host]:
        url = f"wss://localhost:{self.cards.port}/card"
        async with hosting(
            url, self._certificates, default_cards(), "bench", read_ahead_s=30.0
        ) as host:
            await host.ready(self.world)
            yield host

    @contextlib.asynccontextmanager
    async def shown(
        self, keep_s: float = 600.0, timeout_s: float = 180.0, *, read_ahead: bool = False
    ) -> AsyncIterator["Shown"]:
        settings = UserSettings(
            server_url=f"wss://localhost:{self.users.port}/user",
            tls_ca=Path(self._certificates.ca),
            keep_s=keep_s,
            timeout_s=timeout_s,
            read_ahead=read_ahead,
        )
        source = RemoteCards(clients(settings), [], self.notes.append)
        shown = Shown(source)
        async with asyncio.timeout(4 * LIMIT_S), asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(source.run(shown.report))
            await source.begun()
            yield shown
            watching.cancel()
        assert not any(place.held for place in source.places)

    def shut(self, *, cards: bool = False) -> None:
        """Cut the way to users, or to card hosts, until it is open again."""
        (self.cards if cards else self.users).shut()

    def open(self) -> None:
        for gate in (self.users, self.cards):
            gate.open()

    async def noted(self, text: str) -> None:
        """Wait until a text was noted."""
        await until(lambda: any(text in note for note in self.notes))

    async def becomes(self, state: CardState | None, **which: str) -> None:
        """Wait until the server shows a card so."""

        async def is_so() -> bool:
            return await self.world.state_of(**which) is state

        await until(is_so)


class Shown:
    """The readers, and all that was reported of them."""

    def __init__(self, source: RemoteCards) -> None:
        self.source = source
        self.reports: list[set[str]] = []

    def report(self, seen: list[Seen]) -> None:
        self.reports.append({each.name.decode().split()[1] for each in seen if each.present})

    @property
    def names(self) -> set[str]:
        present = (place for place in self.source.places if place.seen.present)
        return {place.seen.name.decode().split()[1] for place in present}

    async def become(self, true: Callable[[set[str]], bool]) -> None:
        await until(lambda: true(self.names))

    def place(self, name: str = UICC) -> Place:
        return next(p for p in self.source.places if name in p.seen.name.decode())

    async def take(self, name: str = UICC) -> "Taken":
        session = await self.source.open(self.place(name).seen.name)
        taken = Taken(session.transmit, session.close)
        session.when_over(taken.over.append)
        return taken


class Taken:
    """A card of ours."""

    def __init__(self, transmit: Callable, close: Callable) -> None:  # type: ignore[type-arg]
        self.over: list[WsrcError] = []
        self.transmit = transmit
        self.close = close

    async def sw(self, command: bytes) -> str:
        answer: bytes = await self.transmit(command)
        return answer[-2:].hex()


@pytest.fixture
async def bench(certificates: Certificates) -> AsyncIterator[Bench]:
    async with running(certificates) as world, contextlib.AsyncExitStack() as stack:
        users = await stack.enter_async_context(listening(Gate(world.app.user_port)))
        cards = await stack.enter_async_context(listening(Gate(world.app.card_port)))
        yield Bench(world, certificates, users, cards)


@pytest.mark.parametrize("read_ahead", [False, True])
async def test_a_program_that_does_t0_itself_is_read_ahead_where_that_is_set(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, read_ahead: bool
) -> None:
    sent = sent_commands(monkeypatch)
    select, read = bytes.fromhex("00a40004022fe2"), bytes.fromhex("00b000000a")
    async with bench.host(), bench.shown(read_ahead=read_ahead) as shown:
        taken = await shown.take()
        announced = await taken.transmit(select)
        assert announced[0] == 0x61
        fetched = await taken.transmit(bytes((0, 0xC0, 0, 0, announced[1])))
        assert fetched[0] == 0x62
        assert (await taken.transmit(read)).hex() == "988812010000400310f09000"
        await taken.close()
    assert sent == [select.hex(), *([] if read_ahead else [read.hex()])]


async def test_all_cards_are_kept_while_the_connection_is_made_again(bench: Bench) -> None:
    async with bench.host() as host, bench.shown() as shown:
        taken = await shown.take()
        before = shown.names
        shown.reports.clear()
        bench.shut()
        await bench.noted(AGAIN)
        assert (shown.names, shown.source.reachable) == (before, False)
        host.source.remove(next(n for n in host.source.names if "eUICC" in n))
        await bench.becomes(None, eid=EUICC)
        bench.open()
        assert await taken.sw(ASK_PIN) == WRONG
        await shown.become(lambda names: names == {UICC})
        assert all(UICC in names for names in shown.reports)
        assert not shown.place(EUICC).seen.unavailable
        await taken.close()
        await bench.becomes(CardState.READY, iccid=UICC)


async def test_our_card_is_kept_while_its_host_is_away(bench: Bench) -> None:
    async with bench.host(), bench.shown() as shown:
        taken = await shown.take()
        assert await taken.sw(VERIFY) == OK
        before = shown.place().seen
        bench.shut(cards=True)
        await shown.become(lambda names: names == {UICC})
        bench.open()
        assert await taken.sw(ASK_PIN) == RIGHT
        await shown.become(lambda names: len(names) == 2)
        assert shown.place().seen == before


async def test_our_card_goes_when_it_is_taken_out(bench: Bench) -> None:
    async with bench.host() as host, bench.shown() as shown:
        taken = await shown.take()
        host.source.remove(next(n for n in host.source.names if " UICC" in n))
        await shown.become(lambda names: UICC not in names)
        assert not shown.place().held
        assert not shown.place().seen.unavailable
        assert UICC not in shown.reports[-1]
        assert len(taken.over) == 1
        with pytest.raises(SessionLostError):
            await taken.sw(MF)


async def test_our_card_goes_with_a_host_that_ends(bench: Bench) -> None:
    async with bench.host() as host, bench.shown() as shown:
        taken = await shown.take()
        host.stop.set()
        await shown.become(lambda names: not names)
        assert [place.seen.unavailable for place in shown.source.places] == [True, True]
        with pytest.raises(WsrcError):
            await taken.sw(MF)


async def test_card_that_is_given_back_while_the_server_is_away_is_not_ours(bench: Bench) -> None:
    async with bench.host(), bench.shown(timeout_s=2.0) as shown:
        taken = await shown.take()
        bench.shut()
        await bench.noted(AGAIN)
        await taken.close()
        assert not shown.place().held
        bench.open()
        again = await shown.take()
        assert await again.sw(ASK_PIN) == WRONG


async def test_connection_that_is_lost_for_good_takes_all_cards_along(bench: Bench) -> None:
    async with bench.host(), bench.shown(keep_s=0.3) as shown:
        taken = await shown.take()
        bench.shut()
        await shown.become(lambda names: not names)
        assert isinstance(shown.source.trouble, ConnectionLostError)
        assert not shown.place().held
        await bench.noted(FOR_GOOD)
        with pytest.raises((ConnectionLostError, NoSuchCardError)):
            await shown.take()
        with pytest.raises(WsrcError):
            await taken.sw(MF)
        await taken.close()
        bench.open()
        await shown.become(lambda names: len(names) == 2)
        assert shown.source.trouble is None
        await bench.becomes(CardState.READY, iccid=UICC)


async def test_end_does_not_wait_for_a_server_that_is_away(bench: Bench) -> None:
    async with bench.host(), asyncio.TaskGroup() as tasks:
        async with bench.shown() as shown:
            taken = await shown.take()
            bench.shut()
            await bench.noted(AGAIN)
            waiting = tasks.create_task(_failure(taken))
        async with asyncio.timeout(LIMIT_S):
            failure = await waiting
    assert isinstance(failure, ConnectionLostError | OutcomeUnknownError | SessionLostError)


async def _failure(taken: Taken) -> WsrcError | None:
    try:
        await taken.sw(MF)
    except WsrcError as exc:
        return exc
    return None


async def test_cards_are_taken_and_given_back_while_connections_break(bench: Bench) -> None:
    async def use(shown: Shown, name: str) -> None:
        for _ in range(10):
            taken = await waited_for(shown, name)
            assert await taken.sw(ASK_PIN) == WRONG
            await taken.close()

    async with bench.host(), bench.shown() as shown:
        async with asyncio.TaskGroup() as tasks:
            users = [tasks.create_task(use(shown, name)) for name in (UICC, EUICC) * 2]
            for cards in (False, True) * 4:
                bench.shut(cards=cards)
                bench.open()
                await asyncio.wait(users, timeout=0.2)
        assert not any(place.held for place in shown.source.places)
        await shown.become(lambda names: len(names) == 2)


async def waited_for(shown: Shown, name: str) -> Taken:
    """Take a card as soon as nobody has it and its host is there."""
    taken: list[Taken] = []

    async def is_taken() -> bool:
        with contextlib.suppress(CardBusyError, NoSuchCardError, NotExecutedError):
            taken.append(await shown.take(name))
        return bool(taken)

    await until(is_taken)
    return taken[0]
