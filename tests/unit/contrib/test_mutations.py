# SPDX-License-Identifier: Apache-2.0
"""Changes that `make mutants RANDOM=N` draws, which tests are chosen for them, and what is said."""

import ast
from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.support.paths import ROOT

SOURCE = '''
"""A module of 3 lines."""
from typing import Final

__all__ = ["f"]
LIMIT: Final[int] = 7


class Flags(object, metaclass=type):
    @staticmethod
    def f(x: int, y: "int | None" = None) -> bool:
        """Return 1 or 2."""
        assert x > 0
        log.info("%d", 5)
        if x < LIMIT and (y is not None):
            begin(x)
        return not (x == y)
'''


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


def changes(tools: dict[str, ModuleType], source: str) -> set[tuple[str, str]]:
    made = (
        tools["mutations"].mutated("x.py", source, place)
        for place in tools["mutations"].places(source)
    )
    return {(each.old, each.new) for each in made if each is not None}


def test_each_kind_of_change_is_made_and_nothing_else(tools: dict[str, ModuleType]) -> None:
    test = "x < LIMIT and (y is not None)"
    assert changes(tools, SOURCE) == {
        ("7", "8"),
        ("7", "6"),
        (test, f"not ({test})"),
        (test, "True"),
        (test, "False"),
        ("<", "<="),
        ("and", "or"),
        ("is not", "is"),
        ("begin(x)", "pass"),
        ("not (x == y)", "None"),
        ("not (x == y)", "(x == y)"),
        ("==", "!="),
    }


@pytest.mark.parametrize(
    ("source", "change"),
    [
        ("while f(): g = 1\n", ("f()", "False")),
        ("x = [y for y in z if y]\n", ("y", "True")),
        ("x = a if b else c\n", ("b", "not (b)")),
        ("match x:\n    case 1 if y: pass\n", ("y", "False")),
        ("async def f():\n    await g()\n", ("await g()", "pass")),
        ("x = a not  in b\n", ("not  in", "in")),
        ("x = 'ü' == b\n", ("==", "!=")),
        ("x = (a\n     # or this\n     or b)\n", ("or", "and")),
        ("x = 0\n", ("0", "(-1)")),
        ("x = True\n", ("True", "False")),
    ],
)
def test_places_are_found(
    tools: dict[str, ModuleType], source: str, change: tuple[str, str]
) -> None:
    assert change in changes(tools, source)


def test_a_change_tells_its_line_and_can_be_compiled(tools: dict[str, ModuleType]) -> None:
    file = "wsrc/relay/sharing.py"
    source = (ROOT / file).read_text("utf-8")
    drawn = tools["mutations"].draw({file: source}, 30, seed=1)
    assert len(drawn) == 30
    for change in drawn:
        compile(change.text, change.file, "exec")
        assert ast.dump(ast.parse(change.text)) != ast.dump(ast.parse(source))
        assert change.old.splitlines()[0] in source.splitlines()[change.line - 1]


def test_a_seed_draws_the_same_again(tools: dict[str, ModuleType]) -> None:
    sources = {f"{name}.py": SOURCE for name in "abc"}
    draw = tools["mutations"].draw
    assert draw(sources, 9, 1) == draw(sources, 9, 1)
    assert draw(sources, 9, 1) != draw(sources, 9, 2)
    assert len({each.file for each in draw(sources, 36, 1)}) == 3
    assert len(draw(sources, 99, 1)) == 36


@pytest.mark.parametrize(
    ("status", "output", "fate", "failed"),
    [
        (0, "1 passed", "SURVIVED", ""),
        (1, "FAILED tests/a.py::test_b[c d] - e\n1 failed", "CAUGHT", "tests/a.py::test_b[c d]"),
        (1, "ERROR   asyncio:x.py 1\nFAILED tests/a.py::test_b", "CAUGHT", "tests/a.py::test_b"),
        (2, "ERROR tests/a.py - ImportError", "CAUGHT", "tests/a.py"),
        (1, "Timeout (0:04:00)!", "HUNG", ""),
        (-6, "", "HUNG", ""),
    ],
)
def test_what_the_end_of_pytest_says(
    tools: dict[str, ModuleType], status: int, output: str, fate: str, failed: str
) -> None:
    kind = tools["plant_bugs"].Fate
    assert tools["plant_bugs"]._verdict(status, output) == (kind[fate], failed)


def test_an_end_that_says_nothing_is_an_error(tools: dict[str, ModuleType]) -> None:
    with pytest.raises(RuntimeError, match="ended with 4"):
        tools["plant_bugs"]._verdict(4, "ERROR: no such file".lower())
