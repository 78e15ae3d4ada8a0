# SPDX-License-Identifier: Apache-2.0
"""
One private pcscd for all tests here.

libpcsclite reads the path of the socket once per process. So it is set while pytest collects,
before any test can have called PC/SC; tests end and start pcscd at that path.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ifd.bench import IfdBench, require_compiler
from tests.support.ifd.reader import OddReader
from tests.support.pcsc.bench import SOCKET_VARIABLE, Bench, BenchError, Slot, refuse, require
from tests.support.pcsc.watching import Watching
from wsrc.readers.pcsc import PcscSource

_FOLDER = Path(tempfile.gettempdir()) / f"wsrc-pcscd-{os.getpid()}"
os.environ[SOCKET_VARIABLE] = str(_FOLDER / "pcscd.comm")

_slots = itertools.count()


@pytest.fixture(scope="session")
def shared_bench() -> Iterator[Bench]:
    require()
    _FOLDER.mkdir(mode=0o700)
    bench = Bench(pairs=3, folder=_FOLDER)
    try:
        try:
            bench.start()
        except BenchError as exc:
            refuse(str(exc))
        yield bench
    finally:
        bench.close()
        shutil.rmtree(_FOLDER)


@pytest.fixture
def bench(shared_bench: Bench) -> Bench:
    """A pcscd that runs, whatever the test before did to it."""
    if not shared_bench.running:
        shared_bench.start()
    return shared_bench


@pytest.fixture
def ifd(shared_bench: Bench) -> Iterator[Callable[..., IfdBench]]:
    """Starts a pcscd with odd readers in the place of the bench's; ends it after the test."""
    require_compiler()
    shared_bench.kill()
    started: list[IfdBench] = []

    def start(*readers: OddReader) -> IfdBench:
        bench = IfdBench(readers, shared_bench.socket_path)
        started.append(bench)
        bench.start()
        return bench

    yield start
    for each in started:
        each.close()


@pytest.fixture
def slot(bench: Bench) -> Slot:
    """An empty slot, another for each test, so that none waits for the card of the last."""
    slot = bench.slot(next(_slots) % len(bench.slots))
    bench.wait_empty(slot)
    return slot


@pytest.fixture
def other_slot(bench: Bench, slot: Slot) -> Slot:
    """A second empty slot, of another reader than `slot`."""
    at = bench.slots.index(slot)
    other = bench.slot((at + 2) % len(bench.slots))
    bench.wait_empty(other)
    return other


@pytest.fixture
def source(bench: Bench) -> PcscSource:
    """All readers of the bench, and none of the host's that pcscd may have found."""
    return PcscSource(bench.patterns)


@pytest.fixture
def watching(source: PcscSource) -> Iterator[Watching]:
    with Watching(source) as watching:
        yield watching
