# SPDX-License-Identifier: Apache-2.0
"""
Build the site of the documents into build/site: `make docs`.

It fails for a link that leads nowhere, and for a page that asks a browser to fetch anything from
elsewhere.
"""

import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")

from mkdocs.commands.build import build  # noqa: E402 - needs the path above
from mkdocs.config import load_config  # noqa: E402
from mkdocs.exceptions import MkDocsException  # noqa: E402
from pages import DOCS, ROOT, PageError, copied, pages  # noqa: E402

PAGES, SITE = ROOT / "build" / "site-pages", ROOT / "build" / "site"

_FETCHING = {
    "audio": "src", "embed": "src", "form": "action", "iframe": "src", "img": "src",
    "input": "src", "link": "href", "object": "data", "script": "src", "source": "src",
    "track": "src", "video": "src",
}  # fmt: skip
"""Elements with which a page has something fetched, and the attribute that says from where."""

_IN_STYLE = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)")


class Fetched(HTMLParser):
    """Collects what a page has fetched from elsewhere without being asked."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        given = dict(attrs)
        wanted = given.get(_FETCHING.get(tag, ""), "") or ""
        if re.match(r"(?:https?:)?//", wanted) and given.get("rel") != "canonical":
            self.found.append(wanted)
        self.found += _IN_STYLE.findall(given.get("style") or "")

    def handle_data(self, data: str) -> None:
        """Look at the text of a style sheet."""
        self.found += _IN_STYLE.findall(data)


def from_elsewhere(site: Path) -> Iterator[str]:
    """Yield what the pages and style sheets of a site have fetched from elsewhere, and by which."""
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            page = Fetched()
            page.feed(path.read_text("utf-8"))
            found = page.found
        elif path.suffix == ".css":
            found = _IN_STYLE.findall(path.read_text("utf-8"))
        else:
            continue
        yield from (f"{path.relative_to(site)}: {url}" for url in found)


def main() -> int:
    """Build the site; return 1 and say why where it is not as it should be."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir(parents=True)
    config = load_config(str(HERE / "mkdocs.yml"), docs_dir=str(PAGES), site_dir=str(SITE))
    try:
        for name, text in pages():
            path = PAGES / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for path in copied():
            to = PAGES / path.relative_to(DOCS)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
        build(config)
    except (PageError, MkDocsException) as exc:
        print(exc, file=sys.stderr)
        return 1
    wrong = list(from_elsewhere(SITE))
    for each in wrong:
        print(f"A browser would be sent elsewhere by {each}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
