# SPDX-License-Identifier: Apache-2.0
"""The layers of docs/architecture.md, and the sizes that keep a file readable."""

import ast
import configparser
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

FILES = sorted((ROOT / "wsrc").rglob("*.py"))
OTHERS = sorted(p for folder in ("tests", "contrib") for p in (ROOT / folder).rglob("*.py"))
NAMES = [str(path.relative_to(ROOT / "wsrc")) for path in FILES]

OF_A_PROGRAM = ("soak", "bench", "fuzz")
"""Folders of tests that are programs as well, and import what is in them."""

MAX_FILE_LINES, AIM_FILE_LINES = 600, 400
MAX_FUNCTION_LINES, AIM_FUNCTION_LINES = 60, 40
EXCUSE = "# Longer than the aim: "
"""A file or function above the aim says why, in one comment that begins so."""


@functools.cache
def trees() -> dict[str, ast.Module]:
    """Return what is in each file of the package, read once where it is needed."""
    return {
        name: ast.parse(path.read_text("utf-8")) for name, path in zip(NAMES, FILES, strict=True)
    }


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level package of each import, wherever it stands in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module.partition(".")[0]


def importers(package: str) -> set[str]:
    return {name for name, tree in trees().items() if package in imported(tree)}


def test_imports_go_down_only() -> None:
    lint = "lint_imports(config_filename='importlinter.ini', no_cache=True)"  # it disables loggers
    program = f"import sys; from importlinter.cli import lint_imports; sys.exit({lint})"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_every_module_of_pcscd_is_held_to_its_rules_but_those_that_do_io() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "importlinter.ini", encoding="utf-8")
    held = set(config["importlinter:contract:pcscd"]["source_modules"].split())
    names = {path.stem for path in (ROOT / "wsrc/bridges/pcscd").glob("*.py")}
    rules = names - {"__init__", "path", "server"}
    assert held == {f"wsrc.bridges.pcscd.{name}" for name in rules}


CARRIER = frozenset(("bucket", "nats", "nats_client", "nats_login", "nats_words"))
"""Modules of the cluster that speak to NATS."""


def test_every_module_of_the_cluster_is_without_io_but_those_of_nats() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "importlinter.ini", encoding="utf-8")
    core = config["importlinter:contract:core"]["source_modules"].split()
    names = {path.stem for path in (ROOT / "wsrc/cluster").glob("*.py")}
    held = {name for name in core if name.startswith("wsrc.cluster.")}
    assert held == {f"wsrc.cluster.{name}" for name in names - {"__init__", *CARRIER}}


def test_only_the_carrier_of_a_cluster_imports_nats() -> None:
    assert importers("nats") <= {f"cluster/{name}.py" for name in CARRIER}


def test_only_the_server_imports_aiohttp() -> None:
    found = importers("aiohttp")
    assert found
    assert [name for name in found if not name.startswith("server/")] == []


def test_only_the_pcsc_reader_and_the_bridge_to_pyscard_import_pyscard() -> None:
    found = importers("smartcard")
    assert found
    places = ("readers/pcsc", "bridges/pyscard")
    assert [name for name in found if not name.startswith(places)] == []


def test_there_is_no_file_called_utils() -> None:
    assert [name for name in NAMES if Path(name).stem in {"utils", "util", "helpers"}] == []


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_each_file_names_its_licence_and_says_what_lives_here(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert ast.get_docstring(ast.parse(text))


def excused(source: str, lines: int, aim: int, limit: int) -> bool:
    """Return whether so many lines are within the aim, or within the limit and explained."""
    return lines <= aim or (lines <= limit and EXCUSE in source)


def test_no_file_is_too_long() -> None:
    sources = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in (*FILES, *OTHERS)}
    lengths = {name: len(source.splitlines()) for name, source in sources.items()}
    assert {
        name: n
        for name, n in lengths.items()
        if not excused(sources[name], n, AIM_FILE_LINES, MAX_FILE_LINES)
    } == {}


def test_no_function_is_too_long() -> None:
    found = {}
    for name, tree in trees().items():
        lines = (ROOT / "wsrc" / name).read_text("utf-8").splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                source = lines[node.lineno - 1 : node.end_lineno]
                if not excused(
                    "\n".join(source), len(source), AIM_FUNCTION_LINES, MAX_FUNCTION_LINES
                ):
                    found[f"{name}:{node.name}"] = len(source)
    assert found == {}


def test_the_picture_of_the_house_is_that_of_the_imports() -> None:
    """The floors of docs/architecture.md are the layers that import-linter checks."""
    document = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    picture = document.split("```")[1].split("event ──")[0]
    floors = [
        [room.strip() for room in re.split(r" {3,}", line.strip())[0].split("│")]
        for line in picture.splitlines()
        if line.strip() and "──" not in line
    ]
    config = configparser.ConfigParser()
    config.read(ROOT / "importlinter.ini", encoding="utf-8")
    layers = config["importlinter:contract:layers"]["layers"].split("\n")
    assert floors == [[room.strip() for room in line.split("|")] for line in layers if line]


def test_only_tests_import_what_tests_share() -> None:
    found = [
        path
        for folder in ("wsrc", "contrib")
        for path in (ROOT / folder).rglob("*.py")
        if "tests" in set(imported(ast.parse(path.read_text("utf-8"))))
    ]
    assert found == []


def test_what_tests_share_is_in_the_room_for_it() -> None:
    """A test module imports from tests/support; from a program among tests only what is in it."""
    wrong = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        allowed = [
            "tests.support",
            *(f"tests.{each}" for each in OF_A_PROGRAM if each in path.parts),
        ]
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                names = ["." * node.level]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                of_tests = name.startswith((".", "tests."))
                is_test = any(part.startswith("test_") for part in name.split(".")[1:-1])
                if of_tests and (is_test or not name.startswith(tuple(allowed))):
                    wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert wrong == []


def test_each_module_that_tests_share_says_what_it_is() -> None:
    files = sorted((ROOT / "tests" / "support").rglob("*.py"))
    assert len(files) > 20
    assert [
        path for path in files if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ] == []
