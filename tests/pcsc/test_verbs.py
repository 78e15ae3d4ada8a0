# SPDX-License-Identifier: Apache-2.0
"""Status, control and attributes of readers of a real pcscd."""

from collections.abc import Iterator

import pytest

from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.other_program import EXCLUSIVE, holding
from tests.support.pcsc.virtual_card import ATR_T0, ATR_T0_T1, VirtualCard
from wsrc.errors import CardNotPresentError, ErrorCode, ReaderInUseError, RefusedError
from wsrc.readers.base import CardProtocol, CardStatus, ResetKind
from wsrc.readers.pcsc import PcscSource
from wsrc.readers.pcsc_reader import PcscReader

pytestmark = pytest.mark.pcscd


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


@pytest.mark.usefixtures("card")
def test_status_and_attributes_of_a_reader_with_a_card(slot: Slot, reader: PcscReader) -> None:
    connection = reader.connect()
    status = connection.status()
    assert {CardStatus.PRESENT, CardStatus.POWERED} <= set(status.states)
    assert (status.protocol, status.atr) == (CardProtocol.T0, ATR_T0)
    assert connection.get_attribute("atr_string") == ATR_T0
    name = connection.get_attribute("device_friendly_name")
    assert name.rstrip(b"\0").decode() == slot.reader
    connection.close()


@pytest.mark.usefixtures("card")
def test_what_the_reader_has_not_is_not_supported(reader: PcscReader) -> None:
    connection = reader.connect()
    attempts = (
        lambda: connection.get_attribute("user_auth_input_device"),
        lambda: connection.set_attribute("maxinput", b"\0"),
        lambda: connection.control(1, b""),
    )
    for attempt in attempts:
        with pytest.raises(RefusedError) as caught:
            attempt()
        assert caught.value.code is ErrorCode.NOT_SUPPORTED
    connection.close()


def test_direct_needs_no_card(slot: Slot, reader: PcscReader) -> None:
    direct = reader.connect_direct()
    assert CardStatus.ABSENT in direct.status().states
    assert direct.get_attribute("device_friendly_name").rstrip(b"\0").decode() == slot.reader
    direct.close()
    with pytest.raises(CardNotPresentError):
        reader.connect()


@pytest.mark.usefixtures("card")
def test_direct_does_not_take_a_reader_from_another_program(
    bench: Bench, slot: Slot, reader: PcscReader
) -> None:
    with holding(bench, slot, EXCLUSIVE), pytest.raises(ReaderInUseError):
        reader.connect_direct()


def test_a_protocol_is_chosen_or_refused(bench: Bench, slot: Slot, reader: PcscReader) -> None:
    with VirtualCard(ATR_T0_T1).inserted(slot.port):
        bench.wait_present(slot)
        connection = reader.connect((CardProtocol.T1,))
        assert connection.protocol is CardProtocol.T1
        connection.reset(ResetKind.COLD, (CardProtocol.T0,))
        assert connection.protocol is CardProtocol.T0
        connection.close()


@pytest.mark.usefixtures("card")
def test_a_protocol_that_the_card_has_not_is_refused(reader: PcscReader) -> None:
    with pytest.raises(RefusedError) as caught:
        reader.connect((CardProtocol.T1,))
    assert caught.value.code is ErrorCode.PROTOCOL_MISMATCH
    reader.connect().close()
