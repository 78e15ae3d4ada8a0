# SPDX-License-Identifier: Apache-2.0
"""What a forge reads (.github), hooks and releases name what there is, and agree."""

import fnmatch
import itertools
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.support.commands import within
from tests.support.paths import ROOT
from wsrc import __version__
from wsrc.card_client.cli import command as card_client
from wsrc.certs.cli import program as certs
from wsrc.command_line.program import program as user
from wsrc.server.cli import command as server

FORGE = ROOT / ".github"
FILES = sorted([*FORGE.rglob("*.yml"), ROOT / ".pre-commit-config.yaml"])
WORKFLOWS = sorted((FORGE / "workflows").glob("*.yml"))
FORMS = [path for path in FORGE.glob("ISSUE_TEMPLATE/*.yml") if path.stem != "config"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROGRAMS: dict[str, click.Command] = {
    "wsrc-server": server,
    "wsrc-card-client": card_client,
    "wsrc-certs": certs,
    "wsrc": user,
}
TOP_LEVEL = {"Makefile", "LICENSE", "README.md", "pyproject.toml", "importlinter.ini"} | {
    "contrib",
    "docs",
    "tests",
    "wsrc",
}


class Strict(yaml.SafeLoader):
    """Refuses a key that is given twice, which YAML does and its parsers do not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return super().construct_mapping(node, deep=deep)


def read(path: Path) -> Any:
    return yaml.load(path.read_text("utf-8"), Strict)


def targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def commands(workflow: dict[str, Any]) -> Iterator[str]:
    """Yield the commands of a workflow, once for each combination of its matrix."""
    for job in workflow["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        for values in itertools.product(*matrix.values()):
            for step in job["steps"]:
                line = step.get("run", "")
                for key, value in zip(matrix, values, strict=True):
                    line = line.replace(f"${{{{ matrix.{key} }}}}", str(value))
                yield line


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_read_by_a_parser_and_names_its_licence(path: Path) -> None:
    assert path.read_text("utf-8").startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert isinstance(read(path), dict)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_what_it_needs_and_ends(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert [name for name in used if not re.search(r"@(v\d+|[0-9a-f]{40})$", name)] == []
    assert "pull_request_target" not in path.read_text("utf-8")
    for line in commands(workflow):
        assert "${{" not in line, "what a stranger can choose is no part of a command"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_makes_what_there_is(path: Path) -> None:
    made = [shlex.split(line)[1:] for line in commands(read(path)) if line.startswith("make ")]
    assert set(itertools.chain(*made)) <= targets()
    if path.stem == "tests":
        assert made
        assert all(words == ["test"] for words in made)
        assert (ROOT / ".ci" / "run").read_text("utf-8").endswith("exec make test\n")


def test_pythons_are_the_same_everywhere() -> None:
    matrix = read(FORGE / "workflows" / "tests.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    named = [
        found[1]
        for text in PROJECT["project"]["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", text))
    ]
    assert matrix == named
    oldest = matrix[0]
    assert PROJECT["project"]["requires-python"] == f">={oldest}"
    assert PROJECT["tool"]["pyright"]["pythonVersion"] == oldest
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    looked_for = re.search(r"PYTHON:-python3 (.*?)\}", (ROOT / ".ci" / "venv").read_text("utf-8"))
    assert looked_for
    assert looked_for[1].split() == [f"python{version}" for version in reversed(matrix)]


def test_every_manifest_is_looked_after() -> None:
    updates = {
        each["package-ecosystem"]: each for each in read(FORGE / "dependabot.yml")["updates"]
    }
    assert set(updates) == {"pip", "github-actions"}
    folders = {
        f"/{path.parent.relative_to(ROOT)}" for path in ROOT.glob("contrib/*/pyproject.toml")
    }
    assert set(updates["pip"]["directories"]) == {"/", "/contrib", *folders}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_asks_by_names_that_there_are(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= form.keys()
    fields = [item for item in form["body"] if item["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["attributes"]["label"] for field in fields)
    every = {o for program in PROGRAMS.values() for param in program.params for o in param.opts}
    assert set(re.findall(r"`(--[\w-]+)`", path.read_text("utf-8"))) <= every
    for line in re.findall(r"`((?:wsrc|make)[^`]*)`", path.read_text("utf-8")):
        first, *words = shlex.split(line)
        if first == "make":
            assert words[0] in targets()
            continue
        command = PROGRAMS[first]
        for word in words:
            command = within(command, word) or command
        known = {opt for param in command.params for opt in param.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_a_report_of_a_fault_has_what_it_takes_to_see_it() -> None:
    text = (FORGE / "ISSUE_TEMPLATE" / "bug.yml").read_text("utf-8")
    form = read(FORGE / "ISSUE_TEMPLATE" / "bug.yml")
    assert {item.get("id") for item in form["body"]} >= {
        "what",
        "versions",
        "reader",
        "log",
        "clean",
    }
    assert all(f"`{name} --version`" in text for name in PROGRAMS)
    [clean] = [item for item in form["body"] if item.get("id") == "clean"]
    assert clean["attributes"]["options"][0]["required"]


def test_a_pull_request_answers_the_questions_of_a_review() -> None:
    contributing = (ROOT / "docs" / "contributing.md").read_text("utf-8")
    asked = re.search(r"A review asks four questions: (.+)\.", contributing)
    assert asked
    template = (FORGE / "pull_request_template.md").read_text("utf-8").lower()
    questions = asked[1].split(", ")
    assert len(questions) == 4
    assert [each for each in questions if f"**{each}?**" not in template] == []


def test_hooks_run_what_make_check_runs_and_need_no_network() -> None:
    [repo] = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    entries = [shlex.split(hook["entry"]) for hook in repo["hooks"]]
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}
    tools = {Path(words[0]).name for words in entries}
    assert all(words[0].startswith(".venv/bin/") for words in entries)
    assert [tool for tool in tools if not (Path(sys.executable).parent / tool).exists()] == []
    check = (ROOT / ".ci" / "check").read_text("utf-8")
    made = re.findall(r"^check [\w-]+ \$bin/([\w-]+)", check, re.MULTILINE)
    assert len(made) == check.count("\ncheck ")
    assert set(made) < tools
    for words in entries:
        assert [w for w in words if w.endswith((".py", ".ini")) and not (ROOT / w).exists()] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/**/*.md")), ids=lambda path: path.name)
def test_what_a_document_makes_is_a_target(path: Path) -> None:
    text = path.read_text("utf-8")
    made = re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", text, re.MULTILINE)
    assert {first or second for first, second in made} <= targets()


def test_the_version_is_in_the_changelog() -> None:
    text = (ROOT / "docs" / "changelog.md").read_text("utf-8")
    first, *others = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert first == "Unreleased"
    assert f"This will be {__version__}" in text or others[0] == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)


def test_releasing_says_what_the_workflow_does() -> None:
    text = (ROOT / "docs" / "releasing.md").read_text("utf-8")
    workflow = read(FORGE / "workflows" / "release.yml")
    build = [step.get("run", "") for step in workflow["jobs"]["build"]["steps"]]
    assert [
        line for line in build if "-m " in line and line.replace("python ", "") not in text
    ] == []
    [tagged] = workflow[True]["push"]["tags"]  # YAML 1.1 reads `on` as true
    tag = re.search(r"git tag -s (\S+)", text)
    assert tag
    assert fnmatch.fnmatchcase(tag[1], tagged)
    used = " ".join(str(step) for step in steps(workflow))
    assert "attest" in used
    assert "--draft" in used
    scripts = PROJECT["project"]["scripts"]
    assert [name for name in scripts if f"/bin/{name} --version" not in text] == []
    for path in re.findall(r"\.venv/bin/python (\S+\.py)", text):
        assert (ROOT / path).is_file()


def test_the_top_level_stays_what_it_is() -> None:
    made = {"build", "dist"}
    there = {path.name for path in ROOT.iterdir()} - made
    assert {name for name in there if not name.startswith((".", "__"))} == TOP_LEVEL
