# SPDX-License-Identifier: Apache-2.0
"""What real readers do and vpcd cannot: plugging, serial numbers, resets by others, odd drivers."""

import ctypes
import sys
import threading
import types
from collections.abc import Iterator

import pytest

from tests.support.fake_scard import ATR_T0, ATR_T1, PRESENT, READER, SELECT, FakeScard
from tests.support.pcsc.bench import wait_until
from tests.support.pcsc.watching import Watching
from wsrc.card.pcsc_numbers import ATTRIBUTES, Code, Disposition, ShareMode
from wsrc.errors import (
    CardNotPresentError,
    CardTransmissionError,
    CardUnresponsiveError,
    ErrorCode,
    Outcome,
    ReaderInUseError,
    ReaderUnavailableError,
    RefusedError,
)
from wsrc.readers import pcsc, pcsc_api as api
from wsrc.readers.base import CardProtocol, CardStatus, ResetKind, SlotState
from wsrc.readers.pcsc import PcscSource
from wsrc.readers.pcsc_reader import OwnUse, PcscReader


@pytest.fixture
def scard() -> FakeScard:
    return FakeScard()


@pytest.fixture
def reader(scard: FakeScard) -> Iterator[PcscReader]:
    reader = PcscReader(READER, api.Scard(scard.module), OwnUse())
    yield reader
    reader.close()


@pytest.fixture
def watching(scard: FakeScard, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watching]:
    package = types.ModuleType("smartcard")
    package.__dict__["scard"] = scard.module
    monkeypatch.setitem(sys.modules, "smartcard", package)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: scard)
    monkeypatch.setattr(pcsc, "PcscLite", lambda module, _: api.Scard(module))
    with Watching(PcscSource()) as watching:
        yield watching


def test_reader_plugged_in_and_out_is_reported(scard: FakeScard, watching: Watching) -> None:
    watching.until(lambda slots: [s.name for s in slots] == [READER])
    scard.plug("New Reader 01 00", PRESENT, ATR_T1)
    assert watching.slot("New Reader 01 00", lambda s: s.atr == ATR_T1).state is SlotState.PRESENT
    scard.unplug("New Reader 01 00")
    watching.until(lambda slots: [s.name for s in slots] == [READER])
    scard.unplug(READER)
    watching.until(lambda slots: slots == [])
    scard.plug(READER)
    watching.slot(READER, lambda s: s.state is SlotState.EMPTY)


def test_forty_readers_are_seen_and_each_change_of_them(
    scard: FakeScard, watching: Watching
) -> None:
    names = [f"Reader {number:02X} 00" for number in range(1, 41)]
    for name in names:
        scard.plug(name)
    watching.until(lambda slots: [s.name for s in slots] == [READER, *names])
    for name in (names[0], names[-1]):
        watching.slot(name, lambda s: s.state is SlotState.EMPTY)
        scard.plug(name, PRESENT, ATR_T1)
        watching.slot(name, lambda s: s.state is SlotState.PRESENT)


def test_ends_readers_without_a_card_are_looked_at_less_often(
    scard: FakeScard, watching: Watching
) -> None:
    watching.slot(READER, lambda s: s.state is SlotState.PRESENT)
    scard.plug(READER)
    watching.slot(READER, lambda s: s.state is SlotState.EMPTY)
    scard.plug("Other 00 00")
    watching.slot("Other 00 00", lambda s: s.state is SlotState.EMPTY)
    scard.plug(READER, PRESENT | 0x0001_0000, ATR_T1)
    watching.slot(READER, lambda s: s.state is SlotState.PRESENT)
    seldom, often = pcsc._EMPTY_WAIT_MS, pcsc._WAIT_MS
    wait_until(lambda: scard.waits_ms[-1] == often, 10.0, "the reader has a card again")
    assert scard.waits_ms[0] == 0
    assert seldom in scard.waits_ms
    assert set(scard.waits_ms) <= {0, often, seldom}


def test_stop_does_not_wait_for_a_service_that_hangs(scard: FakeScard, watching: Watching) -> None:
    watching.until(bool)
    scard.answers_cancel.clear()
    stopping = threading.Thread(target=watching.source.stop)
    try:
        stopping.start()
        stopping.join(5)
        assert not stopping.is_alive()
    finally:
        scard.answers_cancel.set()
        stopping.join(10)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (0x10, SlotState.EMPTY),
        (0x20, SlotState.PRESENT),
        (0x220, SlotState.MUTE),
        (0x08, SlotState.UNAVAILABLE),
        (0x04, SlotState.UNAVAILABLE),
    ],
)
def test_states_of_pcsc_are_told(
    scard: FakeScard, watching: Watching, state: int, expected: SlotState
) -> None:
    scard.plug("Other 00 00", state | 0x0007_0000)
    assert watching.slot("Other 00 00", lambda s: s.state is expected).event_count == 7


def test_name_that_pyscard_cannot_ask_about_harms_no_other_reader(
    scard: FakeScard, watching: Watching
) -> None:
    scard.plug("Lesegerät 00 00", PRESENT, ATR_T0)
    assert watching.slot("Lesegerät 00 00", lambda _: True).state is SlotState.UNAVAILABLE
    scard.plug(READER, PRESENT | 0x0002_0000, ATR_T1)
    watching.slot(READER, lambda s: s.atr == ATR_T1)


def test_reader_plugged_in_while_listing_loses_no_reader(
    scard: FakeScard, watching: Watching
) -> None:
    watching.until(lambda slots: len(slots) == 1)
    scard.codes["list"] = [Code.SCARD_E_INSUFFICIENT_BUFFER]
    scard.plug("New Reader 01 00")
    watching.until(lambda slots: len(slots) == 2)
    assert [] not in watching.reports


def test_reader_that_vanishes_while_asked_loses_no_other(
    scard: FakeScard, watching: Watching
) -> None:
    watching.until(lambda slots: len(slots) == 1)
    scard.codes["status change"] = [Code.SCARD_E_UNKNOWN_READER]
    scard.plug("New Reader 01 00")
    watching.until(lambda slots: len(slots) == 2)
    assert [] not in watching.reports


def test_card_reset_by_others_meanwhile_is_reset_again(
    scard: FakeScard, reader: PcscReader
) -> None:
    scard.codes = {
        "reconnect": [Code.SCARD_W_RESET_CARD],
        "status": [Code.SCARD_W_RESET_CARD],
    }
    connection = reader.connect()
    assert scard.done("reconnect") == [(3, Disposition.UNPOWER)] * 3
    assert connection.atr == ATR_T0


def test_connection_has_the_count_of_events_of_the_card_that_it_took(
    scard: FakeScard, reader: PcscReader
) -> None:
    scard.plug(READER, PRESENT | 0x0007_0000, ATR_T0)
    assert reader.connect().event_count == 7


def test_card_that_others_reset_for_ever_is_let_go_of(scard: FakeScard, reader: PcscReader) -> None:
    scard.codes = {"reconnect": [Code.SCARD_W_RESET_CARD] * 99}
    with pytest.raises(CardTransmissionError, match="SCARD_W_RESET_CARD"):
        reader.connect()
    assert scard.done("disconnect") == [Disposition.UNPOWER]


def test_reset_by_others_between_commands_is_told_and_mended_by_a_reset(
    scard: FakeScard, reader: PcscReader
) -> None:
    connection = reader.connect()
    scard.codes = {"transmit": [Code.SCARD_W_RESET_CARD - (1 << 32)]}
    with pytest.raises(CardTransmissionError, match="SCARD_W_RESET_CARD") as caught:
        connection.transmit(SELECT)
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    scard.plug(READER, PRESENT, ATR_T1)
    assert connection.reset(ResetKind.WARM) == ATR_T1
    assert connection.transmit(SELECT) == b"\x90\x00"


@pytest.mark.parametrize(
    "code",
    [
        Code.SCARD_E_PROTO_MISMATCH,
        Code.SCARD_W_UNRESPONSIVE_CARD,
        Code.SCARD_W_UNSUPPORTED_CARD,
        Code.SCARD_E_NOT_TRANSACTED,
    ],
)
def test_a4_a_protocol_that_cannot_be_agreed_on_gives_way_to_the_other(
    scard: FakeScard, reader: PcscReader, code: Code
) -> None:
    scard.codes = {"connect": [code, code], "reconnect": [code, code]}
    connection = reader.connect()
    asked = [protocols for _, _, protocols in scard.done("connect")]
    assert asked == [3, 1, 2]
    down = Disposition.UNPOWER
    assert scard.done("reconnect") == [(3, down), (1, down), (2, down)]
    assert connection.protocol is CardProtocol.T1


def test_a4_a_card_that_is_gone_is_not_tried_in_every_protocol(
    scard: FakeScard, reader: PcscReader
) -> None:
    scard.codes = {"reconnect": [Code.SCARD_W_REMOVED_CARD]}
    with pytest.raises(CardNotPresentError):
        reader.connect()
    assert scard.done("reconnect") == [(3, Disposition.UNPOWER)]


def test_a4_a_card_that_runs_but_not_as_wished_is_not_mute(
    scard: FakeScard, reader: PcscReader
) -> None:
    scard.codes = {"reconnect": [Code.SCARD_W_UNRESPONSIVE_CARD]}
    with pytest.raises(RefusedError, match="no T1"):
        reader.connect((CardProtocol.T1,))
    scard.codes = {"reconnect": [Code.SCARD_W_UNRESPONSIVE_CARD] * 4}
    with pytest.raises(CardUnresponsiveError):
        reader.connect((CardProtocol.T1,))


def test_card_in_no_protocol_is_unresponsive(scard: FakeScard, reader: PcscReader) -> None:
    scard.active = 4
    with pytest.raises(CardUnresponsiveError):
        reader.connect()


def test_close_takes_the_power_away_once(scard: FakeScard, reader: PcscReader) -> None:
    connection = reader.connect()
    connection.close()
    connection.close()
    assert scard.done("disconnect") == [Disposition.UNPOWER]


@pytest.mark.parametrize("code", sorted(api.SERVICE_GONE))
def test_dead_context_is_replaced_once(scard: FakeScard, reader: PcscReader, code: int) -> None:
    scard.codes = {"connect": [code]}
    reader.connect().close()
    assert scard.done("connect") == [(1, 1, 3), (2, 1, 3)]
    assert scard.done("release") == [1]


def test_stable_id_is_the_serial_number_once_the_reader_may_be_asked(
    scard: FakeScard, reader: PcscReader
) -> None:
    scard.attributes = {ATTRIBUTES["vendor_ifd_serial_no"]: b"S123\0"}
    scard.codes = {"connect": [Code.SCARD_E_SHARING_VIOLATION]}
    with pytest.raises(ReaderInUseError):
        assert reader.stable_id
    assert reader.stable_id == "S123"
    assert reader.stable_id == "S123"
    assert scard.done("connect") == [(1, ShareMode.DIRECT, 0)] * 2
    assert scard.done("disconnect") == [Disposition.LEAVE]


def test_a_reader_says_what_its_card_is(reader: PcscReader) -> None:
    status = reader.connect().status()
    assert status.states == (CardStatus.PRESENT, CardStatus.POWERED, CardStatus.NEGOTIABLE)
    assert (status.protocol, status.atr) == (CardProtocol.T0, ATR_T0)


def test_a_control_number_is_made_the_code_of_the_platform(
    scard: FakeScard, reader: PcscReader
) -> None:
    connection = reader.connect()
    scard.answer = b"ok"
    assert connection.control(1, b"\1") == b"ok"
    scard.answer = bytes.fromhex("0604 42330006 0704 00000001")
    assert connection.control(3400, b"") == bytes.fromhex("0604 00330006")
    assert scard.done("control") == [(0x42000001, b"\1"), (0x42000000 + 3400, b"")]


@pytest.mark.parametrize("code", sorted(api.UNSUPPORTED))
def test_what_a_reader_has_not_is_not_supported(
    scard: FakeScard, reader: PcscReader, code: int
) -> None:
    connection = reader.connect()
    scard.codes = {"control": [code], "set_attrib": [code]}
    attempts = (
        lambda: connection.control(1, b""),
        lambda: connection.control(-1, b""),
        lambda: connection.set_attribute("maxinput", b""),
        lambda: connection.get_attribute("maxinput"),
        lambda: connection.get_attribute("no such name"),
    )
    for attempt in attempts:
        with pytest.raises(RefusedError, match=READER) as caught:
            attempt()
        assert caught.value.code is ErrorCode.NOT_SUPPORTED


def test_a_reader_that_fails_is_told_from_one_that_lacks_something(
    scard: FakeScard, reader: PcscReader
) -> None:
    connection = reader.connect()
    scard.codes = {"control": [Code.SCARD_F_COMM_ERROR], "status": [Code.SCARD_W_REMOVED_CARD]}
    with pytest.raises(ReaderUnavailableError):
        connection.control(1, b"")
    with pytest.raises(CardNotPresentError):
        connection.status()


def test_direct_takes_the_reader_without_a_protocol_or_a_reset(
    scard: FakeScard, reader: PcscReader
) -> None:
    scard.attributes = {ATTRIBUTES["vendor_name"]: b"ACME"}
    direct = reader.connect_direct()
    assert direct.get_attribute("vendor_name") == b"ACME"
    direct.set_attribute("supress_t1_ifs_request", b"\1")
    direct.close()
    assert scard.done("connect") == [(1, ShareMode.DIRECT, 0)]
    assert scard.done("set_attrib") == [(0x7FFF0007, b"\1")]
    assert scard.done("reconnect") == []


@pytest.mark.parametrize(
    ("atr", "protocols", "asked"),
    [
        (ATR_T0, (CardProtocol.T0,), [1]),
        (ATR_T1, (CardProtocol.T1, CardProtocol.T0), [3]),
        (ATR_T1, (CardProtocol.T0,), [1]),
    ],
)
def test_only_wanted_protocols_are_asked_for(
    scard: FakeScard,
    reader: PcscReader,
    atr: bytes,
    protocols: tuple[CardProtocol, ...],
    asked: list[int],
) -> None:
    scard.readers[READER] = (PRESENT, atr)
    connection = reader.connect(protocols)
    connection.reset(ResetKind.WARM, protocols)
    assert scard.done("reconnect") == [(asked[0], 2), (asked[0], 1)]


def test_a_card_without_the_wanted_protocol_is_let_go(scard: FakeScard, reader: PcscReader) -> None:
    scard.codes = {"reconnect": [Code.SCARD_E_PROTO_MISMATCH]}
    with pytest.raises(RefusedError, match="no T1") as caught:
        reader.connect((CardProtocol.T1,))
    assert caught.value.code is ErrorCode.PROTOCOL_MISMATCH
    assert scard.done("disconnect") == [Disposition.UNPOWER]


def test_a_card_is_ejected_where_that_is_asked_for(scard: FakeScard, reader: PcscReader) -> None:
    reader.connect().close(eject=True)
    assert scard.done("disconnect") == [Disposition.EJECT]
