# SPDX-License-Identifier: Apache-2.0
"""The machine behind the pcscd socket: what a card that is lost leaves of transactions."""

from collections.abc import Callable

import pytest

from tests.support.pcscd_programs import (
    BACK,
    DIRECT,
    EXCLUSIVE,
    LEAVE,
    NAME,
    OK,
    OUT,
    REMOVED,
    RESET,
    SHARED,
    UNAVAILABLE,
    VIOLATION,
    WARM,
    TestProgram,
    World,
)
from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.hand_over import GRACE_S
from wsrc.bridges.pcscd.source import Failure, Park, Seen
from wsrc.card.pcsc_numbers import Code

NOT_TRANSACTED = Code.SCARD_E_NOT_TRANSACTED
DATA_LOST = Code.SCARD_E_COMM_DATA_LOST
AWAY = Seen(NAME, event_count=1, unavailable=True)

Losing = Callable[[World, TestProgram, int], Code]


@pytest.fixture
def world() -> World:
    return World()


def lease_ends(world: World, one: TestProgram, card: int) -> Code:
    del one, card
    world.machine.session_over(world.sessions[-1], Failure(RESET, RESET))
    world.settle()
    return RESET


def command_is_lost(world: World, one: TestProgram, card: int) -> Code:
    world.fail["transmit"] = Failure(DATA_LOST, RESET)
    assert one.transmit(card) is DATA_LOST
    world.fail.clear()
    return RESET


def card_is_gone_at_a_command(world: World, one: TestProgram, card: int) -> Code:
    world.fail["transmit"] = Failure(REMOVED, REMOVED)
    assert one.transmit(card) is REMOVED
    world.fail.clear()
    return REMOVED


def reset_is_lost(world: World, one: TestProgram, card: int) -> Code:
    world.fail["reset"] = Failure(DATA_LOST, RESET)
    assert one.simple(asks.Reconnect(card, SHARED, 3, WARM)) is DATA_LOST
    world.fail.clear()
    return RESET


def reader_goes_out_of_reach(world: World, one: TestProgram, card: int) -> Code:
    world.see(AWAY)
    assert one.simple(asks.End(card, LEAVE)) is UNAVAILABLE
    world.see(BACK)
    return RESET


def card_is_taken_out(world: World, one: TestProgram, card: int) -> Code:
    del one, card
    world.see(OUT)
    world.see(BACK)
    return REMOVED


LOSSES: tuple[Losing, ...] = (
    lease_ends,
    command_is_lost,
    card_is_gone_at_a_command,
    reset_is_lost,
    reader_goes_out_of_reach,
    card_is_taken_out,
)
each_loss = pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__)


def goes_on(program: TestProgram, card: int) -> None:
    """Reconnect, and do a transaction, after which others may have theirs."""
    assert program.simple(asks.Reconnect(card, SHARED, 3, LEAVE)) is OK
    assert program.simple(asks.Begin(card)) is OK
    assert program.transmit(card) is OK
    assert program.simple(asks.End(card, LEAVE)) is OK
    program.world.later(GRACE_S)


@each_loss
def test_transactions_end_with_the_session(world: World, lose: Losing) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    assert one.simple(asks.Begin(mine)) is one.simple(asks.Begin(mine)) is OK
    why = lose(world, one, mine)
    assert two.simple(asks.Status(theirs)) is why
    goes_on(two, theirs)
    assert world.program().connect()[0] is OK
    assert one.simple(asks.End(mine, LEAVE)) is why
    goes_on(one, mine)
    assert one.simple(asks.End(mine, LEAVE)) is NOT_TRANSACTED
    goes_on(two, theirs)


@each_loss
def test_losses_do_not_add_up(world: World, lose: Losing) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    for _ in range(3):
        assert one.simple(asks.Begin(mine)) is OK
        lose(world, one, mine)
        goes_on(one, mine)
        goes_on(two, theirs)


def test_reader_without_a_session_loses_its_transactions_as_it_goes_out_of_reach(
    world: World,
) -> None:
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    assert one.simple(asks.Begin(card)) is OK
    assert reader_goes_out_of_reach(world, one, card) is RESET
    assert one.simple(asks.Status(card)) is RESET
    assert world.program().connect()[0] is OK


@pytest.mark.parametrize(
    ("request_of", "code"),
    [
        (lambda _, card: asks.Begin(card), RESET),
        (lambda _, card: asks.Disconnect(card, WARM), OK),
        (lambda two, _: asks.Connect(two.context, NAME, SHARED, 1), OK),
    ],
    ids=["begin", "disconnect", "connect"],
)
def test_who_waits_for_a_transaction_goes_on_when_the_session_is_lost(
    world: World, request_of: Callable[[TestProgram, int], asks.Request], code: Code
) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    call = two.start(request_of(two, theirs))
    assert isinstance(call.need, Park)
    lease_ends(world, one, mine)
    assert call.code is code


def test_session_that_is_over_in_mid_command_is_told_once(world: World) -> None:
    world.slow = {"transmit"}
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.connect(DIRECT, 0)[1]
    call = one.start(asks.Transmit(mine, 1, b"\0\0\0\0"))
    lease_ends(world, one, mine)
    assert two.simple(asks.Reconnect(theirs, DIRECT, 0, LEAVE)) is OK
    assert two.simple(asks.Begin(theirs)) is OK
    world.fail["transmit"] = Failure(DATA_LOST, RESET)
    world.finish("transmit")
    assert call.done
    assert two.simple(asks.Status(theirs)) is OK
    assert two.simple(asks.End(theirs, LEAVE)) is OK


@each_loss
def test_exclusive_use_outlives_the_session(world: World, lose: Losing) -> None:
    one, two = world.program(), world.program()
    card = one.card(EXCLUSIVE)
    assert one.simple(asks.Begin(card)) is OK
    why = lose(world, one, card)
    assert one.simple(asks.Status(card)) is why
    assert two.connect()[0] is two.connect(EXCLUSIVE)[0] is two.connect(DIRECT, 0)[0] is VIOLATION
    assert one.simple(asks.Reconnect(card, EXCLUSIVE, 3, LEAVE)) is OK
    assert one.simple(asks.End(card, LEAVE)) is NOT_TRANSACTED
    assert one.simple(asks.Begin(card)) is one.simple(asks.End(card, LEAVE)) is OK
    assert two.connect()[0] is VIOLATION
    assert one.simple(asks.Disconnect(card, LEAVE)) is OK
    assert two.connect(EXCLUSIVE)[0] is OK


@each_loss
@pytest.mark.parametrize("share", [SHARED, DIRECT])
def test_exclusive_use_is_given_up_after_the_session_was_lost(
    world: World, lose: Losing, share: int
) -> None:
    one, two = world.program(), world.program()
    card = one.card(EXCLUSIVE)
    lose(world, one, card)
    assert one.simple(asks.Reconnect(card, share, 3, LEAVE)) is OK
    assert one.simple(asks.Status(card)) is OK
    goes_on(two, two.card())
    assert one.simple(asks.End(card, LEAVE)) is NOT_TRANSACTED


@each_loss
def test_exclusive_use_that_is_lost_ends_with_its_handle(world: World, lose: Losing) -> None:
    one, two = world.program(), world.program()
    lose(world, one, one.card(EXCLUSIVE))
    one.vanish()
    card = two.card(EXCLUSIVE)
    assert two.transmit(card) is OK


def test_transaction_within_exclusive_use_goes_on_in_shared_use(world: World) -> None:
    one, two = world.program(), world.program()
    card = one.card(EXCLUSIVE)
    card_is_taken_out(world, one, card)
    assert one.simple(asks.Reconnect(card, EXCLUSIVE, 3, LEAVE)) is OK
    assert one.simple(asks.Begin(card)) is OK
    assert one.simple(asks.Reconnect(card, SHARED, 3, LEAVE)) is OK
    call = two.start(asks.Connect(two.context, NAME, SHARED, 1))
    assert isinstance(call.need, Park)
    assert one.simple(asks.End(card, LEAVE)) is OK
    assert call.code is OK
    assert one.simple(asks.End(card, LEAVE)) is NOT_TRANSACTED


@pytest.mark.parametrize("how", ["nested", "refused"])
def test_program_that_resets_the_card_in_its_transaction_keeps_that_as_on_pcscd(
    world: World, how: str
) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    assert one.simple(asks.Begin(mine)) is OK
    if how == "nested":
        assert one.simple(asks.Begin(mine)) is one.simple(asks.End(mine, WARM)) is OK
    else:
        refused = one.simple(asks.Reconnect(mine, SHARED, 2, WARM))
        assert refused is Code.SCARD_E_PROTO_MISMATCH
    assert one.simple(asks.End(mine, LEAVE)) is RESET
    assert one.simple(asks.Reconnect(mine, SHARED, 3, LEAVE)) is OK
    assert two.simple(asks.Status(theirs)) is VIOLATION
    assert one.simple(asks.End(mine, LEAVE)) is OK
    assert two.simple(asks.Status(theirs)) is RESET
