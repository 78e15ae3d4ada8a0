# SPDX-License-Identifier: Apache-2.0
"""A remote card in a slot of vpcd, with the test as the driver and a real server."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.gate import Gate
from tests.support.in_thread import Elsewhere, elsewhere
from tests.support.pcsc.vpcd_driver import ASK, ATR, OFF, ON, RESET, VERIFY, Driver
from tests.support.proxy import listening
from tests.support.world import LIMIT_S, UICC, running, taken, uicc, until
from wsrc.bridges.remote.cards import RemoteCards, clients
from wsrc.bridges.remote.one_card import OneCard
from wsrc.bridges.vpcd import VpcdSlot
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import Card, default_cards, make_card, parse_description
from wsrc.settings.load import UserSettings

MF = bytes.fromhex("00a40004023f00")


class Slot:
    def __init__(self, there: Elsewhere, driver: Driver, card: Card) -> None:
        self.there = there
        self.driver = driver
        self.card = card
        self.notes: list[str] = []
        self.gate: Gate

    def shut(self) -> None:
        """Have the server out of reach."""
        self._do(self.gate.shut)

    def open(self) -> None:
        self._do(self.gate.open)

    def _do(self, doing: Callable[[], None]) -> None:
        async def do() -> None:
            doing()

        self.there.do(do())

    def noted(self, text: str) -> None:
        async def is_so() -> bool:
            return any(text in note for note in self.notes)

        self.there.do(until(is_so))

    def state(self) -> CardState | None:
        return self.there.do(self.there.world.state_of(atr=self.card.atr.hex()))

    def free(self) -> None:
        async def is_so() -> bool:
            state = await self.there.world.state_of(atr=self.card.atr.hex())
            return state is CardState.READY

        self.there.do(until(is_so))

    def insert(self) -> None:
        """Wait until the card is in the slot; pcscd powers it up then."""
        self.driver.accept()
        assert self.driver.ask(ATR) == self.card.atr
        self.driver.tell(ON)


@contextlib.contextmanager
def slot_with(
    certificates: Certificates,
    card: Card | None = None,
    idle_s: float = 60.0,
    keep_s: float = 30.0,
    **server: Any,
) -> Iterator[Slot]:
    card = card or default_cards()[0]
    driver, gates = Driver(), contextlib.AsyncExitStack()
    with elsewhere(certificates, **server) as there:
        there.do(there.world.host([card]))
        slot = Slot(there, driver, card)
        gate = there.do(gates.enter_async_context(listening(Gate(there.world.app.user_port))))
        slot.gate = gate
        url = f"wss://localhost:{gate.port}/user"
        settings = UserSettings(server_url=url, tls_ca=certificates.ca, keep_s=keep_s)
        try:
            with there.within(served(settings, driver.port, idle_s, slot.notes)):
                yield slot
        finally:
            driver.close()
            there.do(gates.aclose())


@contextlib.asynccontextmanager
async def served(
    settings: UserSettings, port: int, idle_s: float, notes: list[str]
) -> AsyncIterator[None]:
    """Have a slot of vpcd served."""
    cards = RemoteCards(clients(settings), [], notes.append)
    slot = VpcdSlot(cards, ("127.0.0.1", port), idle_s, notes.append)
    async with asyncio.TaskGroup() as tasks:
        at_work = [tasks.create_task(each) for each in (cards.run(slot.look), slot.run())]
        await cards.begun()
        yield
        for task in at_work:
            task.cancel()


OTHER = "8988211000000430028"


@contextlib.asynccontextmanager
async def served_any(settings: UserSettings, port: int, notes: list[str]) -> AsyncIterator[OneCard]:
    """Have a slot of vpcd served that has any card."""
    cards = OneCard(clients(settings), {}, notes.append)
    slot = VpcdSlot(cards, ("127.0.0.1", port), 0.0, notes.append)
    async with asyncio.TaskGroup() as tasks:
        at_work = [tasks.create_task(each) for each in (cards.run(slot.look), slot.run())]
        await cards.begun()
        yield cards
        for task in at_work:
            task.cancel()


def test_any_card_is_in_the_slot_and_another_where_that_cannot_be_had(
    certificates: Certificates, tmp_path: Path
) -> None:
    driver, notes = Driver(), list[str]()
    with elsewhere(certificates, state_dir=tmp_path) as there:
        there.do(there.world.host([uicc(UICC), uicc(OTHER)]))
        settings = UserSettings(server_url=there.url, tls_ca=certificates.ca)
        with there.within(served_any(settings, driver.port, notes)) as cards:
            driver.accept()
            first = str(cards.places[0].card.identities.iccid)
            second = OTHER if first == UICC else UICC
            assert driver.ask(MF)[:1] == b"\x61"
            driver.tell(OFF)
            driver.ask(ATR)
            user = there.do(there.world.user())
            card = there.do(taken(user.select(iccid=first, wait_s=LIMIT_S)))
            assert driver.at_end()
            driver.hang_up()
            driver.accept()
            assert cards.places[0].card.identities.iccid == second
            assert driver.ask(MF)[:1] == b"\x61"
            assert any("the card is held by first" in note for note in notes)
            driver.tell(OFF)
            driver.ask(ATR)
            there.do(card.detach())
            # The second seems to be free, and the first is given, whose ATR pcscd does not have.
            there.do(user.reserve(3600, iccid=second))
            driver.tell(MF)
            assert driver.at_end()
            driver.hang_up()
            driver.accept()
            assert any("Another card is given in its place" in note for note in notes)
            assert driver.ask(MF)[:1] == b"\x61"
            assert cards.places[0].card.identities.iccid == first
        driver.close()


def test_what_pcscd_polls_never_takes_the_card(certificates: Certificates) -> None:
    with slot_with(certificates) as slot:
        slot.insert()
        for control in (OFF, ON, RESET, b"\x07", OFF, ON):
            slot.driver.tell(control)
            assert slot.driver.ask(ATR) == slot.card.atr
        assert slot.state() is CardState.READY
        assert slot.driver.ask(MF)[:1] == b"\x61"
        assert slot.state() is CardState.ASSOCIATED


@pytest.mark.parametrize("controls", [[RESET], [OFF, ON], [RESET, OFF, ON], [OFF, ON, RESET]])
def test_a_reset_is_carried_out_before_the_next_command(
    certificates: Certificates, controls: list[bytes]
) -> None:
    with slot_with(certificates) as slot:
        slot.insert()
        assert slot.driver.ask(VERIFY) == b"\x90\x00"
        assert slot.driver.ask(ASK[:4] + b"\x00") == b"\x90\x00"
        for control in controls:
            slot.driver.tell(control)
        assert slot.driver.ask(ATR) == slot.card.atr
        assert slot.driver.ask(ASK[:4] + b"\x00") == b"\x63\xc3"


def test_a_card_that_rests_is_given_back(certificates: Certificates) -> None:
    with slot_with(certificates, idle_s=0.0) as slot:
        slot.insert()
        assert slot.driver.ask(VERIFY) == b"\x90\x00"
        slot.driver.tell(OFF)
        slot.free()
        slot.driver.tell(ON)
        assert slot.driver.ask(ASK[:4] + b"\x00") == b"\x63\xc3"


def test_a_lease_that_ends_while_the_card_is_off_is_not_missed(certificates: Certificates) -> None:
    with slot_with(certificates, lease_idle_s=0.3) as slot:
        slot.insert()
        assert slot.driver.ask(VERIFY) == b"\x90\x00"
        slot.driver.tell(OFF)
        slot.free()
        slot.driver.tell(ON)
        assert slot.driver.ask(ASK[:4] + b"\x00") == b"\x63\xc3"


def test_a_lease_that_ends_while_the_card_is_in_use_empties_the_slot(
    certificates: Certificates,
) -> None:
    with slot_with(certificates, lease_idle_s=0.3) as slot:
        slot.insert()
        assert slot.driver.ask(VERIFY) == b"\x90\x00"
        slot.free()
        slot.driver.tell(ASK)
        assert slot.driver.at_end()
        slot.noted("The slot is empty: ")
        slot.driver.hang_up()
        slot.insert()
        assert slot.driver.ask(ASK[:4] + b"\x00") == b"\x63\xc3"


def test_a_connection_that_is_cut_costs_time_and_nothing_else(certificates: Certificates) -> None:
    with slot_with(certificates) as slot:
        slot.insert()
        assert slot.driver.ask(VERIFY) == b"\x90\x00"
        for _ in range(3):
            slot.shut()
            slot.open()
            assert slot.driver.ask(ASK[:4] + b"\x00") == b"\x90\x00"
            assert slot.driver.ask(ATR) == slot.card.atr
        assert len([note for note in slot.notes if "In the slot" in note]) == 1


def test_a_connection_that_is_lost_for_good_empties_the_slot(certificates: Certificates) -> None:
    with slot_with(certificates, keep_s=0.3) as slot:
        slot.insert()
        assert slot.driver.ask(VERIFY) == b"\x90\x00"
        slot.shut()
        assert slot.driver.at_end()
        slot.noted("The slot is empty: ")
        slot.driver.hang_up()
        slot.open()
        slot.insert()
        assert slot.driver.ask(ASK[:4] + b"\x00") == b"\x63\xc3"


def test_the_end_does_not_wait_for_a_server_that_is_away(certificates: Certificates) -> None:
    with slot_with(certificates, keep_s=600) as slot:
        slot.insert()
        assert slot.driver.ask(VERIFY) == b"\x90\x00"
        slot.shut()
        slot.noted("Reconnecting; ")
        slot.driver.tell(ASK[:4] + b"\x00")


def test_an_answer_that_the_driver_cannot_carry(certificates: Certificates) -> None:
    card = make_card(
        parse_description(
            'kind = "uicc"\nprotocol = "T1"\n[[file]]\npath = "6fe0"\nsfi = 6\nsize_octets = 65535',
            "test",
        )
    )
    with slot_with(certificates, card) as slot:
        slot.insert()
        assert slot.driver.ask(bytes.fromhex("00b08600000000")) == b"\x67\x00"
        assert len(slot.driver.ask(bytes.fromhex("00b0860000fffd"))) == 0xFFFF
        assert slot.driver.ask(bytes.fromhex("00a4000c053f00")) == b"\x67\x00"


def test_a_driver_that_is_not_there_is_told_once_and_waited_for(
    certificates: Certificates,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with elsewhere(certificates) as there:
        there.do(there.world.host(default_cards()[:1]))
        notes: list[str] = []
        settings = UserSettings(server_url=there.url, tls_ca=certificates.ca)

        async def is_told() -> bool:
            return bool(notes)

        with there.within(served(settings, port, 1.0, notes)):
            there.do(until(is_told))
    assert len(notes) == 1
    assert f"No slot at 127.0.0.1 port {port}" in notes[0]
    assert "vpcd" in notes[0]


async def test_the_server_may_be_away_for_a_while(certificates: Certificates) -> None:
    notes: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        async with running(certificates) as world:
            settings = UserSettings(server_url=world.user_url, tls_ca=world.ca, keep_s=0)
            cards = RemoteCards(clients(settings), [], notes.append)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            watching = tasks.create_task(cards.run(lambda _: None))
            stack.callback(watching.cancel)
            await cards.begun()
            assert not cards.places
            await world.host(default_cards()[:1])
            await until(lambda: [place.seen.present for place in cards.places] == [True])
            ports = {"user_port": world.app.user_port, "card_port": world.app.card_port}
        await until(lambda: cards.trouble is not None)
        await until(lambda: [place.seen.unavailable for place in cards.places] == [True])
        async with running(certificates, **ports) as world:
            await world.host(default_cards()[:1])
            await until(lambda: [place.seen.present for place in cards.places] == [True])
            assert cards.trouble is None
            assert "The server is there again." in notes[-1]


async def test_a_card_stays_in_the_slot_while_its_host_comes_back_to_a_restarted_server(
    certificates: Certificates,
) -> None:
    card, driver, notes = default_cards()[0], Driver(), list[str]()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(driver.close)
        former = await stack.enter_async_context(running(certificates))
        await former.host([card])
        port = former.app.user_port
        settings = UserSettings(server_url=former.user_url, tls_ca=former.ca)
        await stack.enter_async_context(served(settings, driver.port, 60.0, notes))
        await asyncio.to_thread(driver.accept)
        await former.app.stop()
        async with running(certificates, user_port=port) as world:
            await until(lambda: "The server is there again." in notes)
            assert await asyncio.to_thread(driver.ask, ATR) == card.atr
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(asyncio.to_thread(driver.ask, MF))
                await until(lambda: world.app.counts["waiting"] == 1)
                await world.host_without_waiting([default_cards()[0]], "bench")
            assert asking.result()[:1] == b"\x61"
            assert len([note for note in notes if "slot" in note]) == 1, notes
