# SPDX-License-Identifier: Apache-2.0
"""The bugs of contrib/tools/planted_bugs.toml can still be planted; `make mutants` plants them."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def plant_bugs() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "contrib" / "tools"))
        import plant_bugs  # noqa: PLC0415 - contrib is no package

        yield plant_bugs


def test_the_line_of_every_bug_is_there_once_and_makes_a_difference(
    plant_bugs: ModuleType,
) -> None:
    for bug in plant_bugs.read():
        text = (ROOT / bug.file).read_text("utf-8")
        mutant = plant_bugs.planted(bug, text)
        assert mutant != text
        compile(mutant, bug.file, "exec")


def test_every_bug_has_a_name_and_tests_that_are_there(plant_bugs: ModuleType) -> None:
    names = [bug.name for bug in plant_bugs.read()]
    assert len(names) >= 25
    assert len(set(names)) == len(names)
    files = {test for bug in plant_bugs.read() for test in bug.tests if test.startswith("tests")}
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_a_line_that_is_gone_is_an_error(plant_bugs: ModuleType) -> None:
    bug = plant_bugs.Bug("wsrc/session.py", "x", "a", "b", ())
    with pytest.raises(ValueError, match="x: the old text occurs 2 times"):
        plant_bugs.planted(bug, "a a")
