# SPDX-License-Identifier: Apache-2.0
"""The last lines of an audit log, read from its files while another thread adds to them."""

import os
from pathlib import Path
from typing import Any

import msgspec

from wsrc.audit.files import logs_in

MOST_OCTETS = 1 << 20
"""Octets at the end of the files that are looked at."""


class _Card(msgspec.Struct):
    """By what a line names the card that it is about."""

    reader: str = ""
    iccid: str | None = None
    eids: tuple[str, ...] = ()


def last_lines(
    folder: Path, program: str, most: int, about: str | None = None
) -> list[dict[str, Any]]:
    """
    Return the last lines of a log, the oldest first; for a thread of its own.

    A line that is not complete yet, or is damaged, is left out; with `about` also one that is not
    of the card or reader with that identity, id or name.

    Raises:
        OSError: If a file cannot be read.
    """
    found: list[dict[str, Any]] = []
    left = MOST_OCTETS
    for path in reversed(logs_in(folder).get(program, {}).values()):
        octets = _end_of(path, left)
        left -= len(octets)
        read = (_read(each) for each in octets.split(b"\n"))
        lines = [line for line in read if line is not None and _is_about(line, about)]
        found = [*lines, *found][-most:]
        if len(found) >= most or left <= 0:
            break
    return found


def _is_about(line: dict[str, Any], about: str | None) -> bool:
    if about is None:
        return True
    try:
        card = msgspec.convert(line.get("card"), type=_Card)
    except msgspec.ValidationError:
        return False
    return about in {card.iccid, card.reader, *card.eids}


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
