# SPDX-License-Identifier: Apache-2.0
"""Cards in a real pcscd, used through `PcscReader` and `PcscConnection`."""

import threading
from collections.abc import Iterator

import pytest

from tests.support.pcsc.bench import Bench, Slot, wait_until
from tests.support.pcsc.other_program import EXCLUSIVE, SHARED, holding
from tests.support.pcsc.virtual_card import ATR_T0, ATR_T0_BARE, ATR_T0_T1, ATR_T1, VirtualCard
from wsrc.card.apdu import MAX_COMMAND_OCTETS
from wsrc.errors import (
    CardError,
    CardNotPresentError,
    CardTransmissionError,
    CardUnresponsiveError,
    Outcome,
    ReaderInUseError,
    ReaderUnavailableError,
)
from wsrc.readers.base import CardProtocol, ResetKind
from wsrc.readers.pcsc import PcscSource
from wsrc.readers.pcsc_reader import PcscReader

pytestmark = pytest.mark.pcscd

SELECT = bytes.fromhex("00a40004023f00")
VERIFY = bytes.fromhex("002000010831323334ffffffff")
ASK_VERIFIED = bytes.fromhex("0020000100")


@pytest.fixture
def reader(source: PcscSource, slot: Slot) -> Iterator[PcscReader]:
    reader = source.open(slot.reader)
    yield reader
    reader.close()


@pytest.fixture
def card(bench: Bench, slot: Slot) -> Iterator[VirtualCard]:
    with VirtualCard(ATR_T0).inserted(slot.port) as card:
        bench.wait_present(slot)
        yield card


@pytest.mark.parametrize(
    ("atr", "protocol"),
    [
        pytest.param(ATR_T0, CardProtocol.T0, id="T=0"),
        pytest.param(ATR_T0_BARE, CardProtocol.T0, id="no TD1"),
        pytest.param(ATR_T1, CardProtocol.T1, id="T=1"),
        pytest.param(ATR_T0_T1, CardProtocol.T1, id="both, T=0 first"),
    ],
)
def test_a4_card_runs_in_the_protocol_that_pcsc_chooses(
    bench: Bench, slot: Slot, reader: PcscReader, atr: bytes, protocol: CardProtocol
) -> None:
    with VirtualCard(atr).inserted(slot.port) as card:
        bench.wait_present(slot)
        connection = reader.connect()
        assert (connection.atr, connection.protocol) == (atr, protocol)
        assert connection.transmit(SELECT) == b"\x90\x00"
        assert connection.reset(ResetKind.WARM) == atr
        assert connection.protocol is protocol
        connection.close()
        assert SELECT.hex() in card.events


@pytest.mark.parametrize("atr", ["0102", "3b", "ffffffff"])
def test_garbage_for_an_atr_is_an_unresponsive_card(
    bench: Bench, slot: Slot, reader: PcscReader, atr: str
) -> None:
    with VirtualCard(bytes.fromhex(atr)).inserted(slot.port):
        bench.wait_present(slot)
        with pytest.raises(CardUnresponsiveError, match=f"{slot.reader}.*SCARD_") as caught:
            reader.connect()
    assert caught.value.outcome is Outcome.NOT_EXECUTED


def test_empty_slot_has_no_card_to_connect_to(slot: Slot, reader: PcscReader) -> None:
    with pytest.raises(CardNotPresentError, match=f"{slot.reader}.*SCARD_E_NO_SMARTCARD"):
        reader.connect()


def test_reader_that_is_not_there_is_unavailable(source: PcscSource) -> None:
    reader = source.open("No Such Reader 00 00")
    with pytest.raises(ReaderUnavailableError, match=r"No Such Reader.*SCARD_E_UNKNOWN_READER"):
        reader.connect()
    with pytest.raises(ReaderUnavailableError):
        assert reader.stable_id
    reader.close()


@pytest.mark.parametrize("mode", [EXCLUSIVE, SHARED])
def test_card_held_by_another_process_is_in_use(
    bench: Bench, slot: Slot, card: VirtualCard, reader: PcscReader, mode: int
) -> None:
    with (
        holding(bench, slot, mode),
        pytest.raises(ReaderInUseError, match=r"scdaemon.*SCARD_E_SHARING_VIOLATION"),
    ):
        reader.connect()
    reader.connect().close()


def test_our_card_is_refused_to_another_process(
    bench: Bench, slot: Slot, card: VirtualCard, reader: PcscReader
) -> None:
    connection = reader.connect()
    with pytest.raises(AssertionError, match="8010000B"), holding(bench, slot, SHARED):
        pass
    connection.close()


def test_stable_id_does_not_touch_the_card(card: VirtualCard, reader: PcscReader) -> None:
    card.wait_for(lambda events: events[-1:] == ["off"])
    mark = len(card.events)
    assert reader.stable_id == reader.name
    assert card.since(mark) == []


@pytest.mark.parametrize("mode", [EXCLUSIVE, SHARED])
def test_stable_id_does_not_wait_for_another_program(
    bench: Bench, slot: Slot, card: VirtualCard, reader: PcscReader, mode: int
) -> None:
    told: list[type[Exception]] = []

    def ask() -> None:
        try:
            assert reader.stable_id
        except ReaderInUseError as exc:
            told.append(type(exc))

    thread = threading.Thread(target=ask)
    with holding(bench, slot, mode):
        thread.start()
        thread.join(10)
        assert told == [ReaderInUseError]
    thread.join(10)


def test_extended_length_passes_both_ways(card: VirtualCard, reader: PcscReader) -> None:
    data = bytes(range(256)) * 255
    card.atr, card.answer = ATR_T1, lambda octets: octets[7:-2] + b"\x90\x00"
    connection = reader.connect()
    command = b"\x80\x10\x00\x00\x00" + len(data).to_bytes(2, "big") + data + b"\x00\x00"
    assert connection.transmit(command) == data + b"\x90\x00"
    connection.close()


@pytest.mark.parametrize("count", [0, 1, 3, MAX_COMMAND_OCTETS + 1])
def test_octets_that_are_no_command_are_never_sent(
    card: VirtualCard, reader: PcscReader, count: int
) -> None:
    connection = reader.connect()
    mark = len(card.events)
    with pytest.raises(CardTransmissionError, match=f"{count} octets") as caught:
        connection.transmit(bytes(count))
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    assert connection.transmit(SELECT) == b"\x90\x00"
    assert card.since(mark) == [SELECT.hex()]
    connection.close()


def test_card_that_dies_in_mid_command_leaves_the_outcome_unknown(
    bench: Bench, slot: Slot, card: VirtualCard, reader: PcscReader
) -> None:
    connection = reader.connect()
    card.answer = lambda _: None
    with pytest.raises((CardTransmissionError, CardNotPresentError)) as caught:
        connection.transmit(SELECT)
    assert caught.value.outcome is Outcome.UNKNOWN
    bench.wait_empty(slot)
    with pytest.raises(CardNotPresentError, match="SCARD_W_REMOVED_CARD"):
        connection.transmit(SELECT)
    connection.close()
    with VirtualCard(ATR_T1).inserted(slot.port):
        bench.wait_present(slot)
        again = reader.connect()
        assert again.transmit(SELECT) == b"\x90\x00"
        again.close()


def test_answer_of_one_octet_is_no_answer(card: VirtualCard, reader: PcscReader) -> None:
    card.answer = lambda _: b"\x90"
    connection = reader.connect()
    with pytest.raises(CardTransmissionError, match="1 octets") as caught:
        connection.transmit(SELECT)
    assert caught.value.outcome is Outcome.UNKNOWN
    connection.close()


def test_card_taken_out_between_commands_did_not_run_the_next(
    bench: Bench, slot: Slot, card: VirtualCard, reader: PcscReader
) -> None:
    connection = reader.connect()
    card.remove()
    bench.wait_empty(slot)
    with pytest.raises(CardNotPresentError, match="SCARD_W_REMOVED_CARD") as caught:
        connection.transmit(SELECT)
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    with pytest.raises(CardNotPresentError):
        connection.reset(ResetKind.COLD)
    connection.close()


def test_card_put_back_is_not_the_card_that_was_connected(
    bench: Bench, slot: Slot, card: VirtualCard, reader: PcscReader
) -> None:
    connection = reader.connect()
    card.remove()
    bench.wait_empty(slot)
    with VirtualCard(ATR_T0).inserted(slot.port) as other:
        bench.wait_present(slot)
        with pytest.raises(CardNotPresentError):
            connection.transmit(SELECT)
        assert SELECT.hex() not in other.events
        connection.close()


def test_slow_card_keeps_neither_readers_nor_threads_waiting(
    bench: Bench, slot: Slot, other_slot: Slot, card: VirtualCard, source: PcscSource
) -> None:
    asked, may_answer, answers = threading.Event(), threading.Event(), list[bytes]()

    def answer(_: bytes) -> bytes:
        asked.set()
        may_answer.wait(30)
        return b"\x61\x10"

    def use_slow_card() -> None:
        reader = source.open(slot.reader)
        connection = reader.connect()
        answers.append(connection.transmit(SELECT))
        connection.close()
        reader.close()

    card.answer = answer
    thread = threading.Thread(target=use_slow_card)
    thread.start()
    try:
        assert asked.wait(10)
        with VirtualCard(ATR_T1).inserted(other_slot.port):
            bench.wait_present(other_slot)
            reader = source.open(other_slot.reader)
            connection = reader.connect()
            assert connection.transmit(SELECT) == b"\x90\x00"
            assert answers == []
            connection.close()
            reader.close()
    finally:
        may_answer.set()
        thread.join(10)
    assert answers == [b"\x61\x10"]


def test_cold_and_warm_reset_are_different_to_the_card(
    card: VirtualCard, reader: PcscReader
) -> None:
    connection = reader.connect()
    mark = len(card.events)
    connection.reset(ResetKind.COLD)
    assert card.since(mark) == ["off", "on"]
    mark = len(card.events)
    connection.reset(ResetKind.WARM)
    assert card.since(mark) == ["reset"]
    connection.close()


def test_reset_gives_the_atr_and_protocol_of_this_reset(
    card: VirtualCard, reader: PcscReader
) -> None:
    connection = reader.connect()
    assert connection.protocol is CardProtocol.T0
    card.atr = ATR_T1
    assert connection.reset(ResetKind.WARM) == ATR_T1
    assert (connection.atr, connection.protocol) == (ATR_T1, CardProtocol.T1)
    assert connection.transmit(SELECT) == b"\x90\x00"
    connection.close()


def test_connecting_begins_with_a_cold_reset(
    bench: Bench, slot: Slot, card: VirtualCard, reader: PcscReader
) -> None:
    with holding(bench, slot, SHARED):
        mark = len(card.events)
    reader.connect().close()
    card.wait_for(lambda events: events[mark:][-3:] == ["off", "on", "off"])


@pytest.mark.parametrize("how", ["close", "cold reset", "dropped context"])
def test_verified_pin_is_gone_with_the_connection(
    card: VirtualCard, reader: PcscReader, how: str
) -> None:
    verified = False

    def answer(octets: bytes) -> bytes:
        nonlocal verified
        if octets == ASK_VERIFIED:
            return b"\x90\x00" if verified else b"\x63\xc3"
        verified = octets == VERIFY
        return b"\x90\x00"

    def power(_: str) -> None:
        nonlocal verified
        verified = False

    card.answer, card.on_power = answer, power
    connection = reader.connect()
    connection.transmit(VERIFY)
    assert connection.transmit(ASK_VERIFIED) == b"\x90\x00"
    if how == "cold reset":
        connection.reset(ResetKind.COLD)
    elif how == "close":
        connection.close()
        connection = reader.connect()
    else:
        reader.close()
        connection = reader.connect()
    assert connection.transmit(ASK_VERIFIED) == b"\x63\xc3"
    connection.close()


def test_close_powers_the_card_off_and_may_be_repeated(
    card: VirtualCard, reader: PcscReader
) -> None:
    connection = reader.connect()
    mark = len(card.events)
    connection.close()
    connection.close()
    wait_until(lambda: card.since(mark) == ["off"], 10, "the card is off")
    with pytest.raises(CardError) as caught:
        connection.transmit(SELECT)
    assert caught.value.outcome is Outcome.NOT_EXECUTED
