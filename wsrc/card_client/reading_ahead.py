# SPDX-License-Identifier: Apache-2.0
"""A card is read ahead of its user, as far as that may go, and what of it the user was sent."""

import time
from collections.abc import Callable

from wsrc.card.ahead import MAX_OCTETS, MAX_READS, Reads, clearing, leaves_waiting
from wsrc.card.pcsc_numbers import GET_FEATURE_REQUEST
from wsrc.card_client.blocking import Line
from wsrc.card_client.worker import Steps
from wsrc.errors import GuardedError
from wsrc.octets import Octets
from wsrc.protocol import messages as m

Exchange = Callable[[Octets], tuple[Octets, str]]
"""Gives the card a command; returns data and status word."""


class ReadingAhead:
    """
    What is read ahead of one session; `read` is that of its latest command.

    Args:
        line: The card.
        exchange: Reaches it, in the thread of the reader.
    """

    def __init__(self, line: Line, exchange: Exchange) -> None:
        self.read: list[m.ReadAhead] = []
        self._line = line
        self._exchange = exchange

    def begin(self, used: int) -> None:
        """Forget what was read; learn how the program reads from the last that was `used`."""
        if 0 < used <= len(self.read):
            self._line.next_reads.asked(self.read[used - 1].command)
        self.read = []

    def run(
        self, limit_s: float, wanted: Callable[[], bool], steps: Steps
    ) -> Callable[[], None] | None:
        """
        Return what reads on, for the thread of the reader; None where nothing is to be read.

        It raises CardError if the card failed; what was read before is in `read`.

        Args:
            limit_s: How long after now another read may begin.
            wanted: Returns whether somebody waits for the card.
            steps: Told of each read.
        """
        reads, deadline = self._line.next_reads.take(), time.monotonic() + limit_s
        if reads is None:
            return None

        def may_go_on() -> bool:
            steps.next()
            return time.monotonic() < deadline and not wanted()

        return lambda: self._read_on(reads, self.read, may_go_on)

    def _read_on(
        self, reads: Reads, read: list[m.ReadAhead], may_go_on: Callable[[], bool]
    ) -> None:
        """
        Run reads until it is enough.

        One that leaves something for GET RESPONSE is not told, and undone by another: a card that
        does so is read ahead no more until it is reset. One that the guard refuses is the last.
        """
        octets, command = 0, next(reads, None)
        while command is not None and octets < MAX_OCTETS and len(read) < MAX_READS and may_go_on():
            try:
                response, sw = self._exchange(Octets(command))
            except GuardedError:  # nobody has asked for it
                return
            answer = response + bytes.fromhex(sw)
            if leaves_waiting(answer):
                self._line.next_reads.stop()
                self._exchange(Octets(clearing(command)))
                return
            read.append(m.ReadAhead(command=Octets(command), response=response, sw=sw))
            octets += len(response)
            try:
                command = reads.send(answer)
            except StopIteration:
                return


def may_reach_card(asked: m.Forwarded) -> bool:
    """Return whether a reader may do something to its card for that, whatever it is."""
    if isinstance(asked, m.Control):
        return asked.number != GET_FEATURE_REQUEST
    return isinstance(asked, m.SetAttribute)
