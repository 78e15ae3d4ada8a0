# SPDX-License-Identifier: Apache-2.0
"""The table of readers as programs see it, the programs, and those that wait for a change."""

from wsrc.bridges.pcscd.reader import Reader
from wsrc.bridges.pcscd.requests import OLD_TABLE_ROWS, OLDEST_MINOR, Row, Rows
from wsrc.card.pcsc_numbers import Code

GROWTH_ROWS = OLD_TABLE_ROWS
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
        """Put a reader into the first row that is free."""
        if None not in self._rows:
            self._rows += [None] * GROWTH_ROWS
        self._rows[self._rows.index(None)] = reader
        self._count()

    def remove(self, reader: Reader) -> None:
        """Free the row of a reader."""
        self._rows[self._rows.index(reader)] = None
        self._count()

    def rows(self, count: int) -> Rows:
        """Return the first so many rows."""
        return tuple(r.row if r is not None else Row() for r in self._rows[:count])

    def _count(self) -> None:
        self.events = self.events % _MOST_EVENTS + 1


class Program:
    """
    What one connection is to the machine.

    `minor` is the version that was agreed on and `context` its context, 0 for none. `cards` are
    the numbers of its handles. It is `registered` while it waits for a change, and `armed` once it
    may be told. `told_rows` is how many rows it was told that the table has, 0 for never.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.minor = OLDEST_MINOR
        self.context = 0
        self.cards: set[int] = set()
        self.registered = False
        self.armed = False
        self.told_rows = 0


class Waiting:
    """
    The programs that asked to be told of the next change.

    `outgoing` has one entry for each registration, except where the program takes it back: the
    program, and whether something changed or the wait was cancelled.
    """

    def __init__(self) -> None:
        self.outgoing: list[tuple[Program, Code]] = []
        self._registered: dict[int, Program] = {}

    def register(self, program: Program, *, armed: bool) -> None:
        """
        Note that a program waits.

        Args:
            program: The one that waits.
            armed: Whether it may be told at once. From 4:6 on it reads the table after this, and
                would take a message that comes before for the size of the table.
        """
        program.registered, program.armed = True, armed
        self._registered[program.number] = program

    def unregister(self, program: Program) -> bool:
        """Note that a program waits no more; return whether it did."""
        was, program.registered, program.armed = program.registered, False, False
        self._registered.pop(program.number, None)
        return was

    def changed(self) -> None:
        """Tell every program that may be told, once."""
        for program in [p for p in self._registered.values() if p.armed]:
            self.tell(program, Code.SCARD_S_SUCCESS)

    def tell(self, program: Program, code: Code) -> None:
        """End the wait of one program."""
        self.unregister(program)
        self.outgoing.append((program, code))
