# SPDX-License-Identifier: Apache-2.0
"""What the report of a run says of cards: which each test had, and how long it waited for it."""

from collections.abc import Iterable
from typing import Any, Final

import pytest

CARD, WAITED = "wsrc_card", "wsrc_waited_s"
"""Properties of a test, also in JUnit's XML: a card that it had, and seconds of waiting."""

TITLE: Final = "commands of cards, without PINs and keys"
"""Of the section that a failed test has."""

MOST_CARDS: Final = 50
"""Cards that a summary names."""


def summary(
    reporter: pytest.TerminalReporter, config: pytest.Config, reports: Iterable[Any]
) -> None:
    """Write which cards were used, and with `--durations` or `-v` which test had which."""
    tests: dict[str, tuple[list[str], float]] = {}
    for report in reports:
        named = [str(value) for key, value in report.user_properties if key == CARD]
        waited_s = sum(float(value) for key, value in report.user_properties if key == WAITED)
        if named:
            tests[report.nodeid] = named, waited_s
    if not tests:
        return
    reporter.section("cards", sep="-")
    if config.get_verbosity() > 0 or config.getoption("durations") is not None:
        for nodeid, (named, waited_s) in sorted(tests.items(), key=lambda test: -test[1][1]):
            reporter.write_line(f"{waited_s:.2f}s wait     {nodeid}: {'; '.join(named)}")
        return
    used: dict[str, list[float]] = {}
    for named, waited_s in tests.values():
        for name in named:
            used.setdefault(name, []).append(waited_s)
    for name, waits in sorted(used.items())[:MOST_CARDS]:
        count = f"{len(waits)} test{'s' * (len(waits) != 1)}"
        reporter.write_line(f"{name}: {count}, {sum(waits):.1f} s of waiting")
    if len(used) > MOST_CARDS:
        reporter.write_line(f"and {len(used) - MOST_CARDS} more cards")
