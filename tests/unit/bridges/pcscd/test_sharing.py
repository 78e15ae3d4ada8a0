# SPDX-License-Identifier: Apache-2.0
"""The machine behind the pcscd socket: exclusive use, transactions and resets."""

import pytest

from tests.support.pcscd_programs import (
    DIRECT,
    DUAL_ATR,
    EXCLUSIVE,
    LEAVE,
    NAME,
    OK,
    OUT,
    REMOVED,
    RESET,
    SHARED,
    UNPOWER,
    VIOLATION,
    WARM,
    World,
)
from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.hand_over import GRACE_S
from wsrc.bridges.pcscd.source import Failure, Park
from wsrc.card.pcsc_numbers import Code


@pytest.fixture
def world() -> World:
    return World()


def test_exclusive_use_keeps_all_others_out(world: World) -> None:
    one, two = world.program(), world.program()
    card = one.card(EXCLUSIVE)
    assert one.row()[2] == -1
    for share in (EXCLUSIVE, SHARED, DIRECT):
        assert two.connect(share)[0] is VIOLATION
    assert one.simple(asks.Begin(card)) is OK
    assert one.simple(asks.End(card, LEAVE)) is OK
    assert one.simple(asks.End(card, LEAVE)) is Code.SCARD_E_NOT_TRANSACTED
    assert one.simple(asks.Reconnect(card, SHARED, 3, LEAVE)) is OK
    assert two.connect()[0] is OK


def test_exclusive_use_is_not_had_beside_others(world: World) -> None:
    one, two = world.program(), world.program()
    card = one.card()
    assert two.connect(EXCLUSIVE)[0] is VIOLATION
    other = two.card()
    assert one.simple(asks.Reconnect(card, EXCLUSIVE, 3, LEAVE)) is VIOLATION
    two.simple(asks.Disconnect(other, LEAVE))
    assert one.simple(asks.Reconnect(card, EXCLUSIVE, 3, LEAVE)) is OK
    assert one.row()[2] == -1


def test_transaction_is_nestable_and_keeps_the_card_from_others(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    assert one.simple(asks.Begin(mine)) is OK
    assert one.simple(asks.Begin(mine)) is OK
    assert one.simple(asks.End(mine, LEAVE)) is OK
    assert two.transmit(theirs) is VIOLATION
    assert two.simple(asks.Status(theirs)) is VIOLATION
    assert two.simple(asks.End(theirs, LEAVE)) is VIOLATION
    assert two.simple(asks.Reconnect(theirs, SHARED, 3, LEAVE)) is VIOLATION
    assert two.simple(asks.Control(theirs, 0x42000D48, b"", 9)) is VIOLATION
    assert two.simple(asks.GetAttribute(theirs, 0x90303, 264)) is VIOLATION
    assert one.simple(asks.End(mine, LEAVE)) is OK
    assert one.simple(asks.End(mine, LEAVE)) is Code.SCARD_E_NOT_TRANSACTED
    assert two.transmit(theirs) is OK


def test_begin_waits_100_ms_and_goes_on_when_it_may(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    call = two.start(asks.Begin(theirs))
    assert call.need == Park(world.now + 0.1)
    world.later(0.09)
    assert not call.done
    world.later(0.02)
    assert call.code is VIOLATION
    call = two.start(asks.Begin(theirs))
    one.simple(asks.End(mine, LEAVE))
    world.later(GRACE_S)
    assert call.code is OK


@pytest.mark.parametrize("ending", ["end", "disconnect", "vanish", "remove"])
def test_lock_is_let_go_however_its_owner_ends(world: World, ending: str) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    call = two.start(asks.Begin(theirs))
    if ending == "end":
        one.simple(asks.End(mine, LEAVE))
        world.later(GRACE_S)
    elif ending == "disconnect":
        one.simple(asks.Disconnect(mine, LEAVE))
    elif ending == "vanish":
        one.vanish()
    else:
        world.see(OUT)
    codes = {"vanish": RESET, "remove": REMOVED}
    assert call.code is codes.get(ending, OK)


def test_owner_of_a_lock_that_vanishes_leaves_the_card_reset(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    one.vanish()
    assert two.transmit(theirs) is RESET
    assert two.simple(asks.Reconnect(theirs, SHARED, 3, LEAVE)) is OK
    assert two.transmit(theirs) is OK
    assert world.log == ["open", "reset warm", "00010203"]


def test_program_that_vanishes_without_a_lock_leaves_the_card_alone(world: World) -> None:
    one, two = world.program(), world.program()
    one.card()
    theirs = two.card()
    one.vanish()
    assert two.transmit(theirs) is OK
    assert world.log == ["open", "00010203"]


def test_owner_that_was_told_of_a_reset_does_not_reset_again(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    one.simple(asks.End(mine, WARM))
    assert one.simple(asks.Status(mine)) is RESET
    one.vanish()
    assert two.simple(asks.Reconnect(theirs, SHARED, 3, LEAVE)) is OK
    assert two.transmit(theirs) is OK
    assert world.log == ["open", "reset warm", "00010203"]


@pytest.mark.parametrize(("disposition", "kind"), [(WARM, "warm"), (UNPOWER, "cold")])
def test_disconnect_resets_for_the_others_before_their_next_command(
    world: World, disposition: int, kind: str
) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    assert two.simple(asks.Disconnect(theirs, disposition)) is OK
    assert world.log == ["open"]
    for refused in (
        asks.Status(mine), asks.Begin(mine), asks.End(mine, LEAVE),
        asks.GetAttribute(mine, 0x90303, 264), asks.GetAttribute(mine, 0x10103, 264),
        asks.SetAttribute(mine, 1, b""),
    ):  # fmt: skip
        assert one.simple(refused) is RESET
    assert one.simple(asks.Control(mine, 0x42000D48, b"", 9)) is OK
    assert one.simple(asks.Reconnect(mine, SHARED, 3, LEAVE)) is OK
    asked = ["open", "control 3400"]
    assert world.log == asked
    assert one.transmit(mine) is OK
    assert world.log == [*asked, f"reset {kind}", "00010203"]
    assert one.transmit(mine) is OK
    assert world.log == [*asked, f"reset {kind}", "00010203", "00010203"]


def test_cold_reset_covers_a_warm_one(world: World) -> None:
    programs = [world.program() for _ in range(4)]
    cards = [program.card() for program in programs]
    for program, card, how in zip(programs, cards, (WARM, UNPOWER, WARM), strict=False):
        program.simple(asks.Disconnect(card, how))
    last, card = programs[-1], cards[-1]
    last.ask(asks.Reconnect(card, SHARED, 3, LEAVE))
    last.transmit(card)
    assert world.log == ["open", "reset cold", "00010203"]


def test_disconnect_with_a_reset_waits_for_the_transaction_of_another(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    call = two.start(asks.Disconnect(theirs, WARM))
    assert isinstance(call.need, Park)
    assert one.transmit(mine) is OK
    one.simple(asks.End(mine, LEAVE))
    assert call.code is OK
    assert one.transmit(mine) is RESET


def test_disconnect_that_leaves_the_card_does_not_wait(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    assert two.simple(asks.Disconnect(theirs, LEAVE)) is OK
    assert one.transmit(mine) is OK


def test_connect_waits_for_the_transaction_of_another(world: World) -> None:
    one, two = world.program(), world.program()
    mine = one.card()
    one.simple(asks.Begin(mine))
    call = two.start(asks.Connect(two.context, NAME, SHARED, 1))
    assert call.need == Park()
    one.simple(asks.End(mine, LEAVE))
    assert call.code is OK


def test_reconnect_resets_at_once_and_gives_what_the_card_says_then(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    world.atr = DUAL_ATR
    assert one.simple(asks.Reconnect(mine, SHARED, 3, WARM)) is OK
    assert world.log == ["open", "reset warm"]
    assert one.row()[3] == 2
    assert two.transmit(theirs) is RESET
    assert one.transmit(mine, protocol=2) is OK


def test_card_that_does_not_come_up_again(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    unresponsive = Code.SCARD_W_UNRESPONSIVE_CARD
    world.fail["reset"] = Failure(unresponsive, RESET)
    assert one.simple(asks.Reconnect(mine, SHARED, 3, UNPOWER)) is unresponsive
    assert two.transmit(theirs) is RESET
    assert world.log == ["open", "close"]
    world.fail.clear()
    assert one.simple(asks.Reconnect(mine, SHARED, 3, LEAVE)) is OK
    assert one.transmit(mine) is OK
    assert world.log == ["open", "close", "open", "00010203"]


def test_session_that_is_lost_is_a_reset_for_all(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    world.fail["transmit"] = Failure(Code.SCARD_E_COMM_DATA_LOST, RESET)
    assert one.transmit(mine) is Code.SCARD_E_COMM_DATA_LOST
    world.fail.clear()
    assert one.transmit(mine) is RESET
    assert two.simple(asks.Status(theirs)) is RESET
    assert world.log == ["open", "close"]
    assert one.row()[3] == 0


def test_failure_that_is_the_cards_own_leaves_all_as_it_is(world: World) -> None:
    one = world.program()
    card = one.card()
    world.fail["transmit"] = Failure(Code.SCARD_E_NOT_TRANSACTED)
    assert one.transmit(card) is Code.SCARD_E_NOT_TRANSACTED
    world.fail.clear()
    assert one.transmit(card) is OK
    assert world.log == ["open", "00010203"]
