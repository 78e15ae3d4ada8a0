# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed, what goes wrong with an input, and how inputs are made of others."""

import gc
import importlib
import pkgutil
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import NamedTuple

from tests.support.paths import ROOT

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
"""Inputs that once found something, in a folder for each target; they are run by `make test`."""

MAX_OCTETS = 4096
"""Octets of an input, unless the target says `MAX_OCTETS`."""

TICK_S = 1.0
"""Seconds of CPU; an input that lasts for two ends of these hangs."""

Mutate = Callable[[bytes, random.Random], bytes]


class HangError(BaseException):
    """An input takes more CPU time than any may; no `except Exception` takes it for its own."""


class Target(NamedTuple):
    """
    What is fuzzed: a module of `tests/fuzz/targets`, or of `tests/fuzz/planted`.

    Attributes:
        name: The name of the module.
        one: Takes an input; whatever it raises is a finding. It keeps nothing for the next one.
        seeds: Inputs to begin with.
        words: What is put into inputs.
        mutate: Makes an input of another one.
        most: Octets that an input may have.
        share: Its part of all inputs, beside those of the other targets.
    """

    name: str
    one: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes]
    mutate: Mutate
    most: int
    share: int

    @property
    def corpus(self) -> list[Path]:
        """Files with inputs that once found something."""
        return sorted((CORPUS / self.name).glob("*"))


class Finding(NamedTuple):
    """What an input did that none may; `where` tells it from others of its kind."""

    kind: str
    where: str
    sentence: str
    data: bytes


def names() -> list[str]:
    """Return the names of all targets."""
    return sorted(each.name for each in pkgutil.iter_modules([str(HERE / "targets")]))


def target(name: str) -> Target:
    """Return a target by its name; one of `planted` is named with that folder."""
    folder = "" if "." in name else "targets."
    return _of_module(name, importlib.import_module(f"tests.fuzz.{folder}{name}"))


def _of_module(name: str, module: ModuleType) -> Target:
    words: Sequence[bytes] = getattr(module, "WORDS", ())
    most: int = getattr(module, "MAX_OCTETS", MAX_OCTETS)

    def mutate_octets(data: bytes, rng: random.Random) -> bytes:
        return mutate(data, rng, words)

    return Target(
        name,
        module.one,
        tuple(seed[:most] for seed in module.SEEDS),
        words,
        getattr(module, "mutated", mutate_octets),
        most,
        getattr(module, "SHARE", 1),
    )


# Inputs

_ODD = (0, 1, 0x0A, 0x20, 0x7F, 0x80, 0xFE, 0xFF)


def mutate(data: bytes, rng: random.Random, words: Sequence[bytes] = ()) -> bytes:
    """Return octets that are changed in one to four places."""
    octets = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        _change(octets, rng, words)
    return bytes(octets)


def _change(octets: bytearray, rng: random.Random, words: Sequence[bytes]) -> None:
    at = rng.randrange(len(octets) + 1)
    end = min(len(octets), at + rng.choice((1, 1, 2, 4, 16)))
    match rng.randrange(8):
        case 0 if at < end:
            octets[at] ^= 1 << rng.randrange(8)
        case 1 if at < end:
            octets[at] = rng.choice(_ODD)
        case 2 if at < end:
            octets[at] = rng.randrange(256)
        case 3:
            del octets[at:end]
        case 4:
            octets[at:at] = octets[at:end] * rng.choice((1, 2, 8))
        case 5 if words:
            octets[at : rng.choice((at, end))] = rng.choice(words)
        case 6:
            octets[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8)))
        case _:
            del octets[at:]


def made(target: Target, count: int, seed: int) -> Iterator[bytes]:
    """Yield as many inputs: first the seeds, then what is made of them and of one another."""
    rng = random.Random(seed)
    pool = [*target.seeds] or [b""]
    for number in range(count):
        if number < len(pool) <= len(target.seeds):
            yield pool[number]
            continue
        data = target.mutate(rng.choice(pool), rng)[: target.most]
        if rng.randrange(4) == 0:
            pool[rng.randrange(len(pool))] = data
        if rng.randrange(16) == 0 and target.seeds:
            pool[rng.randrange(len(pool))] = rng.choice(target.seeds)
        yield data


# Judging


class Judge:
    """
    Runs inputs one after another, and keeps what they found: one of each kind and place.

    Attributes:
        worst_ms: CPU time of the input that took longest.
    """

    MOST, MOST_HANGS = 20, 3
    """So many findings are kept; so many inputs may hang until their target must be mended."""

    def __init__(self, one: Callable[[bytes], None]) -> None:
        self._one = one
        self.inputs = 0
        self.worst_ms = 0.0
        self.worst = b""
        self.found: dict[str, Finding] = {}
        self._hangs = 0
        self._ticked = -1

    @property
    def has_enough(self) -> bool:
        """Whether it makes no sense to go on before what was found is mended."""
        return len(self.found) >= self.MOST or self._hangs >= self.MOST_HANGS

    def watch(self) -> None:
        """Have inputs ended that hang; only the main thread of a process may say that."""
        signal.signal(signal.SIGVTALRM, self._tick)
        signal.setitimer(signal.ITIMER_VIRTUAL, TICK_S, TICK_S)

    def rest(self) -> None:
        """Watch no more."""
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def run(self, data: bytes) -> None:
        """Run an input."""
        begin = time.process_time_ns()
        try:
            self._one(data)
        except BaseException as exc:
            if isinstance(exc, KeyboardInterrupt | SystemExit):
                raise
            self._note(exc, data)
        taken = (time.process_time_ns() - begin) / 1e6
        if taken > self.worst_ms:
            self.worst_ms, self.worst = taken, data
        self.inputs += 1

    def note(self, finding: Finding) -> None:
        """Keep a finding, unless there is one like it."""
        key = f"{finding.kind} {finding.where}"
        known = self.found.get(key)
        shorter = known is not None and len(finding.data) < len(known.data)
        if shorter or (known is None and len(self.found) < self.MOST):
            self.found[key] = finding

    def _note(self, exc: BaseException, data: bytes) -> None:
        kind = "hang" if isinstance(exc, HangError) else "crash"
        self._hangs += kind == "hang"
        sentence = f"{type(exc).__name__}: {exc}"[:300]
        where = "" if kind == "hang" else f"{type(exc).__name__} at {_place(exc)}"
        self.note(Finding(kind, where or _place(exc), sentence, data))

    def _tick(self, _number: int, _frame: FrameType | None) -> None:
        if self._ticked == self.inputs:
            raise HangError("an input takes too long")
        self._ticked = self.inputs


def _place(exc: BaseException) -> str:
    """Return the innermost line of ours in a traceback."""
    ours = [
        f"{Path(frame.filename).relative_to(ROOT)}:{frame.lineno}"
        for frame in traceback.extract_tb(exc.__traceback__)
        if frame.filename.startswith((str(ROOT / "wsrc"), str(ROOT / "tests")))
        and frame.filename != __file__
    ]
    return ours[-1] if ours else "elsewhere"


class Held(NamedTuple):
    """What a process holds: blocks of Python's allocator, and MiB of memory that are in use."""

    blocks: int
    rss_mib: float


def held() -> Held:
    """Measure what this process holds now, after all garbage is collected."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return Held(sys.getallocatedblocks(), pages * 4096 / (1 << 20))


MOST_MIB = 64.0


def growth(half: Held, end: Held, inputs: int) -> str | None:
    """
    Say how much a process grew while it ran so many inputs; None where that is nothing.

    One block for each input is a leak; caches that fill up are none.
    """
    blocks, mib = end.blocks - half.blocks, end.rss_mib - half.rss_mib
    if blocks > 500 + inputs // 10 or mib > MOST_MIB:
        return f"{blocks} blocks and {mib:.1f} MiB more after {inputs} inputs"
    return None
