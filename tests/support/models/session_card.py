# SPDX-License-Identifier: Apache-2.0
"""A card host with one session: a card that counts what it runs, and the card end in front."""

from collections import Counter, deque

import msgspec

from tests.support.models.session_network import Line, refusal
from wsrc.card_client.ended import Ended
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.session import CardEnd, Verdict

SECRET, KEEP_S = "5ec2e7", 60.0


def content_of(request: m.Message) -> int:
    """Tell commands apart: their last four octets are a number."""
    match request:
        case m.CApdu(command=command) | m.Batch(steps=(m.Step(command=command),)):
            return int.from_bytes(command[-4:])
        case _:
            raise AssertionError(request)


def answer_to(request: m.Message) -> m.Answer:
    """Answer so that it can be told to which command this belongs."""
    data = Octets(content_of(request).to_bytes(4))
    if isinstance(request, m.Batch):
        result = m.StepResult(response=data, sw="9000")
        return m.BatchResp(id=request.id, session="s", results=(result,))
    return m.RApdu(id=request.id, session="s", response=data, sw="9000")


class CardHost:
    """What a card client does with what it receives, in the order of the card's reader."""

    def __init__(self, line: Line, seen: Counter[str]) -> None:
        self.line: Line | None = line
        self.seen = seen
        self.now = 0.0
        self.end: CardEnd | None = CardEnd("s", SECRET, KEEP_S)
        self.ended = Ended()
        self.runs: Counter[int] = Counter()
        self.known: list[m.Forwarded] = []
        self.refusing = False
        self.lost_at: float | None = None
        self._running: tuple[m.Forwarded, Line | None] | None = None
        self._queue: deque[tuple[m.Message, Line | None]] = deque()

    @property
    def busy(self) -> bool:
        """Whether the card runs a command."""
        return self._running is not None

    def receive(self, message: m.Message, line: Line | None) -> None:
        """Take what arrives; on no line it is from somebody who has no business here."""
        if isinstance(message, m.Resume) and self.end is not None:
            if self.end.owns(message.secret):
                self._queue.clear()
            self._say(line, self._resume(message))
            return
        self._queue.append((message, line))
        self._go_on()

    def lose_server(self) -> None:
        """Note the loss of the connection; what was not begun is dropped."""
        self.line = None
        self.lost_at = self.now
        self._queue.clear()
        if self.end is not None:
            self.end.disconnected(self.now)

    def find_server(self, line: Line) -> None:
        self.line, self.lost_at = line, None
        if self.end is not None:
            self.end.connected()

    def finish(self) -> None:
        """The card answers."""
        if self._running is None:
            return
        request, line = self._running
        self._running = None
        if self.end is not None:
            self._say(line, self.end.answered(answer_to(request)))
        self._go_on()

    def pull(self, *, told: bool, remembered: bool) -> None:
        """
        End the session: the card is pulled, or the session was kept for too long.

        The command that runs, if any, is answered by a failure first if `told`, and else by nobody.
        """
        if self.end is None:
            return
        if self._running is not None:
            request, line = self._running
            self._running = None
            if told:
                failure = m.error(
                    ErrorCode.CARD_NOT_PRESENT, "Pulled.", id=request.id, outcome=Outcome.UNKNOWN
                )
                self._say(line, self.end.answered(failure))
        said = self.end.ended(ErrorCode.CARD_NOT_PRESENT, "The card was pulled.")
        if remembered:
            self.ended.put(self.end, said)
        self.end = None
        self._say(self.line, said)
        self._go_on()

    def check_time(self, *, remembered: bool) -> None:
        if self.end is None:
            return
        too_long = self.lost_at is not None and self.now - self.lost_at >= KEEP_S
        assert self.end.expired(self.now) == too_long
        if too_long:
            self.seen["the card end kept it for long enough"] += 1
            self.pull(told=False, remembered=remembered)

    def _go_on(self) -> None:
        while self._queue and self._running is None:
            message, line = self._queue.popleft()
            if isinstance(message, m.Resume):
                self._say(line, self._resume(message))
            elif self.end is None:
                self._say(line, refusal(message, ErrorCode.NO_SUCH_SESSION))
            else:
                self._take(self.end, message, line)

    def _take(self, end: CardEnd, request: m.Forwarded, line: Line | None) -> None:
        verdict = end.receive(request)
        if verdict is not Verdict.WRONG:
            self.known.append(request)
        match verdict:
            case Verdict.EXECUTE if self.refusing:
                self.refusing = False
                code, outcome = ErrorCode.CARD_WAS_RESET, Outcome.NOT_EXECUTED
                refused = m.error(code, "Another reset it.", id=request.id, outcome=outcome)
                self._say(line, end.answered(refused))
            case Verdict.EXECUTE:
                self.runs[content_of(request)] += 1
                self._running = request, line
            case Verdict.REPEAT:
                self.seen["a kept answer was repeated"] += 1
                again = end.repeated(request)
                if not isinstance(again, m.Error):
                    assert again == msgspec.structs.replace(answer_to(request), seq=request.seq)
                self._say(line, again)
            case Verdict.LATE:
                self.seen["a late copy was refused"] += 1
                outcome = end.outcome_of(request)
                late = m.error(ErrorCode.BAD_MESSAGE, "Late.", id=request.id, outcome=outcome)
                self._say(line, late)
            case Verdict.WRONG:
                assert line is None, request

    def _resume(self, request: m.Resume) -> m.Message:
        if self.end is not None and self.end.owns(request.secret):
            return self.end.resumed(request)
        said = self.ended.answer(request)
        return said or refusal(request, ErrorCode.NO_SUCH_SESSION)

    def _say(self, line: Line | None, message: m.Message) -> None:
        if line is not None and line is self.line:
            line.up.append(message)
