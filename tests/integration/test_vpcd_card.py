# SPDX-License-Identifier: Apache-2.0
"""A simulated card behind the driver's protocol, with the test as the driver."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.pcsc.vpcd_card import VpcdCard
from tests.support.pcsc.vpcd_driver import ASK, ATR, OFF, ON, RESET, VERIFY, WAIT_S, Driver
from wsrc.readers.base import CardProtocol
from wsrc.readers.simulation import Card, Faults, When, make_card, parse_description


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.close()


@pytest.fixture
def uicc() -> Card:
    return make_card(parse_description('kind = "uicc"', "test"))


@pytest.fixture
def served(uicc: Card, driver: Driver) -> Iterator[threading.Thread]:
    yield from serve(uicc, driver.port)


def serve(card: Card, port: int) -> Iterator[threading.Thread]:
    vpcd_card = VpcdCard(card, "127.0.0.1", port)
    thread = threading.Thread(target=vpcd_card.run)
    thread.start()
    yield thread
    vpcd_card.stop()
    vpcd_card.stop()
    thread.join(WAIT_S)
    assert not thread.is_alive()


@pytest.mark.usefixtures("served")
def test_atr_and_commands(driver: Driver, uicc: Card) -> None:
    driver.accept()
    assert driver.ask(ATR) == uicc.atr
    driver.tell(ON)
    assert driver.ask(VERIFY) == b"\x90\x00"
    assert driver.ask(ATR) == uicc.atr
    assert driver.ask(bytes.fromhex("00a40004023f00"))[0] == 0x61


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("controls", [[RESET], [OFF, ON], [OFF], [b"\x07", RESET]])
def test_controls_are_not_answered_and_reset_the_card(
    driver: Driver, controls: list[bytes]
) -> None:
    driver.accept()
    driver.tell(ON)
    assert driver.ask(VERIFY) == b"\x90\x00"
    for control in controls:
        driver.tell(control)
    assert driver.ask(ASK) == b"\x63\xc3"


@pytest.mark.usefixtures("served")
def test_card_dials_again_when_pcscd_is_back(driver: Driver) -> None:
    for _ in range(3):
        driver.accept()
        assert driver.ask(VERIFY) == b"\x90\x00"
        driver.hang_up()
    driver.accept()
    assert driver.ask(ASK) == b"\x63\xc3"


def test_card_waits_for_a_driver_that_is_not_there(uicc: Card) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    serving = serve(uicc, port)
    thread = next(serving)
    assert thread.is_alive()
    assert next(serving, None) is None


@pytest.mark.parametrize("when", list(When))
def test_card_that_dies_hangs_up_and_is_out(
    driver: Driver, uicc: Card, served: threading.Thread, when: When
) -> None:
    uicc.faults = Faults(dies_at=1, when=when, only="0020")
    driver.accept()
    driver.tell(ON)
    driver.tell(ASK)
    assert driver.at_end()
    served.join(WAIT_S)
    assert not served.is_alive()


@pytest.mark.usefixtures("served")
def test_mute_card_never_answers_with_nothing(driver: Driver, uicc: Card) -> None:
    uicc.faults = Faults(mute=True)
    driver.accept()
    driver.tell(ON)
    assert driver.ask(ATR) == b"\x00"


def test_removed_card_hangs_up_at_power_on(
    driver: Driver, uicc: Card, served: threading.Thread
) -> None:
    driver.accept()
    assert driver.ask(ATR)
    uicc.remove()
    driver.tell(ON)
    assert driver.at_end()
    served.join(WAIT_S)
    assert not served.is_alive()


def test_stop_ends_a_command_that_hangs(driver: Driver, uicc: Card) -> None:
    uicc.faults = Faults(delay_s=60.0)
    serving = serve(uicc, driver.port)
    next(serving)
    driver.accept()
    driver.tell(ASK)
    assert uicc.struck.wait(WAIT_S)
    assert next(serving, None) is None
    assert driver.at_end()


def test_answer_that_the_driver_cannot_carry(driver: Driver) -> None:
    description = (
        'kind = "uicc"\nprotocol = "T1"\n[[file]]\npath = "6fe0"\nsfi = 6\nsize_octets = 65535'
    )
    card = make_card(parse_description(description, "test"))
    assert card.protocol is CardProtocol.T1
    serving = serve(card, driver.port)
    next(serving)
    driver.accept()
    driver.tell(ON)
    assert driver.ask(bytes.fromhex("00b08600000000")) == b"\x67\x00"
    assert len(driver.ask(bytes.fromhex("00b0860000fffd"))) == 0xFFFF
    assert next(serving, None) is None
