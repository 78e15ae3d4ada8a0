# SPDX-License-Identifier: Apache-2.0
"""
One target in a process of its own: `python -m tests.fuzz.worker TARGET FOLDER INPUTS SECONDS SEED`.

It writes what came of it to `result.json` in the folder. `now` there has the input that it is at,
which a process that dies or hangs leaves behind.
"""

import importlib.util
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.engine import Finding, Held, Judge, Target, growth, held, made, target

SPARE_OCTETS = 2 << 30
"""Memory that a target may ask for beyond what is there when it begins."""

NOW_OCTETS = 1 << 20
LOOK_EVERY = 256
"""Inputs after which the clock is looked at."""

ENGINES = ("atheris", "mutation")


def engine_here() -> str:
    """Return `atheris` where it is, which is led by coverage; else `mutation`, which is blind."""
    return ENGINES[importlib.util.find_spec("atheris") is None]


class Now:
    """The input that a process is at, in a file that outlives it."""

    def __init__(self, path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(NOW_OCTETS)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), NOW_OCTETS)

    def is_at(self, number: int, data: bytes) -> None:
        """Note an input."""
        data = data[: NOW_OCTETS - 16]
        self._map[16 : 16 + len(data)] = data
        struct.pack_into("=QQ", self._map, 0, number, len(data))


def read_now(path: Path) -> tuple[int, bytes]:
    """Return the number of the input that a process was at, and the input."""
    octets = path.read_bytes()
    number, size = struct.unpack_from("=QQ", octets)
    return number, octets[16 : 16 + size]


class Work:
    """The inputs of one run: counted, limited, judged, and told of at the end."""

    def __init__(self, target: Target, folder: Path, inputs: int, seconds: float) -> None:
        self.target = target
        self.judge = Judge(target.one)
        self._folder = folder
        self._inputs = inputs
        self._begin = time.monotonic()
        self._end = self._begin + seconds
        self._now = Now(folder / "now")
        self._half: tuple[int, Held] | None = None
        self._half_at = self._begin + seconds / 2
        self._last_looked = 0

    def begin(self) -> None:
        """Set the limits of this process."""
        used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_OCTETS,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        self.judge.watch()
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._stop)

    def _stop(self, *_: object) -> None:
        self._end = 0.0

    def one(self, data: bytes) -> None:
        """Run an input; the process ends with the last."""
        judge = self.judge
        self._now.is_at(judge.inputs, data)
        judge.run(data)
        number = judge.inputs
        if self._half is None and number * 2 >= self._inputs:
            self._half = number, held()
        if number % LOOK_EVERY == 0:
            now = time.monotonic()
            if self._half is None and now >= self._half_at:
                self._half = number, held()
            if now >= self._end:
                self.end()
        if number >= self._inputs or judge.has_enough:
            self.end()

    def end(self) -> None:
        """Write what came of it, and end the process: libFuzzer would go on."""
        judge = self.judge
        judge.rest()
        number, half = self._half or (judge.inputs, held())
        now = held()
        grown = growth(half, now, judge.inputs - number)
        if grown is not None:
            judge.note(Finding("growth", self.target.name, grown, b""))
        found = [each._replace(data=each.data.hex()) for each in judge.found.values()]  # type: ignore[arg-type]
        result: dict[str, Any] = {
            "inputs": judge.inputs,
            "seconds": time.monotonic() - self._begin,
            "worst_ms": judge.worst_ms,
            "worst": judge.worst.hex(),
            "blocks": now.blocks - half.blocks,
            "mib": now.rss_mib - half.rss_mib,
            "measured_over": judge.inputs - number,
            "found": [each._asdict() for each in found],
        }
        (self._folder / "result.json").write_text(json.dumps(result), "utf-8")
        sys.stderr.flush()
        os._exit(0)


def _with_atheris(name: str, folder: Path, inputs: int, seconds: float, seed: int) -> None:
    import atheris  # noqa: PLC0415 - it is where it was installed

    with atheris.instrument_imports(include=["wsrc"]):
        of = target(name)
    work = Work(of, folder, inputs, seconds)

    def mutator(data: bytes, most: int, number: int) -> bytes:
        # Half of them by libFuzzer, which knows what comparisons failed, half by the target.
        if number & 1:
            return bytes(atheris.Mutate(data, most))
        rng = random.Random(number)
        return of.mutate(data, rng)[:most]

    seeds = folder / "seeds"
    seeds.mkdir(exist_ok=True)
    for number, data in enumerate(_known(of)):
        (seeds / str(number)).write_bytes(data)
    words = folder / "words"
    lines = (
        '"' + "".join(f"\\x{octet:02X}" for octet in word[:60]) + '"' for word in of.words if word
    )
    words.write_text("\n".join(lines) + "\n", "ascii")
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    options = {
        "runs": -1,
        "seed": seed,
        "max_len": of.most,
        "timeout": 60,
        "rss_limit_mb": 0,
        "artifact_prefix": f"{folder}/",
        "dict": words,
        "print_final_stats": 1,
        "len_control": 0,
        "handle_int": 0,
        "handle_term": 0,
    }
    flags = [f"-{key}={value}" for key, value in options.items()]
    atheris.Setup([sys.argv[0], str(kept), str(seeds), *flags], work.one, custom_mutator=mutator)
    work.begin()
    atheris.Fuzz()


def _known(of: Target) -> Iterator[bytes]:
    yield from of.seeds
    yield from (path.read_bytes() for path in of.corpus)


def _by_mutation(name: str, folder: Path, inputs: int, seconds: float, seed: int) -> None:
    of = target(name)
    work = Work(of, folder, inputs, seconds)
    work.begin()
    for data in made(of, inputs, seed):
        work.one(data)
    work.end()


def main(name: str, folder: str, inputs: str, seconds: str, seed: str, engine: str) -> None:
    """Run a target as the arguments say."""
    run = _with_atheris if engine == "atheris" else _by_mutation
    run(name, Path(folder), int(inputs), float(seconds), int(seed))


if __name__ == "__main__":
    main(*sys.argv[1:])
