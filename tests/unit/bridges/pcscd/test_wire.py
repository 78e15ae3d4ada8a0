# SPDX-License-Identifier: Apache-2.0
"""The octets of libpcsclite's protocol."""

import struct
from typing import Any

import pytest

from tests.support.pcscd_octets import APDU, REQUESTS, framed, transmit
from wsrc.bridges.pcscd import requests as asks, wire
from wsrc.bridges.pcscd.requests import RequestError, Row
from wsrc.bridges.pcscd.wire import Reading
from wsrc.card.pcsc_numbers import Code

NO_ROOM = Code.SCARD_E_INSUFFICIENT_BUFFER


@pytest.mark.parametrize(("octets", "request_"), REQUESTS, ids=lambda x: type(x).__name__)
def test_request_is_read_when_it_is_complete(octets: bytes, request_: asks.Request[Any]) -> None:
    reading = Reading()
    for at in range(len(octets)):
        assert reading.next() is None
        assert reading.unread == at
        reading.feed(octets[at : at + 1])
    assert reading.next() == request_
    assert reading.next() is None
    assert reading.unread == 0


@pytest.mark.parametrize(
    "octets",
    [
        framed(0x00),
        framed(0x03),
        framed(0x18),
        framed(0x11, bytes(11)),
        framed(0x13, bytes(8)),
        framed(0x09, bytes(31)),
        framed(0x0A, bytes(25)),
        transmit(b"", 65_549),
        framed(0x0A, struct.pack("=iIIIII", 7, 1, 65_549, 0, 0, 0)),
        framed(0x0F, struct.pack("=iI264sII", 7, 1, b"", 265, 0)),
        framed(0x10, struct.pack("=iI264sII", 7, 1, b"", 265, 0)),
    ],
    ids=lambda octets: octets[:8].hex(),
)
def test_what_is_no_request_is_refused(octets: bytes) -> None:
    reading = Reading()
    reading.feed(octets)
    with pytest.raises(RequestError):
        reading.next()


def test_largest_payload_is_taken() -> None:
    reading = Reading()
    reading.feed(transmit(bytes(65_548)))
    request = reading.next()
    assert isinstance(request, asks.Transmit)
    assert len(request.octets) == 65_548


def test_answers_have_the_fields_of_the_request_and_those_that_are_out() -> None:
    u = struct.Struct
    establish = asks.EstablishContext(2)
    assert wire.answer(establish, 9) == u("=III").pack(2, 9, 0)
    invalid = Code.SCARD_E_INVALID_VALUE
    assert wire.refusal(establish, invalid) == u("=III").pack(2, 0, 0x80100011)
    assert wire.answer(asks.ReleaseContext(9), None) == u("=II").pack(9, 0)
    connect = asks.Connect(9, b"R", 2, 3)
    given = asks.Connected(7, 1)
    assert wire.answer(connect, given) == u("=I128sIIiII").pack(9, b"R", 2, 3, 7, 1, 0)
    mismatch = wire.refusal(connect, Code.SCARD_E_PROTO_MISMATCH)
    assert mismatch == u("=I128sIIiII").pack(9, b"R", 2, 3, 0, 0, 0x8010000F)
    reconnect = asks.Reconnect(7, 2, 3, 1)
    assert wire.answer(reconnect, 1) == u("=iIIIII").pack(7, 2, 3, 1, 1, 0)
    assert wire.refusal(reconnect, invalid) == u("=iIIIII").pack(7, 2, 3, 1, 0, 0x80100011)
    assert wire.answer(asks.Disconnect(7, 2), None) == u("=iII").pack(7, 2, 0)
    assert wire.answer(asks.End(7, 1), None) == u("=iII").pack(7, 1, 0)
    assert wire.answer(asks.Begin(7), None) == u("=iI").pack(7, 0)
    assert wire.answer(asks.Status(7), None) == u("=iI").pack(7, 0)
    assert wire.answer(asks.Cancel(9), None) == u("=II").pack(9, 0)
    assert wire.answer(asks.Version(4, 9), 5) == u("=iiI").pack(4, 5, 0)
    stopped = wire.refusal(asks.Version(3, 9), Code.SCARD_E_SERVICE_STOPPED)
    assert stopped == u("=iiI").pack(4, 4, 0x8010001E)
    assert wire.answer(asks.GetReaderEvents(), asks.Events(3)) == u("=II").pack(3, 0)
    assert wire.answer(asks.GetTableSize(), 20) == u("=i").pack(20)


def test_program_that_waits_is_answered_once() -> None:
    told = asks.Events(7, Code.SCARD_E_CANCELLED)
    assert wire.event(told) == struct.pack("=II", 7, 0x80100002)
    assert wire.answer(asks.StopWaiting(), given=True) == struct.pack("=II", 0, 0)
    assert wire.answer(asks.StopWaiting(), given=False) == b""
    assert wire.answer(asks.Wait(), None) == b""
    assert wire.answer(asks.Wait(), (Row(), Row())) == bytes(2 * 184)


def test_answer_of_the_card_follows() -> None:
    asked = asks.Transmit(7, 1, APDU, (16, 2, 8), 4)
    head = struct.Struct("=iIIIIIII")
    assert wire.answer(asked, b"abcd") == head.pack(7, 1, 16, 7, 2, 8, 4, 0) + b"abcd"
    too_long = wire.refusal(asked, NO_ROOM, 5)
    assert too_long == head.pack(7, 1, 16, 7, 2, 8, 5, 0x80100008)
    failed = wire.refusal(asked, Code.SCARD_W_RESET_CARD)
    assert failed == head.pack(7, 1, 16, 7, 2, 8, 0, 0x80100068)
    control = asks.Control(7, 5, b"x", 2)
    head = struct.Struct("=iIIIII")
    assert wire.answer(control, b"ab") == head.pack(7, 5, 1, 2, 2, 0) + b"ab"
    assert wire.refusal(control, NO_ROOM, 3) == head.pack(7, 5, 1, 2, 3, 0x80100008)


def test_attribute_has_its_fixed_size() -> None:
    layout = struct.Struct("=iI264sII")
    asked = asks.GetAttribute(7, 5, 3)
    assert layout.unpack(wire.answer(asked, b"abc"))[2:] == (b"abc" + bytes(261), 3, 0)
    assert layout.unpack(wire.refusal(asked, NO_ROOM, 4))[2:] == (bytes(264), 4, 0x80100008)
    written = wire.answer(asks.SetAttribute(7, 5, b"ab"), None)
    assert layout.unpack(written) == (7, 5, b"ab" + bytes(262), 2, 0)


def test_row_of_the_table() -> None:
    assert wire.row(Row()) == bytes(184)
    row = wire.row(Row("Lesegerät".encode(), 3, 0x34, -1, b"\x3b\x00", 1))
    assert len(row) == 184
    name, *rest = struct.unpack("=128sIIi33s3xII", row)
    assert name.rstrip(b"\0").decode() == "Lesegerät"
    assert rest == [3, 0x34, -1, b"\x3b\x00".ljust(33, b"\0"), 2, 1]
