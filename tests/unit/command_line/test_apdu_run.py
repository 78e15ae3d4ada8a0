# SPDX-License-Identifier: Apache-2.0
"""wsrc.command_line.apdu_run: several commands in as few round trips as their outcome allows."""

from collections.abc import Sequence

import pytest

from wsrc.card.apdu import Response
from wsrc.command_line.apdu_run import responses
from wsrc.errors import (
    CardError,
    ErrorCode,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    RefusedError,
    SessionLostError,
    WsrcError,
)
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.messages import MAX_BATCH, Step
from wsrc.user_client.card import BatchLimits, BatchResult

DONE, MISSING = Response(b"", 0x9000), Response(b"", 0x6A82)
COMMANDS = [bytes.fromhex(f"00b0{n:04x}00") for n in range(5)]


class Card:
    """Answers each exchange with what was prepared, or raises it; `sent` is what it was asked."""

    def __init__(self, *answers: BatchResult | Response | WsrcError) -> None:
        self.answers = list(answers)
        self.sent: list[list[bytes] | bytes] = []

    batch_limits = BatchLimits(MAX_BATCH, MAX_MESSAGE_OCTETS)

    def transmit(self, command: bytes) -> Response:
        self.sent.append(command)
        answer = self._next()
        assert isinstance(answer, Response)
        return answer

    def batch(self, steps: Sequence[Step | bytes]) -> BatchResult:
        self.sent.append([bytes(s.command) if isinstance(s, Step) else s for s in steps])
        answer = self._next()
        assert isinstance(answer, BatchResult)
        return answer

    def _next(self) -> BatchResult | Response:
        answer = self.answers.pop(0)
        if isinstance(answer, WsrcError):
            raise answer
        return answer


def run(
    card: Card, count: int = 5, expect: tuple[str, ...] = (), *, together: bool = True
) -> tuple[list[Response], WsrcError | None]:
    told: list[Response] = []
    try:
        for response in responses(card, COMMANDS[:count], expect, together=together):
            told.append(response)  # noqa: PERF402 - what came before a failure counts
    except WsrcError as exc:
        return told, exc
    return told, None


def full(code: ErrorCode) -> WsrcError:
    return NotExecutedError("The rest was not sent.", code)


def test_j1_several_commands_are_one_exchange() -> None:
    card = Card(BatchResult((DONE,) * 5))
    assert run(card) == ([DONE] * 5, None)
    assert card.sent == [COMMANDS]


def test_j1_one_command_is_none() -> None:
    card = Card(DONE)
    assert run(card, 1) == ([DONE], None)
    assert card.sent == [COMMANDS[0]]


def test_j1_somebody_who_looks_in_between_has_each_response_as_it_comes() -> None:
    card = Card(DONE, MISSING)
    assert run(card, expect=("9000",), together=False) == ([DONE, MISSING], None)
    assert card.sent == COMMANDS[:2]


def test_j1_what_is_not_expected_stops_the_batch_and_what_would_follow() -> None:
    card = Card(BatchResult((DONE, MISSING), 1))
    assert run(card, expect=("9000",)) == ([DONE, MISSING], None)
    assert len(card.sent) == 1


def test_j1_more_than_a_batch_carries_goes_in_several() -> None:
    many = [COMMANDS[0]] * (MAX_BATCH + 2)
    card = Card(BatchResult((DONE,) * MAX_BATCH), BatchResult((DONE,) * 2))
    assert list(responses(card, many, (), together=True)) == [DONE] * len(many)
    assert [len(sent) for sent in card.sent] == [MAX_BATCH, 2]


@pytest.mark.parametrize("code", [ErrorCode.COMMAND_TIMEOUT, ErrorCode.TOO_MANY])
def test_j1_a_batch_that_is_full_is_gone_on_with(code: ErrorCode) -> None:
    card = Card(BatchResult((DONE,) * 2, None, full(code)), BatchResult((MISSING,) * 3))
    assert run(card) == ([DONE, DONE, MISSING, MISSING, MISSING], None)
    assert card.sent == [COMMANDS, COMMANDS[2:]]


@pytest.mark.parametrize(
    "error",
    [
        full(ErrorCode.CARD_NOT_PRESENT),
        OutcomeUnknownError("It did not answer.", ErrorCode.COMMAND_TIMEOUT),
        CardError("The card is mute.", Outcome.UNKNOWN),
    ],
)
def test_j1_a_command_that_fails_is_told_after_the_responses_before_it(error: WsrcError) -> None:
    card = Card(BatchResult((DONE,) * 2, None, error))
    assert run(card) == ([DONE, DONE], error)
    assert len(card.sent) == 1


def test_j1_a_batch_that_cannot_begin_is_not_tried_for_ever() -> None:
    error = full(ErrorCode.TOO_MANY)
    assert run(Card(BatchResult((), None, error))) == ([], error)


def test_j1_a_host_that_knows_no_batch_is_sent_one_after_the_other() -> None:
    card = Card(RefusedError(ErrorCode.NOT_SUPPORTED, "No batch."), *([DONE] * 5))
    assert run(card) == ([DONE] * 5, None)
    assert card.sent == [COMMANDS, *COMMANDS]


def test_j1_an_answer_that_is_lost_leaves_each_command_of_its_batch_in_doubt() -> None:
    lost = OutcomeUnknownError("The connection is lost.", ErrorCode.CONNECTION_LOST)
    card = Card(BatchResult((DONE,) * 2, None, full(ErrorCode.TOO_MANY)), lost)
    told, error = run(card)
    assert told == [DONE, DONE]
    assert isinstance(error, OutcomeUnknownError)
    assert error.code is ErrorCode.CONNECTION_LOST
    assert str(error).startswith("The connection is lost. Commands 3 to 5 were sent together;")


@pytest.mark.parametrize(
    "error", [SessionLostError("It is over."), NotExecutedError("It was not sent.")]
)
def test_j1_a_batch_that_provably_did_not_begin_is_told_as_one_command_is(error: WsrcError) -> None:
    assert run(Card(error)) == ([], error)
