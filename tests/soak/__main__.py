# SPDX-License-Identifier: Apache-2.0
"""
Run the programs for long under all that can break, and print what came of it: `make soak`.

    python -m tests.soak [RUN...]

Sizes are taken from the environment (`WSRC_SOAK_COMMANDS` and so on, see `runs.Sizes`), the seed
from `WSRC_SOAK_SEED`. Exit status 1 if a run found a fault.
"""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.soak.runs import RUNS, Result, Sizes, table
from tests.soak.stand import SoakError
from tests.support.certificates import make


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("run", nargs="*", metavar="RUN", help=f"{', '.join(RUNS)}; all by default")
    chosen = parser.parse_args().run or list(RUNS)
    for name in chosen:
        if name not in RUNS:
            parser.error(f"there is no run {name!r}; there are {', '.join(RUNS)}")
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
    failed = 0
    for name in chosen:
        begun = time.monotonic()
        try:
            results.append(RUNS[name](sizes, certificates))
            end = "passed"
        except SoakError as exc:
            failed = 1
            end = f"FAILED: {exc}\nAgain: WSRC_SOAK_SEED={sizes.seed} python -m tests.soak {name}"
        _say(f"{name}: after {time.monotonic() - begun:.0f} s, {end}")
    _say(f"\n{table(results)}\n\nseed {sizes.seed}")
    return failed


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
