# SPDX-License-Identifier: Apache-2.0
"""Each version of libpcsclite's protocol, spoken by a scripted client."""

import struct
from collections.abc import Iterator

import pytest

from tests.support.pcsc import sides
from tests.support.pcsc.bench import require
from tests.support.pcsc.openpgp import openpgp_card
from tests.support.pcsc.programs.wire_client import CANCELLED, SUCCESS, Line
from tests.support.pcsc.sides import OurSide, RealSide
from wsrc.readers.simulation import default_cards

MF = bytes.fromhex("00a40004023f00")
VERIFY = bytes.fromhex("0020000108 31323334ffffffff")
ASK_PIN = bytes.fromhex("00200001")
STOPPED, MISMATCH, TOO_SMALL = 0x8010001E, 0x8010000F, 0x80100008
RESET, REMOVED, INVALID_HANDLE = 0x80100068, 0x80100069, 0x80100003
VIOLATION, UNSUPPORTED, NO_MEMORY = 0x8010000B, 0x8010001F, 0x80100006


@pytest.fixture
def side() -> Iterator[OurSide]:
    with sides.local([default_cards()[0], openpgp_card()]) as side:
        yield side


@pytest.mark.parametrize("minor", [4, 5, 6])
def test_card_is_used_from_beginning_to_end(side: OurSide, minor: int) -> None:
    use(side, minor)


@pytest.mark.pcscd
def test_scripted_client_says_what_pcscd_expects() -> None:
    require()
    with sides.real([default_cards()[0], openpgp_card()]) as side:
        with Line(side.socket_path) as line:
            _, its_own, _ = line.version()
        use(side, its_own)


def use(side: OurSide | RealSide, minor: int) -> None:
    with Line(side.socket_path, minor) as line:
        line.establish()
        before = line.readers()
        assert [r.name for r in before] == side.readers
        assert [r.sharing for r in before] == [0, 0]
        code, card, protocol = line.connect(side.readers[0])
        assert (code, protocol) == (SUCCESS, 1)
        shown = line.readers()[0]
        assert (shown.state, shown.sharing, shown.protocol) == (0x34, 1, 1)
        assert line.status(card) == SUCCESS
        assert line.transmit(card, MF) == (SUCCESS, 2, b"\x61\x27")
        assert line.transmit(card, MF, protocol=2)[0] == MISMATCH
        assert line.transmit(card, bytes.fromhex("00c0000027"), room=40)[:2] == (TOO_SMALL, 41)
        assert line.begin(card) == line.begin(card) == SUCCESS
        assert line.end(card) == line.end(card) == SUCCESS
        assert line.end(card) == 0x80100016
        assert line.reconnect(card, 1) == SUCCESS
        assert line.disconnect(card, 1) == SUCCESS
        assert line.release() == SUCCESS


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ((4, 4), (4, 4, SUCCESS)),
        ((4, 5), (4, 5, SUCCESS)),
        ((4, 6), (4, 6, SUCCESS)),
        ((4, 7), (4, 6, SUCCESS)),
        ((4, 3), (4, 4, STOPPED)),
        ((4, -1), (4, 4, STOPPED)),
        ((3, 4), (4, 4, STOPPED)),
        ((5, 0), (4, 4, STOPPED)),
    ],
)
def test_version_is_agreed_on(
    side: OurSide, asked: tuple[int, int], told: tuple[int, int, int]
) -> None:
    with Line(side.socket_path) as line:
        assert line.version(*asked) == told
        assert line.version(*told[:2]) == (*told[:2], SUCCESS)


@pytest.mark.parametrize("minor", [4, 5, 6])
def test_each_registration_ends_in_one_message(side: OurSide, minor: int) -> None:
    with Line(side.socket_path, minor) as line:
        line.establish()
        line.begin_wait()
        assert line.event(0) is None
        assert line.stop_wait() == SUCCESS
        line.begin_wait()
        side.remove(0)
        side.insert(0)
        assert line.event(10) == SUCCESS
        line.send(0x14)
        assert line.event(0.05) is None
        assert [r.state for r in line.readers()] == [4, 4]
        assert [r.events for r in line.readers()] == [3, 1]


def test_event_does_not_come_between_the_registration_and_the_table_of_4_6(side: OurSide) -> None:
    with Line(side.socket_path, 6) as line:
        line.establish()
        line.send(0x13)
        side.remove(0)
        assert line.event(0.05) is None
        rows = line.table_size()
        side.remove(1)
        assert line.event(0.05) is None
        line.send(0x17)
        assert len(line.read(rows * 184)) == rows * 184
        side.insert(0)
        assert line.event(10) == SUCCESS


@pytest.mark.parametrize("minor", [4, 5, 6])
def test_wait_is_cancelled_by_a_connection_that_says_nothing_else(
    side: OurSide, minor: int
) -> None:
    with Line(side.socket_path, minor) as line, Line(side.socket_path) as other:
        line.establish()
        assert other.cancel(line.context) == SUCCESS
        line.begin_wait()
        assert other.cancel(line.context) == SUCCESS
        assert line.event(10) == CANCELLED
        assert other.cancel(line.context) == SUCCESS
        assert other.cancel(0x1234567) == INVALID_HANDLE


def test_d30a_cancel_between_wait_and_table_leaves_the_stream_whole(side: OurSide) -> None:
    with Line(side.socket_path, 6) as line, Line(side.socket_path) as other:
        line.establish()
        for _ in range(20):
            line.send(0x13)
            assert other.cancel(line.context) == SUCCESS
            assert [r.name for r in line.readers()] == side.readers
            assert line.event(10) == CANCELLED
            assert line.reader_events() > 0


@pytest.mark.parametrize("minor", [4, 5, 6])
def test_use_by_others_is_told(side: OurSide, minor: int) -> None:
    with Line(side.socket_path, minor) as line, Line(side.socket_path) as other:
        line.establish()
        other.establish()
        line.begin_wait()
        _, card, _ = other.connect(side.readers[0])
        assert line.event(10) == SUCCESS
        line.begin_wait()
        other.disconnect(card)
        assert line.event(10) == SUCCESS
        line.begin_wait()
        other.connect(side.readers[0], share=1)
        assert line.event(10) == SUCCESS
        assert line.readers()[0].sharing == -1


def test_readers_come_and_go(side: OurSide) -> None:
    with Line(side.socket_path, 5) as line:
        line.establish()
        events = line.reader_events()
        line.begin_wait()
        name = side.source.plug(None, "Third")
        assert line.event(10) == SUCCESS
        assert [r.name for r in line.wait_for(lambda rs: len(rs) == 3)][2] == "Third"
        assert line.reader_events() == events + 1
        side.source.unplug(name)
        line.wait_for(lambda rs: len(rs) == 2)
        assert line.reader_events() == events + 2


def test_row_of_a_reader_that_went_is_used_again_and_the_table_never_shrinks(
    side: OurSide,
) -> None:
    with Line(side.socket_path, 6) as line, Line(side.socket_path, 4) as old:
        line.establish()
        old.establish()
        small = line.table_size()
        assert small >= 2
        names = [side.source.plug(None, f"Number {n}") for n in range(18)]
        line.wait_for(lambda rs: len(rs) == 20)
        large = line.table_size()
        assert large >= 20
        assert [r.name for r in line.readers()] == [*side.readers[:2], *names]
        assert [r.name for r in old.readers()] == [*side.readers[:2], *names[:13]]
        for name in names:
            side.source.unplug(name)
        line.wait_for(lambda rs: len(rs) == 2)
        assert line.table_size() == large
        with Line(side.socket_path, 6) as other:
            assert other.establish().table_size() == large
        first = line.readers()[0].name
        side.source.unplug(first)
        line.wait_for(lambda rs: len(rs) == 1)
        side.source.plug(None, "Instead")
        assert line.wait_for(lambda rs: len(rs) == 2)[0].name == "Instead"


def test_size_that_was_told_is_the_size_of_the_table_that_follows(side: OurSide) -> None:
    with Line(side.socket_path, 6) as line:
        line.establish()
        rows = line.table_size()
        for number in range(20):
            side.source.plug(None, f"Number {number}")
        with Line(side.socket_path, 6) as other:
            other.establish().wait_for(lambda rs: len(rs) == 22)
        line.send(0x17)
        assert len(line.read(rows * 184)) == rows * 184
        assert line.table_size() > rows


@pytest.mark.parametrize(
    "name", ["n" * 127, "ü" * 63, "lecteur de cartes à puce №1 読取装置 00 00"]
)
def test_long_and_foreign_names(side: OurSide, name: str) -> None:
    side.source.plug(default_cards()[0], name)
    with Line(side.socket_path, 6) as line:
        line.establish()
        line.wait_for(lambda rs: len(rs) == 3)
        assert line.readers()[2].name == name
        code, card, _ = line.connect(name)
        assert code == SUCCESS
        assert line.transmit(card, MF)[2] == b"\x61\x27"
        assert line.attribute(card, 0x7FFF0003) == (SUCCESS, name.encode() + b"\0")


def test_attributes_and_features(side: OurSide) -> None:
    with Line(side.socket_path) as line:
        line.establish()
        _, card, _ = line.connect(side.readers[0])
        atr = line.readers()[0].atr
        assert line.attribute(card, 0x00090303) == (SUCCESS, atr)
        assert line.attribute(card, 0x00010100) == (SUCCESS, b"WSRC\0")
        name = side.readers[0].encode() + b"\0"
        for number in (0x7FFF0003, 0x7FFF0004, 3, 4):
            assert line.attribute(card, number) == (SUCCESS, name)
        assert line.attribute(card, 0x0007A007) == (SUCCESS, struct.pack("<I", 65544))
        assert line.attribute(card, 0x00080201) == (SUCCESS, struct.pack("<I", 1))
        assert line.attribute(card, 0x00090300) == (SUCCESS, b"\x02")
        assert line.attribute(card, 0x00090301) == (SUCCESS, b"\x01")
        assert line.attribute(card, 0x00010102)[0] == SUCCESS
        assert line.attribute(card, 0x00010103)[0] == SUCCESS
        assert line.attribute(card, 0x00020110)[0] == UNSUPPORTED
        assert line.attribute(card, 0x00090303, command=0x10)[0] == 0x80100016
        assert line.control(card, 0x42000D48) == (SUCCESS, b"")
        assert line.control(card, 0x42000001, b"\1\2") == (UNSUPPORTED, b"")


def test_disconnect_with_a_reset_resets_before_the_next_command(side: OurSide) -> None:
    with Line(side.socket_path) as line, Line(side.socket_path) as other:
        line.establish()
        other.establish()
        _, mine, _ = line.connect(side.readers[0])
        _, theirs, _ = other.connect(side.readers[0])
        assert line.transmit(mine, VERIFY)[2] == b"\x90\x00"
        assert other.disconnect(theirs, 2) == SUCCESS
        assert line.transmit(mine, ASK_PIN)[0] == RESET
        assert line.readers()[0].state == 4
        assert line.reconnect(mine) == SUCCESS
        assert line.transmit(mine, ASK_PIN)[2] == b"\x63\xc3"
        assert line.readers()[0].state == 0x34


def test_card_stays_as_it_is_for_a_program_that_comes_back_at_once(side: OurSide) -> None:
    with Line(side.socket_path) as line:
        line.establish()
        _, card, _ = line.connect(side.readers[0])
        assert line.transmit(card, VERIFY)[2] == b"\x90\x00"
        assert line.disconnect(card) == SUCCESS
        _, card, _ = line.connect(side.readers[0])
        assert line.transmit(card, ASK_PIN)[2] == b"\x90\x00"


def test_begin_is_answered_soon_and_at_once_when_the_lock_is_let_go(side: OurSide) -> None:
    with Line(side.socket_path) as line, Line(side.socket_path) as other:
        line.establish()
        other.establish()
        _, mine, _ = line.connect(side.readers[0])
        _, theirs, _ = other.connect(side.readers[0])
        assert line.begin(mine) == SUCCESS
        assert other.begin(theirs) == VIOLATION
        assert other.transmit(theirs, MF)[0] == VIOLATION
        assert other.status(theirs) == VIOLATION
        assert other.attribute(theirs, 0x00090303)[0] == VIOLATION
        assert other.control(theirs, 0x42000D48)[0] == VIOLATION
        other.send(0x07, struct.pack("=iI", theirs, 0))
        assert line.end(mine) == SUCCESS
        assert struct.unpack("=iI", other.read(8)) == (theirs, SUCCESS)


def test_exclusive_use_ends_with_a_reconnect_for_shared_use(side: OurSide) -> None:
    with Line(side.socket_path) as line, Line(side.socket_path) as other:
        line.establish()
        other.establish()
        _, mine, _ = line.connect(side.readers[0], share=1)
        assert other.connect(side.readers[0])[0] == VIOLATION
        assert line.reconnect(mine) == SUCCESS
        code, theirs, _ = other.connect(side.readers[0])
        assert code == SUCCESS
        assert other.begin(theirs) == SUCCESS


def test_calls_that_would_wait_for_their_own_program_are_not_parked(side: OurSide) -> None:
    with Line(side.socket_path) as line:
        line.establish()
        _, first, _ = line.connect(side.readers[0])
        _, second, _ = line.connect(side.readers[0])
        assert line.begin(first) == SUCCESS
        assert line.connect(side.readers[0])[0] == SUCCESS
        assert line.disconnect(second, 1) == VIOLATION
        assert line.disconnect(second, 0) == SUCCESS


def test_handles_of_a_reader_that_was_unplugged_are_good_for_nothing_but_disconnect(
    side: OurSide,
) -> None:
    with Line(side.socket_path) as line:
        line.establish()
        _, card, _ = line.connect(side.readers[0])
        side.source.unplug(side.readers[0])
        line.wait_for(lambda rs: len(rs) == 1)
        unavailable = 0x80100017
        assert line.transmit(card, MF)[0] == unavailable
        assert line.status(card) == line.begin(card) == unavailable
        assert line.reconnect(card) == unavailable
        assert line.control(card, 0x42000D48)[0] == unavailable
        assert line.disconnect(card, 1) == SUCCESS


def test_a_context_has_so_many_handles_and_no_more(side: OurSide) -> None:
    with Line(side.socket_path) as line:
        line.establish()
        cards = [line.connect(side.readers[0])[1] for _ in range(200)]
        assert len(set(cards)) == 200
        assert line.connect(side.readers[0])[0] == NO_MEMORY
        assert line.disconnect(cards[0]) == SUCCESS
        assert line.connect(side.readers[0])[0] == SUCCESS
        assert line.release() == SUCCESS
        assert line.readers()[0].sharing == 0
