# SPDX-License-Identifier: Apache-2.0
"""A remote card in a slot of vpcd, with the test as the driver and a real server."""

import contextlib
import functools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from certs.make_certs import Certificates
from tests.support.gate import Gate
from tests.support.in_thread import Elsewhere, elsewhere
from tests.support.pcsc.vpcd_driver import ASK, ATR, OFF, ON, RESET, VERIFY, Driver
from tests.support.proxy import listening
from tests.support.world import UICC, until
from wsrc.bridges.remote.roster import FollowingClient, Roster
from wsrc.bridges.vpcd import VpcdSlot
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import Card, default_cards, make_card, parse_description

LIMIT_S = 20.0
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
    **settings: Any,
) -> Iterator[Slot]:
    card = card or default_cards()[0]
    driver, gates = Driver(), contextlib.AsyncExitStack()
    with elsewhere(certificates, **settings) as there:
        there.do(there.world.host([card]))
        slot = Slot(there, driver, card)
        gate = there.do(gates.enter_async_context(listening(Gate(there.world.app.user_port))))
        slot.gate = gate
        follower = functools.partial(
            FollowingClient,
            f"wss://localhost:{gate.port}/user",
            ca=certificates.ca,
            keep_s=keep_s,
        )
        roster = Roster(follower, {}, slot.notes.append)
        roster.open()
        served = VpcdSlot(roster, "127.0.0.1", driver.port, idle_s, slot.notes.append)
        thread = threading.Thread(target=served.run)
        thread.start()
        try:
            yield slot
        finally:
            served.stop()
            served.stop()
            roster.close()
            roster.close()
            thread.join(LIMIT_S)
            driver.close()
            there.do(gates.aclose())
            assert not thread.is_alive()


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
        slot.noted("It is being made again")
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
        there.do(there.world.host())
        notes: list[str] = []
        roster = Roster(lambda: FollowingClient(there.url, ca=certificates.ca), {"iccid": UICC})
        roster.open()
        slot = VpcdSlot(roster, "127.0.0.1", port, 1.0, notes.append)
        thread = threading.Thread(target=slot.run)
        thread.start()

        async def is_told() -> bool:
            return bool(notes)

        there.do(until(is_told))
        slot.stop()
        thread.join(LIMIT_S)
        roster.close()
        assert not thread.is_alive()
    assert len(notes) == 1
    assert f"No slot at 127.0.0.1 port {port}" in notes[0]
    assert "vpcd" in notes[0]


def test_the_server_may_be_away_for_a_while(certificates: Certificates) -> None:
    with contextlib.ExitStack() as server:
        there = server.enter_context(elsewhere(certificates))
        notes: list[str] = []
        follower = functools.partial(FollowingClient, there.url, ca=certificates.ca, keep_s=0)
        roster = Roster(follower, {}, notes.append)
        roster.open()
        version = roster.version
        there.do(there.world.host(default_cards()[:1]))
        assert roster.wait(version, LIMIT_S)
        while not roster.cards:
            assert roster.wait(roster.version, LIMIT_S)
        user_port, card_port = there.world.app.user_port, there.world.app.card_port
        server.close()
        while roster.cards:
            assert roster.wait(roster.version, LIMIT_S)
        assert roster.fault is not None
    try:
        with elsewhere(certificates, user_port=user_port, card_port=card_port) as again:
            again.do(again.world.host(default_cards()[:1]))
            while not roster.cards:
                assert roster.wait(roster.version, LIMIT_S)
            assert roster.fault is None
            assert "Connected to" in notes[-1]
    finally:
        roster.close()
