# SPDX-License-Identifier: Apache-2.0
"""The layers of docs/architecture.md, and the sizes that keep a file readable."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "wsrc").rglob("*.py"))
OTHERS = sorted(
    p for folder in ("tests", "contrib", "certs") for p in (ROOT / folder).rglob("*.py")
)
TREES = {str(p.relative_to(ROOT / "wsrc")): ast.parse(p.read_text("utf-8")) for p in FILES}

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40


def imported(tree: ast.AST) -> Iterator[str]:
    """Give the top-level package of each import, wherever it stands in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


def importers(package: str) -> set[str]:
    return {name for name, tree in TREES.items() if package in imported(tree)}


def test_imports_go_down_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="importlinter.ini", no_cache=True) == 0


def test_only_net_and_server_import_aiohttp() -> None:
    found = importers("aiohttp")
    assert found
    assert [name for name in found if not name.startswith(("net/", "server/"))] == []


def test_only_the_pcsc_reader_and_the_bridge_to_pyscard_import_pyscard() -> None:
    found = importers("smartcard")
    assert found
    places = ("readers/pcsc", "bridges/pyscard")
    assert [name for name in found if not name.startswith(places)] == []


def test_there_is_no_file_called_utils() -> None:
    assert [name for name in TREES if Path(name).stem in {"utils", "util", "helpers"}] == []


@pytest.mark.parametrize("path", FILES, ids=TREES)
def test_each_file_names_its_licence_and_says_what_lives_here(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert ast.get_docstring(ast.parse(text))


def test_no_file_is_too_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in (*FILES, *OTHERS)
    }
    assert {name: n for name, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    lengths = {
        f"{name}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: n for name, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}
