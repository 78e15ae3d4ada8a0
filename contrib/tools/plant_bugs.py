# SPDX-License-Identifier: Apache-2.0
"""
Plant the bugs of `planted_bugs.toml`, one at a time, and see that a test fails for each.

    python contrib/tools/plant_bugs.py                     all of them
    python contrib/tools/plant_bugs.py resume secret       those whose name has one of these words
    python contrib/tools/plant_bugs.py --tests FILE        whether this test alone catches them

Bugs are planted in a copy of the tree in a temporary directory, never in the tree itself. The exit
status is 1 if a bug survives, and 2 if the tests fail without any.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]

COPIED = ("wsrc", "tests", "certs", "pyproject.toml")
"""What tests of machines need of the tree."""

LIMIT_S = 180
"""Time of one run; a bug that makes tests hang is caught by it."""


class Bug(NamedTuple):
    """A piece of one file that is replaced by another, and the tests that are to fail then."""

    file: str
    name: str
    old: str
    new: str
    tests: tuple[str, ...]


def read() -> list[Bug]:
    """Return all bugs."""
    files = tomllib.loads((ROOT / "contrib" / "tools" / "planted_bugs.toml").read_text("utf-8"))
    return [
        Bug(file, *bug, tests=_found(what["tests"]))
        for file, what in files.items()
        for bug in what["bugs"]
    ]


def _found(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the files that patterns stand for; a pattern without any stays as it is."""
    found = ((sorted(ROOT.glob(pattern)), pattern) for pattern in patterns)
    return tuple(
        str(path.relative_to(ROOT)) if isinstance(path, Path) else path
        for paths, pattern in found
        for path in (paths or [pattern])
    )


class Fate(StrEnum):
    """What became of a bug."""

    CAUGHT = "caught"
    HUNG = "caught (the tests hang)"
    SURVIVED = "SURVIVED"


def planted(bug: Bug, text: str) -> str:
    """
    Return the text of a file with the bug in it.

    Raises:
        ValueError: If the line is not there exactly once.
    """
    count = text.count(bug.old)
    if count != 1:
        raise ValueError(f"{bug.name}: the old text occurs {count} times in {bug.file}, not once.")
    return text.replace(bug.old, bug.new)


def fails(tests: Sequence[str], bug: Bug | None) -> subprocess.CompletedProcess[str]:
    """Run tests in a copy of the tree, with a bug if one is given."""
    with tempfile.TemporaryDirectory(prefix="wsrc-bug-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        if bug is not None:
            path = copy / bug.file
            path.write_text(planted(bug, path.read_text("utf-8")), "utf-8")
        changes = {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1", "CI": ""}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        return subprocess.run(
            command,
            cwd=copy,
            env={**os.environ, **changes, "HYPOTHESIS_PROFILE": "bugs"},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )


def fate_of(bug: Bug, tests: Sequence[str]) -> tuple[Fate, str]:
    """Plant one bug; give what became of it, and which test failed."""
    try:
        run = fails(tests or bug.tests, bug)
    except subprocess.TimeoutExpired:
        return Fate.HUNG, ""
    if run.returncode == 0:
        return Fate.SURVIVED, ""
    if run.returncode != 1:
        raise RuntimeError(f"{bug.name}: pytest ended with {run.returncode}:\n{run.stdout}")
    failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return Fate.CAUGHT, failed[0].partition(" - ")[0].partition(" ")[2] if failed else ""


def sound(bugs: Iterable[Bug], tests: Sequence[str]) -> bool:
    """Return whether the tests pass without a bug."""
    for suite in {tuple(tests) or bug.tests for bug in bugs}:
        run = fails(suite, None)
        if run.returncode:
            print(f"Without a bug, these tests fail: {' '.join(suite)}\n{run.stdout}")
            return False
    return True


def main() -> int:
    """Plant the bugs that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("words", nargs="*", help="plant bugs whose name or file has one of these")
    parser.add_argument("--tests", nargs="+", default=[], help="run these tests instead")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    words = options.words or [""]
    bugs = [bug for bug in read() if any(word in f"{bug.file} {bug.name}" for word in words)]
    if not sound(bugs, options.tests):
        return 2
    survivors = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        fates = pool.map(lambda bug: fate_of(bug, options.tests), bugs)
        for bug, (fate, test) in zip(bugs, fates, strict=True):
            survivors += fate is Fate.SURVIVED
            print(f"{fate:8}  {bug.file}: {bug.name}{f'  [{test}]' if test else ''}", flush=True)
    print(f"{len(bugs)} bugs planted, {survivors} survived")
    return 1 if survivors or not bugs else 0


if __name__ == "__main__":
    sys.exit(main())
