# SPDX-License-Identifier: Apache-2.0
"""Both ends of a sealed session, with a relay between them that says whatever it likes."""

import hashlib
from collections import Counter
from typing import Any

import msgspec
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.sealing import MASTER, NOW, SESSION, Scene
from wsrc.card_client.ended import Ended
from wsrc.errors import (
    ErrorCode,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    RefusedError,
    SessionLostError,
)
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.boxed import CardBoxes, UserBoxes
from wsrc.sealing.ends import CardSeal, UserSeal
from wsrc.session import CardEnd, Effect, Send, State, UserEnd, Verdict

PICK = st.integers(0, 40)
SCENE = Scene()
LONG = 2
"""Requests after which a session may end: one that ends at once says little."""


def nonce_of(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4)).digest()


class SealedSession(RuleBasedStateMachine):
    """A user, a card and a relay that has all that either ever said."""

    def __init__(self) -> None:
        super().__init__()
        offered = SCENE.offer()
        secret, keys = SCENE.agree(offered.offer).seal(MASTER)
        self.seen: Counter[str] = Counter()
        self.lines = 1
        self.host = CardBoxes(CardSeal(offered), lambda: NOW, lambda: 1 << 20)
        boxes = UserBoxes(UserSeal(secret, keys), lambda: nonce_of(self.lines))
        self.user = UserEnd(SESSION, "", 60.0, "bench", "r1", boxes)
        self.card = CardEnd(SESSION, None, 60.0, self.host)
        self.asked = 0
        self.open: int | None = None
        self.runs: Counter[int] = Counter()
        self.told: dict[int, str] = {}
        self.requests: list[m.Sealed] = []
        self.resumes: list[m.Resume] = []
        self.answers: list[m.SealedResp] = []
        self.words: list[bytes | None] = [None, b"w" * 32]
        self.resumed: list[m.Resumed] = []
        self.running: int | None = None
        self.ended = False
        self.over = Ended()
        self.ends: list[m.SessionEnded] = []

    # The user

    @precondition(lambda self: self.open is None and self.user.over is None)
    @rule()
    def the_user_asks(self) -> None:
        self.asked += 1
        self.open = self.asked
        command = Octets(b"\x00\x20\x00\x01\x04" + self.asked.to_bytes(4))
        self.perform(self.user.ask(m.CApdu(command=command)))

    def perform(self, effects: Any) -> None:
        effect: Effect
        for effect in effects:
            if not isinstance(effect, Send):
                self.settle(effect.answer)
            elif isinstance(effect.message, m.Sealed):
                self.requests.append(effect.message)
            elif isinstance(effect.message, m.Resume):
                self.resumes.append(effect.message)

    def settle(self, answer: Any) -> None:
        content, self.open = self.open, None
        assert content is not None
        match answer:
            case m.RApdu(response=response):
                assert int.from_bytes(response) == content, "the answer to another command"
                assert self.runs[content] == 1
                self.told[content] = "ran"
            case NotExecutedError() | SessionLostError() | m.Error(outcome=Outcome.NOT_EXECUTED):
                self.told[content] = "not executed"
            case OutcomeUnknownError():
                self.told[content] = "unknown"
            case _:
                raise AssertionError(answer)
        self.seen[self.told[content]] += 1

    # The card

    def take(self, request: m.Sealed) -> None:
        """Do as a card client does with what comes."""
        if self.ended:
            return
        if not self.card.has_seen(request):
            try:
                plain = self.host.open(request, self.card.taken)
            except RefusedError as exc:
                self.seen[f"refused: {exc.code}"] += 1
                return
            if self.running is not None:
                return
            assert self.card.receive(request) is Verdict.EXECUTE
            assert isinstance(plain, m.CApdu)
            self.running = int.from_bytes(plain.command[-4:])
            self.runs[self.running] += 1
            return
        verdict = self.card.receive(request)
        if verdict is Verdict.REPEAT:
            self.seen["repeated"] += 1
            again = self.card.repeated(request)
            assert isinstance(again, m.SealedResp)
            self.answers.append(again)
        elif verdict is Verdict.LATE:
            self.words.append(self.card.word_on(request))

    @precondition(lambda self: self.running is not None)
    @rule()
    def the_card_answers(self) -> None:
        response, self.running = Octets((self.running or 0).to_bytes(4)), None
        said = self.card.answered(m.RApdu(session=SESSION, response=response, sw="9000"))
        assert isinstance(said, m.SealedResp)
        self.answers.append(said)

    # The relay

    @precondition(lambda self: self.requests)
    @rule(pick=PICK, how=st.sampled_from(["as it is"] * 4 + ["number", "box", "secret"]))
    def a_request_is_delivered(self, pick: int, how: str) -> None:
        request = self.requests[-1 - pick % len(self.requests)]
        if how == "number":
            request = msgspec.structs.replace(request, seq=(request.seq or 0) + 1)
        elif how == "box":
            request = msgspec.structs.replace(request, box=request.box[:-1] + b"x")
        elif how == "secret":
            request = msgspec.structs.replace(request, secret=None)
        self.take(request)

    @precondition(lambda self: self.requests)
    @rule(pick=PICK)
    def a_request_is_given_up_at_the_card(self, pick: int) -> None:
        """As by `cancel`, which a relay can make up."""
        request = self.requests[-1 - pick % len(self.requests)]
        self.card.refused(request)
        self.words.append(self.card.word_on(request))

    @precondition(lambda self: self.answers)
    @rule(pick=PICK, same=st.booleans())
    def an_answer_is_delivered(self, pick: int, same: bool) -> None:
        answer = self.answers[-1 - pick % len(self.answers)]
        if not same:
            answer = msgspec.structs.replace(answer, seq=(answer.seq or 0) + 1)
        self.perform(self.user.answered(answer))

    @rule(pick=PICK, code=st.sampled_from([ErrorCode.CANCELLED, ErrorCode.SHUTTING_DOWN]))
    def a_request_is_said_not_to_have_run(self, pick: int, code: ErrorCode) -> None:
        word = self.words[-1 - pick % len(self.words)]
        error = m.error(code, "No.", outcome=Outcome.NOT_EXECUTED, word=word)
        self.perform(self.user.answered(error))

    @rule(both=st.booleans())
    def the_connection_is_lost(self, both: bool) -> None:
        if self.user.state is State.OVER:
            return
        self.perform(self.user.disconnected(1.0))
        if both:
            self.card.disconnected(1.0)
            self.card.connected()
        self.lines += 1
        self.perform(self.user.connected())

    @precondition(lambda self: self.resumes)
    @rule(pick=PICK, line=PICK, right=st.booleans())
    def a_resume_is_delivered(self, pick: int, line: int, right: bool) -> None:
        asked = self.resumes[-1 - pick % len(self.resumes)]
        number = self.lines if right else 1 + line % self.lines
        asked = msgspec.structs.replace(asked, nonce=nonce_of(number))
        if self.ended:
            said = self.over.answer(asked)
            self.ends += [] if said is None else [said]
        elif self.card.may_resume(asked):
            self.seen["resumed"] += 1
            self.resumed.append(self.card.resumed(asked))

    @rule(code=st.sampled_from([ErrorCode.NO_SUCH_SESSION, ErrorCode.SHUTTING_DOWN]))
    def a_resume_is_refused(self, code: ErrorCode) -> None:
        self.perform(self.user.refused(m.error(code, "No."), 1.0))
        if self.user.state is State.CUT:
            self.lines += 1
            self.perform(self.user.connected())

    @precondition(lambda self: self.asked > LONG)
    @rule(pick=PICK, how=st.sampled_from(["bare", "numbered", "asked"]))
    def the_session_is_said_to_be_over(self, pick: int, how: str) -> None:
        if how == "asked" and self.ends:
            self.perform(self.user.ended(self.ends[-1 - pick % len(self.ends)]))
            return
        code, seq = ErrorCode.LEASE_EXPIRED, None if how == "bare" else pick % 4
        word = self.words[-1 - pick % len(self.words)]
        said = m.SessionEnded(session=SESSION, code=code, message="Over.", seq=seq, word=word)
        self.perform(self.user.ended(said))
        if self.user.over is not None and self.open is not None:
            self.a_request_is_said_not_to_have_run(0, ErrorCode.NO_SUCH_SESSION)

    @precondition(lambda self: self.asked > LONG and not self.running)
    @rule()
    def the_card_ends_the_session(self) -> None:
        if not self.ended:
            self.ended = True
            said = self.card.ended(ErrorCode.CARD_NOT_PRESENT, "It was pulled.")
            self.over.put(self.card, said)
            self.ends.append(said)

    @precondition(lambda self: self.user.state in {State.RESUMING, State.ASKING})
    @rule(pick=PICK, made_up=st.integers(0, 5), seq=st.integers(0, 3))
    def resumed_is_delivered(self, pick: int, made_up: int, seq: int) -> None:
        if made_up and self.resumed:
            said = self.resumed[-1 - pick % len(self.resumed)]
        else:
            said = m.Resumed(session=SESSION, seq=seq, word=self.words[-1 - pick % len(self.words)])
        self.perform(self.user.resumed(said))

    # What holds

    @invariant()
    def no_command_runs_twice(self) -> None:
        assert all(count == 1 for count in self.runs.values())

    @invariant()
    def what_was_told_is_so(self) -> None:
        for content, told in self.told.items():
            assert told == "unknown" or (told == "ran") == bool(self.runs[content]), (content, told)

    @invariant()
    def no_number_is_sealed_with_two_texts(self) -> None:
        for sent in (self.requests, self.answers):
            boxes: dict[int | None, bytes] = {}
            for each in sent:
                assert boxes.setdefault(each.seq, each.box) == each.box


class TestSealedSession(SealedSession.TestCase):
    settings = settings(max_examples=300, stateful_step_count=40)


# What the rules can meet, without chance


def asked() -> SealedSession:
    one = SealedSession()
    one.the_user_asks()
    return one


def ran() -> SealedSession:
    one = asked()
    one.a_request_is_delivered(0, "as it is")
    one.the_card_answers()
    return one


def said_not_to_have_run(one: SealedSession) -> SealedSession:
    one.a_request_is_said_not_to_have_run(len(one.words) - 1, ErrorCode.FORBIDDEN)
    assert one.user.state is State.ASKING
    one.a_resume_is_delivered(0, 0, right=True)
    return one


def resumed(one: SealedSession) -> SealedSession:
    one.resumed_is_delivered(0, 1, 0)
    return one


def test_what_ran_is_told() -> None:
    one = ran()
    one.an_answer_is_delivered(0, same=True)
    assert one.told == {1: "ran"}


def test_a_copy_is_answered_again() -> None:
    one = ran()
    one.a_request_is_delivered(0, "as it is")
    assert one.seen["repeated"] == 1


def test_what_a_server_refuses_is_known_by_the_word_of_the_card_end() -> None:
    one = resumed(said_not_to_have_run(asked()))
    assert (one.told, one.seen["resumed"]) == ({1: "not executed"}, 1)
    assert one.user.state is State.LIVE
    one.a_request_is_delivered(0, "as it is")
    assert not one.runs


def test_what_a_server_says_it_refused_and_ran_is_known_to_have_run() -> None:
    one = resumed(said_not_to_have_run(ran()))
    assert one.told == {1: "ran"}


def test_what_a_server_refuses_twice_is_not_known() -> None:
    one = said_not_to_have_run(asked())
    one.a_resume_is_refused(ErrorCode.NO_SUCH_SESSION)
    assert (one.told, one.user.state) == ({1: "unknown"}, State.LIVE)


def test_a_connection_that_is_lost_while_the_word_is_asked_for_is_followed_by_another() -> None:
    one = said_not_to_have_run(asked())
    one.the_connection_is_lost(both=True)
    one.a_resume_is_delivered(0, 0, right=True)
    assert resumed(one).told == {1: "not executed"}


def test_what_a_card_end_says_of_a_session_that_is_over_is_asked_for() -> None:
    one = asked()
    one.the_card_ends_the_session()
    one.the_session_is_said_to_be_over(0, "bare")
    assert one.user.state is State.ASKING
    one.a_resume_is_delivered(0, 0, right=True)
    one.the_session_is_said_to_be_over(0, "asked")
    assert (one.told, one.user.state) == ({1: "not executed"}, State.OVER)
