# SPDX-License-Identifier: Apache-2.0
"""The machine behind the pcscd socket: cards that go, or are swapped, while they are taken."""

import pytest

from tests.support.pcscd_programs import (
    ATR,
    BACK,
    DIRECT,
    DUAL_ATR,
    LEAVE,
    NAME,
    NO_CARD,
    OK,
    OUT,
    REMOVED,
    RESET,
    SHARED,
    UNPOWER,
    WARM,
    Running,
    TestProgram,
    World,
)
from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.source import Failure, Seen
from wsrc.bridges.pcscd.turns import MOST_OPENS
from wsrc.card.pcsc_numbers import Code

RAW = 4


@pytest.fixture
def world() -> World:
    """Have the card taken slowly."""
    world = World()
    world.slow = {"open"}
    return world


def swap(world: World, count: int = 3) -> None:
    """Put a card with another ATR in the place of the card."""
    world.see(Seen(NAME, present=True, atr=DUAL_ATR, event_count=count))


def connecting(one: TestProgram, protocols: int = 3) -> Running:
    return one.start(asks.Connect(one.context, NAME, SHARED, protocols))


def raw(one: TestProgram, card: int) -> Running:
    return one.start(asks.Transmit(card, RAW, b"\0\1\2\3"))


def test_command_for_a_card_is_not_sent_to_the_one_in_its_place(world: World) -> None:
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    call = raw(one, card)
    swap(world)
    world.finish("open")
    assert call.code is REMOVED
    assert world.log == ["open", "close"]
    assert one.atr() == DUAL_ATR
    assert one.simple(asks.Status(card)) is REMOVED


def test_program_that_connects_has_the_card_that_is_shown(world: World) -> None:
    one = world.program()
    call = connecting(one)
    swap(world)
    world.finish("open")
    assert one.program.cards == set()
    assert one.atr() == DUAL_ATR
    world.atr = DUAL_ATR
    world.finish("open")
    assert call.code is OK
    assert call.given.protocol == 2
    assert world.log == ["open", "close", "open"]
    assert one.atr() == DUAL_ATR


@pytest.mark.parametrize("how", [LEAVE, WARM, UNPOWER])
def test_program_that_reconnects_has_the_card_that_is_shown(world: World, how: int) -> None:
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    call = one.start(asks.Reconnect(card, SHARED, 3, how))
    swap(world)
    world.atr = ATR
    world.finish("open")
    assert one.atr() == DUAL_ATR
    world.atr = DUAL_ATR
    world.finish("open")
    assert call.code is OK
    assert world.log == ["open", "close", "open"]
    assert one.transmit(card, protocol=2) is OK


def test_card_that_was_out_of_reach_while_it_was_taken_is_taken_again(world: World) -> None:
    one = world.program()
    call = connecting(one)
    world.see(Seen(NAME, event_count=1, unavailable=True))
    world.see(BACK)
    world.finish("open")
    world.finish("open")
    assert call.code is OK
    assert world.log == ["open", "close", "open"]


def test_card_that_is_swapped_for_ever_is_refused(world: World) -> None:
    one = world.program()
    call = connecting(one)
    for count in range(MOST_OPENS):
        assert not call.done
        swap(world, 3 + 2 * count)
        world.finish("open")
    assert call.code is REMOVED
    assert world.log == ["open", "close"] * MOST_OPENS
    assert one.row()[2] == 0


@pytest.mark.parametrize("how", [LEAVE, WARM])
def test_card_that_goes_while_a_program_reconnects(world: World, how: int) -> None:
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    call = one.start(asks.Reconnect(card, SHARED, 3, how))
    world.see(OUT)
    world.finish("open")
    assert call.code is NO_CARD
    assert world.log == ["open", "close"]
    assert one.simple(asks.Status(card)) is REMOVED


@pytest.mark.parametrize("there", [False, True])
def test_card_that_goes_while_it_is_reset(world: World, there: bool) -> None:
    world.slow = {"reset"}
    one = world.program()
    card = one.card()
    call = one.start(asks.Reconnect(card, SHARED, 3, WARM))
    world.see(BACK if there else OUT)
    world.finish("reset")
    assert call.code is (REMOVED if there else NO_CARD)
    assert world.log == ["open", "reset warm", "close"]
    assert one.simple(asks.Status(card)) is REMOVED


def test_command_is_not_sent_to_a_card_that_was_lost_in_the_reset_before_it(world: World) -> None:
    world.slow = {"reset"}
    one, two = world.program(), world.program()
    card = one.card()
    assert two.simple(asks.Disconnect(two.card(), WARM)) is OK
    assert one.simple(asks.Reconnect(card, SHARED, 3, LEAVE)) is OK
    call = one.start(asks.Transmit(card, 1, b"\0\1\2\3"))
    world.see(BACK)
    world.finish("reset")
    assert call.code is REMOVED
    assert world.log == ["open", "reset warm", "close"]


def test_command_is_not_sent_to_a_card_that_is_to_be_reset_meanwhile(world: World) -> None:
    one, two = world.program(), world.program()
    card = one.connect(DIRECT, 0)[1]
    call = raw(one, card)
    assert two.simple(asks.Disconnect(two.connect(DIRECT, 0)[1], WARM)) is OK
    world.finish("open")
    assert call.code is RESET
    assert world.log == ["open"]


def test_reset_that_a_removal_ends_leaves_the_handle_told_of_that(world: World) -> None:
    world.slow = {"reset"}
    one = world.program()
    card = one.card()
    call = one.start(asks.Reconnect(card, SHARED, 3, WARM))
    world.see(OUT)
    world.fail["reset"] = Failure(Code.SCARD_E_COMM_DATA_LOST, RESET)
    world.finish("reset")
    assert call.code is Code.SCARD_E_COMM_DATA_LOST
    assert one.simple(asks.Status(card)) is REMOVED


def test_command_to_an_empty_reader_fails_and_strikes_nobody(world: World) -> None:
    world.see(OUT)
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    assert raw(one, card).code is Code.SCARD_E_NOT_TRANSACTED
    world.see(BACK)
    call = raw(one, card)
    world.finish("open")
    assert call.code is OK
    assert world.log == ["open", "00010203"]
