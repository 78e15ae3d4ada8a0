# SPDX-License-Identifier: Apache-2.0
"""
Our server, looked into while it runs: what it calls, and what its modules hold.

A look begins with SIGUSR1 and ends with SIGUSR2; each is told by a line on standard error.
"""

import gc
import os
import signal
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from tests.bench import programs
from tests.bench.programs import WSRC, Host, Server
from tests.support.paths import ROOT
from wsrc.server import cli

_OURS = [
    tracemalloc.Filter(True, str(ROOT / "wsrc" / "*")),
    # The loop allocates a buffer there for each connection, of which few pages are ever touched.
    tracemalloc.Filter(False, str(ROOT / "wsrc" / "server" / "door.py")),
]


class Look(NamedTuple):
    """Calls of Python functions and of those in C during a look, and octets held more after it."""

    calls: int
    calls_of_c: int
    octets: int


class Looked:
    """What a look found, once it is over."""

    found = Look(0, 0, 0)


@contextmanager
def look(server: Server) -> Iterator[Looked]:
    """Look into a server of `LOOKED_INTO` for as long as the context lasts, once."""
    looked = Looked()
    server.program.process.send_signal(signal.SIGUSR1)
    server.program.wait_for("A look begins")
    yield looked
    server.program.process.send_signal(signal.SIGUSR2)
    told = server.program.wait_for(r"A look ends: (-?\d+) (-?\d+) (-?\d+)")
    looked.found = Look(*map(int, told.groups()))


def _start(host: Host, tls: bool) -> Server:
    return programs.wsrc_server(host, tls, module=__name__)


LOOKED_INTO = WSRC._replace(start=_start)


class _Looking:
    def __init__(self) -> None:
        self._counts = {"call": 0, "c_call": 0}
        self._held = 0

    def begin(self, *_: object) -> None:
        self._held = _held()
        _tell("A look begins")
        self._counts = dict.fromkeys(self._counts, 0)
        sys.setprofile(self._count)

    def end(self, *_: object) -> None:
        sys.setprofile(None)
        look = Look(self._counts["call"], self._counts["c_call"], _held() - self._held)
        _tell(f"A look ends: {' '.join(map(str, look))}")

    def _count(self, _: FrameType, event: str, __: object) -> None:
        if event in self._counts:
            self._counts[event] += 1


def _tell(line: str) -> None:
    """Write a line to standard error at once, though a signal may have come in such a write."""
    os.write(sys.stderr.fileno(), f"{line}\n".encode())


def _held() -> int:
    gc.collect()
    snapshot = tracemalloc.take_snapshot().filter_traces(_OURS)
    return sum(trace.size for trace in snapshot.traces)


def main() -> None:
    """Run the server."""
    looking = _Looking()
    signal.signal(signal.SIGUSR1, looking.begin)
    signal.signal(signal.SIGUSR2, looking.end)
    tracemalloc.start()
    cli.main()
