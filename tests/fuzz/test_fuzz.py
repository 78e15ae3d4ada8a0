# SPDX-License-Identifier: Apache-2.0
"""The short form of `make fuzz`, and that it finds each kind of bug that is planted."""

from pathlib import Path

import pytest

from tests.fuzz.__main__ import Job, main, run, shared_out
from tests.fuzz.engine import Held, Judge, growth, made, names, target

INPUTS = 1_000
"""Of each target, the same every time."""


@pytest.mark.parametrize("name", names())
def test_no_input_of_the_short_form_finds_anything(name: str) -> None:
    of = target(name)
    judge = Judge(of.one)
    judge.watch()
    try:
        for path in of.corpus:
            judge.run(path.read_bytes())
        for data in made(of, INPUTS, seed=0):
            judge.run(data)
    finally:
        judge.rest()
    assert list(judge.found.values()) == []
    assert judge.inputs == INPUTS + len(of.corpus)


def test_inputs_are_the_same_for_the_same_seed() -> None:
    of = target("frames")
    assert list(made(of, 500, 3)) == list(made(of, 500, 3)) != list(made(of, 500, 4))


def test_each_target_has_seeds_that_reach_what_it_tests() -> None:
    for name in names():
        of = target(name)
        assert len(set(of.seeds)) >= 2, name
        assert all(len(seed) <= of.most for seed in of.seeds)


def test_all_inputs_are_shared_out() -> None:
    shares = shared_out(names(), 1_000_000)
    assert set(shares) == set(names())
    assert 999_000 < sum(shares.values()) <= 1_000_000


@pytest.mark.parametrize(
    ("planted", "kind", "where"),
    [
        ("crash", "crash", "IndexError at tests/fuzz/planted/crash.py"),
        ("hang", "hang", "wsrc/bridges/pcscd/wire.py"),
        ("growth", "growth", "planted.growth"),
        ("memory", "crash", "MemoryError at"),
        ("death", "death", "exit status -6"),
    ],
)
def test_what_is_planted_is_found(planted: str, kind: str, where: str, tmp_path: Path) -> None:
    report = run(Job(f"planted.{planted}", 6_000, 60.0, 1, "mutation"), tmp_path)
    lines = [line for line in report.found if f": {kind} (" in line]
    assert any(where in line for line in lines) or (kind == "hang" and lines), report.found
    assert all(Path(line.rpartition("[")[2].rstrip("]")).is_file() for line in report.found)


def test_a_finding_is_an_exit_status_and_its_input_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--engine", "mutation", "--inputs", "3000", "--place", str(tmp_path)]
    assert main(["planted.crash", *given]) == 1
    assert "crash (IndexError" in capsys.readouterr().out
    [kept] = (tmp_path / "found").iterdir()
    judge = Judge(target("planted.death").one)
    judge.run(kept.read_bytes())
    assert judge.found == {}
    assert main(["handshake", *given]) == 0
    assert "0 findings" in capsys.readouterr().out


def test_growth_is_a_leak_and_no_cache() -> None:
    before = Held(1_000, 50.0)
    assert growth(before, Held(1_400, 60.0), 1_000) is None
    assert growth(before, Held(2_000, 50.0), 1_000) is not None
    assert growth(before, Held(1_000, 120.0), 1_000) is not None


def test_an_input_that_raises_is_kept_in_its_shortest_form() -> None:
    def one(data: bytes) -> None:
        raise ValueError(len(data))

    judge = Judge(one)
    for size in (9, 3, 5):
        judge.run(bytes(size))
    [found] = judge.found.values()
    assert (found.kind, found.data) == ("crash", bytes(3))
