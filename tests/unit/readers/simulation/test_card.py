# SPDX-License-Identifier: Apache-2.0
"""Power and faults of a simulated card."""

import threading

import pytest

from tests.support.card_user import apdu, block, card
from wsrc.errors import (
    CardError,
    CardNotPresentError,
    CardTransmissionError,
    CardUnresponsiveError,
    Outcome,
)
from wsrc.readers.base import ResetKind
from wsrc.readers.simulation import Card, Faults, When

LONG_S = 60.0
INCREASE = "8032890001 01"
COUNTER = '[[file]]\npath = "6fe5"\nstructure = "cyclic"\nsfi = 9\nrecord_octets = 1'


def counter(uicc: Card) -> int:
    return bytes.fromhex(apdu(uicc, "00b2014c 01"))[0]


def in_thread(uicc: Card, text: str, failures: list[CardError]) -> threading.Thread:
    def run() -> None:
        try:
            block(uicc, text)
        except CardError as exc:
            failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_power() -> None:
    uicc = card()
    assert uicc.powered
    uicc.power_off()
    assert not uicc.powered
    with pytest.raises(CardTransmissionError) as failed:
        block(uicc, "0020000100")
    assert failed.value.outcome is Outcome.NOT_EXECUTED
    assert uicc.power_on() == uicc.atr
    assert uicc.reset(ResetKind.WARM) == uicc.atr


def test_mute_card_gives_no_atr() -> None:
    uicc = card()
    uicc.faults = Faults(mute=True)
    assert uicc.atr == b""
    with pytest.raises(CardUnresponsiveError):
        uicc.reset(ResetKind.COLD)
    uicc.faults = Faults()
    assert uicc.power_on()


@pytest.mark.parametrize(
    ("when", "outcome", "count"),
    [(When.BEFORE, Outcome.NOT_EXECUTED, 1), (When.AFTER, Outcome.UNKNOWN, 2)],
)
def test_card_dies_at_a_command(when: When, outcome: Outcome, count: int) -> None:
    uicc = card(COUNTER)
    uicc.faults = Faults(dies_at=2, when=when, only="8032")
    assert block(uicc, INCREASE) == "6102"
    assert block(uicc, "0020000100") == "63c3"
    with pytest.raises(CardNotPresentError) as failed:
        block(uicc, INCREASE)
    assert failed.value.outcome is outcome
    assert uicc.removed
    with pytest.raises(CardNotPresentError):
        uicc.power_on()
    with pytest.raises(CardNotPresentError):
        block(uicc, INCREASE)
    uicc.faults = Faults()
    uicc.insert()
    uicc.power_on()
    assert counter(uicc) == count


@pytest.mark.parametrize("when", list(When))
def test_slow_card_answers_in_the_end(when: When) -> None:
    uicc = card()
    uicc.faults = Faults(delay_s=0.001, when=when)
    assert block(uicc, "0020000100") == "63c3"


@pytest.mark.parametrize(
    ("when", "outcome", "count"),
    [(When.BEFORE, Outcome.NOT_EXECUTED, 0), (When.AFTER, Outcome.UNKNOWN, 1)],
)
@pytest.mark.parametrize("end", ["remove", "power_off", "power_on"])
def test_a_command_that_hangs_is_ended(when: When, outcome: Outcome, count: int, end: str) -> None:
    uicc = card(COUNTER)
    uicc.faults = Faults(delay_s=LONG_S, when=when)
    failures: list[CardError] = []
    thread = in_thread(uicc, INCREASE, failures)
    assert uicc.struck.wait(10)
    getattr(uicc, end)()
    thread.join(10)
    assert not thread.is_alive()
    expected = CardNotPresentError if end == "remove" else CardTransmissionError
    assert isinstance(failures[0], expected)
    assert failures[0].outcome is outcome
    uicc.faults = Faults()
    uicc.insert()
    uicc.power_on()
    assert counter(uicc) == count
