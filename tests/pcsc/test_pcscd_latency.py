# SPDX-License-Identifier: Apache-2.0
"""
How long a command and a change of card take, beside pcscd and vpcd in the same run.

Nothing is asserted of time, which says more of the machine than of us; the numbers are printed.
`WSRC_LATENCY_COUNT` is how many commands are timed in each of the rounds.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.paths import PROGRAMS
from tests.support.pcsc import sides
from tests.support.pcsc.bench import require
from tests.support.pcsc.openpgp import openpgp_card
from tests.support.pcsc.sides import OurSide, RealSide
from wsrc.readers.simulation import default_cards

pytestmark = pytest.mark.pcscd

PROGRAM = PROGRAMS / "latency.py"
COUNT = int(os.environ.get("WSRC_LATENCY_COUNT", "300"))
ROUNDS = 5
CHANGES = 6


@pytest.fixture
def both() -> Iterator[tuple[RealSide, OurSide]]:
    require()
    with (
        sides.real([default_cards()[0], openpgp_card()]) as real,
        sides.local([default_cards()[0], openpgp_card()]) as ours,
    ):
        yield real, ours


def transmit_times(side: RealSide | OurSide) -> list[float]:
    """Run the program, and leave out the first third, in which everything warms up."""
    timed = subprocess.run(
        [sys.executable, str(PROGRAM), "transmit", str(COUNT)],
        env=side.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [float(line) for line in timed.stdout.split()][COUNT // 3 :]


def change_times(side: RealSide | OurSide) -> list[float]:
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), "hotplug", str(CHANGES)],
        env=side.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        for number in range(CHANGES):
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.3)  # nothing tells that the library waits by now
            change = side.insert_at_once if number % 2 else side.remove_at_once
            begun = time.monotonic()
            change(0)
            process.stdin.write(f"{begun}\n")
            process.stdin.flush()
        return [float(line) for line in process.stdout]


def test_latency_of_transmit(
    both: tuple[RealSide, OurSide], capsys: pytest.CaptureFixture[str]
) -> None:
    real, ours = both
    times: dict[str, list[float]] = {real.name: [], ours.name: []}
    for _ in range(ROUNDS):
        for side in both:
            times[side.name] += transmit_times(side)
    medians = {name: statistics.median(each) for name, each in times.items()}
    ratio = medians[ours.name] / medians[real.name]
    with capsys.disabled():
        print(  # noqa: T201 - this is what the test is for
            f"\nSCardTransmit, median: pcscd and vpcd {medians[real.name]:.0f} us, "
            f"our socket {medians[ours.name]:.0f} us, ratio {ratio:.2f}"
        )
    assert all(len(each) == ROUNDS * (COUNT - COUNT // 3) for each in times.values())


def test_latency_of_a_change(
    both: tuple[RealSide, OurSide], capsys: pytest.CaptureFixture[str]
) -> None:
    times = {side.name: statistics.median(change_times(side)) for side in both}
    shown = ", ".join(f"{name} {each / 1000:.1f} ms" for name, each in times.items())
    with capsys.disabled():
        print(f"\nCard seen by a program, median: {shown}")  # noqa: T201 - what the test is for
    assert len(times) == 2
