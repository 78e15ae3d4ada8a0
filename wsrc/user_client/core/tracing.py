# SPDX-License-Identifier: Apache-2.0
"""What a session asks of its card and is answered, for the trace of its user."""

from collections.abc import Sequence

from wsrc.errors import Outcome, WsrcError, in_doubt
from wsrc.protocol import messages as m
from wsrc.trace.tracer import CardTrace

GET_RESPONSE = 0xC0


class SessionTrace:
    """
    Tells traces of one session; what never reached the card is not in it.

    Args:
        traces: Of its card.
        session: Its name.
        atr: What the card gave at the reset that it began with, in hexadecimal; empty where no
            card is powered.
    """

    def __init__(self, traces: Sequence[CardTrace], session: str, atr: str) -> None:
        self._traces = traces
        self._session = session
        self._powered(_octets(atr))

    def settled(self, asked: m.Plain | None, answer: m.Message | WsrcError) -> None:
        """Tell what became of a request."""
        if isinstance(answer, WsrcError):
            if in_doubt(answer):
                self._unanswered(asked)
            return
        match asked, answer:
            case m.CApdu(command=command), m.RApdu():
                self._answered(bytes(command), answer)
            case m.Batch(), m.BatchResp():
                self._results(asked, answer)
            case _, m.ResetResp(atr=atr) | m.ReconnectAck(atr=atr):
                self._powered(bytes(atr or b""))
            case _:
                pass

    def _answered(self, command: bytes, answer: m.RApdu) -> None:
        self._exchanged(command, bytes(answer.response), answer.sw)
        fetched = answer.ahead
        if fetched is not None:
            again = bytes((command[0], GET_RESPONSE, 0, 0)) + _octets(answer.sw)[1:]
            self._exchanged(again, bytes(fetched.response), fetched.sw, ahead=True)
        for read in answer.read_ahead:
            self._exchanged(bytes(read.command), bytes(read.response), read.sw, ahead=True)

    def _results(self, asked: m.Batch, answer: m.BatchResp) -> None:
        for step, result in zip(asked.steps, answer.results, strict=False):
            self._exchanged(bytes(step.command), bytes(result.response), result.sw)
        failed = answer.error
        if failed is not None and failed.outcome is not Outcome.NOT_EXECUTED:
            for step in asked.steps[len(answer.results) :][:1]:
                self._exchanged(bytes(step.command), b"", "")

    def _unanswered(self, asked: m.Plain | None) -> None:
        commands: tuple[bytes, ...] = ()
        if isinstance(asked, m.CApdu):
            commands = (bytes(asked.command),)
        elif isinstance(asked, m.Batch):
            commands = tuple(bytes(step.command) for step in asked.steps)
        for command in commands:
            self._exchanged(command, b"", "")

    def _exchanged(self, command: bytes, data: bytes, sw: str, *, ahead: bool = False) -> None:
        if len(command) >= 4:
            answer = data + _octets(sw)
            for trace in self._traces:
                trace.exchanged(self._session, command, answer, ahead=ahead)

    def _powered(self, atr: bytes) -> None:
        for trace in self._traces if atr else ():
            trace.powered(self._session, atr)


def _octets(sw: str) -> bytes:
    """Return octets that a server says in hexadecimal, which may be none."""
    try:
        return bytes.fromhex(sw)
    except ValueError:
        return b""
