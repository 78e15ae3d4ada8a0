# SPDX-License-Identifier: Apache-2.0
"""The site of the documents: built strictly, and asking nobody when it is read."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.paths import ROOT

SITE = ROOT / "contrib" / "site"


@pytest.fixture(scope="module")
def pages() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SITE))
        import pages  # noqa: PLC0415 - contrib is no package

        yield pages


def build() -> str:
    """Build the site, and return what was said."""
    done = subprocess.run(
        [sys.executable, str(SITE / "build.py")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_site_is_built_strictly_and_asks_nobody() -> None:
    assert build() == ""
    site = ROOT / "build" / "site"
    text = (site / "index.html").read_text("utf-8")
    assert "fonts.googleapis" not in text
    assert "wss://relay.example:4221" in text
    interface = (site / "api" / "aio.html").read_text("utf-8")
    assert 'id="wsrc.aio.Client.select"' in interface
    assert (site / "search" / "search_index.json").stat().st_size > 100_000
    for path in sorted((ROOT / "docs").rglob("*.md")):
        name = path.relative_to(ROOT / "docs").with_suffix(".html")
        page = site / (name.with_name("index.html") if name.name == "README.html" else name)
        assert page.is_file(), path


def test_what_is_fetched_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<link rel="stylesheet" href="https://fonts.example/x.css"><a href="https://ok.example">'
        '<img src="//pixel.example/1.gif"><link rel="canonical" href="https://self.example/">'
        "<style>@import 'https://style.example/y.css'; a { background: url(z.png) }</style>"
    )
    (tmp_path / "b.css").write_text("a { background: url(https://pictures.example/z.png) }")
    script = "import sys, build, pathlib; print(*build.from_elsewhere(pathlib.Path(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=SITE,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.findall(r"//(\w+)\.example", done.stdout) == ["fonts", "pixel", "style", "pictures"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[x](nowhere.md)", "nowhere.md is no file of the repository"),
        ("[x](../../etc/passwd)", "is no file of the repository"),
        ("```mermaid\nstateDiagram-v2\n    nonsense\n```", "no move of a state: nonsense"),
    ],
)
def test_a_document_that_cannot_be_a_page_is_said(
    text: str, line: str, pages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "docs" / "wrong.md"
    document.parent.mkdir()
    document.write_text(text, encoding="utf-8")
    for name, path in (("ROOT", tmp_path), ("DOCS", document.parent)):
        monkeypatch.setattr(pages, name, path)
    with pytest.raises(pages.PageError, match=re.escape(line)):
        pages._page(document, {})


def test_a_link_out_of_the_documents_leads_to_a_page_that_shows_the_file(
    pages: ModuleType,
) -> None:
    made = dict(pages.pages())
    assert "(files/contrib/nginx/wsrc.conf.md)" in made["operations.md"]
    assert "proxy_pass" in made["files/contrib/nginx/wsrc.conf.md"]
    assert "(index.md#three-machines)" in made["operations.md"]
    assert "(operations.md#policy)" in made["index.md"]
    assert "mermaid" not in made["architecture.md"]
    assert "| attaching | attached | held |" in made["architecture.md"]


def test_the_navigation_has_every_document_of_the_first_level() -> None:
    text = (SITE / "mkdocs.yml").read_text("utf-8")
    named = set(re.findall(r"[\w/.-]+\.md", text.partition("\nnav:")[2]))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/*.md")}
    there |= {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/uses/*.md")}
    assert there <= named
