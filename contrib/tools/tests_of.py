# SPDX-License-Identifier: Apache-2.0
"""Which tests are likely to notice a change of a module: those of its room, then who imports it."""

import ast
import functools
import tomllib
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

STAGES = ("unit", "property", "integration", "system", "pcsc", "documents")
"""Folders of tests, from the quick ones to those that run pcscd; last those beside the folders."""


class Tree:
    """What imports what in a tree of sources and tests."""

    def __init__(self, root: Path) -> None:
        self._root = root
        files = [p for folder in ("wsrc", "tests") for p in sorted((root / folder).rglob("*.py"))]
        self._names = {_module(path.relative_to(root)): path for path in files}
        self._imports = {name: self._imported(path) for name, path in self._names.items()}
        scripts = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
        if "tests.support.processes" in self._imports:
            self._imports["tests.support.processes"] |= {
                script.partition(":")[0] for script in scripts.values()
            }

    def stages(self, file: str, among: Sequence[str] = STAGES) -> list[list[str]]:
        """
        Return the files of tests that reach a module, in one group for each stage.

        In each group the tests of the module's own room come first, then those that import it over
        the fewest other modules.
        """
        module, room = _module(Path(file)), Path("tests/unit", *Path(file).parts[1:-1])
        name, groups = module.rpartition(".")[2], []
        for stage in among:
            far = {
                test: distances[module]
                for test, distances in self._distances(stage).items()
                if module in distances
            }
            near = min(far.values(), default=0)
            groups.append(
                sorted(
                    (test for test in far if far[test] <= near + (2 if stage == "unit" else 1)),
                    key=lambda test: (
                        Path(test).parent != room,
                        name not in Path(test).stem,
                        far[test],
                        test,
                    ),
                )
            )
        return [group for group in groups if group]

    def reaching(self, module: str) -> frozenset[str]:
        """Return the files of tests that reach a module, and the folders that have one of these."""
        reached = {
            test
            for stage in STAGES
            for test, distances in self._distances(stage).items()
            if module in distances
        }
        folders = {str(folder) for test in reached for folder in Path(test).parents}
        return frozenset(reached | folders)

    @functools.cache  # noqa: B019 - a tree lives as long as the program
    def _distances(self, stage: str) -> Mapping[str, dict[str, int]]:
        folder, pattern = self._root / "tests" / stage, "**/test_*.py"
        if stage == "documents":
            folder, pattern = self._root / "tests", "test_*.py"
        return {
            str(path.relative_to(self._root)): self._reach(_module(path.relative_to(self._root)))
            for path in sorted(folder.glob(pattern))
        }

    def _reach(self, module: str) -> dict[str, int]:
        """Return over how many imports each module is reached; a fixture counts as imported."""
        conftests = [
            name
            for parent in Path(*module.split(".")).parents
            if (name := _module(parent / "conftest.py")) in self._names
        ]
        found = dict.fromkeys([module, *conftests], 0)
        waiting = deque(found)
        while waiting:
            one = waiting.popleft()
            for other in self._imports.get(one, ()):
                if other not in found:
                    found[other] = found[one] + 1
                    waiting.append(other)
        return found

    def _imported(self, path: Path) -> set[str]:
        """Return what a file imports, and the modules beside it that it names in a text."""
        names: set[str] = set()
        room = _module(path.relative_to(self._root)).rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(f"{room}.{node.value}")
        return {name for name in names if name in self._names}


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
