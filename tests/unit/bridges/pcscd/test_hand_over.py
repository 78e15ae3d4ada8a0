# SPDX-License-Identifier: Apache-2.0
"""The machine behind the pcscd socket: whose the next transaction is."""

import pytest

from tests.support.pcscd_programs import (
    HERE,
    LEAVE,
    OK,
    OUT,
    VIOLATION,
    WARM,
    Running,
    TestProgram,
    World,
)
from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.calls import BEGIN_PARK_S
from wsrc.bridges.pcscd.hand_over import ASKS_AGAIN_S, GRACE_S, TURN_S
from wsrc.card.pcsc_numbers import Code

SLEEP_S = 0.1
"""How long libpcsclite sleeps before it asks again."""


@pytest.fixture
def world() -> World:
    return World()


class Looping:
    """A program with one short transaction after another, as libpcsclite asks for them."""

    def __init__(self, world: World, work_s: float, gap_s: float) -> None:
        self.world = world
        self.one = world.program()
        self.card = self.one.card()
        self.begun: list[float] = []
        self._work_s, self._gap_s = work_s, gap_s
        self._call: Running | None = None
        self._next = world.now
        self._has = False

    def go_on(self) -> None:
        """Do what is due."""
        now = self.world.now
        if self._call is not None:
            self._look(self._call, now)
        elif now >= self._next and self._has:
            assert self.one.simple(asks.End(self.card, LEAVE)) is OK
            self._has, self._next = False, now + self._gap_s
        elif now >= self._next:
            self._call = self.one.start(asks.Begin(self.card))

    def _look(self, call: Running, now: float) -> None:
        if call.done:
            self._call, self._has = None, call.code is OK
            self._next = now + (self._work_s if self._has else SLEEP_S)
            self.begun += [now] if self._has else []


def begun(one: TestProgram, card: int) -> Code | None:
    return one.start(asks.Begin(card)).code


def test_d30e_who_had_the_last_transaction_has_the_next_one_too(world: World) -> None:
    """Programs that select in one transaction and read in the next one rely on it."""
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    waiting = two.start(asks.Begin(theirs))
    for _ in range(3):
        one.simple(asks.End(mine, LEAVE))
        world.later(GRACE_S / 2)
        assert begun(one, mine) is OK
        assert not waiting.code
    one.simple(asks.End(mine, LEAVE))
    world.later(GRACE_S - 0.001)
    assert not waiting.done
    world.later(0.002)
    assert waiting.code is OK
    assert begun(one, mine) is None


def test_d30e_any_handle_of_that_program_has_it(world: World) -> None:
    one, two = world.program(), world.program()
    mine, again, theirs = one.card(), one.card(), two.card()
    one.simple(asks.Begin(mine))
    one.simple(asks.End(mine, LEAVE))
    assert begun(two, theirs) is None
    assert begun(one, again) is OK


@pytest.mark.parametrize("ending", ["disconnect", "vanish", "reset", "other reset", "swap"])
def test_d30e_nobody_waits_for_who_cannot_rely_on_the_card(world: World, ending: str) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    one.simple(asks.End(mine, WARM if ending == "reset" else LEAVE))
    match ending:
        case "disconnect":
            one.simple(asks.Disconnect(mine, LEAVE))
        case "vanish":
            one.vanish()
        case "other reset":
            third = world.program()
            third.simple(asks.Disconnect(third.card(), WARM))
        case "swap":
            world.see(OUT)
            world.see(HERE)
    two.simple(asks.Reconnect(theirs, 2, 3, LEAVE))
    assert begun(two, theirs) is OK


def test_d30e_card_that_is_free_is_had_at_once(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    one.simple(asks.End(mine, LEAVE))
    world.later(GRACE_S)
    assert begun(two, theirs) is OK


@pytest.mark.parametrize("work_s", [0.0, 0.005, 0.15, 0.3])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_d30e_nobody_starves(world: World, work_s: float, count: int) -> None:
    programs = [Looping(world, work_s, 0.001) for _ in range(count)]
    end_s = 4 * count * TURN_S
    start = world.now
    while world.now < start + end_s:
        for each in programs:
            each.go_on()
        world.later(0.0025)
    for each in programs:
        gaps = [b - a for a, b in zip([start, *each.begun], each.begun, strict=False)]
        most = (count - 1) * (TURN_S + 4 * (work_s + ASKS_AGAIN_S))
        assert len(each.begun) > 3
        assert max(gaps) < most


def test_d30e_who_does_not_ask_again_is_not_waited_for(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    asked = two.start(asks.Begin(theirs))
    world.later(BEGIN_PARK_S)
    assert asked.code is VIOLATION
    for _ in range(2):
        world.later(TURN_S)
        one.simple(asks.End(mine, LEAVE))
        assert begun(one, mine) is OK
