# SPDX-License-Identifier: Apache-2.0
"""wsrc.session: the end where the user is, by itself, without a network."""

import msgspec
import pytest

from tests.support.session_ends import (
    SECRET,
    answer,
    over,
    refusal,
    request,
    sent,
    settled,
    user_end,
)
from wsrc.errors import (
    ErrorCode,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    SessionLostError,
)
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.session import State


class TestUserEndAsks:
    def test_a_request_is_sent_with_the_next_number_and_the_session(self) -> None:
        end = user_end()
        assert end.idle
        effects = end.ask(m.CApdu(id=4, command=Octets(b"\x00")))
        assert sent(effects) == m.CApdu(id=4, session="s", seq=1, command=Octets(b"\x00"))
        assert not end.idle

    def test_the_answer_settles_it(self) -> None:
        end = user_end(asked=True)
        assert settled(end.answered(answer(1))) == answer(1)
        assert end.idle
        assert sent(end.ask(request())) == request(2)

    def test_one_request_at_a_time(self) -> None:
        with pytest.raises(AssertionError, match="one request"):
            user_end(asked=True).ask(request())

    def test_an_answer_to_an_earlier_request_is_dropped(self) -> None:
        end = user_end(asked=True)
        end.answered(answer(1))
        end.ask(request())
        assert end.answered(answer(1)) == ()
        assert not end.idle

    def test_an_answer_to_nothing_is_dropped(self) -> None:
        assert user_end().answered(answer(1)) == ()

    def test_an_answer_without_a_number_is_the_servers(self) -> None:
        refused = refusal(ErrorCode.TOO_MANY)
        assert settled(user_end(asked=True).answered(refused)) == refused

    def test_what_a_restarting_server_refuses_waits_for_the_next(self) -> None:
        end = user_end(asked=True)
        assert end.answered(refusal()) == ()
        end.disconnected(100.0)
        end.connected()
        assert sent(end.resumed(m.Resumed(session="s", seq=0))) == request(2)

    def test_without_resume_it_is_refused_at_once(self) -> None:
        end = user_end(asked=True, keep_s=0.0)
        assert settled(end.answered(refusal())) == refusal()

    def test_what_a_restarting_card_client_refuses_is_settled(self) -> None:
        refused = msgspec.structs.replace(refusal(), seq=1)
        assert settled(user_end(asked=True).answered(refused)) == refused

    def test_a_restarting_server_that_does_not_know_is_believed(self) -> None:
        unknown = m.error(ErrorCode.SHUTTING_DOWN, "Who knows.", outcome=Outcome.UNKNOWN)
        assert settled(user_end(asked=True).answered(unknown)) == unknown


class TestUserEndIsCut:
    def test_what_is_open_waits(self) -> None:
        end = user_end(asked=True)
        assert end.disconnected(100.0) == ()
        assert end.state is State.CUT
        assert not end.idle

    def test_without_resume_the_session_is_over(self) -> None:
        end = user_end(asked=True, keep_s=0.0)
        told = settled(end.disconnected(100.0))
        assert isinstance(told, OutcomeUnknownError)
        assert told.code is ErrorCode.CONNECTION_LOST

    def test_an_answer_is_dropped_until_it_is_resumed(self) -> None:
        assert user_end(asked=True, state=State.CUT).answered(answer(1)) == ()

    def test_a_request_waits_for_the_resume(self) -> None:
        end = user_end(state=State.CUT)
        assert end.ask(request()) == ()
        end.connected()
        assert sent(end.resumed(m.Resumed(session="s", seq=0))) == request(1)

    def test_resume_tells_where_the_card_is_and_the_last_number(self) -> None:
        end = user_end(asked=True, state=State.CUT)
        asked = m.Resume(session="s", secret=SECRET, seq=1, host="host", reader="reader")
        assert sent(end.connected()) == asked
        assert end.state is State.RESUMING

    def test_a_card_host_out_of_reach_is_resumed_for_at_once(self) -> None:
        end = user_end(asked=True)
        assert isinstance(sent(end.interrupted(100.0)), m.Resume)
        assert end.deadline() == 160.0

    @pytest.mark.parametrize("state", [State.CUT, State.RESUMING])
    def test_a_card_host_is_resumed_for_once(self, state: State) -> None:
        end = user_end(state=state)
        assert end.interrupted(150.0) == ()
        assert end.state is state

    def test_the_time_counts_from_the_first_loss(self) -> None:
        end = user_end(state=State.RESUMING)
        end.disconnected(150.0)
        assert end.deadline() == 160.0

    def test_out_of_reach_for_too_long_it_is_over(self) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        assert end.expired(159.9) == ()
        told = settled(end.expired(160.0))
        assert isinstance(told, OutcomeUnknownError)
        assert "60 s" in str(told)
        assert end.deadline() is None

    def test_in_reach_it_does_not_expire(self) -> None:
        end = user_end(state=State.RESUMING)
        end.resumed(m.Resumed(session="s", seq=0))
        assert end.expired(1e9) == ()
        assert end.state is State.LIVE


class TestUserEndIsResumed:
    def test_with_the_kept_answer(self) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        assert settled(end.resumed(m.Resumed(session="s", seq=1, answer=answer(1)))) == answer(1)

    def test_while_the_command_runs(self) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        assert sent(end.resumed(m.Resumed(session="s", seq=1))) == request(1)
        assert settled(end.answered(answer(1))) == answer(1)

    @pytest.mark.parametrize("code", [ErrorCode.TOO_MANY, ErrorCode.CANCELLED])
    def test_a_command_that_runs_is_not_said_to_be_refused_where_its_copy_is(
        self, code: ErrorCode
    ) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        end.resumed(m.Resumed(session="s", seq=1))
        told = settled(end.answered(refusal(code)))
        assert isinstance(told, OutcomeUnknownError)
        assert told.code is code

    def test_a_command_that_runs_may_have_run_where_a_restarting_server_refuses_its_copy(
        self,
    ) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        end.resumed(m.Resumed(session="s", seq=1))
        assert end.answered(refusal()) == ()
        assert isinstance(settled(end.closed("It is over.")), OutcomeUnknownError)

    def test_what_never_ran_is_sent_under_the_next_number(self) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        assert sent(end.resumed(m.Resumed(session="s", seq=0))) == request(2)

    def test_what_was_refused_and_yet_ran_is_not_sent_again(self) -> None:
        end = user_end(asked=True)
        end.answered(refusal())
        end.disconnected(100.0)
        end.connected()
        assert settled(end.resumed(m.Resumed(session="s", seq=1, answer=answer(1)))) == answer(1)

    def test_the_answer_to_the_request_before_is_not_taken(self) -> None:
        end = user_end(asked=True)
        end.answered(answer(1))
        end.disconnected(100.0)
        end.ask(request())
        end.connected()
        resumed = m.Resumed(session="s", seq=1, answer=answer(1))
        assert sent(end.resumed(resumed)) == request(2)

    def test_with_nothing_open(self) -> None:
        assert user_end(state=State.RESUMING).resumed(m.Resumed(session="s", seq=0)) == ()

    def test_not_unless_it_asked(self) -> None:
        end = user_end(asked=True)
        assert end.resumed(m.Resumed(session="s", seq=0)) == ()
        assert end.state is State.LIVE

    def test_what_nobody_waits_for_is_not_sent_again(self) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        end.abandon()
        told = settled(end.resumed(m.Resumed(session="s", seq=0)))
        assert isinstance(told, NotExecutedError)
        assert told.code is ErrorCode.CANCELLED

    def test_what_nobody_waits_for_is_answered_if_it_ran(self) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        end.abandon()
        assert settled(end.resumed(m.Resumed(session="s", seq=1, answer=answer(1)))) == answer(1)

    def test_nothing_is_given_up_where_nothing_is_open(self) -> None:
        end = user_end(state=State.RESUMING)
        end.abandon()
        end.ask(request())
        assert sent(end.resumed(m.Resumed(session="s", seq=0))) == request(1)

    def test_a_count_that_is_not_ours_ends_the_session(self) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        told, back = end.resumed(m.Resumed(session="s", seq=2))
        assert isinstance(settled((told,)), OutcomeUnknownError)
        assert sent((back,)) == m.Detach(session="s")
        assert end.over is not None
        assert end.over.code is ErrorCode.BAD_MESSAGE


class TestUserEndIsRefused:
    def test_e33_too_many_is_no_end_and_it_is_resumed_again_on_the_same_connection(self) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        assert end.refused(m.error(ErrorCode.TOO_MANY, "Later."), 130.0) == ()
        assert end.state is State.CUT
        assert end.deadline() == 160.0
        assert isinstance(sent(end.connected()), m.Resume)
        assert settled(end.resumed(m.Resumed(session="s", seq=1, answer=answer(1)))) == answer(1)

    def test_a_restarting_server_is_no_end(self) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        assert end.refused(m.error(ErrorCode.SHUTTING_DOWN, "Later."), 130.0) == ()
        assert end.state is State.CUT
        assert end.deadline() == 160.0

    def test_any_other_refusal_is(self) -> None:
        end = user_end(asked=True, state=State.RESUMING)
        told = settled(end.refused(m.error(ErrorCode.NO_SUCH_SESSION, "Whose?"), 130.0))
        assert isinstance(told, OutcomeUnknownError)
        assert told.code is ErrorCode.NO_SUCH_SESSION

    def test_a_refusal_without_a_code_is_an_end(self) -> None:
        end = user_end(state=State.RESUMING)
        end.refused(m.Error(message="No."), 130.0)
        assert end.over is not None
        assert end.over.code is ErrorCode.INTERNAL

    def test_only_what_was_asked_is_refused(self) -> None:
        end = user_end(asked=True)
        assert end.refused(m.error(ErrorCode.NO_SUCH_SESSION, "Whose?"), 130.0) == ()
        assert end.state is State.LIVE


class TestUserEndIsOver:
    def test_with_the_answer(self) -> None:
        end = user_end(asked=True)
        assert settled(end.ended(over(1, answer(1)))) == answer(1)
        assert end.state is State.OVER

    def test_before_the_command_was_begun(self) -> None:
        told = settled(user_end(asked=True).ended(over(0)))
        assert isinstance(told, NotExecutedError)
        assert told.code is ErrorCode.CARD_NOT_PRESENT

    def test_without_a_number_the_server_answers_the_open_request_as_well(self) -> None:
        end = user_end(asked=True)
        assert end.ended(over(None)) == ()
        with pytest.raises(SessionLostError, match="no longer ours"):
            end.check()
        assert settled(end.answered(refusal())) == refusal()

    def test_without_a_number_and_without_another_word_nobody_knows(self) -> None:
        end = user_end(asked=True)
        end.ended(over(None))
        told = settled(end.disconnected(100.0))
        assert isinstance(told, OutcomeUnknownError)
        assert told.code is ErrorCode.CARD_NOT_PRESENT

    def test_an_answer_to_resume_without_a_number_leaves_it_unknown(self) -> None:
        end = user_end(asked=True)
        end.disconnected(100.0)
        end.connected()
        assert isinstance(settled(end.ended(over(None))), OutcomeUnknownError)

    @pytest.mark.parametrize("seq", [1, 2])
    def test_while_the_command_ran_or_nobody_knows(self, seq: int | None) -> None:
        told = settled(user_end(asked=True).ended(over(seq)))
        assert isinstance(told, OutcomeUnknownError)
        assert told.code is ErrorCode.CARD_NOT_PRESENT

    @pytest.mark.parametrize("seq", [0, 1, None])
    def test_what_was_never_sent_was_not_executed(self, seq: int | None) -> None:
        end = user_end(asked=True)
        end.answered(answer(1))
        end.disconnected(100.0)
        end.ask(request())
        assert isinstance(settled(end.ended(over(seq, answer(1)))), NotExecutedError)

    def test_what_a_restarting_server_refused_was_not_executed(self) -> None:
        end = user_end(asked=True)
        end.answered(refusal())
        end.disconnected(100.0)
        assert isinstance(settled(end.expired(160.0)), NotExecutedError)

    def test_what_a_server_without_the_card_refused_was_not_executed(self) -> None:
        end = user_end(asked=True)
        end.interrupted(100.0)
        assert end.answered(refusal(ErrorCode.NO_SUCH_SESSION)) == ()
        assert isinstance(settled(end.expired(160.0)), NotExecutedError)

    def test_what_was_refused_and_sent_again_may_have_run(self) -> None:
        end = user_end(asked=True)
        end.answered(refusal())
        end.disconnected(100.0)
        end.connected()
        end.resumed(m.Resumed(session="s", seq=0))
        assert isinstance(settled(end.closed("Enough.")), OutcomeUnknownError)

    def test_with_nothing_open_nothing_is_told(self) -> None:
        assert user_end().ended(over(0)) == ()

    def test_every_later_request_is_refused_with_the_reason(self) -> None:
        end = user_end()
        end.ended(over(0))
        for _ in range(2):
            with pytest.raises(SessionLostError, match=r"It was pulled\. Select it again") as lost:
                end.ask(request())
            assert lost.value.code is ErrorCode.CARD_NOT_PRESENT
            assert len(lost.traceback) == 3

    def test_its_user_may_end_it(self) -> None:
        end = user_end()
        assert end.closed("Enough.") == ()
        assert end.over is not None
        assert end.over.code is ErrorCode.CANCELLED

    def test_it_stays_over(self) -> None:
        end = user_end()
        end.ended(over(0))
        first = end.over
        assert end.closed("Enough.") == ()
        assert end.ended(over(0)) == ()
        assert end.disconnected(1.0) == ()
        assert end.connected() == ()
        assert end.interrupted(1.0) == ()
        assert sent(end.resumed(m.Resumed(session="s", seq=0))) == m.Detach(session="s")
        assert end.answered(answer(1)) == ()
        assert end.expired(1e9) == ()
        assert end.over is first
        assert end.state is State.OVER
