# SPDX-License-Identifier: Apache-2.0
"""
Run the programs for long under all that can break, and print what came of it: `make soak`.

    python -m tests.soak [RUN...]

Sizes are taken from the environment (`WSRC_SOAK_COMMANDS` and so on, see `runs.Sizes`, of the
night `WSRC_NIGHT_USERS` and so on, see `night.NightSizes`, of the cluster `WSRC_CLUSTER_KILLS` and
so on, see `cluster.ClusterSizes`, likewise `rolling.RollingSizes`), the seed from `WSRC_SOAK_SEED`.
Exit status 1 if a run found a fault.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tests.soak.cluster import ClusterSizes, cluster
from tests.soak.night import NightError, NightSizes, night
from tests.soak.rolling import RollingSizes, rolling
from tests.soak.runs import RUNS, Result, Sizes, table
from tests.soak.stand import SoakError, rows
from tests.support.certificates import Certificates, make

OTHERS: dict[str, Callable[[str, Certificates], tuple[object, ...]]] = {
    "night": lambda seed, certificates: night(NightSizes.given(seed=seed), certificates),
    "cluster": lambda seed, certificates: cluster(ClusterSizes.given(seed=seed), certificates),
    "rolling": lambda seed, certificates: rolling(RollingSizes.given(seed=seed), certificates),
}
"""Runs that have sizes and figures of their own."""


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    there = [*RUNS, *OTHERS]
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
    others: dict[str, tuple[object, ...]] = {}
    failed = 0
    for name in chosen:
        begun = time.monotonic()
        try:
            if name in OTHERS:
                others[name] = OTHERS[name](sizes.seed, certificates)
            else:
                results.append(RUNS[name](sizes, certificates))
            end = "passed"
        except (SoakError, NightError) as exc:
            failed = 1
            end = f"FAILED: {exc}\nAgain: WSRC_SOAK_SEED={sizes.seed} python -m tests.soak {name}"
        _say(f"{name}: after {time.monotonic() - begun:.0f} s, {end}")
    tables = [table(results)] if results else []
    for name, figures in others.items():
        fields: tuple[str, ...] = getattr(figures, "_fields", ())
        tables.append(
            rows([["run", *(each.replace("_", " ") for each in fields)], [name, *figures]])
        )
    _say("\n" + "\n\n".join([*tables, f"seed {sizes.seed}"]))
    return failed


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
