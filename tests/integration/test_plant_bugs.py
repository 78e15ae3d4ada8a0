# SPDX-License-Identifier: Apache-2.0
"""`make mutants RANDOM=N` as it is run: which tests, in a copy of the tree, and what it says."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="module", autouse=True)
def _tools() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "contrib" / "tools"))
        yield


@pytest.fixture(scope="module")
def tools() -> dict[str, ModuleType]:
    import mutations  # noqa: PLC0415 - contrib is no package
    import plant_bugs  # noqa: PLC0415
    import tests_of  # noqa: PLC0415

    return {"mutations": mutations, "plant_bugs": plant_bugs, "tests_of": tests_of}


@pytest.fixture(scope="module")
def tree(tools: dict[str, ModuleType]) -> Any:
    """Which module is imported by which; all of them are read for that."""
    return tools["tests_of"].Tree(ROOT)


def test_tests_of_the_room_come_first_and_every_module_has_some(
    tools: dict[str, ModuleType], tree: Any
) -> None:
    first, *_ = tree.stages("wsrc/relay/sharing.py")
    assert first[0] == "tests/unit/relay/test_sharing.py"
    assert tree.stages("wsrc/relay/sharing.py", ["property"])[0][-1].startswith("tests/property/")
    files = [str(path.relative_to(ROOT)) for path in (ROOT / "wsrc").rglob("*.py")]
    places = tools["mutations"].places
    changed = [file for file in files if places((ROOT / file).read_text("utf-8"))]
    assert len(changed) > 100
    assert [file for file in changed if not tree.stages(file)] == []


def test_programs_that_tests_run_are_reached(tree: Any) -> None:
    stages = tree.stages("wsrc/command_line/entry.py")
    assert any(test.startswith("tests/system/") for group in stages for test in group)


def test_bugs_are_planted_in_a_copy_and_taken_back(
    tools: dict[str, ModuleType], tmp_path: Path
) -> None:
    copy = tools["plant_bugs"].Copy(tmp_path)
    file, tests = "wsrc/octets.py", ["tests/unit/test_octets.py"]
    right = (ROOT / file).read_text("utf-8")
    wrong = f"{right}\n\nraise RuntimeError('planted')\n"
    with copy.with_text(file, wrong):
        assert copy.run(tests)[0].name == "CAUGHT"
        assert (ROOT / file).read_text("utf-8") == right
    assert copy.run(tests)[0].name == "SURVIVED"
    assert copy.run(tests, limit_s=0.0)[0].name == "UNDECIDED"


def test_the_command_draws_plants_and_says_what_survived(
    tools: dict[str, ModuleType],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["plant_bugs.py", "wsrc/octets.py", "--random", "1", "--seed", "3", "--jobs", "1"]
    monkeypatch.setattr(sys, "argv", [*words, "--tests", "tests/unit/test_errors.py"])
    assert tools["plant_bugs"].main() == 1
    said = capsys.readouterr().out
    assert said.startswith("seed 3\nSURVIVED  wsrc/octets.py:")
    assert "1 bugs planted, 1 survived\n  wsrc/octets.py:" in said


HEEDS_SEALS = """
from tests.support.seal_way import SEAL


def test_it_is_off() -> None:
    assert SEAL == "off"
"""


def test_a_bug_is_to_be_caught_however_sessions_are_sealed(
    tools: dict[str, ModuleType], tmp_path: Path
) -> None:
    plant_bugs = tools["plant_bugs"]
    copy, test = plant_bugs.Copy(tmp_path), "tests/unit/test_seal_planted.py"
    (tmp_path / test).write_text(HEEDS_SEALS)
    text = (ROOT / "wsrc/octets.py").read_text("utf-8")
    plan = plant_bugs.Plan("a bug", "wsrc/octets.py", text, [[test]], ("required", "off"))
    caught, survived = plant_bugs.found_of(plan, copy)
    assert (caught.seal, caught.fate.name, survived.fate.name) == ("required", "CAUGHT", "SURVIVED")
    assert str(caught) == f"  [{test}::test_it_is_off, seal required]"
    assert str(survived) == "  [no test, seal off]"


def test_bugs_are_chosen_whose_tests_heed_how_sessions_are_sealed(
    tools: dict[str, ModuleType], tree: Any
) -> None:
    plans = tools["plant_bugs"].named([], [], ["off"])
    files = {plan.file for plan in plans}
    assert {"wsrc/relay/resuming.py", "wsrc/card_client/sessions.py"} <= files
    assert not files & {"wsrc/net/frames.py", "wsrc/card/ahead.py", "wsrc/policy/lines.py"}
    assert "tests/unit/relay" in tree.reaching("tests.support.seal_way")
