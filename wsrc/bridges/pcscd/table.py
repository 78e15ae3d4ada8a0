# SPDX-License-Identifier: Apache-2.0
"""The table of readers as programs see it, the programs, and those that wait for a change."""

from itertools import islice

from wsrc.bridges.pcscd.reader import Reader
from wsrc.bridges.pcscd.requests import (
    OLD_TABLE_READERS,
    OLD_TABLE_ROWS,
    OLDEST_MINOR,
    Events,
    Row,
    Rows,
)
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
        self._by_age: dict[bytes, Reader] = {}
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
        return self._by_age.get(name)

    def add(self, reader: Reader) -> None:
        """Put a reader into the first row that is free."""
        if None not in self._rows:
            self._rows += [None] * GROWTH_ROWS
        self._rows[self._rows.index(None)] = reader
        self._by_age[reader.name] = reader
        self._count()

    def remove(self, reader: Reader) -> None:
        """Free the row of a reader."""
        self._rows[self._rows.index(reader)] = None
        del self._by_age[reader.name]
        self._count()

    def rows(self, count: int) -> Rows:
        """Return the first so many rows."""
        return tuple(r.row if r is not None else Row() for r in self._rows[:count])

    def old_rows(self) -> Rows:
        """
        Return the table in its old form, which has no room for all readers.

        It shows those that were there first, so that none goes from it because another one comes.
        """
        shown = set(islice(self._by_age, OLD_TABLE_READERS))
        rows = [reader.row for reader in self.readers if reader.name in shown]
        return (*rows, *[Row()] * (OLD_TABLE_ROWS - len(rows)))

    def _count(self) -> None:
        self.events = self.events % _MOST_EVENTS + 1


class Program:
    """
    What one connection is to the machine.

    `minor` is the version that was agreed on and `context` its context, 0 for none. `cards` are
    the numbers of its handles. It is `registered` while it waits for a change, and `armed` once it
    may be told; until then it may be `cancelled`. `waited` is how its latest wait ended.
    `told_rows` is how many rows it was told that the table has, 0 for never.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.minor = OLDEST_MINOR
        self.context = 0
        self.cards: set[int] = set()
        self.registered = False
        self.armed = False
        self.cancelled = False
        self.waited = Code.SCARD_S_SUCCESS
        self.told_rows = 0


class Waiting:
    """
    The programs that asked to be told of the next change.

    `outgoing` has one entry for each registration, except where the program takes it back: the
    program, and whether something changed or the wait was cancelled.

    Args:
        table: The readers.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self.outgoing: list[tuple[Program, Events]] = []
        self._registered: dict[int, Program] = {}

    def register(self, program: Program, *, armed: bool) -> None:
        """
        Note that a program waits.

        Args:
            program: The one that waits.
            armed: Whether it may be told at once. From 4:6 on it reads the table after this, and
                would take a message that comes before for the size of the table.
        """
        program.registered, program.armed, program.cancelled = True, armed, False
        program.waited = Code.SCARD_S_SUCCESS
        self._registered[program.number] = program

    def unregister(self, program: Program) -> bool:
        """Note that a program waits no more; return whether it did."""
        was, program.registered = program.registered, False
        program.armed = program.cancelled = False
        self._registered.pop(program.number, None)
        return was

    def arm(self, program: Program) -> None:
        """Note that a program may be told, and tell it if its wait was cancelled meanwhile."""
        program.armed = program.registered
        if program.cancelled:
            self.tell(program, Code.SCARD_E_CANCELLED)

    def cancel(self, program: Program) -> None:
        """End the wait of a program, if it waits, as soon as it may be told."""
        program.cancelled = program.registered
        if program.armed:
            self.tell(program, Code.SCARD_E_CANCELLED)

    def changed(self) -> None:
        """Tell every program that may be told, once."""
        for program in [p for p in self._registered.values() if p.armed]:
            self.tell(program, Code.SCARD_S_SUCCESS)

    def tell(self, program: Program, code: Code) -> None:
        """End the wait of one program."""
        self.unregister(program)
        program.waited = code
        events = self._table.events if program.minor > OLDEST_MINOR else 0
        self.outgoing.append((program, Events(events, code)))
