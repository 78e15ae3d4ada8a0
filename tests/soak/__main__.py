# SPDX-License-Identifier: Apache-2.0
"""
Run the programs for long under all that can break, and print what came of it: `make soak`.

    python -m tests.soak [RUN...]

Sizes are taken from the environment (`WSRC_SOAK_COMMANDS` and so on, see `runs.Sizes`, and of the
night `WSRC_NIGHT_USERS` and so on, see `night.NightSizes`), the seed from `WSRC_SOAK_SEED`. Exit
status 1 if a run found a fault.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.soak.night import NightError, NightSizes, night
from tests.soak.night_judge import Figures
from tests.soak.runs import RUNS, Result, Sizes, table
from tests.soak.stand import SoakError, rows
from tests.support.certificates import make

NIGHT = "night"
"""The run whose sizes are `NightSizes`."""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    there = [*RUNS, NIGHT]
    parser.add_argument("run", nargs="*", metavar="RUN", help=f"{', '.join(there)}; all by default")
    chosen = parser.parse_args().run or there
    for name in chosen:
        if name not in there:
            parser.error(f"there is no run {name!r}; there are {', '.join(there)}")
    # So that an end from outside ends the programs as well.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    sizes = Sizes.given()
    given = ", ".join(f"{k} {v}" for k, v in msgspec.structs.asdict(sizes).items() if k != "seed")
    _say(f"seed {sizes.seed} ({given})")
    with tempfile.TemporaryDirectory(prefix="wsrc-certificates-") as folder:
        return _run(chosen, sizes, Path(folder))


def _run(chosen: list[str], sizes: Sizes, folder: Path) -> int:
    certificates = make(folder)
    results: list[Result] = []
    nights: list[Figures] = []
    failed = 0
    for name in chosen:
        begun = time.monotonic()
        try:
            if name == NIGHT:
                nights.append(night(NightSizes.given(seed=sizes.seed), certificates))
            else:
                results.append(RUNS[name](sizes, certificates))
            end = "passed"
        except (SoakError, NightError) as exc:
            failed = 1
            end = f"FAILED: {exc}\nAgain: WSRC_SOAK_SEED={sizes.seed} python -m tests.soak {name}"
        _say(f"{name}: after {time.monotonic() - begun:.0f} s, {end}")
    tables = [table(results)] if results else []
    if nights:
        heads = [name.replace("_", " ") for name in Figures._fields]
        tables.append(rows([heads, *nights]))
    _say("\n" + "\n\n".join([*tables, f"seed {sizes.seed}"]))
    return failed


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
