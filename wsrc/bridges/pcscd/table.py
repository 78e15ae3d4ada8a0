# SPDX-License-Identifier: Apache-2.0
"""The table of readers as programs see it."""

from wsrc.bridges.pcscd import wire
from wsrc.bridges.pcscd.reader import Reader
from wsrc.bridges.pcscd.requests import Row

GROWTH_ROWS = 16
"""
The table grows by as many rows.

Programs keep its size in one variable for all their threads, so the less often it changes, the
less can be read at the wrong size; 16 is what it is up to version 4:5.
"""

_MOST_EVENTS = 0x7FFF


class Table:
    """All readers in their rows; a row that was given up is taken by the next reader."""

    def __init__(self) -> None:
        self._rows: list[Reader | None] = [None] * GROWTH_ROWS
        self.events = 1
        """How often readers came and went, from 1 to 32767 and round again."""

    @property
    def capacity(self) -> int:
        """Rows of the table; it never becomes less."""
        return len(self._rows)

    @property
    def readers(self) -> list[Reader]:
        """All readers, in the order of their rows."""
        return [reader for reader in self._rows if reader is not None]

    def find(self, name: bytes) -> Reader | None:
        """Return the reader of a name."""
        return next((reader for reader in self.readers if reader.name == name), None)

    def add(self, reader: Reader) -> None:
        """Give a reader the first row that is free."""
        if None not in self._rows:
            self._rows += [None] * GROWTH_ROWS
        self._rows[self._rows.index(None)] = reader
        self._count()

    def remove(self, reader: Reader) -> None:
        """Free the row of a reader."""
        self._rows[self._rows.index(reader)] = None
        self._count()

    def encode(self, rows: int) -> bytes:
        """Return the first so many rows as they are sent."""
        return b"".join(wire.row(r.row if r is not None else Row()) for r in self._rows[:rows])

    def _count(self) -> None:
        self.events = self.events % _MOST_EVENTS + 1
