# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.http.audit_tail: the last lines of a log, of however many files."""

import json
from pathlib import Path

import pytest

from wsrc.server.http import audit_tail
from wsrc.server.http.audit_tail import last_lines

PROGRAM = "wsrc-server"


def write(folder: Path, number: int, *texts: str, end: str = "\n") -> None:
    path = folder / f"{PROGRAM}-{number:08}.jsonl"
    path.write_text("\n".join(texts) + end, "utf-8")


def line(number: int) -> str:
    return json.dumps({"event": "took", "n": number})


def numbers(folder: Path, most: int) -> list[int]:
    return [each["n"] for each in last_lines(folder, PROGRAM, most)]


def test_lines_come_from_several_files_in_their_order(tmp_path: Path) -> None:
    write(tmp_path, 1, line(1), line(2))
    write(tmp_path, 2, line(3), line(4))
    assert numbers(tmp_path, 10) == [1, 2, 3, 4]
    assert numbers(tmp_path, 3) == [2, 3, 4]
    assert numbers(tmp_path, 1) == [4]


def test_what_is_no_whole_line_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, 1, line(1), "no json", '["no object"]', line(2)[:5], end="")
    assert numbers(tmp_path, 10) == [1]


def test_no_more_than_so_many_octets_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1, *map(line, range(1000)))
    monkeypatch.setattr(audit_tail, "MOST_OCTETS", 100)
    assert numbers(tmp_path, 500) == [997, 998, 999]


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert numbers(tmp_path, 10) == []
