# SPDX-License-Identifier: Apache-2.0
"""wsrc.session against tests/vectors/session.json: each end by itself, event by event."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from wsrc import messages as m
from wsrc.codec import decode, encode
from wsrc.errors import ErrorCode, NotExecutedError, Outcome, OutcomeUnknownError, SessionLostError
from wsrc.octets import Octets
from wsrc.session import CardEnd, Ended, Send, Settled, UserEnd, Verdict

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "session.json").read_text("utf-8"))
EVENTS = (
    *("receives", "card_answers", "session_ends", "asks", "gives_up"),
    *("disconnected", "connected", "clock"),
)
Json = dict[str, Any]


def each(end: str) -> Any:
    return pytest.mark.parametrize("v", [pytest.param(v, id=v["name"]) for v in VECTORS[end]])


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
    """A card client with one session, as far as the vectors ask."""

    def __init__(self, v: Json) -> None:
        self.now = 0.0
        self.end: CardEnd | None = CardEnd("s", v["secret"], v["keep_s"])
        self.ended = Ended()
        self.online = True
        self.ran = False

    @property
    def kept(self) -> bool:
        return self.end is not None and not self.end.expired(self.now)

    def happens(self, step: Json) -> list[m.Message]:
        self.now = step.get("at_s", self.now)
        self.ran = False
        event = event_of(step)
        out = self._event(event, step)
        return [out] if out is not None and self.online else []

    def _event(self, event: str, step: Json) -> m.Message | None:
        match event:
            case "receives":
                return self._receives(message(step[event]))
            case "session_ends":
                return self._ends(ErrorCode(step[event]), forgotten=step.get("forgotten", False))
            case _ if self.end is None:
                pass
            case "card_answers":
                return self.end.answered(message(step[event]))
            case "connected":
                self.end.connected()
            case "disconnected":
                self.end.disconnected(self.now)
        if event in {"connected", "disconnected"}:
            self.online = event == "connected"
        return None

    def _ends(self, code: ErrorCode, *, forgotten: bool) -> m.SessionEnded:
        assert self.end is not None
        said = self.end.ended(code, "It ended.")
        if not forgotten:
            self.ended.put(self.end, said)
        self.end = None
        return said

    def _receives(self, request: Any) -> m.Message | None:
        none = m.error(ErrorCode.NO_SUCH_SESSION, "There is none.", id=request.id)
        if isinstance(request, m.Resume):
            ours = self.end is not None and request.session == "s"
            if self.end is not None and ours and self.end.owns(request.secret):
                return self.end.resumed(request)
            return self.ended.answer(request) or none
        if self.end is None:
            return msgspec.structs.replace(none, outcome=Outcome.NOT_EXECUTED)
        verdict = self.end.receive(request)
        self.ran = verdict is Verdict.EXECUTE
        if verdict is Verdict.REPEAT:
            return self.end.repeated(request)
        if verdict is Verdict.WRONG:
            return m.error(ErrorCode.BAD_MESSAGE, "That is wrong.", id=request.id)
        return None


@each("card_end")
def test_card_end(v: Json) -> None:
    card = CardSide(v)
    for step in v["steps"]:
        compare(card.happens(step), step.get("sends", []))
        assert card.ran == step.get("runs", False), step
        assert card.kept == step.get("kept", card.kept), step


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
            return user_receives(end, message(step[event]), now)


def user_receives(end: UserEnd, received: Any, now: float) -> Any:
    match received:
        case m.SessionInterrupted():
            return end.interrupted(now)
        case m.Resumed():
            return end.resumed(received)
        case m.SessionEnded():
            return end.ended(received)
        case m.Error() if end.state == "resuming":
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
    end = UserEnd("s", v["secret"], v["keep_s"], "bench", "Reader@bench")
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
    known = {"at_s", "runs", "sends", "kept", "forgotten", "told", "over", *EVENTS}
    for v in (*VECTORS["card_end"], *VECTORS["user_end"]):
        for step in v["steps"]:
            assert set(step) <= known
            assert event_of(step)
