# SPDX-License-Identifier: Apache-2.0
"""pcscd that is away, dies and comes back: real signals to a real daemon."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.virtual_card import ATR_T0, VirtualCard
from tests.support.pcsc.watching import Watching
from wsrc.errors import Outcome, ReaderUnavailableError
from wsrc.readers.base import ResetKind, SlotState
from wsrc.readers.pcsc import PcscSource
from wsrc.readers.pcsc_reader import PcscReader

pytestmark = pytest.mark.pcscd

SELECT = bytes.fromhex("00a40004023f00")


@pytest.fixture
def reader(source: PcscSource, slot: Slot) -> Iterator[PcscReader]:
    reader = source.open(slot.reader)
    yield reader
    reader.close()


def names(bench: Bench) -> list[str]:
    return sorted(slot.reader for slot in bench.slots)


def test_readers_appear_when_a_service_that_was_not_running_starts(bench: Bench) -> None:
    bench.kill()
    with Watching(PcscSource(bench.patterns)) as watching:
        assert watching.until(lambda _: True) == []
        bench.start()
        watching.until(lambda slots: sorted(s.name for s in slots) == names(bench))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_watching_goes_on_after_the_service_was_restarted(
    bench: Bench, slot: Slot, watching: Watching, number: int
) -> None:
    with VirtualCard(ATR_T0).inserted(slot.port):
        watching.slot(slot.reader, lambda s: s.state is SlotState.PRESENT)
        bench.kill(number)
        watching.until(lambda slots: slots == [])
        bench.start()
        watching.slot(slot.reader, lambda s: s.state is SlotState.EMPTY)
    with VirtualCard(ATR_T0).inserted(slot.port):
        watching.slot(slot.reader, lambda s: s.state is SlotState.PRESENT)


def test_stop_ends_watch_while_the_service_is_away(bench: Bench) -> None:
    bench.kill()
    with Watching(PcscSource(bench.patterns)) as watching:
        watching.until(lambda slots: slots == [])


def test_connecting_without_a_service_says_what_to_start(bench: Bench, reader: PcscReader) -> None:
    bench.kill()
    with pytest.raises(ReaderUnavailableError, match=r"pcscd.*SCARD_E_NO_SERVICE") as caught:
        reader.connect()
    assert caught.value.outcome is Outcome.NOT_EXECUTED
    with pytest.raises(ReaderUnavailableError):
        assert reader.stable_id


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("restarted", [False, True])
def test_connection_is_lost_with_the_service_and_reader_is_not(
    bench: Bench, slot: Slot, reader: PcscReader, number: int, restarted: bool
) -> None:
    with VirtualCard(ATR_T0).inserted(slot.port):
        bench.wait_present(slot)
        connection = reader.connect()
        assert connection.transmit(SELECT) == b"\x90\x00"
        bench.kill(number)
        if restarted:
            bench.start()
        for _ in range(2):
            with pytest.raises(ReaderUnavailableError) as caught:
                connection.transmit(SELECT)
            assert caught.value.outcome is Outcome.NOT_EXECUTED
        with pytest.raises(ReaderUnavailableError):
            connection.reset(ResetKind.COLD)
        connection.close()
    if not restarted:
        bench.start()
    with VirtualCard(ATR_T0).inserted(slot.port):
        bench.wait_present(slot)
        again = reader.connect()
        assert again.transmit(SELECT) == b"\x90\x00"
        again.close()


def test_service_killed_in_mid_command_leaves_the_outcome_unknown(
    bench: Bench, slot: Slot, reader: PcscReader
) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def answer(_: bytes) -> bytes:
        asked.set()
        may_answer.wait(30)
        return b"\x90\x00"

    def kill_when_asked() -> None:
        assert asked.wait(10)
        bench.kill()
        may_answer.set()

    with VirtualCard(ATR_T0, answer).inserted(slot.port):
        bench.wait_present(slot)
        connection = reader.connect()
        thread = threading.Thread(target=kill_when_asked)
        thread.start()
        with pytest.raises(ReaderUnavailableError, match="SCARD_F_COMM_ERROR") as caught:
            connection.transmit(SELECT)
        thread.join(10)
        connection.close()
    assert caught.value.outcome is Outcome.UNKNOWN


def test_restarts_of_the_service_leak_no_file_descriptors(
    bench: Bench, slot: Slot, reader: PcscReader
) -> None:
    def use_once() -> int:
        with VirtualCard(ATR_T0).inserted(slot.port):
            bench.wait_present(slot)
            reader.connect().close()
        return len(list(Path("/proc/self/fd").iterdir()))

    counts = [use_once()]
    for _ in range(3):
        bench.restart()
        counts.append(use_once())
    assert counts == [counts[0]] * 4
