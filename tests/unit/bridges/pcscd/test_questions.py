# SPDX-License-Identifier: Apache-2.0
"""The machine behind the pcscd socket: attributes, and what is asked of the reader itself."""

import struct

import pytest

from tests.support.pcscd_programs import (
    BACK,
    DIRECT,
    HERE,
    LEAVE,
    NAME,
    NO_CARD,
    OK,
    OUT,
    RESET,
    SHARED,
    VIOLATION,
    WARM,
    TestProgram,
    World,
)
from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.source import Failure, Park
from wsrc.card.pcsc_numbers import Code

UNSUPPORTED = Code.SCARD_E_UNSUPPORTED_FEATURE
NOT_TRANSACTED = Code.SCARD_E_NOT_TRANSACTED
FEATURES, ESCAPE = 0x42000D48, 0x42000001
SERIAL = 0x00010103


@pytest.fixture
def world() -> World:
    return World()


def result_of(one: TestProgram, request: asks.CardRequest[bytes]) -> tuple[Code | None, bytes]:
    call = one.finished(request)
    return call.code, call.given or b""


def test_attributes_are_known_without_the_card(world: World) -> None:
    one = world.program()
    card = one.connect(DIRECT, 0)[1]

    def value(number: int, most: int = 264) -> tuple[Code | None, bytes]:
        return result_of(one, asks.GetAttribute(card, number, most))

    unknown = Code.SCARD_E_UNSUPPORTED_FEATURE
    assert value(0x00090303) == (OK, HERE.atr)
    assert value(0x00090303, 3)[0] is Code.SCARD_E_INSUFFICIENT_BUFFER
    assert value(0x00090300) == (OK, b"\x02")
    assert value(0x00090301) == (OK, b"\x01")
    assert value(0x7FFF0003) == value(3) == (OK, NAME + b"\0")
    assert value(0x00010100) == (OK, b"WSRC\0")
    assert value(0x00010102)[0] is OK
    assert value(0x0007A007) == (OK, struct.pack("<I", 65_544))
    assert value(0x00080201)[0] is unknown
    assert value(0x00078000)[0] is unknown
    assert world.log == []
    world.see(OUT)
    assert one.simple(asks.Reconnect(card, DIRECT, 0, LEAVE)) is NO_CARD
    card = one.connect(DIRECT, 0)[1]
    assert value(0x00090303)[0] is unknown
    assert value(0x00090300) == (OK, b"\x00")


def control(
    one: TestProgram, card: int, code: int = ESCAPE, octets: bytes = b"x", room: int = 264
) -> tuple[Code | None, bytes]:
    return result_of(one, asks.Control(card, code, octets, room))


def test_control_and_attributes_reach_the_reader_of_our_card(world: World) -> None:
    one = world.program()
    card = one.card()
    assert control(one, card, octets=b"hello") == (OK, b"hello")
    assert control(one, card, octets=b"hello", room=4) == (Code.SCARD_E_INSUFFICIENT_BUFFER, b"")
    assert one.ask(asks.GetAttribute(card, SERIAL, 264)) == b"vendor_ifd_serial_no"
    assert one.simple(asks.SetAttribute(card, 7, b"\1")) is OK
    assert one.simple(asks.SetAttribute(card, 0x7FFF0007, b"\0")) is OK
    assert world.log == [
        "open", "control 1", "control 1", "read vendor_ifd_serial_no",
        "write supress_t1_ifs_request 01", "write supress_t1_ifs_request 00",
    ]  # fmt: skip


def test_answer_for_which_there_is_no_room_is_not_given_but_how_long_it_is(world: World) -> None:
    one = world.program()
    card = one.card()
    for asked in (
        asks.Transmit(card, 1, b"\0\1\2\3", max_answer=5),
        asks.Control(card, ESCAPE, b"123456", 5),
        asks.GetAttribute(card, 0x00010100, 4),
    ):
        call = one.start(asked)
        assert call.refusal is not None
        assert call.refusal.code is Code.SCARD_E_INSUFFICIENT_BUFFER
        assert call.refusal.octets == asked.max_answer + 1
    assert one.simple(asks.Transmit(card, 1, b"\0\1\2\3", max_answer=6)) is OK


def test_sentence_of_a_failure_goes_with_its_code(world: World) -> None:
    one = world.program()
    world.fail["open"] = Failure(VIOLATION, reason="The card is held by third.")
    for asked in (
        asks.Connect(one.context, NAME, SHARED, 3),
        asks.Control(one.connect(DIRECT, 0)[1], ESCAPE, b""),
        asks.SetAttribute(one.connect(DIRECT, 0)[1], SERIAL, b""),
    ):
        call = one.start(asked)
        assert call.refusal is not None
        assert call.refusal.code is VIOLATION
        assert call.refusal.reason == "The card is held by third."


def test_what_has_no_name_elsewhere_is_not_asked_for(world: World) -> None:
    one = world.program()
    card = one.card()
    for code in (0, 1, 0x00312000, 0x41FFFFFF):
        assert control(one, card, code) == (UNSUPPORTED, b"")
    assert one.simple(asks.GetAttribute(card, 0x7A999, 264)) is UNSUPPORTED
    assert one.simple(asks.SetAttribute(card, 0x7A999, b"")) is NOT_TRANSACTED
    assert world.log == ["open"]


def test_features_are_asked_for_once_while_the_card_is_ours(world: World) -> None:
    one, direct = world.program(), world.program()
    looking = direct.connect(DIRECT, 0)[1]
    assert control(direct, looking, FEATURES) == (OK, b"")
    assert world.log == []
    card = one.card()
    expected = bytes.fromhex("1204 42000d4a")
    for _ in range(3):
        assert control(one, card, FEATURES) == (OK, expected)
        assert control(direct, looking, FEATURES) == (OK, expected)
    assert world.log == ["open", "control 3400"]
    world.see(OUT)
    world.see(BACK)
    assert one.simple(asks.Reconnect(card, SHARED, 3, LEAVE)) is OK
    assert control(one, card, FEATURES) == (OK, expected)
    assert world.log[-2:] == ["open", "control 3400"]


@pytest.mark.parametrize(
    ("need", "request_of", "told"),
    [
        ("control", lambda card: asks.Control(card, ESCAPE, b"", 9), UNSUPPORTED),
        ("control", lambda card: asks.Control(card, FEATURES, b"", 9), UNSUPPORTED),
        ("get_attribute", lambda card: asks.GetAttribute(card, SERIAL, 9), UNSUPPORTED),
        ("set_attribute", lambda card: asks.SetAttribute(card, SERIAL, b""), NOT_TRANSACTED),
    ],
)
def test_what_the_reader_cannot_do(world: World, need: str, request_of: object, told: Code) -> None:
    assert callable(request_of)
    one = world.program()
    card = one.card()
    world.fail[need] = Failure(UNSUPPORTED)
    assert one.simple(request_of(card)) is told
    world.fail[need] = Failure(Code.SCARD_E_COMM_DATA_LOST, RESET)
    assert one.simple(request_of(card)) is Code.SCARD_E_COMM_DATA_LOST
    assert one.simple(asks.Status(card)) is RESET


def test_reader_alone_is_taken_for_as_long_as_a_question_takes(world: World) -> None:
    world.see(OUT)
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    assert control(one, card, octets=b"1") == (OK, b"1")
    assert one.simple(asks.GetAttribute(card, SERIAL, 264)) is OK
    alone = ["open reader", "control 1", "close", "open reader", "read vendor_ifd_serial_no"]
    assert world.log == [*alone, "close"]
    assert one.row()[1:] == (2, 1, 0)
    assert control(one, card, FEATURES) == (OK, b"")
    assert all(session.closed for session in world.sessions)


def test_who_connects_meanwhile_waits_until_the_reader_is_given_back(world: World) -> None:
    world.slow = {"control"}
    one, two = world.program(), world.program()
    card = one.connect(DIRECT, 0)[1]
    asked = one.start(asks.Control(card, ESCAPE, b"1", 9))
    connecting = two.start(asks.Connect(two.context, NAME, SHARED, 1))
    assert isinstance(connecting.need, Park)
    world.finish("control")
    assert asked.done
    assert connecting.code is OK
    assert world.log == ["open reader", "control 1", "close", "open"]


def test_reader_alone_that_cannot_be_asked(world: World) -> None:
    one = world.program()
    card = one.connect(DIRECT, 0)[1]
    world.fail["open"] = Failure(VIOLATION)
    assert control(one, card) == (VIOLATION, b"")
    del world.fail["open"]
    world.fail["control"] = Failure(Code.SCARD_E_READER_UNAVAILABLE, RESET)
    assert control(one, card) == (Code.SCARD_E_READER_UNAVAILABLE, b"")
    assert world.log == ["open reader", "close"]
    assert one.simple(asks.Status(card)) is OK


def test_reset_that_was_put_off_is_done_before_the_reader_is_told_to_act(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    assert two.simple(asks.Disconnect(theirs, WARM)) is OK
    assert control(one, mine, FEATURES)[0] is OK
    assert world.log == ["open", "control 3400"]
    assert control(one, mine) == (OK, b"x")
    assert world.log[2:] == ["reset warm", "control 1"]
    assert one.simple(asks.Status(mine)) is RESET


def test_reader_is_asked_in_turn(world: World) -> None:
    world.slow = {"control", "get_attribute"}
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    first = one.start(asks.Control(mine, ESCAPE, b"1", 9))
    second = two.start(asks.GetAttribute(theirs, SERIAL, 264))
    assert first.waits_for == "control"
    assert isinstance(second.need, Park)
    world.finish("control")
    assert second.waits_for == "get_attribute"
    world.finish("get_attribute")
    assert second.code is OK


def test_transaction_of_another_keeps_the_reader(world: World) -> None:
    one, two = world.program(), world.program()
    mine, theirs = one.card(), two.card()
    assert one.simple(asks.Begin(mine)) is OK
    assert control(two, theirs) == (VIOLATION, b"")
    assert two.simple(asks.GetAttribute(theirs, SERIAL, 264)) is VIOLATION
    assert two.simple(asks.SetAttribute(theirs, SERIAL, b"")) is VIOLATION
    assert control(one, mine) == (OK, b"x")
