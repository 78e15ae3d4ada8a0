# SPDX-License-Identifier: Apache-2.0
"""
The programs behind connections, and those of them that wait for the table of readers to change.

One message of 8 octets goes to a program for each registration: the event, or the answer to
STOP_WAITING, or that the wait was cancelled.
"""

from collections.abc import Iterable

from wsrc.bridges.pcscd import wire
from wsrc.card.pcsc_numbers import Code


class Program:
    """
    What one connection is to the machine.

    `minor` is the version that was agreed on and `context` its context, 0 for none. `cards` are
    the numbers of its handles. It is `registered` while it waits for a change, and `armed` once it
    may be told. `told_rows` is how many rows it was told that the table has, 0 for never.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.minor = wire.OLDEST_MINOR
        self.context = 0
        self.cards: set[int] = set()
        self.registered = False
        self.armed = False
        self.told_rows = 0


class Waiting:
    """The programs that asked to be told."""

    def __init__(self) -> None:
        self.outgoing: list[tuple[Program, bytes]] = []
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
        """Note that a program waits no more; tell whether it did."""
        was, program.registered, program.armed = program.registered, False, False
        self._registered.pop(program.number, None)
        return was

    def changed(self) -> None:
        """Tell every program that may be told, once."""
        armed: Iterable[Program] = [p for p in self._registered.values() if p.armed]
        for program in armed:
            self.tell(program, Code.SCARD_S_SUCCESS)

    def tell(self, program: Program, code: Code) -> None:
        """End the wait of one program."""
        self.unregister(program)
        self.outgoing.append((program, wire.waited(code)))
