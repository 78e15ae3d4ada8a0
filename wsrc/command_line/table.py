# SPDX-License-Identifier: Apache-2.0
"""Tables in lines of text that fit a width; without I/O."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from wsrc.process.printable import clean

Cell = str | Sequence[str]
"""What a table has in one place: a text, or several below one another."""

GAP: Final = "  "

LEAST_WORD: Final = 16
"""Columns of a word that is broken only where nothing else helps; an identity never is."""

_IDENTITY: Final = re.compile("[0-9a-fA-F]{16,}")
"""What ICCIDs, EIDs, ATRs and sessions look like."""


def lines(
    titles: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    width: int | None,
) -> list[str] | None:
    """
    Return the lines of a table, the first of which has the titles.

    Args:
        titles: One for each column.
        rows: A cell for each column.
        width: Columns of the terminal; None folds nothing.

    Returns:
        None where the width is not enough.
    """
    cells = [[_texts(cell) for cell in row] for row in rows]
    natural = [
        max([columns(title), *(columns(text) for row in cells for text in row[at])])
        for at, title in enumerate(titles)
    ]
    floors = [max(columns(title), _longest_word(cells, at)) for at, title in enumerate(titles)]
    widths = natural if width is None else _shrunk(natural, floors, width)
    if widths is None:
        return None
    head = _line(titles, widths)
    return [head, *(line for row in cells for line in _row(row, widths))]


def blocks(titles: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Return each row as lines of a title and a text, with an empty line between rows."""
    width = max(map(columns, titles))
    shown: list[str] = []
    for number, row in enumerate(rows):
        shown += [""] if number else []
        shown += (
            f"{title}{' ' * (width - columns(title))}{GAP}{text}"
            for title, cell in zip(titles, row, strict=True)
            for text in _texts(cell)
            if text
        )
    return shown


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def cut(text: str, width: int) -> str:
    """Return as much of a text as fits a width; that it goes on is shown."""
    if columns(text) <= width:
        return text
    shown = ""
    for c in text:
        if columns(shown) + _columns_of(c) > width - 1:
            break
        shown += c
    return f"{shown}…"


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _texts(cell: Cell) -> list[str]:
    return [clean(cell)] if isinstance(cell, str) else list(map(clean, cell)) or [""]


def _longest_word(cells: Sequence[Sequence[Sequence[str]]], at: int) -> int:
    words = (word for row in cells for text in row[at] for word in text.split())
    return max(map(_least, words), default=0)


def _least(word: str) -> int:
    whole = columns(word)
    return whole if _IDENTITY.fullmatch(word) else min(whole, LEAST_WORD)


def _shrunk(natural: Sequence[int], floors: Sequence[int], width: int) -> list[int] | None:
    """Take from the widest column until all fit; None where all are as narrow as they may be."""
    widths = list(natural)
    over = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while over > 0:
        room = [wide if wide > floor else 0 for wide, floor in zip(widths, floors, strict=True)]
        at = max(range(len(room)), key=room.__getitem__)
        if not room[at]:
            return None
        next_wide = max((each for each in room if each < room[at]), default=0)
        less = max(1, min(over, widths[at] - max(floors[at], next_wide)))
        widths[at] -= less
        over -= less
    return widths


def _row(row: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    parts_of = [
        [part for text in texts for part in folded(text, width)]
        for texts, width in zip(row, widths, strict=True)
    ]
    for number in range(max(map(len, parts_of), default=0)):
        yield _line([parts[number] if number < len(parts) else "" for parts in parts_of], widths)


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        text + " " * (width - columns(text)) for text, width in zip(texts, widths, strict=True)
    )
    return GAP.join(padded).rstrip()


def folded(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text: between words where that does, within a word that is too long."""
    line = ""
    for word in text.split(" ") if columns(text) > width else [text]:
        longer = f"{line} {word}" if line else word
        if columns(longer) <= width:
            line = longer
            continue
        if line:
            yield line
        line = word
        while columns(line) > width:
            size = _fitting(line, width)
            yield line[:size]
            line = line[size:]
    yield line


def _fitting(text: str, width: int) -> int:
    """Return how many characters fit, at least one."""
    taken = 0
    for at, c in enumerate(text):
        taken += _columns_of(c)
        if taken > width:
            return max(at, 1)
    return len(text)
