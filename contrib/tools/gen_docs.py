# SPDX-License-Identifier: Apache-2.0
"""
Write what documents take from the code: tables, the JSON Schema, the transcript in README.md.

    python contrib/tools/gen_docs.py            write tables and schema
    python contrib/tools/gen_docs.py --demo     run the demonstration as well, for README.md
    python contrib/tools/gen_docs.py --check    write nothing; name what is stale, and exit with 1
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from doc_tables import SECTIONS  # noqa: E402 - needs the path above

from wsrc.protocol.schema import schema  # noqa: E402

SCHEMA = ROOT / "docs" / "protocol.schema.json"
README = ROOT / "README.md"

DEMO_S = 300
"""Longest demonstration."""

_BLOCK = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-z ]+) -->\n)"
    r"(?P<old>(?:(?!<!-- ).)*)(?P<end><!-- end -->)",
    re.DOTALL,
)


class DocsError(Exception):
    """A marker that names nothing."""


def filled(text: str, make: Callable[[str], str | None]) -> str:
    """Fill the marked blocks of a document; those for which `make` gives None stay."""

    def fill(found: re.Match[str]) -> str:
        made = make(found["name"])
        return found[0] if made is None else f"{found['begin']}\n{made}\n\n{found['end']}"

    return _BLOCK.sub(fill, text)


def section(name: str) -> str | None:
    """Return a generated section; the transcript is left as it is."""
    if name == "demo":
        return None
    if name not in SECTIONS:
        raise DocsError(f"There is no section {name!r}; there are {', '.join(SECTIONS)}.")
    return SECTIONS[name]()


def documents() -> list[Path]:
    """Return every document."""
    return [README, *sorted((ROOT / "docs").rglob("*.md"))]


def made() -> Iterator[tuple[Path, str]]:
    """Yield every file that has something generated, with the text that it should have."""
    for path in documents():
        text = path.read_text("utf-8")
        if _BLOCK.search(text):
            yield path, filled(text, section)
    yield SCHEMA, json.dumps(schema(), indent=2, sort_keys=True) + "\n"


def transcript() -> str:
    """Run the demonstration, without the readers of this machine; give what it says."""
    command = [sys.executable, str(ROOT / "contrib" / "tools" / "demo.py"), "--no-pcsc"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=DEMO_S, check=False
    )
    if done.returncode:
        raise DocsError(f"The demonstration failed: {done.stderr or done.stdout}")
    return normal(done.stdout)


def normal(text: str) -> str:
    """Return a transcript without what differs from run to run: ports, times, readers."""
    text = re.sub(r"(users on wss://localhost:)\d+", r"\g<1>4220", text)
    text = re.sub(r"(card clients on wss://localhost:)\d+", r"\g<1>4221", text)
    text = re.sub(r"since \d{4}-[-:.\dT]+Z", "since 2026-01-31T12:00:00Z", text)
    text = re.sub(r"until \d{4}-[-:.\dT]+Z", "until 2026-01-31T13:00:00Z", text)
    text = re.sub(r"since \d{4}-[-:.\dT]+[+-]\d\d:\d\d", "since 2026-01-31T13:00:00+01:00", text)
    return re.sub(r"(PC/SC readers of this machine: ).*", r"\g<1>none is connected.", text).strip()


def stale() -> list[str]:
    """Name the files whose generated parts are not what they should be."""
    wrong = [path for path, text in made() if not path.exists() or path.read_text("utf-8") != text]
    return [str(path.relative_to(ROOT)) for path in wrong]


def write(*, demo: bool) -> None:
    """Write all that is generated."""
    for path, text in list(made()):
        path.write_text(text, encoding="utf-8")
    if demo:
        shown = f"```console\n{transcript()}\n```"
        text = filled(README.read_text("utf-8"), lambda name: shown if name == "demo" else None)
        README.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write the generated parts of the documents.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    parser.add_argument("--demo", action="store_true", help="run the demonstration for README.md")
    given = parser.parse_args(arguments)
    if given.check:
        names = stale()
        for name in names:
            print(f"{name} is stale: run python contrib/tools/gen_docs.py", file=sys.stderr)
        return 1 if names else 0
    write(demo=given.demo)
    return 0


if __name__ == "__main__":
    sys.exit(main())
