# SPDX-License-Identifier: Apache-2.0
"""
One user, one card, many connections: each command runs at most once, and has a named outcome.

A card is half duplex, so one request of a session is open at a time and one kept answer is
enough. `UserEnd` gives each request that it sends a higher number than all before. `CardEnd` takes
in hand only what is higher than all that it has seen. The server between them only carries. Both
ends are machines without I/O; times are arguments, in seconds of each end's monotonic clock.

    user end                                          card end
    ask ────────── request seq=n ──────────────────▶  n > seen  take in hand, keep the answer
        ◀───────────────── answer seq=n ────────────  n = seen  give the kept answer again
    connection lost                                   n < seen  a late copy: refuse it
    connected ──── resume seq=n ───────────────────▶  nothing up to n is begun from now on
        ◀───────── resumed seq=taken (+ answer) ────  taken = n: here is what became of it
                                                      taken < n: it never ran; send it as n + 1
        ◀───────── session_ended seq=taken ─────────  reset, removal, another's: it is over
"""

# Longer than the aim: the two ends are read side by side.

import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeGuard

import msgspec

from wsrc.errors import (
    ErrorCode,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    RefusedError,
    SessionError,
    SessionLostError,
)
from wsrc.open_request import Doubt, Open, Progress
from wsrc.protocol import messages as m
from wsrc.states import Table, follow
from wsrc.words import Word

if TYPE_CHECKING:  # few sessions are sealed, and those who are not load no cryptography
    from wsrc.protocol.boxed import CardBoxes, UserBoxes


class Verdict(Word):
    """What the card end does with a request."""

    EXECUTE = "execute", "It is new: take it in hand"
    REPEAT = "repeat", "It was answered: give the kept answer"
    LATE = "late", "It is a late copy: refuse it, with what is known of its number"
    WRONG = "wrong", "It cannot be from the other end of this session: refuse it"


class CardEnd:
    """
    The end of a session where the card is.

    Args:
        session: Name of the session.
        secret: What `resume` must have; without one there is no resume.
        keep_s: How long the session outlives the connection to the server.
        seal: Of a session that is sealed, which is resumed by proof whatever the secret.
        owner: Digest of the principal whose it is, as the server said; empty of one without.
    """

    def __init__(
        self,
        session: str,
        secret: str | None,
        keep_s: float,
        seal: "CardBoxes | None" = None,
        *,
        owner: str = "",
    ) -> None:
        self.session = session
        self.keep_s = keep_s if secret or seal else 0.0
        self.taken = 0
        self._seen = 0
        self._secret = secret or ""
        self.owner = owner
        self._seal = seal
        self._request: m.Message | None = None
        self._kept: m.Answer | None = None
        self._lost_at: float | None = None

    def receive(self, request: m.Forwarded) -> Verdict:
        """
        Decide on a request; one to execute counts as taken in hand.

        `WRONG` is for what cannot come from the other end of this session: a request without a
        number, or another one under a number that was used. A request that has to wait for the
        card is decided on when its turn comes: one that is taken in hand is begun or answered.
        """
        seq, plain = request.seq, _plain(request)
        if seq is None or seq < 1:
            return Verdict.WRONG
        if seq > self._seen:
            self.taken = self._seen = seq
            self._request, self._kept = plain, None
            return Verdict.EXECUTE
        if seq < self.taken or self.taken < self._seen:
            return Verdict.LATE
        if plain != self._request:
            return Verdict.WRONG
        return Verdict.REPEAT if self._kept is not None else Verdict.LATE

    def has_seen(self, request: m.Forwarded) -> bool:
        """Return whether a request is none to be begun, for its number is not a new one."""
        return request.seq is not None and request.seq <= self._seen

    def refused(self, request: m.Forwarded) -> None:
        """Note that a request is not taken in hand: its number is not for another one either."""
        if request.seq is not None:
            self._saw(request.seq)

    def outcome_of(self, late: m.Forwarded) -> Outcome:
        """Return what became of the request of a late copy."""
        begun = late.seq is not None and late.seq <= self.taken
        return Outcome.UNKNOWN if begun else Outcome.NOT_EXECUTED

    def answered(self, answer: m.Answer) -> m.Answer:
        """Keep the answer to the request in hand, and return it with its number, and sealed."""
        said = msgspec.structs.replace(answer, seq=self.taken)
        self._kept = said if self._seal is None else self._seal.seal(said)
        return self._kept

    def repeated(self, request: m.Forwarded) -> m.Answer:
        """Return the kept answer to a request that is to be answered again."""
        assert self._kept is not None
        return msgspec.structs.replace(self._kept, id=request.id)

    def owns(self, secret: str) -> bool:
        """Return whether a secret is that of this session."""
        return _same(self._secret, secret)

    def may_resume(self, request: m.Resume) -> bool:
        """Return whether a `resume` is the rightful user's; a proof is good once."""
        if request.owner != self.owner:
            return False
        return self.owns(request.secret) if self._seal is None else self._seal.proves(request)

    def late(self, *, given_back: bool) -> "Late | None":
        """Return what answers the rightful user once the session is over; None where none can."""
        if self._seal is not None:
            return self._seal.late(given_back=given_back)
        return _LateSecret(self._secret) if self._secret else None

    def resumed(self, request: m.Resume) -> m.Resumed:
        """Answer the rightful user's `resume`; nothing up to its number is begun any more."""
        self._saw(request.seq)
        word = None if self._seal is None else self._seal.resumed(request.seq, self.taken)
        return m.Resumed(
            id=request.id, session=self.session, seq=self.taken, answer=self._kept, word=word
        )

    def word_on(self, request: m.Message) -> bytes | None:
        """Return the word of a sealed session that a request is not begun, where that is so."""
        seq = request.seq if isinstance(request, m.Forwarded) else None
        if self._seal is None or seq is None or not self.taken < seq <= self._seen:
            return None
        if isinstance(request, m.Sealed):
            self._seal.heard(request)
        return self._seal.refused(seq)

    def _saw(self, seq: int) -> None:
        self._seen = max(self._seen, seq)

    def ended(self, code: ErrorCode, sentence: str) -> m.SessionEnded:
        """Return how the session ended, and what became of the last request."""
        word = None if self._seal is None else self._seal.ended(self.taken)
        return m.SessionEnded(
            session=self.session,
            code=code,
            message=sentence,
            seq=self.taken,
            answer=self._kept,
            word=word,
        )

    def disconnected(self, now: float) -> None:
        """Note that the server is out of reach."""
        if self._lost_at is None:
            self._lost_at = now
        if self._seal is not None:
            self._seal.lost()

    def connected(self) -> None:
        """Note that the server is back."""
        self._lost_at = None

    def deadline(self) -> float | None:
        """Return the time from which the session is not kept any more."""
        return None if self._lost_at is None else self._lost_at + self.keep_s

    def expired(self, now: float) -> bool:
        """Return whether the session was without a server for too long."""
        deadline = self.deadline()
        return deadline is not None and deadline <= now


class Late(Protocol):
    """What a card host keeps of a session that is over, to tell its user from others."""

    def answer(self, request: m.Resume, said: m.SessionEnded, /) -> m.SessionEnded | None:
        """Return what is said to the rightful user; None to anybody else."""


class _LateSecret(NamedTuple):
    secret: str

    def answer(self, request: m.Resume, said: m.SessionEnded, /) -> m.SessionEnded | None:
        return said if _same(self.secret, request.secret) else None


class State(Word):
    """How the user end is."""

    LIVE = "live", "Requests are sent and answered"
    CUT = "cut", "The connection is lost, and there is no other yet"
    RESUMING = "resuming", "`resume` is sent and not answered yet"
    ASKING = "asking", "The same, for the card end's word on what the server has said"
    OVER = "over", "The card is no longer ours"


Event = Literal["disconnected", "connected", "doubted", "resumed", "no word", "ended"]

TRANSITIONS: Table[State, Event] = {
    State.LIVE: {
        "disconnected": State.CUT,
        "doubted": State.ASKING,
        "ended": State.OVER,
    },
    State.CUT: {"disconnected": State.CUT, "connected": State.RESUMING, "ended": State.OVER},
    State.RESUMING: {"disconnected": State.CUT, "resumed": State.LIVE, "ended": State.OVER},
    State.ASKING: {
        "disconnected": State.CUT,
        "resumed": State.LIVE,
        "no word": State.LIVE,
        "ended": State.OVER,
    },
    State.OVER: {},
}
"""All that can become of the user end, which begins *live*; what comes after the end is ignored."""

AWAY = frozenset((State.CUT, State.RESUMING))
"""States in which the session is out of reach and waits to be resumed."""

DEAF = AWAY | {State.ASKING}
"""States in which answers are dropped: what answers `resume` has the last word."""


PASSES = frozenset((ErrorCode.SHUTTING_DOWN, ErrorCode.TOO_MANY))
"""Why `resume` is refused for now: until another connection, or for a moment."""

_UNREACHABLE = frozenset((ErrorCode.CARD_CLIENT_GONE, ErrorCode.CONNECTION_LOST))
"""Why a session is over whose card end has no word for anybody."""


class Send(NamedTuple):
    """Send a request of the session, `resume`, or `detach` for a card that is not wanted."""

    message: m.Forwarded | m.Resume | m.Detach


class Settled(NamedTuple):
    """The open request is over: the card end's or the server's answer, or why there is none."""

    answer: m.Answer | SessionError


Effect = Send | Settled


class UserEnd:
    """
    The end of a session where its user is.

    In a sealed session nothing that has no box, and no word of the card end, says what became of
    a request: whoever carries it may have made it up. The card end is asked for its word then.

    Args:
        session: Name of the session.
        secret: The secret that `select_card` told the card end.
        keep_s: Seconds for which resuming is tried; 0 where it cannot be.
        host, reader: Where the card is, for `resume`.
        seal: Of a session that is sealed.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a session is, each once
        self,
        session: str,
        secret: str = "",
        keep_s: float = 0.0,
        host: str | None = None,
        reader: str | None = None,
        seal: "UserBoxes | None" = None,
    ) -> None:
        self.state = State.LIVE
        self.over: SessionLostError | None = None
        self._resume = m.Resume(session=session, secret=secret, host=host, reader=reader)
        self._seal = seal
        self._keep_s = keep_s
        self._number = 0
        self._open: Open | None = None
        self._cut_at = 0.0

    @property
    def idle(self) -> bool:
        """Whether a request can be asked: none is open."""
        return self._open is None

    def check(self) -> None:
        """Raise SessionLostError if the session is over."""
        if self.over is not None:
            raise self.over.with_traceback(None)

    def ask(self, request: m.Plain) -> Sequence[Effect]:
        """
        Send a request under the next number, as soon as the card is in reach.

        Raises:
            SessionLostError: If the session is over.
        """
        assert self._open is None, "one request at a time"
        self.check()
        self._open = Open(msgspec.structs.replace(request, session=self._resume.session))
        return self._send(self._number + 1) if self.state is State.LIVE else ()

    def abandon(self) -> bool:
        """Give up the open request if it has not begun; return whether it may have."""
        if self._open is not None:
            self._open.abandoned = True
        return self._open is not None and self._open.at_risk

    def answered(self, answer: m.Answer) -> Sequence[Effect]:
        """
        Take an answer to the open request; one to an earlier request is dropped.

        One without a number is the server's, or that of a card end that has no resume. It is told
        from one to an earlier request by its `id`, which is the caller's business. From a loss to
        `resumed` answers are dropped; but what is refused then does not reach the card any more.
        """
        open_ = self._open
        if open_ is None or answer.seq not in {None, self._number}:
            return ()
        refused = answer.seq is None and self._is_refusal(answer)
        if refused:
            open_.turn("refused")
        if answer.seq is None and isinstance(answer, m.Error):
            passes = answer.code is ErrorCode.SHUTTING_DOWN and _is_refusal(answer)
            if self._keep_s and not self.over and passes:
                return ()
        if self.state in DEAF:
            return ()
        if self._seal is not None and not refused:
            return self._opened(answer, self._seal)
        if open_.progress is Progress.BEGUN and answer.seq is None and isinstance(answer, m.Error):
            return self._unanswered(answer.message, answer.code or ErrorCode.INTERNAL)
        return self._settle(answer)

    def unsent(self, refusal: m.Error) -> Sequence[Effect]:
        """Take that the open request was not sent, which needs nobody's word."""
        if self._open is None or self.state in DEAF:
            return ()
        self._open.turn("refused")
        if self._open.progress is Progress.BEGUN:
            return self._unanswered(refusal.message, refusal.code or ErrorCode.INTERNAL)
        return self._settle(refusal)

    def complained(self, sentence: str) -> Sequence[Effect]:
        """Note that the server would not have what was sent: it is not sent again."""
        if self._open is None or not self._open.sent or self.state is not State.LIVE:
            return ()
        return self._unanswered(sentence, ErrorCode.CONNECTION_LOST)

    def disconnected(self, now: float) -> Sequence[Effect]:
        """Note that the connection is lost; what is open waits for the session to be resumed."""
        if self.over is not None:
            return self._end(self.over.code, "The connection is lost as well.")
        if not self._keep_s:
            why = "The connection is lost, and the card cannot keep a session without it."
            return self._end(ErrorCode.CONNECTION_LOST, why)
        if self.state not in AWAY:
            self._cut_at = now
        self._turn("disconnected")
        return ()

    def interrupted(self, now: float) -> Sequence[Effect]:
        """Note that the card host is out of reach; the server waits for it."""
        if self.state is not State.LIVE:
            return ()
        return (*self.disconnected(now), *self.connected())

    def connected(self) -> Sequence[Effect]:
        """Note that there is a connection again: resume on it."""
        if self.state is State.OVER:
            return ()
        self._turn("connected")
        return (self._claim(),)

    def resumed(self, message: m.Resumed) -> Sequence[Effect]:
        """
        Go on: take the kept answer, or send what the card end has not taken in hand.

        What it is carrying out is sent once more as it was, to be answered on this connection. A
        card that is not wanted any more, or that counts otherwise, is given back.

        The message is the answer to the last `resume` that was sent, which the caller tells by its
        `id`: an answer to an earlier one could say that a request sent since was never begun.
        """
        detach = Send(m.Detach(session=self._resume.session))
        if self.state not in {State.RESUMING, State.ASKING}:
            return (detach,) if self.state is State.OVER else ()
        self._turn("resumed")
        open_ = self._open
        wrong = self._wrong(message)
        if wrong is not None:
            return (*self._end(*wrong), detach)
        if open_ is None:
            return ()
        if open_.sent and message.seq == self._number:
            open_.turn("found begun")
            return self.answered(message.answer) if message.answer else self._send(self._number)
        return self._not_begun(open_)

    def _not_begun(self, open_: Open) -> Sequence[Effect]:
        """Send what the card end has not begun once more, where that is of any use."""
        if open_.sent and open_.doubt is not None:
            open_.turn("found not begun")
            return self._unanswered(open_.doubt.sentence, open_.doubt.code)
        if open_.abandoned:
            return self._settle(_not_executed("It was given up before it was sent again."))
        return self._send(self._number + 1)

    def _wrong(self, message: m.Resumed) -> tuple[ErrorCode, str] | None:
        """Return why a `resumed` is not taken, if so."""
        if self._seal is not None and not self._seal.resumed(self._number, message):
            return ErrorCode.SEAL_PROOF, "What resumed the session was not its card host."
        if message.seq > self._number:
            return ErrorCode.BAD_MESSAGE, "The card client counts the requests differently."
        return None

    def ended(self, message: m.SessionEnded) -> Sequence[Effect]:
        """
        Take the end of the session, with what became of the last request.

        Where it says nothing of that, and is not the answer to `resume`, the server answers the
        open request as well.
        """
        if self.state is State.OVER:
            return ()
        open_ = self._open
        known = message.seq is not None and (self._seal is None or self._seal.ended(message))
        if not known and message.code not in _UNREACHABLE and self._can_ask():
            return self._doubted(Doubt(message.code, message.message, None))
        if open_ is not None and message.seq is None and self.state is State.LIVE:
            self._close(message.code, message.message)
            return ()
        if open_ is not None and open_.sent and message.seq is not None and known:
            if message.seq == self._number and message.answer is not None:
                settled = self._told(message.answer)
                return (*settled, *self._end(message.code, message.message))
            open_.turn("found begun" if message.seq >= self._number else "found not begun")
        return self._end(message.code, message.message)

    def refused(self, error: m.Error, now: float) -> Sequence[Effect]:
        """
        Take a refusal of `resume`, whatever its outcome.

        Those of `PASSES` are no end: the session is cut, and to be resumed again.
        """
        if self.state is State.ASKING and error.code is not ErrorCode.SHUTTING_DOWN:
            return self._no_word()
        if self.state not in {State.RESUMING, State.ASKING}:
            return ()
        if error.code in PASSES:
            return self.disconnected(now)
        return self._end(error.code or ErrorCode.INTERNAL, error.message)

    def deadline(self) -> float | None:
        """Return the time until which resuming is tried."""
        return self._cut_at + self._keep_s if self.state in AWAY else None

    def expired(self, now: float) -> Sequence[Effect]:
        """End a session that was out of reach for too long."""
        deadline = self.deadline()
        if deadline is None or now < deadline:
            return ()
        why = f"The card was out of reach for {self._keep_s:g} s."
        return self._end(ErrorCode.CONNECTION_LOST, why)

    def closed(self, sentence: str, code: ErrorCode = ErrorCode.CANCELLED) -> Sequence[Effect]:
        """End the session because its user gives it up, or has to; `sentence` says why."""
        return self._end(code, sentence)

    def _turn(self, event: Event) -> None:
        self.state = follow(TRANSITIONS, self.state, event)

    def _claim(self) -> Send:
        resume = msgspec.structs.replace(self._resume, seq=self._number)
        return Send(resume if self._seal is None else self._seal.prove(resume))

    def _can_ask(self) -> bool:
        """Return whether the card end can be asked for its word on the open request."""
        open_ = self._open
        waits = open_ is not None and open_.at_risk and not open_.abandoned and not open_.doubt
        return self._seal is not None and self._keep_s > 0 and self.state is State.LIVE and waits

    def _doubted(self, doubt: Doubt) -> Sequence[Effect]:
        """Ask the card end for its word: nothing up to the open request is begun any more."""
        assert self._open is not None
        self._open.doubt = doubt
        self._turn("doubted")
        return (self._claim(),)

    def _no_word(self) -> Sequence[Effect]:
        """Go on without the card end's word, as the server has said."""
        assert self._open is not None
        assert self._open.doubt is not None
        code, sentence, refusal = self._open.doubt
        if refusal is None:
            return self._end(code, sentence)
        self._turn("no word")
        return self._unanswered(sentence, code)

    def _send(self, number: int) -> Sequence[Effect]:
        assert self._open is not None
        self._number = number
        self._open.turn("sent")
        request = msgspec.structs.replace(self._open.request, seq=self._number)
        return (Send(request if self._seal is None else self._seal.seal(request)),)

    def _told(self, answer: m.Answer) -> Sequence[Effect]:
        return self._settle(answer) if self._seal is None else self._opened(answer, self._seal)

    def _opened(self, answer: m.Answer, seal: "UserBoxes") -> Sequence[Effect]:
        """Settle with what is in a box; what is in none was not said by the card end."""
        if isinstance(answer, m.SealedResp):
            try:
                return self._settle(seal.open(answer))
            except RefusedError as exc:
                return self._unanswered(str(exc), exc.code)
        if _is_refusal(answer) and self._can_ask():
            return self._doubted(Doubt(answer.code or ErrorCode.INTERNAL, answer.message, answer))
        sentence, code = "The answer is not sealed.", ErrorCode.SEAL_BOX
        if isinstance(answer, m.Error):
            sentence, code = answer.message, answer.code or code
        return self._unanswered(sentence, code)

    def _is_refusal(self, answer: m.Answer) -> TypeGuard[m.Error]:
        """Return whether a request was not passed on, or not begun, and who says so is believed."""
        if not _is_refusal(answer):
            return False
        return self._seal is None or self._seal.refused(self._number, answer.word)

    def _settle(self, answer: m.Answer | SessionError) -> Sequence[Effect]:
        if self._seal is not None and self._open is not None and self._open.at_risk:
            self._seal.settled(self._number)
        self._open = None
        return (Settled(answer),)

    def _close(self, code: ErrorCode, sentence: str) -> None:
        if self.state is not State.OVER:
            self._turn("ended")
            why = f"The card is no longer ours: {sentence} Select it again."
            self.over = SessionLostError(why, code)

    def _end(self, code: ErrorCode, sentence: str) -> Sequence[Effect]:
        self._close(code, sentence)
        return self._unanswered(sentence, code) if self._open is not None else ()

    def _unanswered(self, sentence: str, code: ErrorCode) -> Sequence[Effect]:
        if self._open is not None and self._open.at_risk:
            why = f"{sentence} The card may or may not have run the command."
            return self._settle(OutcomeUnknownError(why, code))
        doubt = None if self._open is None else self._open.doubt
        refusal = None if doubt is None else doubt.refusal
        return self._settle(refusal or _not_executed(sentence, code))


def _same(ours: str, secret: str) -> bool:
    return bool(ours) and hmac.compare_digest(ours.encode(), secret.encode())


def _plain(request: m.Forwarded) -> m.Message:
    """Return what of a request is the same in its copies: a secret is sent until it is known."""
    if isinstance(request, m.Sealed):
        return msgspec.structs.replace(request, id=None, secret=None)
    return msgspec.structs.replace(request, id=None)


def _is_refusal(answer: m.Answer) -> TypeGuard[m.Error]:
    """Return whether a request was not passed on."""
    return isinstance(answer, m.Error) and answer.outcome is Outcome.NOT_EXECUTED


def _not_executed(sentence: str, code: ErrorCode = ErrorCode.CANCELLED) -> NotExecutedError:
    return NotExecutedError(f"The command was not executed. {sentence}", code)
