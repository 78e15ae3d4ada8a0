# SPDX-License-Identifier: Apache-2.0
"""What the server is told of requests and of sessions, in one place."""

from collections.abc import Callable

import msgspec

from wsrc.card_client.ended import Ended
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.session import CardEnd

NO_SESSION = "The card client has no such session."


class Replies:
    """
    Answers, refusals, and ends of sessions, which are remembered for those who resume too late.

    A request that was taken in hand has `answer`, which keeps the answer whether or not there is
    a server that hears it; any other has `refuse`.

    Args:
        send: Takes messages for the server, and drops them while there is none.

    `longest` is how many octets a message to the server may have, as it says.
    """

    def __init__(self, send: Callable[[m.Message], None]) -> None:
        self.send = send
        self.longest = MAX_MESSAGE_OCTETS
        self._ended = Ended()

    def answer(self, asked: m.Forwarded, end: CardEnd, answer: m.Answer) -> None:
        """Answer a request that was taken in hand; one without a number gets none."""
        self.send(answer if asked.seq is None else end.answered(answer))

    def fail(
        self,
        asked: m.Forwarded,
        end: CardEnd,
        code: ErrorCode,
        sentence: str,
        outcome: Outcome = Outcome.NOT_EXECUTED,
    ) -> None:
        """Answer a request that was taken in hand with an error."""
        self.answer(asked, end, _error(asked, code, sentence, outcome))

    def refuse(
        self,
        asked: m.Message,
        code: ErrorCode,
        sentence: str,
        *,
        retry_after_s: float | None = None,
        end: CardEnd | None = None,
    ) -> None:
        """
        Answer a request that was not taken in hand, and is not to be, with an error.

        `end` is that of its session, whose word goes with it where it is sealed.
        """
        error = _error(asked, code, sentence, Outcome.NOT_EXECUTED)
        word = None if end is None else end.word_on(asked)
        self.send(msgspec.structs.replace(error, retry_after_s=retry_after_s, word=word))

    def late(self, asked: m.Forwarded, end: CardEnd) -> None:
        """Answer a copy of a request that is not to be begun, or not to be answered, any more."""
        why = (
            f"Number {asked.seq} was used, and what it was used for is settled: a late copy, or "
            "another request that needs a higher number."
        )
        error = _error(asked, ErrorCode.BAD_MESSAGE, why, end.outcome_of(asked))
        self.send(msgspec.structs.replace(error, word=end.word_on(asked)))

    def over(
        self,
        end: CardEnd,
        code: ErrorCode,
        sentence: str,
        *,
        tell: bool = True,
        given_back: bool = False,
    ) -> None:
        """
        Remember how a session ended, and tell the server, unless it asked for that.

        `given_back` is whether the user gave it back, who then knows what it had asked.
        """
        said = end.ended(code, sentence)
        if end.keep_s:
            self._ended.put(end, said, given_back=given_back)
        elif not end.taken:
            said = m.SessionEnded(session=end.session, code=code, message=sentence)
        if tell:
            self.send(said)

    def too_late(self, asked: m.Resume) -> None:
        """Answer who resumes a session that is over, or that is not theirs, or never was."""
        code, session = ErrorCode.NO_SUCH_SESSION, asked.session
        unknown = m.error(code, NO_SESSION, id=asked.id, session=session)
        self.send(self._ended.answer(asked) or unknown)


def _error(asked: m.Message, code: ErrorCode, sentence: str, outcome: Outcome) -> m.Error:
    return m.error(code, sentence, id=asked.id, session=m.session_of(asked), outcome=outcome)
