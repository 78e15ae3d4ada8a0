# SPDX-License-Identifier: Apache-2.0
"""A user client with one session, and whether what it is told of each command is true."""

from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from tests.support.models.session_card import KEEP_S, SECRET
from tests.support.models.session_network import Line
from wsrc.errors import (
    ErrorCode,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    SessionError,
    SessionLostError,
)
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.session import Effect, Send, Settled, State, UserEnd


class UserClient:
    """
    What a user client does with its end of the session.

    Args:
        line: The connection on which the session was granted.
        seen: Counts the situations that were met.
        runs: How often the card ran each command.
    """

    def __init__(self, line: Line, seen: Counter[str], runs: Counter[int]) -> None:
        self.line: Line | None = line
        self.seen = seen
        self.runs = runs
        self.now = 0.0
        self.end = UserEnd("s", SECRET, KEEP_S, "host", "reader")
        self.copies: list[m.Answer] = []
        self.asked = 0
        self.open: int | None = None
        self._cut_at: float | None = None
        self._over: SessionLostError | None = None
        self._never: set[int] = set()
        self._given_up = False
        self._may_run = False
        self._begun = False
        self._sent_back = False
        self._interrupted = False
        self._number = 0
        self._ids: dict[int, type[m.Message]] = {}
        self._id = 0

    def ask(self, *, batch: bool) -> None:
        """Ask for another command, if none is open."""
        if self.open is not None or self.end.over is not None:
            return
        self.asked += 1
        command = Octets(b"\x80\x32\x00\x00\x04" + self.asked.to_bytes(4))
        request: m.Forwarded = m.CApdu(command=command)
        if batch:
            request = m.Batch(session="", steps=(m.Step(command=command),))
        if self.end.state is not State.LIVE:
            self.seen["asked while it was cut"] += 1
        self.open = self.asked
        self._may_run = self._begun = self._given_up = self._sent_back = False
        self._perform(self.end.ask(request))

    def give_up(self) -> None:
        """The caller's time is over."""
        self._given_up = self.open is not None
        self.end.abandon()

    def connect(self, line: Line) -> None:
        """Come back on another connection."""
        self.line = line
        self._ids, self._id = {}, 0
        self._perform(self.end.connected())

    def lose_server(self) -> None:
        """Learn that the connection is lost, or believe so."""
        if self.line is not None:
            self.line.client_open = False
            self.line = None
            self._cut()
            self._perform(self.end.disconnected(self.now))

    def check_time(self) -> None:
        too_long = self._cut_at is not None and self.now - self._cut_at >= KEEP_S
        was_over = self.end.over
        self._perform(self.end.expired(self.now))
        assert (self.end.over is not None) == (too_long or was_over is not None)
        if was_over is not self.end.over:
            self.seen["the user end kept it for long enough"] += 1

    def _cut(self) -> None:
        if self._cut_at is None:
            self._cut_at = self.now

    def repeat(self, copy: m.Answer) -> None:
        """Take an answer of the card end once more."""
        self.seen["a late answer was ignored"] += 1
        self._perform(self.end.answered(copy))

    def receive(self, message: m.Message, line: Line) -> None:
        """Take what arrives; an answer of the card end is one on whatever connection."""
        if isinstance(message, m.Answer) and message.seq is not None:
            self.copies.append(message)
        if line is not self.line:
            return
        match message:
            case m.SessionInterrupted():
                self._interrupted = True
                self._cut()
                self._perform(self.end.interrupted(self.now))
            case m.SessionEnded(id=None):
                self._ended(message)
            case _ if message.id in self._ids:
                if self._ids.pop(message.id) is m.Resume:
                    self._resume_answered(message)
                else:
                    assert isinstance(message, m.Answer)
                    self._answered(message)
            case _:
                pass

    def _answered(self, answer: m.Answer) -> None:
        refused = isinstance(answer, m.Error) and answer.outcome is Outcome.NOT_EXECUTED
        if refused and answer.seq is None:
            self._may_run = self._begun
            if self._begun:
                self.seen["a copy of what ran was refused"] += 1
            if answer.code is ErrorCode.SHUTTING_DOWN and self.end.state is State.LIVE:
                self._sent_back = True
                self.seen["a request was refused by a restarting server"] += 1
        self._perform(self.end.answered(answer))

    def _resume_answered(self, message: m.Message) -> None:
        match message:
            case m.Resumed():
                self._resumed(message)
            case m.SessionEnded():
                self._ended(message)
            case m.Error(code=ErrorCode.SHUTTING_DOWN):
                self.seen["a resume was refused by a restarting server"] += 1
                was_over = self.end.over
                self._perform(self.end.refused(message, self.now))
                assert self.end.over is was_over
                self.lose_server()
            case m.Error(code=ErrorCode.TOO_MANY):
                self.seen["a resume was refused for there were too many"] += 1
                was_over = self.end.over
                self._perform(self.end.refused(message, self.now))
                assert self.end.over is was_over
                if self.end.state is State.CUT:
                    self._perform(self.end.connected())
            case m.Error():
                self._perform(self.end.refused(message, self.now))
                assert self.end.over is not None
            case _:
                raise AssertionError(message)

    def _resumed(self, message: m.Resumed) -> None:
        was, number, may_run = self.open, self._number, self._may_run
        if self.end.over is not None:
            [effect] = self.end.resumed(message)
            assert isinstance(effect, Send)
            assert effect.message == m.Detach(session="s")
            return
        if message.seq == number and message.answer is None and (may_run or self._sent_back):
            self.seen["resumed while it ran"] += 1
            self._begun = True
        self._perform(self.end.resumed(message))
        assert self.end.state is State.LIVE
        self._cut_at = None
        if was is None:
            self.seen["resumed with nothing open"] += 1
        elif self.open is None and not self._given_up:
            self.seen["resumed with the kept answer"] += 1
        elif self._number > number and may_run:
            self.seen["resumed and sent again"] += 1
        if self._interrupted:
            self.seen["interrupted and resumed"] += 1
        self._interrupted = False

    def _ended(self, message: m.SessionEnded) -> None:
        was, may_run = self.open, self._may_run
        assert message.seq is not None
        sent = may_run or self._sent_back
        answered = sent and message.seq == self._number and message.answer is not None
        if message.seq < self._number:
            self._may_run = False
        effects = self.end.ended(message)
        if was is not None:
            told = effects[-1]
            assert isinstance(told, Settled)
            assert answered == (told.answer is message.answer)
            if answered:
                self.seen["ended with the kept answer"] += 1
            elif may_run:
                seen = "ended while it ran" if self._may_run else "ended before it was begun"
                self.seen[seen] += 1
        self._perform(effects)

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Settled):
                self._settle(effect.answer)
            else:
                self._send(effect)

    def _send(self, send: Send) -> None:
        assert self.line is not None
        self._id += 1
        self._ids[self._id] = type(send.message)
        message = msgspec.structs.replace(send.message, id=self._id)
        if not isinstance(message, m.Resume):
            assert message.seq is not None
            assert message.seq == self._number if self._begun else message.seq > self._number
            self._number = message.seq
            self._may_run, self._sent_back = True, False
        self.line.up.append(message)

    def _settle(self, answer: m.Answer | SessionError) -> None:
        asked, self.open = self.open, None
        assert asked is not None
        match answer:
            case m.Error(outcome=Outcome.NOT_EXECUTED):
                by = "the server" if answer.seq is None else "the card end"
                self.seen[f"refused by {by}"] += 1
                self._must_never_run(asked)
            case m.Error(code=ErrorCode.COMMAND_TIMEOUT):
                self.seen["the server would not wait for the answer"] += 1
                assert self._may_run
            case m.Error():
                assert answer.code is ErrorCode.CARD_NOT_PRESENT
                assert self.runs[asked] == 1
            case m.RApdu() | m.BatchResp():
                self._belongs(answer, asked)
            case NotExecutedError():
                self._not_executed(asked)
            case OutcomeUnknownError():
                self.seen["ended, and nobody knows"] += 1
                assert self._may_run
            case _:
                raise AssertionError(answer)

    def _belongs(self, answer: m.RApdu | m.BatchResp, asked: int) -> None:
        result = answer if isinstance(answer, m.RApdu) else answer.results[0]
        assert int.from_bytes(result.response) == asked
        assert self.runs[asked] == 1
        self.seen["given up, and answered" if self._given_up else "answered at once"] += 1

    def _not_executed(self, asked: int) -> None:
        if self._sent_back:
            self.seen["refused by a restarting server, then over"] += 1
        elif self.end.over is None:
            assert self._given_up
            self.seen["given up, and never begun"] += 1
        self._must_never_run(asked)

    def _must_never_run(self, asked: int) -> None:
        assert self.runs[asked] == 0
        self._never.add(asked)

    def check(self) -> None:
        """Check what holds at any time."""
        assert not self._never & set(self.runs)
        assert self.end.idle == (self.open is None)
        if self.end.over is not None:
            self._over = self._over or self.end.over
            assert self.end.over is self._over
            assert self.open is None
            with pytest.raises(SessionLostError):
                self.end.ask(m.CApdu(command=Octets(b"\x00")))
