# SPDX-License-Identifier: Apache-2.0
"""The figures of a run: every value of every round by name, and how many rounds there are."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from tests.bench.programs import Host

T = TypeVar("T")


class Effort(NamedTuple):
    """How long to measure."""

    rounds: int
    pairs: int
    seconds: float
    sessions: Sequence[int]
    peers: int
    """How many idle peers a server has in the rows of scale."""


FULL = Effort(5, 7, 2.0, (1, 10, 100, 500), 5000)
QUICK = Effort(1, 1, 0.5, (1, 100), 500)


class Book:
    """
    Figures by name, such as `relay.tls.100.wsrc.cpu_us`.

    Args:
        host: Where the programs run.
        effort: How long to measure.
        tell: Called with what is being measured.
    """

    def __init__(self, host: Host, effort: Effort, tell: Callable[[str], None]) -> None:
        self.host = host
        self.effort = effort
        self.tell = tell
        self.values: defaultdict[str, list[float]] = defaultdict(list)
        self.notes: list[str] = []
        """What could not be measured, and why."""

    def add(self, name: str, value: float) -> None:
        """Note the value of one round."""
        self.values[name].append(value)

    def get(self, name: str) -> float | None:
        """Return the median over the rounds; None where it was not measured."""
        found = self.values.get(name)
        return statistics.median(found) if found else None

    def note(self, sentence: str) -> None:
        """Say what could not be measured, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            self.tell(sentence)

    def as_json(self) -> dict[str, Any]:
        """Return all values of each figure, beside their median."""
        return {
            name: {"median": self.get(name), "values": values}
            for name, values in sorted(self.values.items())
        }


def interleaved(things: Sequence[T], rounds: int) -> Iterator[tuple[int, T]]:
    """Yield all things once a round; each round begins with another, so none is always first."""
    for number in range(rounds):
        at = number % len(things) if things else 0
        for thing in (*things[at:], *things[:at]):
            yield number, thing
