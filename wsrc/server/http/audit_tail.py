# SPDX-License-Identifier: Apache-2.0
"""The last lines of an audit log, read from its files while another thread adds to them."""

import os
from pathlib import Path
from typing import Any

import msgspec

from wsrc.audit.files import logs_in

MOST_OCTETS = 1 << 20
"""Octets at the end of the files that are looked at."""


def last_lines(folder: Path, program: str, most: int) -> list[dict[str, Any]]:
    """
    Return the last lines of a log, the oldest first; for a thread of its own.

    A line that is not complete yet, or is damaged, is left out.

    Raises:
        OSError: If a file cannot be read.
    """
    found: list[dict[str, Any]] = []
    left = MOST_OCTETS
    for path in reversed(logs_in(folder).get(program, {}).values()):
        octets = _end_of(path, left)
        left -= len(octets)
        lines = [line for each in octets.split(b"\n") if (line := _read(each)) is not None]
        found = [*lines, *found][-most:]
        if len(found) >= most or left <= 0:
            break
    return found


def _end_of(path: Path, most: int) -> bytes:
    """Return whole lines at the end of a file, so many octets at most."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        begin = max(0, size - most)
        file.seek(begin)
        octets = file.read(most)
    return octets if not begin else octets.partition(b"\n")[2]


def _read(line: bytes) -> dict[str, Any] | None:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError):
        return None
