# SPDX-License-Identifier: Apache-2.0
"""
Plant the bugs of `planted_bugs.toml`, one at a time, and see that a test fails for each.

    python contrib/tools/plant_bugs.py                     all of them
    python contrib/tools/plant_bugs.py resume secret       those whose name has one of these words
    python contrib/tools/plant_bugs.py --tests FILE        whether this test alone catches them
    python contrib/tools/plant_bugs.py --seal required off whether each is caught in both ways
    python contrib/tools/plant_bugs.py --random 20         changes drawn from all of wsrc instead
    python contrib/tools/plant_bugs.py --random 20 --seed 7 wsrc/relay      the same ones again

Bugs are planted in a copy of the tree in a temporary directory, never in the tree itself. The exit
status is 1 if a bug survives, and 2 if the tests fail without any.
"""

import argparse
import contextlib
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from mutations import Mutation, draw
from tests_of import STAGES, Tree

ROOT = Path(__file__).resolve().parents[2]

COPIED = ("wsrc", "tests", "contrib", "docs", "pyproject.toml", "README.md")
"""What tests need of the tree."""

HANGS_S = 240
"""Time of one test; a bug that makes a test hang is caught by it."""

SEAL_WAY, SEAL_VARIABLE = "tests.support.seal_way", "WSRC_TEST_SEAL"
"""What tests that can be run with sessions sealed and not sealed import, and what it reads."""

LIMIT_S = 900
"""Time of one run. What is not caught by then counts as survived."""


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
    HUNG = "caught (a test hangs)"
    SURVIVED = "SURVIVED"
    UNDECIDED = "SURVIVED (so far: the time was over)"

    @property
    def survived(self) -> bool:
        """Whether no test failed."""
        return self in {Fate.SURVIVED, Fate.UNDECIDED}


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


class Copy:
    """A copy of the tree, in which one file at a time is changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writes = 0
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / name)

    @contextlib.contextmanager
    def with_text(self, file: str, text: str) -> Iterator[None]:
        """Replace a text in a file for as long as the context lasts."""
        right = (self.folder / file).read_text("utf-8")
        self._write(file, text)
        try:
            yield
        finally:
            self._write(file, right)

    def run(
        self, tests: Sequence[str], limit_s: float = LIMIT_S, *options: str, seal: str = ""
    ) -> tuple[Fate, str, str]:
        """Run tests; return what they say of the text, the first that failed, and all output."""
        changes = {"PYTHONPATH": str(self.folder), "CI": "", "HYPOTHESIS_PROFILE": "bugs"}
        changes |= {SEAL_VARIABLE: seal} if seal else {}
        environment = {**os.environ, **changes}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        hangs = (f"faulthandler_timeout={HANGS_S}", "faulthandler_exit_on_timeout=true")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *tests]
        with subprocess.Popen(
            [*command, *(word for each in hangs for word in ("-o", each))],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return Fate.UNDECIDED, "", process.communicate()[0]
        return (*_verdict(process.returncode, output), output)

    def _write(self, file: str, text: str) -> None:
        """Write a file with a time of its own, so that no bytecode of another text is taken."""
        path = self.folder / file
        path.write_text(text, "utf-8")
        self._writes += 1
        os.utime(path, (self._writes, self._writes))


def _verdict(status: int, output: str) -> tuple[Fate, str]:
    """Return what the end of pytest says, and the first test that failed."""
    failed = failures(output)
    if status == 0:
        return Fate.SURVIVED, ""
    if failed:
        return Fate.CAUGHT, failed[0]
    if any(line.startswith("Timeout (") for line in output.splitlines()) or status < 0:
        return Fate.HUNG, ""
    if status in {1, 2}:
        return Fate.CAUGHT, ""
    raise RuntimeError(f"pytest ended with {status}:\n{output}")


Stages = Callable[[str], Sequence[Sequence[str]]]
"""The tests for a file, in groups that are run one after the other."""


def failures(output: str) -> list[str]:
    """Return the tests that failed, as pytest names them at its end."""
    lines = output.rpartition("short test summary info")[2].splitlines()
    found = (re.match(r"(?:FAILED|ERROR) (tests/.*?)(?: - |$)", line) for line in lines)
    return [each[1] for each in found if each is not None]


class Plan(NamedTuple):
    """
    A text of a file that is to be noticed, and the tests that are run until one fails.

    It is to be noticed with sessions sealed in each way of `seals`; "" is as it is without saying.
    """

    title: str
    file: str
    text: str
    stages: Sequence[Sequence[str]]
    seals: Sequence[str] = ("",)


class Found(NamedTuple):
    """What became of a bug, and which test failed, with sessions sealed in one way."""

    seal: str
    fate: Fate
    test: str = ""

    def __str__(self) -> str:
        seal = f", seal {self.seal}" if self.seal else ""
        return f"  [{self.test or 'no test'}{seal}]" if self.test or seal else ""


def found_of(plan: Plan, copy: Copy) -> list[Found]:
    """Plant one bug; return what became of it in each way, up to the first that it survived."""
    found: list[Found] = []
    with copy.with_text(plan.file, plan.text):
        for seal in plan.seals:
            likely = [[each.test] for each in found if each.test]
            found.append(_found_in_way(seal, [*likely, *plan.stages], copy))
            if found[-1].fate.survived:
                break
    return found


def _found_in_way(seal: str, stages: Sequence[Sequence[str]], copy: Copy) -> Found:
    fate = Fate.SURVIVED
    for tests in stages:
        fate, failed, _ = copy.run(tests, LIMIT_S, "-x", seal=seal)
        if fate is not Fate.SURVIVED:
            return Found(seal, fate, failed)
    return Found(seal, fate)


def carry_out(
    plans: Sequence[Plan], jobs: int, report: Callable[[str], None]
) -> tuple[list[str], bool]:
    """
    Plant bugs, some at the same time, each in a copy of the tree.

    Returns:
        The titles of those that survived, and whether the tests that caught others pass without.
    """
    survivors: list[str] = []
    caught: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="wsrc-bugs-") as folder:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(jobs):
            copies.put(Copy(Path(folder, str(number))))

        def decide(plan: Plan) -> list[Found]:
            copy = copies.get()
            try:
                return found_of(plan, copy)
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            for plan, found in zip(plans, pool.map(decide, plans), strict=True):
                report(f"{found[-1].fate:8}  {plan.title}{''.join(map(str, found))}")
                survivors += [plan.title] if found[-1].fate.survived else []
                for each in found:
                    if each.test:
                        caught.setdefault(each.seal, {}).setdefault(each.test, plan.title)
        copy = copies.get()
        sound = [_sound(tests, seal, copy, report) for seal, tests in caught.items()]
    return survivors, all(sound)


def _sound(caught: Mapping[str, str], seal: str, copy: Copy, report: Callable[[str], None]) -> bool:
    """Return whether the tests that caught bugs pass without; report those that do not."""
    fate, _, output = copy.run([*caught], seal=seal)
    for test in failures(output):
        about = caught.get(test, "others")
        report(f"Without a bug, {test} fails as well, so it says nothing of {about}")
    return fate is Fate.SURVIVED


def named(words: Sequence[str], tests: Sequence[str], seals: Sequence[str] = ()) -> list[Plan]:
    """
    Return the bugs of the list whose name or file has one of these words.

    With `seals` only those whose tests heed whether sessions are sealed.
    """
    heed = Tree(ROOT).reaching(SEAL_WAY) if seals else frozenset[str]()
    return [
        Plan(
            f"{bug.file}: {bug.name}",
            bug.file,
            planted(bug, (ROOT / bug.file).read_text("utf-8")),
            [tests or sorted(bug.tests, key=lambda test: not _named_alike(test, bug.file))],
            seals or ("",),
        )
        for bug in read()
        if any(word in f"{bug.file} {bug.name}" for word in words or [""])
        if not seals or heed.intersection(tests or bug.tests)
    ]


def _named_alike(test: str, file: str) -> bool:
    """Return whether a file of tests is likely to notice a bug in a file first."""
    return Path(file).stem in Path(test).stem


def drawn(words: Sequence[str], count: int, seed: int, stages: Stages) -> list[Plan]:
    """Return changes drawn from the files of wsrc whose name has one of these words."""
    files = [str(path.relative_to(ROOT)) for path in (ROOT / "wsrc").rglob("*.py")]
    chosen = [file for file in files if any(word in file for word in words or [""])]
    sources = {file: (ROOT / file).read_text("utf-8") for file in chosen}
    changes = draw(sources, count, seed)
    return [Plan(described(each), each.file, each.text, stages(each.file)) for each in changes]


def described(change: Mutation) -> str:
    """Return where a change is, and both texts on one line each."""
    old, new = (" ".join(text.split()) for text in (change.old, change.new))
    return f"{change.file}:{change.line}: {old}  ->  {new}"


def main() -> int:
    """Plant the bugs that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("words", nargs="*", help="plant bugs whose name or file has one of these")
    parser.add_argument("--tests", nargs="+", default=[], help="run these tests instead")
    parser.add_argument("--random", type=int, metavar="N", help="draw N changes of all of wsrc")
    parser.add_argument("--seed", type=int, help="draw those that were drawn with this seed")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument(
        "--seal",
        nargs="+",
        choices=("required", "preferred", "off"),
        default=[],
        metavar="WAY",
        help="plant those whose tests heed it, in each of these ways: required, preferred, off",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--most", type=int, metavar="N", help="run N files of a stage at most")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what a shell has us ignore, tests would as well
    if options.random is None:
        plans = named(options.words, options.tests, options.seal)
    else:
        seed = secrets.randbelow(10**6) if options.seed is None else options.seed
        print(f"seed {seed}", flush=True)
        tree = Tree(ROOT)

        def stages(file: str) -> list[list[str]]:
            if options.tests:
                return [options.tests]
            return [group[: options.most] for group in tree.stages(file, options.stages)]

        plans = drawn(options.words, options.random, seed, stages)
    survivors, sound = carry_out(plans, options.jobs, lambda line: print(line, flush=True))
    print(f"{len(plans)} bugs planted, {len(survivors)} survived", *survivors, sep="\n  ")
    if not sound:
        return 2
    return 1 if survivors or not plans else 0


if __name__ == "__main__":
    sys.exit(main())
