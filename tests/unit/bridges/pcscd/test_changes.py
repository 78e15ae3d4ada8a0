# SPDX-License-Identifier: Apache-2.0
"""The machine behind the pcscd socket: what programs are told, and cards that go."""

import msgspec
import pytest

from tests.support.pcscd_programs import (
    BACK,
    DIRECT,
    EJECT,
    EXCLUSIVE,
    HERE,
    INVALID,
    LEAVE,
    MISMATCH,
    NAME,
    NO_CARD,
    OK,
    OUT,
    REMOVED,
    RESET,
    SHARED,
    UNAVAILABLE,
    UNPOWER,
    VIOLATION,
    WARM,
    World,
)
from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.calls import MAX_HANDLES
from wsrc.bridges.pcscd.source import Failure, Park, Seen
from wsrc.card.pcsc_numbers import Code

AWAY = Seen(NAME, event_count=1, unavailable=True)
UNKNOWN = 1
"""State of a reader that pcscd can say nothing of."""


@pytest.fixture
def world() -> World:
    return World()


def test_removal_sticks_to_each_handle_until_it_reconnects(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    world.see(OUT)
    assert world.log == ["open", "close"]
    assert one.row()[:2] == (2, 2)
    assert one.transmit(mine) is REMOVED
    assert one.simple(asks.Reconnect(mine, SHARED, 3, LEAVE)) is NO_CARD
    world.see(BACK)
    assert one.row()[:2] == (3, 4)
    assert one.transmit(mine) is two.transmit(theirs) is REMOVED
    assert one.simple(asks.Reconnect(mine, SHARED, 3, LEAVE)) is OK
    assert one.transmit(mine) is OK
    assert two.transmit(theirs) is REMOVED
    assert two.simple(asks.Disconnect(theirs, UNPOWER)) is OK
    assert one.transmit(mine) is RESET


def test_card_in_place_of_another_is_a_removal(world: World) -> None:
    one = world.program()
    card = one.card()
    world.see(BACK)
    assert one.row()[0] == 3
    assert one.transmit(card) is REMOVED


def test_removal_in_mid_command_closes_the_session_after_it(world: World) -> None:
    world.slow = {"transmit"}
    one = world.program()
    card = one.card()
    call = one.start(asks.Transmit(card, 1, b"\0\0\0\0"))
    world.see(OUT)
    assert world.log == ["open"]
    world.fail["transmit"] = Failure(REMOVED, REMOVED)
    world.finish("transmit")
    assert call.code is REMOVED
    assert world.log == ["open", "close"]
    assert one.transmit(card) is REMOVED


def test_reader_that_goes_takes_everything_with_it(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.simple(asks.Begin(mine))
    parked = two.start(asks.Begin(theirs))
    world.see()
    assert parked.code is UNAVAILABLE
    assert world.log == ["open", "close"]
    assert one.transmit(mine) is UNAVAILABLE
    assert one.simple(asks.Begin(mine)) is UNAVAILABLE
    assert one.connect()[0] is Code.SCARD_E_UNKNOWN_READER
    assert one.simple(asks.Disconnect(mine, UNPOWER)) is OK
    world.see(HERE)
    assert one.connect()[0] is OK
    two.vanish()
    assert one.row()[2] == 1


def test_reader_that_goes_in_mid_command_is_let_go_after_it(world: World) -> None:
    world.slow = {"transmit"}
    one = world.program()
    card = one.card()
    call = one.start(asks.Transmit(card, 1, b"\0\0\0\0"))
    world.see()
    assert not call.done
    world.finish("transmit")
    assert call.done
    assert world.log == ["open", "00000000", "close"]


def test_commands_of_two_programs_go_one_after_the_other(world: World) -> None:
    world.slow = {"transmit"}
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    first = one.start(asks.Transmit(mine, 1, b"\0\0\0\1"))
    second = two.start(asks.Transmit(theirs, 1, b"\0\0\0\2"))
    assert isinstance(second.need, Park)
    world.finish("transmit")
    assert first.done
    assert second.waits_for == "transmit"
    world.finish("transmit")
    assert second.done


@pytest.mark.parametrize("disposition", [4, 9, 0xFFFFFFFF])
def test_numbers_that_mean_nothing_are_refused(world: World, disposition: int) -> None:
    one = world.program()
    card = one.card()
    assert one.simple(asks.Disconnect(card, disposition)) is INVALID
    assert one.simple(asks.End(card, disposition)) is INVALID
    assert one.simple(asks.Reconnect(card, SHARED, 3, disposition)) is INVALID
    assert one.simple(asks.Reconnect(card, disposition, 3, LEAVE)) is INVALID
    assert one.simple(asks.Reconnect(card, SHARED, 0, LEAVE)) is MISMATCH
    assert one.transmit(card) is OK


def test_eject_is_a_disconnect(world: World) -> None:
    one = world.program()
    assert one.simple(asks.Disconnect(one.card(), EJECT)) is OK


def test_handle_of_another_program_ends_the_connection(world: World) -> None:
    one, two = world.program(), world.program()
    card = one.card()
    call = two.start(asks.Status(card))
    assert call.wrong


def test_each_registration_ends_in_one_message(world: World) -> None:
    one, two = world.program(), world.program()
    assert one.ask(asks.Wait()) is not None
    two.card()
    assert world.told() == [(one.number, 0)]
    world.see(OUT)
    assert world.told() == []
    assert one.ask(asks.StopWaiting()) is False
    one.ask(asks.Wait())
    assert one.ask(asks.StopWaiting()) is True
    one.ask(asks.Wait())
    assert two.simple(asks.Cancel(one.context)) is OK
    assert world.told() == [(one.number, Code.SCARD_E_CANCELLED)]
    assert two.simple(asks.Cancel(one.context)) is OK
    assert world.told() == []
    assert two.simple(asks.Cancel(one.context + 7)) is Code.SCARD_E_INVALID_HANDLE


def test_program_of_4_6_is_told_only_after_it_was_given_the_table(world: World) -> None:
    one = world.program(6)
    assert one.ask(asks.Wait()) is None
    world.see(OUT)
    assert one.ask(asks.GetTableSize()) == 16
    world.see(BACK)
    assert world.told() == []
    assert len(one.ask(asks.GetTable())) == 16
    world.see(OUT)
    assert world.told() == [(one.number, 0)]


def test_news_that_is_none_wakes_nobody(world: World) -> None:
    one = world.program()
    one.ask(asks.Wait())
    world.see(HERE)
    assert world.told() == []


def test_programs_that_vanished_are_not_told(world: World) -> None:
    one = world.program()
    one.ask(asks.Wait())
    one.vanish()
    world.see(OUT)
    assert world.told() == []


def test_events_of_readers_are_counted_from_1_to_32767(world: World) -> None:
    one = world.program(5)
    counts = set()
    for _ in range(32768 // 2):
        for seen in ((HERE, Seen(b"x")), (HERE,)):
            world.machine.readers_are(seen)
            counts.add(one.ask(asks.GetReaderEvents()).count)
    assert (min(counts), max(counts), len(counts)) == (1, 32767, 32767)


def test_release_lets_go_of_all_handles(world: World) -> None:
    one, two = world.program(), world.program()
    mine = one.card()
    one.simple(asks.Begin(mine))
    assert one.simple(asks.ReleaseContext(one.context)) is OK
    assert two.row()[2] == 0
    assert one.simple(asks.ReleaseContext(one.context)) is Code.SCARD_E_INVALID_HANDLE


def test_all_cards_are_given_back_at_the_end(world: World) -> None:
    world.slow = {"transmit"}
    one = world.program()
    card = one.card()
    one.start(asks.Transmit(card, 1, b"\0\0\0\0"))
    world.machine.stop()
    world.settle()
    assert world.log == ["open"]
    world.finish("transmit")
    assert world.log[-1] == "close"


def test_contexts_are_the_programs_own(world: World) -> None:
    one = world.program()
    assert one.simple(asks.EstablishContext(2)) is INVALID
    assert one.simple(asks.ReleaseContext(one.context + 7)) is INVALID
    one.context += 7
    assert one.connect()[0] is Code.SCARD_E_INVALID_HANDLE


def test_what_is_no_request_of_a_program_ends_the_connection(world: World) -> None:
    assert world.program().start(asks.Request()).wrong


def test_a_program_has_so_many_handles(world: World) -> None:
    one = world.program()
    for _ in range(MAX_HANDLES):
        one.card()
    assert one.connect()[0] is Code.SCARD_E_NO_MEMORY


def test_exclusive_use_of_a_card_that_is_lost_is_not_had_beside_others(world: World) -> None:
    one, two = world.program(), world.program()
    one.connect(DIRECT, 0)
    assert two.connect(EXCLUSIVE)[0] is VIOLATION


def test_card_that_goes_while_it_is_taken_is_given_back(world: World) -> None:
    world.slow = {"open"}
    one = world.program()
    call = one.start(asks.Connect(one.context, NAME, SHARED, 1))
    world.see(OUT)
    world.finish("open")
    assert call.code is NO_CARD
    assert world.log == ["open", "close"]


def test_card_that_goes_while_it_is_taken_for_a_command_is_given_back(world: World) -> None:
    world.slow = {"open"}
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    call = one.start(asks.Transmit(card, 4, b"\0\0\0\0"))
    world.see(OUT)
    world.finish("open")
    assert call.code is REMOVED
    assert world.log == ["open", "close"]


def test_reader_that_goes_while_its_card_is_taken_for_a_command(world: World) -> None:
    world.slow = {"open"}
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    call = one.start(asks.Transmit(card, 4, b"\0\0\0\0"))
    world.see(AWAY)
    world.finish("open")
    assert call.code is UNAVAILABLE
    assert world.log == ["open", "close"]


def test_program_whose_card_was_lost_takes_it_again_by_a_reset(world: World) -> None:
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    assert one.simple(asks.Reconnect(card, SHARED, 3, WARM)) is OK
    assert world.log == ["open"]


def test_reader_out_of_reach_is_unavailable_and_not_empty(world: World) -> None:
    one = world.program()
    card = one.card()
    one.ask(asks.Wait())
    world.see(AWAY)
    assert world.told() == [(one.number, 0)]
    assert world.log == ["open", "close"]
    assert one.row() == (1, UNKNOWN, 1, 0)
    for refused in (
        asks.Status(card), asks.Begin(card), asks.End(card, LEAVE), asks.Control(card, 1, b"", 9),
        asks.GetAttribute(card, 0x90303, 264), asks.SetAttribute(card, 1, b""),
        asks.Reconnect(card, SHARED, 3, WARM),
    ):  # fmt: skip
        assert one.simple(refused) is UNAVAILABLE
    assert one.transmit(card) is one.connect()[0] is one.connect(DIRECT, 0)[0] is UNAVAILABLE
    world.see(Seen(NAME, present=True, atr=HERE.atr, event_count=2))
    assert one.row() == (2, 4, 1, 0)
    assert one.transmit(card) is one.simple(asks.Status(card)) is RESET
    assert one.simple(asks.Reconnect(card, SHARED, 3, LEAVE)) is OK
    assert one.transmit(card) is OK


def test_handle_can_be_given_back_while_the_reader_is_out_of_reach(world: World) -> None:
    one = world.program()
    card = one.card(EXCLUSIVE)
    world.see(AWAY)
    assert one.simple(asks.Disconnect(card, UNPOWER)) is OK
    assert one.row() == (1, UNKNOWN, 0, 0)
    world.see(Seen(NAME, present=True, atr=HERE.atr, event_count=2))
    assert one.connect(EXCLUSIVE)[0] is OK


def test_card_that_was_taken_out_while_out_of_reach_is_removed(world: World) -> None:
    one = world.program()
    card = one.card()
    world.see(AWAY)
    world.see(Seen(NAME, event_count=2))
    assert one.row()[:2] == (2, 2)
    assert one.simple(asks.Status(card)) is REMOVED


def test_use_by_others_is_shown_and_told(world: World) -> None:
    one, two = world.program(), world.program()
    for others, shown in ((-1, -1), (2, 2), (0, 0)):
        one.ask(asks.Wait())
        world.see(msgspec.structs.replace(HERE, others=others))
        assert world.told() == [(one.number, 0)]
        assert one.row() == (1, 4, shown, 0)
    two.card()
    world.see(msgspec.structs.replace(HERE, others=2))
    assert one.row()[2] == 3


def test_session_that_ends_is_told_before_the_next_command(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    one.ask(asks.Wait())
    session = world.sessions[-1]
    world.machine.session_over(session, Failure(RESET, RESET))
    world.settle()
    assert world.told() == [(one.number, 0)]
    assert world.log == ["open", "close"]
    assert one.simple(asks.Status(mine)) is two.simple(asks.Begin(theirs)) is RESET
    assert one.row()[:2] == (1, 4)
    assert one.simple(asks.Reconnect(mine, SHARED, 3, LEAVE)) is OK
    world.machine.session_over(session, Failure(RESET, RESET))
    assert one.simple(asks.Status(mine)) is OK
    assert world.told() == []


def test_session_that_ends_in_mid_command_is_closed_after_it(world: World) -> None:
    world.slow = {"transmit"}
    one = world.program()
    card = one.card()
    call = one.start(asks.Transmit(card, 1, b"\0\0\0\0"))
    world.machine.session_over(world.sessions[-1], Failure(UNAVAILABLE, RESET))
    world.settle()
    assert world.log == ["open"]
    world.fail["transmit"] = Failure(Code.SCARD_E_COMM_DATA_LOST, RESET)
    world.finish("transmit")
    assert call.done
    assert world.log == ["open", "close"]
    assert one.transmit(card) is RESET
