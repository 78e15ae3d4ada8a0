# SPDX-License-Identifier: Apache-2.0
"""Readers and cards that come and go, as `PcscSource.watch` tells them."""

import itertools
import threading

import pytest

from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.other_program import EXCLUSIVE, SHARED, holding
from tests.support.pcsc.virtual_card import ATR_T0, ATR_T1, VirtualCard
from tests.support.pcsc.watching import Watching
from wsrc.readers.base import SlotState
from wsrc.readers.pcsc import PcscSource

pytestmark = pytest.mark.pcscd


def test_every_reader_is_reported_at_once(bench: Bench, watching: Watching) -> None:
    slots = watching.until(lambda _: True)
    assert sorted(slot.name for slot in slots) == sorted(slot.reader for slot in bench.slots)


def test_inserted_card_is_reported_with_its_atr(slot: Slot, watching: Watching) -> None:
    empty = watching.slot(slot.reader, lambda s: s.state is SlotState.EMPTY)
    with VirtualCard(ATR_T0).inserted(slot.port):
        full = watching.slot(slot.reader, lambda s: s.state is SlotState.PRESENT)
    assert full.atr == ATR_T0
    assert full.event_count == empty.event_count + 1
    assert not full.in_use


def test_removed_card_is_reported_without_atr(slot: Slot, watching: Watching) -> None:
    with VirtualCard(ATR_T0).inserted(slot.port):
        full = watching.slot(slot.reader, lambda s: s.state is SlotState.PRESENT)
    gone = watching.slot(slot.reader, lambda s: s.event_count > full.event_count)
    assert (gone.state, gone.atr) == (SlotState.EMPTY, b"")


def test_two_cards_in_turn_are_told_apart_by_the_count(
    bench: Bench, slot: Slot, watching: Watching
) -> None:
    with VirtualCard(ATR_T0).inserted(slot.port):
        first = watching.slot(slot.reader, lambda s: s.state is SlotState.PRESENT)
    bench.wait_empty(slot)
    with VirtualCard(ATR_T1).inserted(slot.port):
        second = watching.slot(slot.reader, lambda s: s.atr == ATR_T1)
    assert second.event_count > first.event_count


def test_equal_reports_are_not_repeated(slot: Slot, watching: Watching) -> None:
    with VirtualCard(ATR_T0).inserted(slot.port):
        watching.slot(slot.reader, lambda s: s.state is SlotState.PRESENT)
    watching.slot(slot.reader, lambda s: s.state is SlotState.EMPTY)
    reports = watching.reports
    assert len(reports) > 1
    assert all(one != other for one, other in itertools.pairwise(reports))


@pytest.mark.parametrize("mode", [EXCLUSIVE, SHARED])
def test_card_held_by_another_program_is_in_use(
    bench: Bench, slot: Slot, watching: Watching, mode: int
) -> None:
    with VirtualCard(ATR_T0).inserted(slot.port):
        bench.wait_present(slot)
        with holding(bench, slot, mode):
            watching.slot(slot.reader, lambda s: s.in_use)
        watching.slot(slot.reader, lambda s: not s.in_use)


def test_card_held_by_ourselves_is_not_in_use(
    bench: Bench, slot: Slot, source: PcscSource, watching: Watching
) -> None:
    with VirtualCard(ATR_T0).inserted(slot.port) as card:
        bench.wait_present(slot)
        reader = source.open(slot.reader)
        connection = reader.connect()
        card.remove()
        watching.slot(slot.reader, lambda s: s.state is SlotState.EMPTY and s.event_count > 0)
        connection.close()
        reader.close()
    in_use = [s for report in watching.reports for s in report if s.in_use]
    assert in_use == []


@pytest.mark.parametrize(
    ("include", "exclude", "letters"),
    [
        (("Bench *",), (), "AABBCC"),
        (("bench a*",), (), "AA"),
        (("*a 00*", "BENCH B*"), ("* 01",), "AB"),
        (("bench*",), ("bench [bc]*",), "AA"),
        (("nothing",), (), ""),
    ],
)
def test_include_and_exclude_choose_the_readers(
    bench: Bench, include: tuple[str, ...], exclude: tuple[str, ...], letters: str
) -> None:
    with Watching(PcscSource(include, exclude)) as watching:
        slots = watching.until(lambda _: True)
    assert "".join(sorted(slot.name.split()[1] for slot in slots)) == letters


def test_stop_before_watch_ends_it(source: PcscSource) -> None:
    source.stop()
    with Watching(source):
        pass


def test_stop_is_not_lost_whenever_it_comes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With so long a wait, a stop that is overlooked outlasts the limit of `Watching`."""
    monkeypatch.setattr("wsrc.readers.pcsc._WAIT_MS", 60_000)
    for number in range(60):
        with Watching(PcscSource(bench.patterns)) as watching:
            if number % 2:
                watching.until(lambda _: True)


def test_stop_from_inside_a_report_ends_watch(source: PcscSource) -> None:
    thread = threading.Thread(target=source.watch, args=(lambda _: source.stop(),))
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
