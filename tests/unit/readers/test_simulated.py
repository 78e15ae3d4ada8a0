# SPDX-License-Identifier: Apache-2.0
"""Simulated readers: what comes and goes, and what a connection meets meanwhile."""

import queue
import threading
from collections.abc import Iterator

import pytest

from wsrc.errors import (
    CardError,
    CardNotPresentError,
    CardTransmissionError,
    CardUnresponsiveError,
    ErrorCode,
    Outcome,
    ReaderInUseError,
    ReaderUnavailableError,
    RefusedError,
)
from wsrc.readers.base import (
    CardProtocol,
    CardStatus,
    Connection,
    Direct,
    Reader,
    ResetKind,
    Slot,
    SlotState,
    Source,
    Status,
)
from wsrc.readers.simulated import SimulatedSource
from wsrc.readers.simulated_connection import ECHO_CONTROL, POWERED
from wsrc.readers.simulation import Card, Faults, When, default_cards

WAIT_S = 10.0
ASK = bytes.fromhex("0020000100")
VERIFY = bytes.fromhex("002000010831323334ffffffff")
NAME = "Simulated UICC 00 00"


@pytest.fixture
def uicc() -> Card:
    return default_cards()[0]


@pytest.fixture
def source(uicc: Card) -> SimulatedSource:
    return SimulatedSource([uicc])


@pytest.fixture
def reports(source: SimulatedSource) -> Iterator["queue.Queue[list[Slot]]"]:
    seen: queue.Queue[list[Slot]] = queue.Queue()
    thread = threading.Thread(target=source.watch, args=(seen.put,))
    thread.start()
    yield seen
    source.stop()
    thread.join(WAIT_S)
    assert not thread.is_alive()


def next_report(reports: "queue.Queue[list[Slot]]") -> list[Slot]:
    return reports.get(timeout=WAIT_S)


def test_it_is_what_wsrc_asks_of_a_reader(source: SimulatedSource) -> None:
    as_source: Source = source
    reader: Reader = as_source.open(NAME)
    connection: Connection = reader.connect()
    assert reader.name == reader.stable_id == NAME
    assert connection.protocol is CardProtocol.T0
    assert connection.transmit(ASK).hex() == "63c3"
    connection.close()
    reader.close()


def test_names_number_readers_of_one_kind() -> None:
    source = SimulatedSource([*default_cards(), *default_cards()])
    assert source.names == [
        "Simulated UICC 00 00",
        "Simulated eUICC 00 00",
        "Simulated UICC 01 00",
        "Simulated eUICC 01 00",
    ]
    assert source.plug() == "Simulated Reader 00 00"
    assert source.plug(name="Front") == "Front"
    with pytest.raises(ValueError, match="Front already"):
        source.plug(name="Front")


def test_watch_reports_at_once_and_each_change(
    source: SimulatedSource, uicc: Card, reports: "queue.Queue[list[Slot]]"
) -> None:
    assert next_report(reports) == [Slot(NAME, SlotState.PRESENT, uicc.atr, 1)]
    assert source.remove(NAME) is uicc
    assert next_report(reports) == [Slot(NAME, SlotState.EMPTY, b"", 2)]
    source.insert(NAME)
    assert next_report(reports) == [Slot(NAME, SlotState.PRESENT, uicc.atr, 3)]
    source.hold(NAME)
    assert next_report(reports)[0].in_use
    source.release(NAME)
    assert not next_report(reports)[0].in_use
    source.unplug(NAME)
    assert next_report(reports) == []
    source.plug(uicc, NAME)
    assert next_report(reports)[0].event_count > 3


def test_watch_after_stop_returns(source: SimulatedSource) -> None:
    source.stop()
    source.watch(lambda _slots: pytest.fail("nothing is reported after stop"))


def test_mute_card_is_reported_and_not_connected(
    source: SimulatedSource, uicc: Card, reports: "queue.Queue[list[Slot]]"
) -> None:
    next_report(reports)
    source.remove(NAME)
    uicc.faults = Faults(mute=True)
    source.insert(NAME)
    while (slot := next_report(reports)[0]).state is SlotState.EMPTY:
        pass
    assert slot.state is SlotState.MUTE
    assert slot.atr == b""
    with pytest.raises(CardUnresponsiveError):
        source.open(NAME).connect()
    uicc.faults = Faults()
    assert source.open(NAME).connect().atr == uicc.atr


def test_only_one_connection_at_a_time(source: SimulatedSource) -> None:
    reader = source.open(NAME)
    first = reader.connect()
    with pytest.raises(ReaderInUseError) as refused:
        source.open(NAME).connect()
    assert refused.value.outcome is Outcome.NOT_EXECUTED
    assert first.transmit(VERIFY).hex() == "9000"
    first.close()
    second = reader.connect()
    assert second.transmit(ASK).hex() == "63c3"
    first.close()
    assert second.transmit(ASK).hex() == "63c3"
    with pytest.raises(CardTransmissionError) as closed:
        first.transmit(ASK)
    assert closed.value.outcome is Outcome.NOT_EXECUTED


def test_card_held_by_another_program(source: SimulatedSource) -> None:
    source.hold(NAME)
    with pytest.raises(ReaderInUseError):
        source.open(NAME).connect()
    source.release(NAME)
    source.open(NAME).connect().close()


def test_reset_through_the_connection(source: SimulatedSource, uicc: Card) -> None:
    connection = source.open(NAME).connect()
    connection.transmit(VERIFY)
    assert connection.reset(ResetKind.WARM) == uicc.atr
    assert connection.transmit(ASK).hex() == "63c3"
    uicc.faults = Faults(mute=True)
    with pytest.raises(CardUnresponsiveError):
        connection.reset(ResetKind.COLD)


def test_connection_is_good_for_one_insertion(source: SimulatedSource) -> None:
    old = source.open(NAME).connect()
    source.remove(NAME)
    with pytest.raises(CardNotPresentError) as gone:
        old.transmit(ASK)
    assert gone.value.outcome is Outcome.NOT_EXECUTED
    with pytest.raises(CardNotPresentError):
        source.open(NAME).connect()
    source.insert(NAME)
    new = source.open(NAME).connect()
    with pytest.raises(CardNotPresentError):
        old.transmit(ASK)
    with pytest.raises(CardNotPresentError):
        old.reset(ResetKind.COLD)
    old.close()
    assert new.transmit(ASK).hex() == "63c3"


def test_other_card_in_the_same_reader(source: SimulatedSource) -> None:
    euicc = default_cards()[1]
    with pytest.raises(ValueError, match="not empty"):
        source.insert(NAME, euicc)
    source.remove(NAME)
    source.insert(NAME, euicc)
    assert source.open(NAME).connect().atr == euicc.atr


def test_misuse_is_told(source: SimulatedSource) -> None:
    empty = source.plug()
    with pytest.raises(ValueError, match="is empty"):
        source.remove(empty)
    with pytest.raises(ValueError, match="never had"):
        source.insert(empty)
    with pytest.raises(ValueError, match="no reader X"):
        source.unplug("X")
    with pytest.raises(ReaderUnavailableError):
        source.open("X")


@pytest.mark.parametrize(
    ("when", "outcome"), [(When.BEFORE, Outcome.NOT_EXECUTED), (When.AFTER, Outcome.UNKNOWN)]
)
@pytest.mark.parametrize("end", ["remove", "unplug", "close"])
def test_command_in_flight_ends_with_its_true_outcome(
    source: SimulatedSource, uicc: Card, when: When, outcome: Outcome, end: str
) -> None:
    connection = source.open(NAME).connect()
    uicc.faults = Faults(delay_s=60.0, when=when)
    failures: list[CardError] = []

    def transmit() -> None:
        try:
            connection.transmit(ASK)
        except CardError as exc:
            failures.append(exc)

    thread = threading.Thread(target=transmit)
    thread.start()
    assert uicc.struck.wait(WAIT_S)
    if end == "close":
        connection.close()
    else:
        getattr(source, end)(NAME)
    thread.join(WAIT_S)
    assert not thread.is_alive()
    expected = {
        "remove": CardNotPresentError,
        "unplug": ReaderUnavailableError,
        "close": CardTransmissionError,
    }
    assert isinstance(failures[0], expected[end])
    assert failures[0].outcome is outcome


def test_card_that_dies_leaves_an_empty_slot(
    source: SimulatedSource, uicc: Card, reports: "queue.Queue[list[Slot]]"
) -> None:
    assert next_report(reports)[0].state is SlotState.PRESENT
    connection = source.open(NAME).connect()
    uicc.faults = Faults(dies_at=1, when=When.AFTER)
    with pytest.raises(CardNotPresentError) as died:
        connection.transmit(ASK)
    assert died.value.outcome is Outcome.UNKNOWN
    assert next_report(reports)[0].state is SlotState.EMPTY
    uicc.faults = Faults()
    source.insert(NAME)
    assert source.open(NAME).connect().transmit(ASK).hex() == "63c3"


def test_reader_unplugged_while_connected(source: SimulatedSource) -> None:
    reader = source.open(NAME)
    connection = reader.connect()
    source.unplug(NAME)
    with pytest.raises(ReaderUnavailableError):
        connection.transmit(ASK)
    with pytest.raises(ReaderUnavailableError):
        reader.connect()
    connection.close()


def test_a_reader_has_some_attributes_and_no_others(source: SimulatedSource, uicc: Card) -> None:
    connection = source.open(NAME).connect()
    assert connection.get_attribute("atr_string") == uicc.atr
    assert connection.get_attribute("vendor_name") == b"WSRC"
    assert connection.get_attribute("device_friendly_name") == NAME.encode() + b"\0"
    assert connection.get_attribute("vendor_ifd_serial_no")
    assert int.from_bytes(connection.get_attribute("maxinput"), "little") == 65_544
    connection.set_attribute("supress_t1_ifs_request", b"\1")
    assert connection.get_attribute("supress_t1_ifs_request") == b"\1"
    attempts = (
        lambda: connection.get_attribute("channel_id"),
        lambda: connection.set_attribute("maxinput", b""),
        lambda: connection.control(1, b""),
    )
    for attempt in attempts:
        with pytest.raises(RefusedError, match=NAME) as caught:
            attempt()
        assert caught.value.code is ErrorCode.NOT_SUPPORTED


def test_a_control_code_echoes_and_another_tells_that_there_are_no_features(
    source: SimulatedSource,
) -> None:
    connection = source.open(NAME).connect()
    assert connection.control(ECHO_CONTROL, b"hello") == b"hello"
    assert connection.control(3400, b"") == b""


def test_direct_needs_no_card_and_powers_none(source: SimulatedSource, uicc: Card) -> None:
    reader = source.open(NAME)
    direct: Direct = reader.connect_direct()
    assert direct.status().states == (CardStatus.PRESENT,)
    with pytest.raises(ReaderInUseError):
        reader.connect()
    source.remove(NAME)
    assert direct.status() == Status((CardStatus.ABSENT,))
    assert direct.get_attribute("icc_presence") == b"\0"
    source.insert(NAME)
    assert direct.control(ECHO_CONTROL, b"1") == b"1"
    direct.close()
    direct.close()
    with pytest.raises(CardTransmissionError):
        direct.control(ECHO_CONTROL, b"1")
    connection = reader.connect()
    assert connection.status() == Status(POWERED, CardProtocol.T0, uicc.atr)
    with pytest.raises(ReaderInUseError):
        reader.connect_direct()
    source.unplug(NAME)
    with pytest.raises(ReaderUnavailableError):
        connection.status()
    with pytest.raises(ReaderUnavailableError):
        reader.connect_direct()


def test_a_card_has_the_protocol_that_it_has(source: SimulatedSource) -> None:
    reader = source.open(NAME)
    with pytest.raises(RefusedError, match="T0 only") as caught:
        reader.connect((CardProtocol.T1,))
    assert caught.value.code is ErrorCode.PROTOCOL_MISMATCH
    connection = reader.connect((CardProtocol.T1, CardProtocol.T0))
    with pytest.raises(RefusedError):
        connection.reset(ResetKind.COLD, (CardProtocol.T1,))
    connection.transmit(ASK)
