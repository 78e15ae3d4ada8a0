# SPDX-License-Identifier: Apache-2.0
"""The machine behind the pcscd socket: taking cards, and readers and cards that go."""

from typing import Any

import pytest

from tests.support.pcscd_programs import (
    DIRECT,
    DUAL_ATR,
    EXCLUSIVE,
    INVALID,
    LEAVE,
    MISMATCH,
    NAME,
    NO_CARD,
    OK,
    SHARED,
    VIOLATION,
    WARM,
    World,
)
from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.machine import KEEP_S
from wsrc.bridges.pcscd.source import Failure, Park, Seen
from wsrc.card.pcsc_numbers import Code
from wsrc.card.slot import CardProtocol


@pytest.fixture
def world() -> World:
    return World()


def test_first_program_takes_the_card_and_the_last_gives_it_back_after_a_while(
    world: World,
) -> None:
    one, two = world.program(), world.program()
    first, second = one.card(), two.card()
    assert world.log == ["open"]
    assert one.simple(asks.Disconnect(first, LEAVE)) is OK
    assert world.machine.deadline() is None
    assert two.simple(asks.Disconnect(second, LEAVE)) is OK
    assert world.machine.deadline() == world.now + KEEP_S
    world.later(KEEP_S - 0.1)
    assert world.log == ["open"]
    world.later(0.2)
    assert world.log == ["open", "close"]
    one.card()
    assert world.log == ["open", "close", "open"]


def test_program_that_comes_back_soon_finds_the_card_as_it_was(world: World) -> None:
    one = world.program()
    one.simple(asks.Disconnect(one.card(), LEAVE))
    world.later(KEEP_S / 2)
    card = one.card()
    world.later(2 * KEEP_S)
    assert one.transmit(card) is OK
    assert world.log == ["open", "00010203"]


def test_who_connects_while_the_card_is_given_back_waits_for_that(world: World) -> None:
    one = world.program()
    one.simple(asks.Disconnect(one.card(), LEAVE))
    world.slow = {"close"}
    world.later(2 * KEEP_S)
    call = one.start(asks.Connect(one.context, NAME, SHARED, 1))
    assert isinstance(call.need, Park)
    world.finish("close")
    assert call.code is OK
    assert world.log == ["open", "close", "open"]


def test_two_who_connect_at_once_take_the_card_once(world: World) -> None:
    world.slow = {"open"}
    one, two = world.program(), world.program()
    first = one.start(asks.Connect(one.context, NAME, SHARED, 1))
    second = two.start(asks.Connect(two.context, NAME, SHARED, 1))
    world.finish("open")
    assert [c.code for c in (first, second)] == [OK, OK]
    assert world.log == ["open"]
    assert one.row()[2] == 2


def test_card_that_cannot_be_taken_is_a_code(world: World) -> None:
    world.fail["open"] = Failure(VIOLATION)
    one = world.program()
    assert one.connect() == (VIOLATION, 0)
    world.fail.clear()
    assert one.connect()[0] is OK


def test_card_that_was_taken_for_nothing_is_given_back(world: World) -> None:
    one = world.program()
    assert one.connect(protocols=2)[0] is MISMATCH
    world.later(2 * KEEP_S)
    assert world.log == ["open", "close"]


def test_program_that_vanishes_while_it_connects_leaves_nothing(world: World) -> None:
    world.slow = {"open"}
    one = world.program()
    call = one.start(asks.Connect(one.context, NAME, SHARED, 1))
    world.finish("open")
    assert call.done
    one.vanish()
    world.later(2 * KEEP_S)
    assert world.log == ["open", "close"]


@pytest.mark.parametrize(
    ("share", "protocols", "code"),
    [
        (0, 0, MISMATCH),
        (9, 1, INVALID),
        (SHARED, 0, MISMATCH),
        (SHARED, 8, MISMATCH),
        (SHARED, 2, MISMATCH),
        (SHARED, 1, OK),
        (SHARED, 3, OK),
        (SHARED, 0x1000, OK),
        (SHARED, 4, OK),
        (DIRECT, 0, OK),
        (EXCLUSIVE, 1, OK),
    ],
)
def test_wish_of_connect(world: World, share: int, protocols: int, code: Code) -> None:
    assert world.program().connect(share, protocols)[0] is code


@pytest.mark.parametrize(
    ("known", "wanted", "chosen"),
    [(None, 3, 2), (None, 1, 1), (CardProtocol.T0, 3, 1), (CardProtocol.T1, 3, 2)],
)
def test_protocol_of_a_card_that_has_two_is_that_of_its_host(
    known: CardProtocol | None, wanted: int, chosen: int
) -> None:
    world = World(Seen(NAME, present=True, atr=DUAL_ATR))
    world.atr, world.protocol = DUAL_ATR, known
    one = world.program()
    assert one.ask(asks.Connect(one.context, NAME, SHARED, wanted)).protocol == chosen
    assert one.row()[3] == chosen


def test_protocol_stays_until_the_card_is_reset() -> None:
    world = World(Seen(NAME, present=True, atr=DUAL_ATR))
    world.atr = DUAL_ATR
    one, two = world.program(), world.program()
    card = one.connect(protocols=1)[1]
    assert two.connect(protocols=2)[0] is MISMATCH
    assert one.simple(asks.Disconnect(card, WARM)) is OK
    assert one.row()[3] == 0
    assert two.connect(protocols=2)[0] is OK


@pytest.mark.parametrize("atr", [b"", b"\x3b", b"\x3b\xff\x00", b"\x00\x00"])
def test_card_with_an_atr_that_says_nothing_speaks_raw_at_most(atr: bytes) -> None:
    world = World(Seen(NAME, present=True, atr=atr))
    world.atr = atr
    one = world.program()
    assert one.connect(protocols=3)[0] is (OK if atr == b"\x00\x00" else MISMATCH)
    assert one.connect(protocols=4)[0] is OK


def test_mute_and_absent_cards_are_refused() -> None:
    world = World(Seen(NAME, present=True, mute=True))
    one = world.program()
    assert one.connect()[0] is Code.SCARD_W_UNPOWERED_CARD
    assert one.row()[1] == 0x0C
    card = one.connect(DIRECT, 0)[1]
    assert one.simple(asks.Reconnect(card, SHARED, 3, LEAVE)) is Code.SCARD_W_UNRESPONSIVE_CARD
    world.see(Seen(NAME, event_count=1))
    assert one.connect()[0] is NO_CARD
    assert one.simple(asks.Reconnect(card, SHARED, 3, LEAVE)) is NO_CARD
    assert one.row()[1] == 2


def test_direct_use_takes_the_card_only_to_talk_to_it(world: World) -> None:
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    assert world.log == []
    assert one.row() == (1, 4, 1, 0)
    assert one.simple(asks.Control(card, 0x42000D48, b"", 264)) is OK
    assert one.transmit(card) is MISMATCH
    assert one.transmit(card, protocol=4) is OK
    assert world.log == ["open", "00010203"]


@pytest.mark.parametrize(
    "request_",
    [
        asks.GetReaders(),
        asks.Wait(),
        asks.GetReaderEvents(),
        asks.GetTableSize(),
        asks.GetTable(),
    ],
    ids=lambda request: type(request).__name__,
)
def test_who_asks_for_readers_waits_until_they_are_listed(request_: asks.Request[Any]) -> None:
    world = World(listed=False)
    call = world.program(6).start(request_)
    assert isinstance(call.need, Park)
    world.machine.readers_listed()
    world.settle()
    assert call.code is OK


def test_who_connects_before_readers_are_listed_finds_those_that_were_told_meanwhile() -> None:
    world = World(listed=False)
    one = world.program()
    found = one.start(asks.Connect(one.context, NAME, SHARED, 1))
    unknown = one.start(asks.Connect(one.context, b"other", SHARED, 1))
    world.later(60)
    assert [found.code, unknown.code] == [None, None]
    assert world.log == []
    world.machine.readers_listed()
    world.settle()
    assert [found.code, unknown.code] == [OK, Code.SCARD_E_UNKNOWN_READER]


def test_who_asks_for_no_reader_waits_for_no_list() -> None:
    world = World(listed=False)
    one = world.program()
    assert one.simple(asks.Cancel(one.context)) is OK
    assert one.simple(asks.ReleaseContext(one.context)) is OK
