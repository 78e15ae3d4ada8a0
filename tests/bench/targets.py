# SPDX-License-Identifier: Apache-2.0
"""What is aimed at, figure by figure (`targets.toml`), and whether a run reached it."""

import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple


class Target(NamedTuple):
    """One line of the table of targets."""

    row: str
    what: str
    figure: str
    most: float | None = None
    least: float | None = None
    unit: str = ""
    before: str = ""

    def met(self, value: float) -> bool:
        """Return whether a value reaches the target."""
        return (self.most is None or value <= self.most) and (
            self.least is None or value >= self.least
        )

    @property
    def aim(self) -> str:
        """The target as a reader of the table sees it."""
        aim = f"<= {self.most:g}" if self.most is not None else f">= {self.least:g}"
        return f"{aim} {self.unit}".strip()


TARGETS = [
    Target(**each)
    for each in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["target"]
]


class Line(NamedTuple):
    """One line of the table of a run."""

    what: str
    before: str
    aim: str
    measured: str
    verdict: str


def lines(get: Callable[[str], float | None], rows: Collection[str]) -> list[Line]:
    """Return the table: the targets of the rows that were run, with what was measured."""
    result: list[Line] = []
    for target in TARGETS:
        value = get(target.figure)
        if target.row not in rows:
            continue
        measured = "-" if value is None else f"{value:.3g} {target.unit}".strip()
        verdict = "not measured" if value is None else "met" if target.met(value) else "missed"
        result.append(Line(target.what, target.before, target.aim, measured, verdict))
    return result
