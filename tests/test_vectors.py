# SPDX-License-Identifier: Apache-2.0
"""Every file of tests/vectors says what it is, and is run against the machine that it is for."""

import json
from typing import Any

import pytest

from tests.support.paths import ROOT, VECTORS

FILES = sorted(VECTORS.glob("*.json"))
ABOUT = {"about", "how_to_run", "ours"}


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((VECTORS / name).read_text("utf-8"))
    return content


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_e35_a_file_says_how_it_is_run_and_what_of_it_is_ours(name: str) -> None:
    content = read(name)
    assert set(content) >= {"about", "how_to_run"}
    assert set(content) - ABOUT <= set(content["how_to_run"])
    for what in content.get("ours", {}):
        list_, _, key = what.partition(".")
        assert list_ in content
        assert not key or all(key in entry for entry in content[list_])


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_e35_entries_of_a_list_have_names_of_their_own(name: str) -> None:
    for list_ in read(name).values():
        entries = [entry for entry in list_ if isinstance(entry, dict)] if list_ else []
        names = [entry["name"] for entry in entries if "name" in entry]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_e35_a_file_is_in_both_documents_and_is_run_by_the_tests_that_are_named(name: str) -> None:
    assert f"`{name}`" in (VECTORS / "README.md").read_text("utf-8")
    rows = (ROOT / "docs" / "vectors.md").read_text("utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| `{name}`")]
    run_in = [part for part in row.split("|")[3].split("`") if part.startswith("tests/")]
    assert run_in
    for path in run_in:
        text = (ROOT / path).read_text("utf-8")
        assert name in text or name.removesuffix(".json") + "_vectors" in text
