# SPDX-License-Identifier: Apache-2.0
"""The octets of libpcsclite's protocol."""

import struct

import pytest

from tests.support.pcscd_octets import APDU, REQUESTS, framed, transmit
from wsrc.bridges.pcscd import wire
from wsrc.bridges.pcscd.wire import Reading, Row, WireError
from wsrc.card.pcsc_numbers import Code

OK = Code.SCARD_S_SUCCESS


@pytest.mark.parametrize(("octets", "request_"), REQUESTS, ids=lambda x: type(x).__name__)
def test_request_is_read_when_it_is_complete(octets: bytes, request_: wire.Request) -> None:
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
    with pytest.raises(WireError):
        reading.next()


def test_largest_payload_is_taken() -> None:
    reading = Reading()
    reading.feed(transmit(bytes(65_548)))
    request = reading.next()
    assert isinstance(request, wire.Transmit)
    assert len(request.octets) == 65_548


def test_answers_have_the_fields_of_the_request_and_those_that_are_out() -> None:
    u = struct.Struct
    assert wire.established(wire.EstablishContext(2), 9, OK) == u("=III").pack(2, 9, 0)
    assert wire.released(wire.ReleaseContext(9), OK) == u("=II").pack(9, 0)
    connect = wire.Connect(9, b"R", 2, 3)
    assert wire.connected(connect, OK, 7, 1) == u("=I128sIIiII").pack(9, b"R", 2, 3, 7, 1, 0)
    mismatch = Code.SCARD_E_PROTO_MISMATCH
    assert wire.connected(connect, mismatch)[-4:] == u("=I").pack(0x8010000F)
    reconnect = wire.Reconnect(7, 2, 3, 1)
    assert wire.reconnected(reconnect, OK, 1) == u("=iIIIII").pack(7, 2, 3, 1, 1, 0)
    assert wire.disposed(wire.Disconnect(7, 2), OK) == u("=iII").pack(7, 2, 0)
    assert wire.disposed(wire.End(7, 1), OK) == u("=iII").pack(7, 1, 0)
    assert wire.told(wire.Begin(7), OK) == u("=iI").pack(7, 0)
    assert wire.cancelled(wire.Cancel(9), OK) == u("=II").pack(9, 0)
    assert wire.version(4, 5, OK) == u("=iiI").pack(4, 5, 0)
    assert wire.waited(Code.SCARD_E_CANCELLED) == u("=II").pack(0, 0x80100002)
    assert wire.reader_events(3) == u("=II").pack(3, 0)
    assert wire.table_size(20) == u("=i").pack(20)


def test_answer_of_the_card_follows_if_there_is_room_for_it() -> None:
    asked = wire.Transmit(7, 1, (16, 2, 8), 4, APDU)
    head = struct.Struct("=iIIIIIII")
    assert wire.transmitted(asked, OK, b"abcd") == head.pack(7, 1, 16, 7, 2, 8, 4, 0) + b"abcd"
    too_long = wire.transmitted(asked, OK, b"abcde")
    assert too_long == head.pack(7, 1, 16, 7, 2, 8, 5, 0x80100008)
    failed = wire.transmitted(asked, Code.SCARD_W_RESET_CARD)
    assert failed == head.pack(7, 1, 16, 7, 2, 8, 0, 0x80100068)
    control = wire.Control(7, 5, 2, b"x")
    head = struct.Struct("=iIIIII")
    assert wire.controlled(control, OK, b"ab") == head.pack(7, 5, 1, 2, 2, 0) + b"ab"
    assert wire.controlled(control, OK, b"abc") == head.pack(7, 5, 1, 2, 3, 0x80100008)


def test_attribute_has_its_fixed_size() -> None:
    layout = struct.Struct("=iI264sII")
    asked = wire.GetAttribute(7, 5, 3)
    assert layout.unpack(wire.attribute(asked, OK, b"abc"))[2:] == (b"abc" + bytes(261), 3, 0)
    assert layout.unpack(wire.attribute(asked, OK, b"abcd"))[2:] == (bytes(264), 4, 0x80100008)
    written = wire.attribute(wire.SetAttribute(7, 5, b"ab"), OK)
    assert layout.unpack(written) == (7, 5, b"ab" + bytes(262), 2, 0)


def test_row_of_the_table() -> None:
    assert wire.row(Row()) == bytes(184)
    row = wire.row(Row("Lesegerät".encode(), 3, 0x34, -1, b"\x3b\x00", 1))
    assert len(row) == 184
    name, *rest = struct.unpack("=128sIIi33s3xII", row)
    assert name.rstrip(b"\0").decode() == "Lesegerät"
    assert rest == [3, 0x34, -1, b"\x3b\x00".ljust(33, b"\0"), 2, 1]
