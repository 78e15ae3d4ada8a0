# SPDX-License-Identifier: Apache-2.0
"""
A user end and a card end with a hostile network between them, and what must hold of outcomes.

`World` has a method for each thing that can happen. `seen` counts the situations that were met,
so that a test can tell whether it tested anything.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from tests.property.session_card import KEEP_S, SECRET, CardHost
from tests.property.session_network import Line, Server
from wsrc import messages as m
from wsrc.errors import (
    ErrorCode,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    SessionError,
    SessionLostError,
)
from wsrc.octets import Octets
from wsrc.session import Effect, Send, Settled, State, UserEnd

SITUATIONS = (
    "answered at once",
    "resumed with the kept answer",
    "resumed and sent again",
    "resumed with nothing open",
    "asked while it was cut",
    "the resume waited for a running command",
    "a late copy was ignored",
    "a kept answer was repeated",
    "a late answer was ignored",
    "interrupted and resumed",
    "a resume was refused by a restarting server",
    "a request was refused by a restarting server",
    "refused by a restarting server, then over",
    "refused by the server",
    "refused by the card end",
    "given up, and never begun",
    "given up, and answered",
    "ended with the kept answer",
    "ended before it was begun",
    "ended while it ran",
    "ended, and nobody knows",
    "the user end kept it for long enough",
    "the card end kept it for long enough",
    "another's claim was refused",
)
"""What a test of sessions must have met."""


class World:
    """One session from its beginning to its end."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.now = 0.0
        self.passed: list[m.Message] = []
        self.server = Server(self.passed)
        self.line: Line | None = Line()
        card = Line()
        self.server.grant(self.line, card)
        self.host = CardHost(card, self.seen)
        self.user_lines, self.card_lines = [self.line], [card]
        self.user = UserEnd("s", SECRET, KEEP_S, "host", "reader")
        self.copies: list[m.Answer] = []
        self.asked = 0
        self.open: int | None = None
        self.never: set[int] = set()
        self._given_up = False
        self._may_run = False
        self._sent_back = False
        self._interrupted = False
        self._number = 0
        self._ids: dict[int, type[m.Message]] = {}
        self._id = 0

    # What the user does

    def ask(self, *, batch: bool) -> None:
        if self.open is not None or self.user.over is not None:
            return
        self.asked += 1
        command = Octets(b"\x80\x32\x00\x00\x04" + self.asked.to_bytes(4))
        request: m.Forwarded = m.CApdu(command=command)
        if batch:
            request = m.Batch(session="", steps=(m.Step(command=command),))
        if self.user.state is not State.LIVE:
            self.seen["asked while it was cut"] += 1
        self.open = self.asked
        self._may_run = self._given_up = self._sent_back = False
        self._perform(self.user.ask(request))

    def give_up(self) -> None:
        """The caller's time is over."""
        self._given_up = self.open is not None
        self.user.abandon()

    # What happens to connections

    def user_connects(self) -> None:
        if self.line is not None:
            return
        self.line = Line()
        self.user_lines.append(self.line)
        self._ids, self._id = {}, 0
        self._perform(self.user.connected())

    def card_connects(self) -> None:
        if self.host.line is not None:
            return
        line = Line()
        self.card_lines.append(line)
        self.host.find_server(line)
        self.server.card_came(line)

    def user_notices(self) -> None:
        """The user end learns that its connection is lost, or believes so."""
        if self.line is not None:
            self.line.client_open = False
            self.line = None
            self._perform(self.user.disconnected(self.now))

    def server_notices_user(self, which: int) -> None:
        line = self.user_lines[which % len(self.user_lines)]
        line.server_open = False
        self.server.user_lost(line)

    def card_notices(self) -> None:
        if self.host.line is not None:
            self.host.line.client_open = False
            self.host.lose_server()

    def server_notices_card(self, which: int) -> None:
        line = self.card_lines[which % len(self.card_lines)]
        line.server_open = False
        self.server.card_lost(line)

    def server_restarts(self) -> None:
        for line in (*self.user_lines, *self.card_lines):
            line.server_open = False
        self.server = Server(self.passed)

    def network_loses(self, which: int) -> None:
        """What is in a lost connection goes nowhere."""
        for line in (self.user_lines[which % len(self.user_lines)], self.card_lines[-1]):
            if not (line.client_open and line.server_open):
                line.up.clear()
                line.down.clear()

    # What arrives

    def to_server_from_user(self, which: int) -> None:
        line = self.user_lines[-1 - which % len(self.user_lines)]
        if line.up:
            message = line.up.popleft()
            if line.server_open:
                self.server.from_user(line, message)

    def to_server_from_card(self, which: int) -> None:
        line = self.card_lines[-1 - which % len(self.card_lines)]
        if line.up:
            message = line.up.popleft()
            if line.server_open:
                self.server.from_card(line, message)

    def to_card(self, which: int) -> None:
        line = self.card_lines[-1 - which % len(self.card_lines)]
        if line.down:
            self._to_card(line.down.popleft(), line)

    def to_user(self, which: int) -> None:
        line = self.user_lines[-1 - which % len(self.user_lines)]
        if line.down:
            self._to_user(line.down.popleft(), line)

    def copy_to_card(self, which: int) -> None:
        """What was passed on once arrives at the card once more, or early."""
        if self.passed:
            request = self.passed[-1 - which % len(self.passed)]
            expected = request is self.passed[-1] and self.server.in_flight == request.id
            self.host.receive(request, self.host.line if expected else None)

    def copy_to_user(self, which: int) -> None:
        """An answer of the card end arrives at the user end once more."""
        if self.copies:
            self.seen["a late answer was ignored"] += 1
            copy = self.copies[-1 - which % len(self.copies)]
            self._perform(self.user.answered(copy))

    # What others do

    def impostor(self, which: int, how: str) -> None:
        """Somebody repeats old requests, changes them, or claims the session."""
        if how == "claim":
            line = Line()
            before, self.host.line = self.host.line, line
            claim = m.Resume(id=1, session="s", secret="0ther", seq=10**9)
            busy = self.host.busy
            self.host.receive(claim, line)
            self.host.line = before
            if not busy:
                said = line.up.popleft()
                assert isinstance(said, m.Error)
                assert said.code is ErrorCode.NO_SUCH_SESSION
                self.seen["another's claim was refused"] += 1
        elif self.host.known:
            request = self.host.known[-1 - which % len(self.host.known)]
            if how == "changed":
                request = m.CApdu(seq=request.seq, command=Octets(b"\x80\x32\x00\x00\xff" * 2))
            elif how == "unnumbered":
                request = msgspec.structs.replace(request, seq=None)
            self.host.receive(request, None)

    def pull(self, *, told: bool, remembered: bool) -> None:
        self.host.pull(told=told, remembered=remembered)

    def time_passes(self, user_s: float, card_s: float, *, remembered: bool) -> None:
        """Time passes at both ends, whose clocks have nothing to do with one another."""
        self.now += user_s
        self.host.now += card_s
        self.host.check_time(remembered=remembered)
        was_over = self.user.over
        self._perform(self.user.expired(self.now))
        if was_over is not self.user.over:
            self.seen["the user end kept it for long enough"] += 1

    # What the user end is told, and makes of it

    def _to_card(self, message: m.Message, line: Line) -> None:
        if isinstance(message, m.Resume) and self.host.busy and line is self.host.line:
            self.seen["the resume waited for a running command"] += 1
        self.host.receive(message, line)

    def _to_user(self, message: m.Message, line: Line) -> None:
        if isinstance(message, m.Answer) and message.seq is not None:
            self.copies.append(message)
        if line is not self.line:
            return
        match message:
            case m.SessionInterrupted():
                self._interrupted = True
                self._perform(self.user.interrupted(self.now))
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
        if isinstance(answer, m.Error) and answer.seq is None:
            assert answer.outcome is Outcome.NOT_EXECUTED
            self._may_run = False
            if answer.code is ErrorCode.SHUTTING_DOWN and self.user.state is State.LIVE:
                self._sent_back = True
                self.seen["a request was refused by a restarting server"] += 1
        self._perform(self.user.answered(answer))

    def _resume_answered(self, message: m.Message) -> None:
        match message:
            case m.Resumed():
                self._resumed(message)
            case m.SessionEnded():
                self._ended(message)
            case m.Error(code=ErrorCode.SHUTTING_DOWN):
                self.seen["a resume was refused by a restarting server"] += 1
                self._perform(self.user.refused(message, self.now))
                self.user_notices()
            case m.Error():
                self._perform(self.user.refused(message, self.now))
                assert self.user.over is not None
            case _:
                raise AssertionError(message)

    def _resumed(self, message: m.Resumed) -> None:
        was, number, may_run = self.open, self._number, self._may_run
        if self.user.over is not None:
            assert self.user.resumed(message) == ()
            return
        self._perform(self.user.resumed(message))
        assert self.user.state is State.LIVE
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
        effects = self.user.ended(message)
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
            assert message.seq > self._number
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
                self._never(asked)
            case m.Error():
                assert answer.code is ErrorCode.CARD_NOT_PRESENT
                assert self.host.runs[asked] == 1
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
        assert self.host.runs[asked] == 1
        self.seen["given up, and answered" if self._given_up else "answered at once"] += 1

    def _not_executed(self, asked: int) -> None:
        if self._sent_back:
            self.seen["refused by a restarting server, then over"] += 1
        elif self.user.over is None:
            assert self._given_up
            self.seen["given up, and never begun"] += 1
        self._never(asked)

    def _never(self, asked: int) -> None:
        assert self.host.runs[asked] == 0
        self.never.add(asked)

    # What must hold

    def check(self) -> None:
        """Check what holds at any time."""
        assert all(times == 1 for times in self.host.runs.values())
        assert not self.never & set(self.host.runs)
        assert self.user.idle == (self.open is None)
        if self.user.over is not None:
            assert self.user.idle
            assert str(self.user.over)
            with pytest.raises(SessionLostError):
                self.user.ask(m.CApdu(command=Octets(b"\x00")))

    def heal(self) -> None:
        """Check that all settles when the network is well again."""
        for _ in range(4):
            self.mend()
            self._deliver_all()
        self.check()
        assert self.open is None
        if self.user.over is None:
            assert self.user.state is State.LIVE
            self.ask(batch=False)
            self._deliver_all()
            assert self.open is None
        self.check()

    def mend(self) -> None:
        """Everybody notices what is lost, and connects again to a server that is well."""
        self.server.refusing = self.host.refusing = False
        if self.server.draining:
            self.server_restarts()
        for at, line in enumerate(self.user_lines):
            if line.server_open and not line.client_open:
                self.server_notices_user(at)
        for at, line in enumerate(self.card_lines):
            if line.server_open and not line.client_open:
                self.server_notices_card(at)
        if self.line is not None and not self.line.server_open:
            self.user_notices()
        if self.host.line is not None and not self.host.line.server_open:
            self.card_notices()
        self.card_connects()
        self.user_connects()

    def _deliver_all(self) -> None:
        lines = [*self.user_lines, *self.card_lines]
        while self.host.busy or any(line.up or line.down for line in lines):
            for at in range(len(self.user_lines)):
                self.to_server_from_user(at)
                self.to_user(at)
            for at in range(len(self.card_lines)):
                self.to_card(at)
                self.to_server_from_card(at)
            self.host.finish()
