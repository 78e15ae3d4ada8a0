# SPDX-License-Identifier: Apache-2.0
"""The documents say what the code does: tables, file lists, links, examples, the demonstration."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from tests.support.commands import within
from tests.support.paths import ROOT
from wsrc.card_client.cli import command as card_client
from wsrc.certs.cli import program as certs
from wsrc.command_line.invocation import Exit
from wsrc.command_line.program import program as user
from wsrc.errors import ErrorCode, Outcome
from wsrc.net.answers import Reason
from wsrc.policy.reading import read as read_policy
from wsrc.protocol import codec
from wsrc.protocol.reader_events import NOTIFICATIONS
from wsrc.protocol.schema import schema
from wsrc.server.cli import command as server
from wsrc.server.refusals import _TOLD, NotAdmittedError
from wsrc.settings.load import CardClientSettings, ServerSettings, UserSettings, load, settings_of

DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        *(path for folder in ("docs", ".github") for path in ROOT.glob(f"{folder}/**/*.md")),
    ]
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]
PROGRAMS = {
    "wsrc-server": server,
    "wsrc-card-client": card_client,
    "wsrc-certs": certs,
    "wsrc": user,
}


@pytest.fixture(scope="module")
def gen_docs() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "contrib" / "tools"))
        import gen_docs  # noqa: PLC0415 - contrib is no package

        yield gen_docs


@pytest.fixture(scope="module")
def doc_tables(gen_docs: ModuleType) -> ModuleType:
    return sys.modules["doc_tables"]


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a document."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", path.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )


def prose(path: Path) -> str:
    """Return a document without its code blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    plain = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in plain}


def test_generated_parts_are_as_the_code_makes_them(gen_docs: ModuleType) -> None:
    assert gen_docs.stale() == [], "run python contrib/tools/gen_docs.py"


def test_every_object_and_list_of_values_is_described(doc_tables: ModuleType) -> None:
    """The schema has nothing that the document leaves out, and the other way round."""
    shown = {*codec.BY_TAG.values(), *NOTIFICATIONS.values()}
    shown |= {*doc_tables.OBJECTS, *doc_tables.NOTIFIED, *doc_tables.ENUMS, ErrorCode, Outcome}
    defined = {name for name in schema()["$defs"] if name[0].isupper()}
    assert {kind.__name__ for kind in shown} == defined


def test_protocol_has_a_table_for_every_message() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text("utf-8")
    assert [tag for tag in codec.BY_TAG if f"#### `{tag}`" not in text] == []


def test_protocol_has_every_reason_for_which_nobody_is_let_in() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d{3}) \| (`.*?) \|", text, re.MULTILINE)
    told = [(int(row[0]), word) for row in rows for word in re.findall(r"`([\w-]+)`", row[1])]
    assert sorted(word for _, word in told) == sorted(Reason)
    limits = {(status, str(reason)) for status, reason, _ in _TOLD.values()}
    admission = [(status, word) for status, word in told if (status, word) not in limits]
    assert len(admission) == len(Reason) - len(limits)
    for status, word in admission:
        assert NotAdmittedError(Reason(word), "why").answer.status == status


def test_schema_is_that_of_the_messages() -> None:
    text = (ROOT / "docs" / "protocol.schema.json").read_text("utf-8")
    assert json.loads(text) == json.loads(json.dumps(schema()))


def test_messages_in_the_protocol_can_be_read() -> None:
    reader = json.JSONDecoder()
    count = 0
    for block in blocks(ROOT / "docs" / "protocol.md", "json"):
        text = block.replace("…", "").strip()
        while text:
            example, end = reader.raw_decode(text)
            tag = example.get("msg_type", example.get("event"))
            assert codec.tag_of(codec.decode(json.dumps(example))) == tag
            text = text[end:].strip()
            count += 1
    assert count > 10


def test_an_unknown_error_code_is_read_as_the_protocol_says() -> None:
    read = codec.decode('{"msg_type": "error", "message": "x", "code": "of_tomorrow"}')
    assert codec.encode(read) == b'{"msg_type":"error","message":"x","code":"of_tomorrow"}'
    with pytest.raises(codec.UnreadableError):
        codec.decode('{"msg_type": "of_tomorrow"}')


def test_architecture_lists_every_file_of_the_package_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    listed = set()
    for folder, part in re.findall(
        r"^### `(wsrc[\w/]*)`\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE
    ):
        listed |= {
            f"{folder}/{name}" for name in re.findall(r"^\| `(\w+\.py)`", part, re.MULTILINE)
        }
    there = {str(p.relative_to(ROOT)) for p in (ROOT / "wsrc").rglob("*.py")}
    assert listed == {name for name in there if not name.endswith("__init__.py")}


def test_contributing_has_every_folder_of_tests_and_no_other() -> None:
    text = (ROOT / "docs" / "contributing.md").read_text("utf-8")
    listed = set(re.findall(r"^\| `(tests/[\w./]+)` \|", text, re.MULTILINE))
    tests = ROOT / "tests"
    there = {p for p in tests.iterdir() if p.is_dir() or p.name.startswith("test_")}
    there |= {p for p in (tests / "support").iterdir() if p.is_dir()}
    assert listed == {str(p.relative_to(ROOT)) for p in there if p.name != "__pycache__"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_files_that_are_named_exist(path: Path) -> None:
    named = re.findall(r"`((?:wsrc|contrib|tests|docs)/[\w./*-]*)`", prose(path))
    assert [name for name in named if not list(ROOT.glob(name))] == []


@pytest.fixture(scope="module")
def names_of_tests() -> set[str]:
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "tests").rglob("*.py"))
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, defined)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_tests_that_are_named_exist(path: Path, names_of_tests: set[str]) -> None:
    assert set(re.findall(r"`(test_\w+)`", prose(path))) - names_of_tests == set()


def test_a_claim_of_the_threat_model_names_its_test_or_says_that_it_has_none() -> None:
    told, rows = 0, set()
    titles: list[str] = []
    for line in (ROOT / "docs" / "threat-model.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.split(" | ")] if line.startswith("| ") else []
        if cells and not titles:
            titles = [cell.strip(" |") for cell in cells]
        elif cells and titles[-1] == "Test":
            last = cells[-1].strip(" |")
            assert re.fullmatch(r"\u2013|.*`test_\w+`.*|\[below\]\(#.*\)", last), line
            assert cells[0] not in rows, line
            rows.add(cells[0])
            told += "`test_" in last
        elif not line.startswith("|"):
            titles = []
    assert told > 80


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_links_lead_somewhere_in_the_repository(path: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        inside = file.is_relative_to(ROOT) and file.exists()
        if not inside or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_no_path_of_the_machine_on_which_it_was_written(path: Path) -> None:
    assert re.findall(r"/(?:tmp|work|home|root)/\S*", path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (ServerSettings, "operations.md"),
        (CardClientSettings, "operations.md"),
        (UserSettings, "user-guide.md"),
    ],
)
def test_a_document_has_every_setting(kind: type, document: str) -> None:
    text = (ROOT / "docs" / document).read_text("utf-8")
    listed = {s.name: f"| `{s.name}` | `{s.flag}` |" in text for s in settings_of(kind)}
    missing = [s.name for s in settings_of(kind) if listed[s.name] is s.tables]
    assert missing == []


@pytest.mark.parametrize("document", ["operations.md", "user-guide.md"])
def test_a_document_has_every_exit_status(document: str) -> None:
    text = (ROOT / "docs" / document).read_text("utf-8")
    assert [each for each in Exit if f"| {each.value} | {each.meaning} |" not in text] == []


def said_in_log(node: ast.AST) -> str | None:
    """Return the longest constant part of what a call writes into the log, `debug` left out."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
        return None
    if node.func.attr not in {"info", "warning", "error", "note"}:
        return None
    constants = [c.value for c in ast.walk(node.args[0]) if isinstance(c, ast.Constant)]
    parts = [part for text in constants for part in re.split(r"%[\w.]+", str(text))]
    return max(parts, key=len, default="").strip(" :")


def test_operations_explains_every_log_line() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    said = set()
    for folder in ("server", "card_client", "relay", "readers", "audit", "trace"):
        for path in (ROOT / "wsrc" / folder).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text("utf-8")))
            said |= {line for node in nodes if (line := said_in_log(node))}
    assert len(said) > 20
    assert sorted(line for line in said if line not in text) == []


def words_of_the_schema() -> set[str]:
    """Return every field, message and value that can be on a connection."""
    words: set[str] = set()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            words.update(node.get("properties", ()))
            words.update(str(value) for value in node.get("enum", ()))
            words.update(str(value) for key, value in node.items() if key == "const")
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(schema())
    return {word.lower() for word in words}


def test_words_of_the_glossary_that_are_on_the_wire_are_in_the_protocol() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| (.+?) \|(?: (.*?) ?\|)?$", text, re.MULTILINE)
    told = [word for row in rows for word in re.findall(r"`(\w+)`", row[2])]
    assert len(told) > 60
    assert sorted(set(told) - words_of_the_schema()) == []


def test_a_word_of_the_glossary_has_one_sentence() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| (.+?) \|", text, re.MULTILINE)
    defined = [row for row in rows if row[0] != "Word" and not row[0].startswith("-")]
    words = [word for row in defined for word in row[0].split(", ")]
    assert len(words) == len(set(words))
    assert [row for row in defined if not row[1].endswith((".", ")."))] == []


def test_the_readme_leads_to_every_document() -> None:
    targets = set(re.findall(r"\]\(([^)\s#]+)", prose(ROOT / "README.md")))
    there = {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert sorted(there - targets) == []


def test_settings_files_in_the_documents_can_be_loaded(tmp_path: Path) -> None:
    kinds = {"server.toml": ServerSettings, "card-client.toml": CardClientSettings}
    seen = set()
    for block in blocks(ROOT / "docs" / "operations.md", "toml"):
        name = block.splitlines()[0].rpartition("/")[2]
        if name == "policy.toml":
            assert read_policy(block, name).notes == ()
            continue
        file = tmp_path / name
        file.write_text(block, encoding="utf-8")
        assert load(kinds[name], {}, config=file)
        seen.add(name)
    assert seen == set(kinds)


def options_of(words: list[str]) -> set[str]:
    """Return the options that a command line may have."""
    command: click.Command = PROGRAMS[words[0]]
    for word in words[1:]:
        command = within(command, word) or command
    return {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_options_in_examples_exist(path: Path) -> None:
    texts = [block.replace("\\\n", "") for block in blocks(path, "(?:sh|console)")]
    lines = [line for text in texts for line in text.splitlines()]
    commands = (re.search(r"^(?:lab)?(?:\$ )?(wsrc[a-z-]* .*)", line) for line in lines)
    for found in commands:
        ours = found[1].split(" #")[0].partition(" -- ")[0] if found else "wsrc"
        words = ours.split()
        assert {w for w in words if w.startswith("--")} <= options_of(words), words


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_teaches_by_examples_and_tells_exit_statuses(name: str) -> None:
    with click.Context(PROGRAMS[name], info_name=name) as context:
        text = PROGRAMS[name].get_help(context)
    assert re.search(rf"^  +{name} ", text, re.MULTILINE)
    assert "Exit status" in text


def test_proxy_example_leads_each_path_to_its_port() -> None:
    text = (ROOT / "contrib" / "nginx" / "wsrc.conf").read_text("utf-8")
    ports = {s.name: s.default for s in settings_of(ServerSettings)}
    for role in ("user", "card"):
        port = ports[f"{role}_port"]
        assert f"location = /{role} {{ proxy_pass http://127.0.0.1:{port}; }}" in text


def test_python_of_the_readme_names_what_there_is() -> None:
    assert blocks(ROOT / "README.md", "python")
    for block in blocks(ROOT / "README.md", "python"):
        tree = compile(block, "README.md", "exec")
        imports = "\n".join(line for line in block.splitlines() if line.startswith("from wsrc"))
        subprocess.run([sys.executable, "-c", imports], cwd=ROOT, timeout=60, check=True)
        assert tree


@pytest.mark.shows_secrets("the demonstration prints the script with the PIN of its card")
def test_readme_shows_what_the_demonstration_shows(gen_docs: ModuleType) -> None:
    shown = re.search(
        r"<!-- generated: demo -->\n\n```console\n(.*?)\n```\n\n<!-- end -->",
        (ROOT / "README.md").read_text("utf-8"),
        re.DOTALL,
    )
    assert shown is not None
    assert shown[1] == gen_docs.transcript(), "run python contrib/tools/gen_docs.py --demo"
