# SPDX-License-Identifier: Apache-2.0
"""The machine behind the pcscd socket: what public suites of PC/SC and libpcsclite's ways asked."""

import struct

import pytest

from tests.support.pcscd_programs import HERE, NAME, OK, OUT, TestProgram, World
from wsrc.bridges.pcscd import requests as asks, wire
from wsrc.bridges.pcscd.source import Seen
from wsrc.card.pcsc_numbers import Code

CANCELLED = Code.SCARD_E_CANCELLED
NO_HANDLE = Code.SCARD_E_INVALID_HANDLE


@pytest.fixture
def world() -> World:
    return World()


def reader(number: int) -> Seen:
    return Seen(b"Reader %02d 00" % number, present=True, atr=HERE.atr, event_count=1)


def names(one: TestProgram) -> list[bytes]:
    return [row.name for row in one.ask(asks.GetReaders()) if row.name]


def test_d30a_cancel_between_wait_and_table_is_told_after_the_table(world: World) -> None:
    one, two = world.program(6), world.program()
    assert one.ask(asks.Wait()) is None
    assert two.simple(asks.Cancel(one.context)) is OK
    assert world.told() == []
    assert one.ask(asks.GetTableSize()) == 16
    assert world.told() == []
    assert len(one.ask(asks.GetTable())) == 16
    assert world.told() == [(one.number, CANCELLED)]
    assert one.ask(asks.StopWaiting()) is False
    assert world.told() == []


def test_d30a_cancel_and_change_before_the_table_are_one_message(world: World) -> None:
    one, two = world.program(6), world.program()
    one.ask(asks.Wait())
    world.see(OUT)
    assert two.simple(asks.Cancel(one.context)) is OK
    world.see(*(reader(number) for number in range(20)))
    one.ask(asks.GetTable())
    assert world.told() == [(one.number, CANCELLED)]


def test_d30a_cancel_before_the_table_answers_who_stops_waiting(world: World) -> None:
    one, two = world.program(6), world.program()
    one.ask(asks.Wait())
    two.simple(asks.Cancel(one.context))
    assert one.ask(asks.StopWaiting()) is False
    assert world.told() == [(one.number, CANCELLED)]


def test_d30a_cancel_holds_for_one_wait(world: World) -> None:
    one, two = world.program(6), world.program()
    one.ask(asks.Wait())
    two.simple(asks.Cancel(one.context))
    one.ask(asks.Wait())
    one.ask(asks.GetTable())
    assert world.told() == []
    assert one.ask(asks.StopWaiting()) is True


@pytest.mark.parametrize("minor", [4, 5, 6])
def test_d30a_cancel_of_a_wait_that_just_ended_is_a_success(world: World, minor: int) -> None:
    """pcscd has it so since 2.0.3."""
    one, two = world.program(minor), world.program()
    assert two.simple(asks.Cancel(one.context)) is OK
    one.ask(asks.Wait())
    if minor == 6:
        one.ask(asks.GetTable())
    world.see(OUT)
    assert world.told() == [(one.number, OK)]
    assert two.simple(asks.Cancel(one.context)) is OK
    assert world.told() == []
    one.vanish()
    assert two.simple(asks.Cancel(one.context)) is NO_HANDLE


@pytest.mark.parametrize("minor", [5, 6])
def test_d30b_event_that_overtakes_the_count_of_readers_has_the_count(
    world: World, minor: int
) -> None:
    """libpcsclite takes the first 8 octets that come for the answer to GET_READER_EVENTS."""
    one = world.program(minor)
    one.ask(asks.Wait())
    if minor == 6:
        one.ask(asks.GetTable())
    world.see(OUT)
    ((_, told),) = world.machine.take_outgoing()
    counted = one.ask(asks.GetReaderEvents())
    assert wire.event(told) == struct.pack("=II", counted.count, 0)
    assert counted.count > 0


def test_d30b_event_of_a_program_that_counts_no_readers_has_no_count(world: World) -> None:
    one = world.program(4)
    one.ask(asks.Wait())
    world.see(OUT)
    ((_, told),) = world.machine.take_outgoing()
    assert wire.event(told) == bytes(8)


def test_d30b_cancel_that_overtakes_the_count_of_readers_is_not_lost(world: World) -> None:
    one, two = world.program(5), world.program()
    one.ask(asks.Wait())
    two.simple(asks.Cancel(one.context))
    ((_, told),) = world.machine.take_outgoing()
    counted = one.ask(asks.GetReaderEvents())
    assert wire.event(told) == wire.answer(asks.GetReaderEvents(), counted)
    assert counted.code is CANCELLED
    one.ask(asks.Wait())
    assert one.ask(asks.GetReaderEvents()).code is OK


def test_d30c_programs_of_a_short_table_are_shown_what_they_can_watch(world: World) -> None:
    """libpcsclite before 2.5 waits for 16 names, and one of them stands for new readers."""
    world.see(*(reader(number) for number in range(16)))
    for minor in (4, 5):
        one = world.program(minor)
        assert names(one) == [reader(number).name for number in range(15)]
        rows = one.ask(asks.Wait())
        assert rows is not None
        assert len(rows) == 16
        assert [row.name for row in rows if row.name] == names(one)
    one = world.program(6)
    assert len([row for row in one.ask(asks.GetTable()) if row.name]) == 16


def test_d30c_a_reader_that_is_shown_stays_so_when_others_come(world: World) -> None:
    everyone = [reader(number) for number in range(20)]
    world.see(*everyone)
    one = world.program()
    world.see(*everyone[3:])
    assert set(names(one)) == {each.name for each in everyone[3:18]}
    world.see(*everyone[3:], reader(30))
    assert set(names(one)) == {each.name for each in everyone[3:18]}


def away(number: int) -> Seen:
    return Seen(reader(number).name, unavailable=True, event_count=1)


def test_d30d_readers_that_went_for_good_are_given_up_for_others(world: World) -> None:
    one, new = world.program(), world.program(6)
    for number in range(1, 20):
        world.see(*(away(old) for old in range(number)), reader(number))
        assert reader(number).name in names(one)
    assert [row.name for row in new.ask(asks.GetTable()) if row.name] == names(one)
    world.see(*(away(old) for old in range(19)), reader(19))
    assert len(names(one)) == 15
    assert set(names(one)) == {reader(number).name for number in range(5, 20)}
    world.see(reader(0), *(away(old) for old in range(1, 19)), reader(19))
    assert reader(0).name in names(one)
    assert one.connect(name=reader(0).name)[0] is OK


def test_d30d_reader_of_which_a_program_has_a_handle_is_not_given_up(world: World) -> None:
    world.see(reader(0))
    one = world.program()
    card = one.connect(name=reader(0).name)[1]
    for number in range(1, 20):
        world.see(*(away(old) for old in range(number)), reader(number))
    assert reader(0).name in names(one)
    assert one.simple(asks.Status(card)) is Code.SCARD_E_READER_UNAVAILABLE
    one.simple(asks.Disconnect(card, 0))
    world.see(*(away(old) for old in range(20)), reader(20))
    assert reader(0).name not in names(one)


def test_d30d_readers_out_of_reach_stay_while_there_is_room(world: World) -> None:
    one = world.program(6)
    world.see(*(reader(number) for number in range(20)))
    world.see(*(away(number) for number in range(20)))
    assert len([row for row in one.ask(asks.GetTable()) if row.name]) == 20
    world.see(*(reader(number) for number in range(20)))
    assert len([row for row in one.ask(asks.GetTable()) if row.name]) == 20


def test_d30g_attributes_that_are_text_end_with_a_nul(world: World) -> None:
    one = world.program()
    card = one.card()
    for number in (0x00010100, 0x00010101):
        assert one.ask(asks.GetAttribute(card, number)) == b"WSRC\0"
    for number in (0x7FFF0003, 0x7FFF0004):
        assert one.ask(asks.GetAttribute(card, number)) == NAME + b"\0"
    lengths = {0x00010102: 4, 0x0007A007: 4, 0x00080201: 4, 0x00090300: 1, 0x00090301: 1}
    for number, length in lengths.items():
        assert len(one.ask(asks.GetAttribute(card, number))) == length
