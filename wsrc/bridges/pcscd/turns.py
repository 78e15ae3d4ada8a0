# SPDX-License-Identifier: Apache-2.0
"""
Exchanges with one reader, one at a time: taking the card, commands, resets, giving it back.

Whoever has the turn finds the card ours and the resets done that were put off.
"""

from collections.abc import Callable
from typing import TypeVar

from wsrc.bridges.pcscd.reader import Reader
from wsrc.bridges.pcscd.requests import Refused
from wsrc.bridges.pcscd.source import Ask, Failure, Open, Park, Session, Steps
from wsrc.bridges.pcscd.table import Waiting
from wsrc.card.pcsc_numbers import Code
from wsrc.card.slot import ResetKind

T = TypeVar("T")

MOST_OPENS = 3
"""Attempts to take a card that is swapped each time while a program connects."""


class Turns:
    """
    The turns of all readers.

    `begun` are calls that nobody asked for, to be run; `let_go` tells that what is parked may be
    able to go on.
    """

    def __init__(self, waiting: Waiting) -> None:
        self.begun: list[Steps[None]] = []
        self.let_go = False
        self._waiting = waiting

    def take(self, reader: Reader, doing: Steps[T]) -> Steps[T]:
        """Do something when the turn comes, as `ask` does it."""
        while reader.busy:
            yield Park()
        reader.check_there()
        return (yield from self.ask(reader, doing))

    def ask(self, reader: Reader, doing: Steps[T]) -> Steps[T]:
        """
        Do something now that the turn has come.

        Raises:
            Refused: If it failed.
        """
        reader.busy = True
        try:
            return (yield from doing)
        except Failure as failure:
            self._failed(reader, failure)
            raise Refused(failure.code, failure.reason) from failure
        finally:
            self._over(reader)

    def open(self, reader: Reader, opens: int = MOST_OPENS) -> Steps[None]:
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
            session: Session = yield Open(reader.name)
            if reader.has_card() and reader.event_counter == count:
                reader.opened(session)
                return
            yield Ask(session.close)
            opens -= 1
        if not opens and reader.has_card():
            raise Refused(Code.SCARD_W_REMOVED_CARD)

    def reset_or_open(self, reader: Reader, kind: ResetKind) -> Steps[None]:
        """Reset the card; making it ours does that, too."""
        if reader.session is None:
            yield from self.open(reader)
        else:
            yield from self._reset(reader, reader.session, kind)

    def ready(self, reader: Reader) -> Steps[Session]:
        """
        Make the card ours, and reset it if that was put off; return its session.

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
        self, reader: Reader, doing: Callable[[Session], Ask], *, settled: bool = True
    ) -> Steps[bytes]:
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

    def _release(self, reader: Reader) -> Steps[None]:
        session = reader.session
        if session is None or reader.busy or reader.handles:
            return
        reader.busy = True
        reader.session_over()
        reader.stale.remove(session)
        try:
            yield Ask(session.close)
        finally:
            self._over(reader)

    def _reset(self, reader: Reader, session: Session, kind: ResetKind) -> Steps[None]:
        atr = yield Ask(session.reset, (kind,))
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


def _close(session: Session) -> Steps[None]:
    yield Ask(session.close)


def _alone(reader: Reader, doing: Callable[[Session], Ask]) -> Steps[bytes]:
    session: Session = yield Open(reader.name, direct=True)
    try:
        answer: bytes = yield doing(session)
    except Failure as failure:
        yield Ask(session.close)
        raise Failure(failure.code, reason=failure.reason) from failure
    yield Ask(session.close)
    return answer
