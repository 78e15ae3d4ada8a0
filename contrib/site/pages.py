# SPDX-License-Identifier: Apache-2.0
"""
The pages of the site, made of the documents: a name and a text for each, and files as they are.

A document is written for whoever reads the repository. Here links between documents lead to pages,
links to other files of the repository to a page that shows the file, diagrams of states are tables,
and the README is the first page.
"""

import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS, README = ROOT / "docs", ROOT / "README.md"

SHOWN = "files"
"""Folder of the pages that show files of the repository which are no documents."""

API = {
    "aio": "wsrc.aio",
    "blocking": "wsrc.blocking",
    "pyscard": "wsrc.pyscard",
    "errors": "wsrc.errors",
}
"""Pages of the Python interface, and the module that each is about."""

_LINK = re.compile(r"(\]\()([^)\s#]*)(#[^)\s]*)?(\))")
_FENCE = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
_DIAGRAM = re.compile(r"^```mermaid\nstateDiagram-v2\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MOVE = re.compile(r"^(\S+) --> (\S+?)(?:: (.*))?$")
_STATE = re.compile(r'^state "(.*)" as (\S+)$')


class PageError(Exception):
    """A document that cannot be a page."""


def slug(text: str, separator: str) -> str:
    """Return the anchor of a heading, as forges make it, for which the links are written."""
    plain = re.sub(r"<[^>]*>", "", text)
    return re.sub(r"[^\w\- ]", "", plain).strip().lower().replace(" ", separator)


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page."""
    shown: dict[Path, None] = {}
    for path in (README, *sorted(DOCS.rglob("*.md"))):
        yield _name(path), _page(path, shown)
    done: set[Path] = set()
    while waiting := [path for path in shown if path not in done]:
        for path in waiting:
            done.add(path)
            yield _name(path), _page(path, shown) if path.suffix == ".md" else _listing(path)
    for name, module in API.items():
        yield f"api/{name}.md", f"# {module}\n\n::: {module}\n{_options(module)}"


def copied() -> Iterator[Path]:
    """Yield the files beside the documents, which are served as they are."""
    for path in sorted(DOCS.rglob("*")):
        if path.is_file() and path.suffix != ".md":
            yield path


def _options(module: str) -> str:
    """Return how mkdocstrings shows a module: what it exports, wherever that is made."""
    exported: list[str] = getattr(importlib.import_module(module), "__all__", [])
    lines = ["options:", "  show_root_heading: false", "  show_root_toc_entry: false"]
    lines += ["  members:", *(f"    - {name}" for name in exported)] if exported else []
    return "".join(f"    {line}\n" for line in lines)


def _name(path: Path) -> str:
    """Return the name of the page of a file."""
    if path == README:
        return "index.md"
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    inside = path.relative_to(ROOT).as_posix().lstrip(".")
    return f"{SHOWN}/{inside.removesuffix('.md')}.md"


def _page(path: Path, shown: dict[Path, None]) -> str:
    text = _DIAGRAM.sub(_moves, path.read_text("utf-8"))
    text = text.replace("<details>", '<details markdown="1">')
    text = re.sub(r"^<!-- .*? -->\n", "", text, flags=re.MULTILINE)
    parts = _FENCE.split(text)  # every other one is code
    parts[::2] = [_LINK.sub(lambda found: _linked(found, path, shown), p) for p in parts[::2]]
    return "".join(parts)


def _linked(found: re.Match[str], path: Path, shown: dict[Path, None]) -> str:
    """Return a link that leads from the page of a document to that of its target."""
    before, target, anchor, after = found[1], found[2], found[3] or "", found[4]
    if not target or "://" in target or target.startswith("mailto:"):
        return found[0]
    file = (path.parent / target).resolve()
    if not file.is_file() or not file.is_relative_to(ROOT):
        raise PageError(f"{path.relative_to(ROOT)}: {target} is no file of the repository")
    if not file.is_relative_to(DOCS) and file != README:
        shown[file] = None
    to = os.path.relpath(_name(file), Path(_name(path)).parent)
    return f"{before}{Path(to).as_posix()}{anchor}{after}"


def _listing(path: Path) -> str:
    """Return the page that shows a file."""
    fence = "````"
    kind = {".conf": "nginx", ".service": "ini", ".socket": "ini", ".c": "c", ".json": "json"}
    language = kind.get(path.suffix, "text")
    text = path.read_text("utf-8").rstrip("\n")
    return f"# {path.relative_to(ROOT).as_posix()}\n\n{fence}{language}\n{text}\n{fence}\n"


def _moves(found: re.Match[str]) -> str:
    """Return a diagram of states as a table: no program draws it in the browser."""
    called: dict[str, str] = {"[*]": ""}
    rows = ["| From | Event | To |", "| --- | --- | --- |"]
    for line in map(str.strip, found[1].splitlines()):
        if named := _STATE.match(line):
            called[named[2]] = named[1]
        elif move := _MOVE.match(line):
            start, end = (called.get(each, each) for each in (move[1], move[2]))
            rows.append(f"| {start or 'the beginning'} | {move[3] or ''} | {end or 'the end'} |")
        else:
            raise PageError(f"A diagram has a line that is no move of a state: {line}")
    return "\n".join(rows)
