# SPDX-License-Identifier: Apache-2.0
"""
What lies between the two ends of a session: connections that break, and a server that forgets.

A connection keeps its order, and has two ends that learn of its loss at different times. What is
in it when it is lost may still arrive at the card, however late. The server is honest: it passes
on or it refuses, never both; and it tells apart what answers which request by `id`.
"""

from collections import deque
from itertools import count
from typing import NamedTuple

import msgspec

from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m


class Line:
    """One connection: to the server upwards, from it downwards."""

    def __init__(self) -> None:
        self.up: deque[m.Message] = deque()
        self.down: deque[m.Message] = deque()
        self.client_open = True
        self.server_open = True


class Claim(NamedTuple):
    """A `resume` that is not answered yet."""

    line: Line
    request: m.Resume


def refusal(request: m.Message, code: ErrorCode) -> m.Error:
    """Refuse what is not passed on."""
    outcome = None if isinstance(request, m.Resume) else Outcome.NOT_EXECUTED
    return m.error(code, "It is refused.", id=request.id, outcome=outcome)


class Server:
    """
    One run of a server with one session; the next run remembers nothing.

    Args:
        passed: Gets what was passed on to the card client.
    """

    def __init__(self, passed: list[m.Message]) -> None:
        self.passed = passed
        self.card: Line | None = None
        self.holder: Line | None = None
        self.in_flight: int | None = None
        self.claims: dict[int, Claim] = {}
        self.waiting: list[Claim] = []
        self.draining = False
        self.refusing = False
        self.crowded = False
        self._numbers = count(1_000_000)

    def grant(self, user: Line, card: Line) -> None:
        """Begin with a session that is attached."""
        self.holder, self.card = user, card

    # From users

    def from_user(self, line: Line, message: m.Message) -> None:
        if self.draining:
            line.down.append(refusal(message, ErrorCode.SHUTTING_DOWN))
        elif isinstance(message, m.Resume):
            self._claim(Claim(line, message))
        elif self.holder is not line:
            line.down.append(refusal(message, ErrorCode.NO_SUCH_SESSION))
        elif self.refusing:
            self.refusing = False
            line.down.append(refusal(message, ErrorCode.TOO_MANY))
        elif self.in_flight is not None:
            line.down.append(refusal(message, ErrorCode.REQUEST_IN_FLIGHT))
        else:
            assert self.card is not None
            self.in_flight = message.id
            self.card.down.append(message)
            self.passed.append(message)

    def _claim(self, claim: Claim) -> None:
        if self.crowded:
            self.crowded = False
            claim.line.down.append(refusal(claim.request, ErrorCode.TOO_MANY))
            return
        if self.card is None:
            self.waiting.append(claim)
            return
        number = next(self._numbers)
        self.claims[number] = claim
        resume = msgspec.structs.replace(claim.request, id=number)
        self.card.down.append(resume)
        self.passed.append(resume)

    def time_out(self) -> None:
        """Wait no longer for the answer to the request in flight."""
        if self.holder is not None and self.in_flight is not None:
            self.holder.down.append(
                m.error(
                    ErrorCode.COMMAND_TIMEOUT, "No.", id=self.in_flight, outcome=Outcome.UNKNOWN
                )
            )
            self.in_flight = None

    def user_lost(self, line: Line) -> None:
        if line is self.holder:
            self.holder = self.in_flight = None
        self.waiting = [claim for claim in self.waiting if claim.line is not line]

    # From card clients

    def card_came(self, line: Line) -> None:
        """Take the hello of a card client, which replaces its earlier connection."""
        if self.card is not None:
            old = self.card
            old.server_open = False
            self.card_lost(old)
        self.card = line
        waiting, self.waiting = self.waiting, []
        for claim in waiting:
            self._claim(claim)

    def card_lost(self, line: Line) -> None:
        if line is not self.card:
            return
        self.card = None
        self.waiting += self.claims.values()
        self.claims.clear()
        if self.holder is not None:
            self.holder.down.append(m.SessionInterrupted(session="s", message="Out of reach."))
        self.holder = self.in_flight = None

    def from_card(self, line: Line, message: m.Message) -> None:
        if line is not self.card:
            return
        match message:
            case m.Resumed():
                self._resumed(message)
            case m.SessionEnded(id=None):
                if self.holder is not None:
                    self.holder.down.append(message)
                self.holder = self.in_flight = None
            case m.SessionEnded() | m.Error(seq=None) if message.id in self.claims:
                claim = self.claims.pop(message.id)
                claim.line.down.append(msgspec.structs.replace(message, id=claim.request.id))
            case _ if message.id == self.in_flight and self.holder is not None:
                self.in_flight = None
                self.holder.down.append(message)
            case _:
                pass

    def _resumed(self, message: m.Resumed) -> None:
        claim = self.claims.pop(message.id or 0, None)
        if claim is not None and claim.line.server_open:
            self.holder, self.in_flight = claim.line, None
            claim.line.down.append(msgspec.structs.replace(message, id=claim.request.id))
