# SPDX-License-Identifier: Apache-2.0
"""
A user end and a card end with a hostile network between them, and what must hold of outcomes.

`World` has a method for each thing that can happen. `seen` counts the situations that were met,
so that a test can tell whether it tested anything.
"""

from collections import Counter

import msgspec

from tests.support.models.session_card import CardHost
from tests.support.models.session_network import Line, Server
from tests.support.models.session_user import UserClient
from wsrc.errors import ErrorCode
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.session import State

SITUATIONS = (
    "answered at once",
    "resumed with the kept answer",
    "resumed and sent again",
    "resumed with nothing open",
    "asked while it was cut",
    "resumed while it ran",
    "a copy of what ran was refused",
    "a late copy was refused",
    "a kept answer was repeated",
    "a late answer was ignored",
    "interrupted and resumed",
    "a resume was refused by a restarting server",
    "a resume was refused for there were too many",
    "a request was refused by a restarting server",
    "refused by a restarting server, then over",
    "refused by the server",
    "refused by the card end",
    "the server would not wait for the answer",
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
        user, card = Line(), Line()
        self.user_lines, self.card_lines = [user], [card]
        self.passed: list[m.Message] = []
        self.server = Server(self.passed)
        self.server.grant(user, card)
        self.host = CardHost(card, self.seen)
        self.user = UserClient(user, self.seen, self.host.runs)

    # What happens to connections

    def user_connects(self) -> None:
        if self.user.line is None:
            line = Line()
            self.user_lines.append(line)
            self.user.connect(line)

    def card_connects(self) -> None:
        if self.host.line is not None:
            return
        line = Line()
        self.card_lines.append(line)
        self.host.find_server(line)
        self.server.card_came(line)

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
            self.host.receive(line.down.popleft(), line)

    def to_user(self, which: int) -> None:
        line = self.user_lines[-1 - which % len(self.user_lines)]
        if line.down:
            self.user.receive(line.down.popleft(), line)

    def copy_to_card(self, which: int) -> None:
        """What was passed on once arrives at the card once more, or early."""
        if self.passed:
            request = self.passed[-1 - which % len(self.passed)]
            expected = request is self.passed[-1] and self.server.in_flight == request.id
            self.host.receive(request, self.host.line if expected else None)

    def copy_to_user(self, which: int) -> None:
        """An answer of the card end arrives at the user end once more."""
        copies = self.user.copies
        if copies:
            self.user.repeat(copies[-1 - which % len(copies)])

    # What others do

    def impostor(self, which: int, how: str) -> None:
        """Somebody repeats old requests, changes them, or claims the session."""
        if how == "claim":
            line = Line()
            before, self.host.line = self.host.line, line
            claim = m.Resume(id=1, session="s", secret="0ther", seq=10**9)
            self.host.receive(claim, line)
            self.host.line = before
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
        self.user.now += user_s
        self.host.now += card_s
        self.host.check_time(remembered=remembered)
        self.user.check_time()

    # What must hold

    def check(self) -> None:
        """Check what holds at any time."""
        assert all(times == 1 for times in self.host.runs.values())
        self.user.check()

    def heal(self) -> None:
        """Check that all settles when the network is well again."""
        for _ in range(4):
            self.mend()
            self._deliver_all()
        self.check()
        assert self.user.open is None
        if self.user.end.over is None:
            assert self.user.end.state is State.LIVE
            self.user.ask(batch=False)
            self._deliver_all()
            assert self.user.open is None
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
        if self.user.line is not None and not self.user.line.server_open:
            self.user.lose_server()
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
