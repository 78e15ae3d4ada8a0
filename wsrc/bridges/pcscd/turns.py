# SPDX-License-Identifier: Apache-2.0
"""
Exchanges with one reader, one at a time: taking the card, commands, resets, giving it back.

Whoever has the turn finds the card ours and the resets done that were put off.
"""

from collections.abc import Callable, Generator
from typing import Any

from wsrc.bridges.pcscd.needs import Close, Inner, Need, Open, Park, Reset, Steps
from wsrc.bridges.pcscd.reader import Reader, Refused
from wsrc.bridges.pcscd.source import Failure, Session
from wsrc.bridges.pcscd.waiting import Waiting
from wsrc.card.pcsc_numbers import Code
from wsrc.card.slot import ResetKind

Doing = Generator[Need, Any, bytes]

MOST_OPENS = 3
"""How often a program that connects has a card taken that is swapped each time meanwhile."""


class Turns:
    """
    The turns of all readers.

    `begun` are calls that nobody asked for, to be run; `let_go` tells that what is parked may be
    able to go on.
    """

    def __init__(self, waiting: Waiting) -> None:
        self.begun: list[Steps] = []
        self.let_go = False
        self._waiting = waiting

    def take(self, reader: Reader, doing: Inner) -> Inner:
        """Do something when the turn comes; a failure is what the program is told."""
        while reader.busy:
            yield Park()
        reader.busy = True
        try:
            reader.check_there()
            yield from doing
        except Failure as failure:
            self._failed(reader, failure)
            raise Refused(failure.code) from failure
        finally:
            self._over(reader)

    def ask(self, reader: Reader, doing: Doing) -> Doing:
        """Do something that has an answer; the turn must have come."""
        reader.busy = True
        try:
            return (yield from doing)
        except Failure as failure:
            self._failed(reader, failure)
            raise Refused(failure.code) from failure
        finally:
            self._over(reader)

    def open(self, reader: Reader, opens: int = MOST_OPENS) -> Inner:
        """
        Make the card ours, unless it is; one that goes meanwhile is given back.

        Args:
            reader: The reader.
            opens: How often one that is found in its place is tried.

        Raises:
            Refused: If it was swapped each time.
        """
        while opens and reader.session is None and reader.has_card():
            count = reader.event_counter
            session = yield Open(reader.name)
            if reader.has_card() and reader.event_counter == count:
                reader.opened(session)
                return
            yield Close(session)
            opens -= 1
        if not opens and reader.has_card():
            raise Refused(Code.SCARD_W_REMOVED_CARD)

    def reset_or_open(self, reader: Reader, kind: ResetKind) -> Inner:
        """Reset the card; making it ours does that, too."""
        if reader.session is None:
            yield from self.open(reader)
        else:
            yield from self._reset(reader, reader.session, kind)

    def ready(self, reader: Reader) -> Generator[Need, Any, Session]:
        """
        Yield the session of a card that is ours and was reset if that was put off.

        Raises:
            Refused: If there is none, or the card or the reader went while it was taken or reset.
        """
        if not reader.has_card():
            raise Refused(Code.SCARD_E_NOT_TRANSACTED)
        yield from self.open(reader, 1)
        if reader.session is not None and reader.pending_reset is not None:
            yield from self._reset(reader, reader.session, reader.pending_reset)
        session = reader.session
        if session is None:
            reader.check_there()
            raise Refused(Code.SCARD_W_REMOVED_CARD)
        return session

    def with_reader(
        self, reader: Reader, doing: Callable[[Session], Need], *, settled: bool = True
    ) -> Doing:
        """
        Ask a reader itself; one whose card is not ours is taken alone, and given back at once.

        A reader that is taken alone does not look at a card that is put in meanwhile.

        Args:
            reader: The reader.
            doing: What to ask.
            settled: Whether a reset that was put off is done first.
        """
        session = reader.session
        if session is None:
            return (yield from _alone(reader, doing))
        if settled:
            session = yield from self.ready(reader)
        answer: bytes = yield doing(session)
        return answer

    def close_stale(self, reader: Reader) -> None:
        """Begin to close the sessions of a reader that are over, unless one is being used."""
        if not reader.busy:
            self.begun += [_close(session) for session in reader.stale]
            reader.stale.clear()

    def release(self, reader: Reader) -> None:
        """Begin to give back a card that nobody uses."""
        self.begun.append(self._release(reader))

    def _release(self, reader: Reader) -> Steps:
        session = reader.session
        if session is None or reader.busy or reader.handles:
            return None
        reader.busy = True
        reader.session_over()
        reader.stale.remove(session)
        try:
            yield Close(session)
        finally:
            self._over(reader)
        return None

    def _reset(self, reader: Reader, session: Session, kind: ResetKind) -> Inner:
        atr = yield Reset(session, kind)
        if reader.session is session and reader.was_reset(atr):
            self._waiting.changed()

    def _over(self, reader: Reader) -> None:
        reader.busy = False
        self.close_stale(reader)
        self.let_go = True

    def _failed(self, reader: Reader, failure: Failure) -> None:
        """Note that a session is over, unless that was told while it was being used."""
        if failure.sticky is not None and not reader.stale:
            reader.lost(failure.sticky)
            self._waiting.changed()


def _close(session: Session) -> Steps:
    yield Close(session)
    return None


def _alone(reader: Reader, doing: Callable[[Session], Need]) -> Doing:
    session = yield Open(reader.name, direct=True)
    try:
        answer: bytes = yield doing(session)
    except Failure as failure:
        yield Close(session)
        raise Failure(failure.code) from failure
    yield Close(session)
    return answer
