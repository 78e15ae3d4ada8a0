# SPDX-License-Identifier: Apache-2.0
"""
The lines of several logs in one order, without I/O.

Each log keeps its order. Between logs the time decides, as each log's own clock has it, and what is
known whatever the clocks say: a session is taken before anything else becomes of it. So a line of
a session that its own log has not seen taken comes after the line of another log that has it taken.
"""

import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from wsrc.audit.chain import Line

_SESSION: Final = re.compile(
    rb'\{"n":\d+,"at":"[^"]*","event":"(took|gave_back|session_turned|reset)","session":"([^"]+)"'
)


class Place(NamedTuple):
    """A line: its log, counted from 0, and which of that it is, counted from 1."""

    log: int
    number: int


class Turn(NamedTuple):
    """What a line says of a session: its name, as the log has it, and whether it is taken."""

    session: str
    took: bool


class Entry(NamedTuple):
    """
    A line with where it stands.

    Attributes:
        file: Name of its file.
        at: Its number in the file, counted from 1.
        octets: The line, without its end.
        line: The same, read.
    """

    file: str
    at: int
    octets: bytes
    line: Line


Taken = Callable[[str], Iterable[Place]]
"""Returns where a session is taken, in any order."""


def turn_of(line: Line) -> Turn | None:
    """Return what a line says of a session; None where it says nothing that has an order."""
    found = _SESSION.match(line.body)
    return None if found is None else Turn(found[2].decode(), found[1] == b"took")


class Merge:
    """
    Puts logs in one order; of each log it has one line at a time.

    `against` counts lines that came before what they should follow, for other lines contradict it.

    Args:
        logs: The lines of each log, in order.
        taken: Where sessions are taken, in all of the logs.
    """

    def __init__(self, logs: Sequence[Iterator[Entry]], taken: Taken) -> None:
        self.against = 0
        self._logs, self._taken = logs, taken
        self._numbers = [0] * len(logs)
        self._heads: list[Entry | None] = [None] * len(logs)
        self._ready: list[tuple[str, int]] = []
        self._waiting: dict[int, Place] = {}

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        """Yield each line, and which log has it."""
        for log in range(len(self._logs)):
            self._next(log)
        while self._ready or self._waiting:
            if not self._ready:
                self._contradicted()
            _, log = heapq.heappop(self._ready)
            entry = self._heads[log]
            assert entry is not None, "a log that is ready has a line"
            yield log, entry
            self._next(log)
            self._release(log)

    def _next(self, log: int) -> None:
        """Look at the next line of a log."""
        self._heads[log] = next(self._logs[log], None)
        self._numbers[log] += 1
        self._enter(log)

    def _enter(self, log: int) -> None:
        """Have the line of a log that is next be ready, or wait for one of another log."""
        entry = self._heads[log]
        if entry is None:
            return
        first = self._must_follow(log, entry)
        if first is None:
            heapq.heappush(self._ready, (entry.line.at, log))
        else:
            self._waiting[log] = first

    def _must_follow(self, log: int, entry: Entry) -> Place | None:
        """Return a line that did not come yet, and must before this one."""
        turn = turn_of(entry.line)
        if turn is None or turn.took:
            return None
        places = list(self._taken(turn.session))
        if any(each.log == log and each.number < self._numbers[log] for each in places):
            return None
        left = (
            each for each in places if each.log != log and each.number >= self._numbers[each.log]
        )
        return next(left, None)

    def _release(self, log: int) -> None:
        """Look again at lines that waited for one of a log that has come."""
        for waiting, first in list(self._waiting.items()):
            if first.log == log and first.number < self._numbers[log]:
                del self._waiting[waiting]
                self._enter(waiting)

    def _contradicted(self) -> None:
        """Let the earliest line go, as each waits for another."""
        self.against += 1
        at, log = min((head.line.at, log) for log in self._waiting if (head := self._heads[log]))
        del self._waiting[log]
        heapq.heappush(self._ready, (at, log))
