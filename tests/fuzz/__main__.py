# SPDX-License-Identifier: Apache-2.0
"""
`make fuzz`: each target in a process of its own, and a table of what came of it.

    python -m tests.fuzz [TARGET…] [--inputs N] [--seconds S] [--seed N] [--engine E] [--jobs N]

The exit status is 1 where anything was found. What was found lies in `.fuzz/found`.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.fuzz.engine import names, target
from tests.fuzz.worker import ENGINES, engine_here, read_now
from tests.support.paths import ROOT

PLACE = ROOT / ".fuzz"
INPUTS = 10_000_000
STALL_S = 120.0
"""A process whose input does not change for so long is ended: it hangs, and not in Python."""

NO_ATHERIS = (
    "atheris is not installed (pip install -e '.[fuzz]'): inputs are changed blindly, without "
    "regard to what they reach."
)


class Report(NamedTuple):
    """What came of a target; `found` has a line and a file for each finding."""

    name: str
    inputs: int
    seconds: float
    coverage: str
    worst_ms: float
    blocks: int
    mib: float
    found: list[str]

    @property
    def line(self) -> str:
        """Its line of the table."""
        rate = self.inputs / self.seconds if self.seconds else 0.0
        return (
            f"{self.name:<18} {self.inputs:>10} {rate:>9.0f} {self.coverage:>9} "
            f"{self.worst_ms:>9.0f} {self.blocks:>9} {self.mib:>8.1f} {len(self.found):>8}"
        )


HEAD = (
    f"{'target':<18} {'inputs':>10} {'a second':>9} {'edges':>9} {'worst ms':>9} "
    f"{'blocks':>9} {'MiB':>8} {'findings':>8}"
)


class Job(NamedTuple):
    """One target, and how long it runs at most."""

    name: str
    inputs: int
    seconds: float
    seed: int
    engine: str


def run(job: Job, place: Path = PLACE) -> Report:
    """Run a target in a process of its own, and return what came of it."""
    folder = place / job.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").unlink(missing_ok=True)
    arguments = [job.name, folder, job.inputs, job.seconds, job.seed, job.engine]
    command = [sys.executable, "-m", "tests.fuzz.worker", *map(str, arguments)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        ended = _wait(process, folder / "now")
    text = (folder / "log").read_text("utf-8", "replace")
    edges = re.findall(r"cov: (\d+)", text)
    result = folder / "result.json"
    if result.exists():
        done: dict[str, Any] = json.loads(result.read_text("utf-8"))
    else:
        done = _died(ended, folder, text)
    found = [_kept(job.name, each, place) for each in done["found"]]
    return Report(
        job.name,
        done["inputs"],
        done["seconds"],
        edges[-1] if edges else "-",
        done["worst_ms"],
        done["blocks"],
        done["mib"],
        found,
    )


def _wait(process: "subprocess.Popen[bytes]", now: Path) -> str:
    """Wait for a process; return how it ended."""
    begin = time.monotonic()
    number, changed = -1, begin
    while True:
        try:
            return f"exit status {process.wait(1.0)}"
        except subprocess.TimeoutExpired:
            at = read_now(now)[0] if now.exists() and now.stat().st_size else -1
            if at != number:
                number, changed = at, time.monotonic()
            if time.monotonic() - changed > STALL_S:
                process.kill()
                process.wait()
                return "no progress"


def _died(ended: str, folder: Path, text: str) -> dict[str, Any]:
    """Return what is known of a process that ended amid an input, or did not begin."""
    number, data = read_now(folder / "now") if (folder / "now").exists() else (0, b"")
    kind = "hang" if ended == "no progress" or "libFuzzer: timeout" in text else "death"
    said = " ".join(text.strip().splitlines()[-3:])[-300:]
    found = {"kind": kind, "where": ended, "sentence": said, "data": data.hex()}
    return {"inputs": number, "seconds": 0, "worst_ms": 0, "blocks": 0, "mib": 0, "found": [found]}


def _kept(name: str, found: dict[str, str], place: Path) -> str:
    """Keep the input of a finding in a file; return a line that says all of it."""
    data = bytes.fromhex(found["data"])
    folder = place / "found"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{found['kind']}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return f"{name}: {found['kind']} ({found['where']}): {found['sentence']} [{path}]"


def shared_out(chosen: Sequence[str], inputs: int) -> dict[str, int]:
    """Share inputs out among targets, as their `share` says; each has one at least."""
    shares = {name: target(name).share for name in chosen}
    whole = sum(shares.values())
    return {name: max(1, inputs * share // whole) for name, share in shares.items()}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _reports(jobs: Sequence[Job], at_once: int, place: Path) -> Iterator[Report]:
    """Yield what came of each job as it ends; Ctrl-C ends those that run, and begins no more."""
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        left = {pool.submit(run, job, place) for job in jobs}
        try:
            for done in concurrent.futures.as_completed(tuple(left)):
                left.remove(done)
                yield done.result()
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            yield from (each.result() for each in left if not each.cancelled())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(names()))
    parser.add_argument("--inputs", type=int, default=INPUTS, help="of all targets together")
    parser.add_argument("--seconds", type=float, default=86_400.0, help="for each target at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=ENGINES, default=engine_here())
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--place", type=Path, default=PLACE)
    given = parser.parse_args(arguments)
    if engine_here() != ENGINES[0]:
        _say(NO_ATHERIS)
    shutil.rmtree(given.place / "found", ignore_errors=True)
    inputs = shared_out(given.targets or names(), given.inputs)
    jobs = [Job(name, n, given.seconds, given.seed, given.engine) for name, n in inputs.items()]
    _say(HEAD)
    reports = []
    for report in _reports(jobs, given.jobs, given.place):
        reports.append(report)
        _say(report.line)
    found = [line for report in reports for line in report.found]
    _say(f"{sum(report.inputs for report in reports)} inputs, {len(found)} findings")
    for line in found:
        _say(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
