# SPDX-License-Identifier: Apache-2.0
"""wsrc.session against tests/vectors/session.json: each end by itself, event by event."""

import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from tests.support.paths import VECTORS
from wsrc.card_client.ended import Ended
from wsrc.errors import ErrorCode, NotExecutedError, Outcome, OutcomeUnknownError, SessionLostError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import decode, encode
from wsrc.session import CardEnd, Send, Settled, UserEnd, Verdict

CASES = json.loads((VECTORS / "session.json").read_text("utf-8"))
EVENTS = (
    *("receives", "card_answers", "session_ends", "asks", "gives_up"),
    *("disconnected", "connected", "clock"),
)
Json = dict[str, Any]


def each(end: str) -> Any:
    return pytest.mark.parametrize("v", [pytest.param(v, id=v["name"]) for v in CASES[end]])


def event_of(step: Json) -> str:
    (event,) = set(EVENTS) & set(step)
    return event


def message(value: Json) -> Any:
    return decode(json.dumps(value))


def has(value: Json, fields: Json) -> None:
    """Check that a message has the fields; null is for one that must be absent."""
    assert {name: value.get(name) for name in fields} == fields


def compare(sent: Sequence[m.Message], expected: list[Json]) -> None:
    assert len(sent) == len(expected), sent
    for out, fields in zip(sent, expected, strict=True):
        has(json.loads(encode(out)), fields)


class CardSide:
    """A card client with one session, as far as the vectors ask: requests take their turn."""

    def __init__(self, v: Json) -> None:
        self.now = 0.0
        self.end: CardEnd | None = CardEnd(v["session"], v["secret"], v["keep_s"])
        self.ended = Ended()
        self.online = True
        self.ran = False
        self._busy = False
        self._waiting: list[m.Message] = []
        self._sent: list[m.Message] = []

    def happens(self, step: Json) -> list[m.Message]:
        self.now = step.get("at_s", self.now)
        self.ran, self._sent = False, []
        self._event(event_of(step), step)
        if self.end is not None and not self._busy and self.end.expired(self.now):
            self._over(ErrorCode.LEASE_EXPIRED)
        return self._sent

    def _send(self, out: m.Message) -> None:
        if self.online:
            self._sent.append(out)

    def _event(self, event: str, step: Json) -> None:
        match event:
            case "receives":
                self._receives(message(step[event]))
            case "session_ends":
                code = ErrorCode(step[event])
                self._send(self._over(code, forgotten=step.get("forgotten", False)))
            case "card_answers":
                self._busy = False
                if self.end is not None:
                    self._send(self.end.answered(message(step[event])))
                self._take_turns()
            case _:
                self._network(event)

    def _network(self, event: str) -> None:
        match event:
            case "connected":
                self.online = True
                if self.end is not None:
                    self.end.connected()
            case "disconnected":
                self.online = False
                self._waiting = [each for each in self._waiting if isinstance(each, m.Detach)]
                if self.end is not None:
                    self.end.disconnected(self.now)

    def _over(self, code: ErrorCode, *, forgotten: bool = False) -> m.SessionEnded:
        assert self.end is not None
        said = self.end.ended(code, "It ended.")
        if self.end.keep_s and not forgotten:
            self.ended.put(self.end, said)
        self.end, self._busy = None, False
        return said

    def _receives(self, request: m.Message) -> None:
        if isinstance(request, m.Resume):
            leaving = any(isinstance(each, m.Detach) for each in self._waiting)
            if self.end is not None and not leaving:
                self._resume(request)
                return
        self._waiting.append(request)
        self._take_turns()

    def _take_turns(self) -> None:
        while self._waiting and not self._busy:
            request = self._waiting.pop(0)
            match request:
                case m.Resume():
                    self._resume(request)
                case m.Detach(code=code):
                    if self.end is not None:
                        self._over(code or ErrorCode.NO_SUCH_SESSION)
                    self._send(m.DetachAck(session=request.session))
                case _:
                    self._carry_out(request)

    def _resume(self, request: m.Resume) -> None:
        if self.end is not None and request.session == "s" and self.end.owns(request.secret):
            self._waiting = [each for each in self._waiting if not isinstance(each, m.Forwarded)]
            self._send(self.end.resumed(request))
            return
        none = m.error(ErrorCode.NO_SUCH_SESSION, "There is none.", id=request.id)
        self._send(self.ended.answer(request) or none)

    def _carry_out(self, request: m.Message) -> None:
        assert isinstance(request, m.Forwarded)
        if self.end is None:
            self._send(refusal(ErrorCode.NO_SUCH_SESSION, request))
            return
        verdict = self.end.receive(request)
        self.ran = self._busy = verdict is Verdict.EXECUTE
        if verdict is Verdict.REPEAT:
            self._send(self.end.repeated(request))
        elif verdict is Verdict.WRONG:
            self._send(refusal(ErrorCode.BAD_MESSAGE, request))
        elif verdict is Verdict.LATE:
            self._send(refusal(ErrorCode.BAD_MESSAGE, request, self.end.outcome_of(request)))


def refusal(
    code: ErrorCode, request: m.Message, outcome: Outcome = Outcome.NOT_EXECUTED
) -> m.Error:
    return m.error(code, "No.", id=request.id, outcome=outcome)


@each("card_end")
def test_card_end(v: Json) -> None:
    card = CardSide(v)
    for step in v["steps"]:
        compare(card.happens(step), step.get("sends", []))
        assert card.ran == step.get("runs", False), step
        kept = card.end is not None
        assert kept == step.get("kept", kept), step


def user_event(end: UserEnd, event: str, step: Json, now: float) -> Any:
    match event:
        case "asks":
            return end.ask(message(step[event]))
        case "gives_up":
            end.abandon()
            return ()
        case "disconnected":
            return end.disconnected(now)
        case "connected":
            return end.connected()
        case "clock":
            return end.expired(now)
        case _:
            return user_receives(end, message(step[event]), step, now)


def user_receives(end: UserEnd, received: Any, step: Json, now: float) -> Any:
    to_resume = end.state == "resuming" and step.get("answers") in {None, "resume"}
    match received:
        case m.SessionInterrupted():
            return end.interrupted(now)
        case m.Resumed():
            return end.resumed(received)
        case m.SessionEnded():
            return end.ended(received)
        case m.Error() if to_resume:
            return end.refused(received, now)
        case _:
            return end.answered(received)


def check_told(told: object, expected: Json) -> None:
    match told:
        case NotExecutedError(code=code):
            assert expected == {"not_executed": code}
        case OutcomeUnknownError(code=code):
            assert expected == {"unknown": code}
        case _:
            has(json.loads(encode(cast("m.Message", told))), expected)


@each("user_end")
def test_user_end(v: Json) -> None:
    end = UserEnd(v["session"], v["secret"], v["keep_s"], v["host"], v["reader"])
    now = 0.0
    for step in v["steps"]:
        now = step.get("at_s", now)
        effects = user_event(end, event_of(step), step, now)
        compare([e.message for e in effects if isinstance(e, Send)], step.get("sends", []))
        told = [e.answer for e in effects if isinstance(e, Settled)]
        assert bool(told) == ("told" in step), step
        for one in told:
            check_told(one, step["told"])
        assert (end.over.code if end.over is not None else None) == step.get("over"), step
    if end.over is not None:
        with pytest.raises(SessionLostError):
            end.ask(m.CApdu(command=Octets()))


def test_every_step_is_one_event_with_known_fields() -> None:
    for v in CASES["card_end"]:
        assert set(v) == {"name", "session", "secret", "keep_s", "steps"}
    for v in CASES["user_end"]:
        assert set(v) == {"name", "session", "secret", "keep_s", "steps", "host", "reader"}
    known = {"at_s", "runs", "sends", "kept", "forgotten", "told", "over", "answers", *EVENTS}
    for v in (*CASES["card_end"], *CASES["user_end"]):
        for step in v["steps"]:
            assert set(step) <= known
            assert event_of(step)
