# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.tracing: what a session asks and is answered, in the trace of its user."""

import pytest

from wsrc.errors import (
    CardError,
    CardTransmissionError,
    ErrorCode,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    WsrcError,
)
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.trace.events import Traced, text_of
from wsrc.trace.tracer import CardTrace
from wsrc.user_client.core.tracing import SessionTrace

SELECT, READ = Octets.fromhex("00a40004023f00"), Octets.fromhex("00b0000002")
VERIFY = Octets.fromhex("002000010831323334ffffffff")
OK = Octets(b"")
ASKED = m.CApdu(session="s", command=SELECT)


class Seen:
    """A session with a card, and the lines that are traced of it."""

    def __init__(self, atr: str = "3b00") -> None:
        self.traced: list[Traced] = []
        self.session = SessionTrace(
            [CardTrace(self.traced.append, "Reader", secrets=False)], "session-1", atr
        )

    @property
    def lines(self) -> list[str]:
        return [text_of(each).removeprefix("session- Reader ") for each in self.traced]


def test_13_commands_answers_and_resets_are_in_it() -> None:
    seen = Seen()
    seen.session.settled(ASKED, m.RApdu(response=Octets(b"\x62"), sw="9000"))
    seen.session.settled(m.CApdu(command=VERIFY), m.RApdu(response=OK, sw="63c2"))
    seen.session.settled(m.ResetReq(), m.ResetResp(atr=Octets.fromhex("3b01")))
    reset = m.Reconnect(session="s")
    seen.session.settled(reset, m.ReconnectAck(session="s", atr=Octets.fromhex("3b02")))
    seen.session.settled(m.Status(session="s"), m.CancelAck(session="s", cancelled=False))
    assert seen.lines == [
        "ATR 3b 00",
        "00 a4 00 04 02 3f 00 -> 62 90 00",
        "00 20 00 01 08 [8 octets] -> 63 c2",
        "ATR 3b 01",
        "ATR 3b 02",
    ]


def test_13_what_came_ahead_is_in_it_and_said_so() -> None:
    seen = Seen(atr="")
    answer = m.RApdu(
        response=OK,
        sw="6102",
        ahead=m.StepResult(response=Octets(b"\x62\x00"), sw="9000"),
        read_ahead=(m.ReadAhead(command=READ, response=Octets(b"ab"), sw="9000"),),
    )
    seen.session.settled(ASKED, answer)
    assert seen.lines == [
        "00 a4 00 04 02 3f 00 -> 61 02",
        "(read ahead) 00 c0 00 00 02 -> 62 00 90 00",
        "(read ahead) 00 b0 00 00 02 -> 61 62 90 00",
    ]


@pytest.mark.parametrize(
    ("outcome", "unanswered"),
    [(Outcome.UNKNOWN, 1), (Outcome.NOT_EXECUTED, 0)],
)
def test_13_a_batch_is_in_it_as_far_as_it_came(outcome: Outcome, unanswered: int) -> None:
    seen = Seen(atr="")
    asked = m.Batch(session="s", steps=tuple(m.Step(each) for each in (SELECT, VERIFY, READ)))
    error = m.error(ErrorCode.CARD_UNRESPONSIVE, "Silence.", outcome=outcome)
    done = (m.StepResult(response=OK, sw="9000"),)
    seen.session.settled(asked, m.BatchResp(session="s", results=done, error=error))
    assert seen.lines == [
        "00 a4 00 04 02 3f 00 -> 90 00",
        *["00 20 00 01 08 [8 octets] -> no answer"] * unanswered,
    ]


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        (OutcomeUnknownError("Lost."), 1),
        (CardTransmissionError("Silence.", Outcome.UNKNOWN), 1),
        (CardTransmissionError("Silence.", Outcome.NOT_EXECUTED), 0),
        (NotExecutedError("Late."), 0),
    ],
)
def test_13_what_may_have_reached_the_card_is_in_it_and_nothing_else(
    fault: WsrcError, lines: int
) -> None:
    assert isinstance(fault, CardError | OutcomeUnknownError | NotExecutedError)
    for asked in (ASKED, m.Batch(session="s", steps=(m.Step(SELECT),))):
        seen = Seen(atr="")
        seen.session.settled(asked, fault)
        assert seen.lines == ["00 a4 00 04 02 3f 00 -> no answer"] * lines
    seen.session.settled(m.ResetReq(), fault)
    assert len(seen.lines) == lines


def test_13_no_answer_of_a_server_ends_a_session_by_its_trace() -> None:
    seen = Seen(atr="odd")
    seen.session.settled(ASKED, m.RApdu(response=OK, sw="odd!"))
    seen.session.settled(m.CApdu(command=Octets(b"")), m.RApdu(response=OK, sw="9000"))
    seen.session.settled(None, m.RApdu(response=OK, sw="9000"))
    assert seen.lines == ["00 a4 00 04 02 3f 00 -> no answer"]
