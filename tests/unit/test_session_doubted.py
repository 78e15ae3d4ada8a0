# SPDX-License-Identifier: Apache-2.0
"""wsrc.session: what a server says without the card end's word, which is asked for it."""

import msgspec
import pytest

from tests.support.sealed_ends import KEEP_S, Ends, refusal
from tests.support.sealing import LINK_NONCE, SESSION
from tests.support.session_ends import sent, settled
from wsrc.card_client.ended import Ended
from wsrc.errors import (
    ErrorCode,
    NotExecutedError,
    OutcomeUnknownError,
)
from wsrc.protocol import messages as m
from wsrc.session import State


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.mark.parametrize("word", [None, b"", b"w" * 32])
def test_without_that_word_the_card_end_is_asked_and_its_outcome_is_known(
    ends: Ends, word: bytes | None
) -> None:
    ends.run()
    ends.ask()
    asked = ends.doubting(refusal(ends, word))
    assert ends.card.may_resume(asked)
    assert settled(ends.user.resumed(ends.card.resumed(asked))) == refusal(ends, word)
    assert ends.user.state is State.LIVE
    ends.run()


def test_a_first_request_that_a_server_refuses_is_asked_for_with_the_secret(ends: Ends) -> None:
    ends.ask()
    asked = ends.doubting(refusal(ends))
    assert asked.seal is not None
    assert ends.card.may_resume(asked)
    assert settled(ends.user.resumed(ends.card.resumed(asked))) == refusal(ends)
    ends.run()


def test_a_request_that_was_passed_on_and_called_refused_is_sent_again_to_be_answered(
    ends: Ends,
) -> None:
    """While it is carried out; where that is called refused again, it stays unknown."""
    first = ends.ask()
    ends.take(first)
    asked = ends.doubting(refusal(ends))
    assert ends.card.may_resume(asked)
    again = sent(ends.user.resumed(ends.card.resumed(asked)))
    assert isinstance(again, m.Sealed)
    assert (again.seq, again.box) == (first.seq, first.box)
    assert isinstance(settled(ends.user.answered(refusal(ends))), OutcomeUnknownError)


def test_a_server_that_lets_nobody_ask_leaves_the_outcome_unknown(ends: Ends) -> None:
    ends.run()
    ends.ask()
    ends.doubting(refusal(ends))
    assert ends.user.answered(refusal(ends)) == ()
    no = m.error(ErrorCode.NO_SUCH_SESSION, "No.")
    told = settled(ends.user.refused(no, 1.0))
    assert isinstance(told, OutcomeUnknownError)
    assert (told.code, ends.user.state) == (ErrorCode.CANCELLED, State.LIVE)
    ends.run()


def test_nobody_is_asked_for_whom_nobody_waits(ends: Ends) -> None:
    ends.run()
    ends.ask()
    assert ends.user.abandon()
    assert isinstance(settled(ends.user.answered(refusal(ends))), OutcomeUnknownError)


def test_a_card_end_that_keeps_no_session_is_not_asked() -> None:
    ends = Ends(keep_s=0.0)
    ends.ask()
    assert isinstance(settled(ends.user.answered(refusal(ends))), OutcomeUnknownError)


def test_a_server_that_restarts_while_the_word_is_asked_for_is_asked_again(ends: Ends) -> None:
    ends.run()
    ends.ask()
    ends.doubting(refusal(ends))
    assert ends.user.refused(m.error(ErrorCode.SHUTTING_DOWN, "It restarts."), 1.0) == ()
    assert ends.user.state is State.CUT
    assert ends.user.deadline() == 1.0 + KEEP_S
    asked = msgspec.structs.replace(ends.proof(), nonce=LINK_NONCE)
    assert ends.card.may_resume(asked)
    assert settled(ends.user.resumed(ends.card.resumed(asked))) == refusal(ends)


@pytest.mark.parametrize("changed", [{"word": None}, {"word": None, "seq": None}], ids=str)
@pytest.mark.parametrize("heard", [True, False], ids=["heard", "unheard"])
def test_without_a_word_the_card_end_is_asked_how_the_session_ended(
    ends: Ends, changed: dict[str, object], heard: bool
) -> None:
    if heard:
        ends.run()
    ends.ask()
    ended, said = Ended(), ends.card.ended(ErrorCode.CARD_NOT_PRESENT, "It was pulled.")
    ended.put(ends.card, said)
    asked = ends.doubting(msgspec.structs.replace(said, **changed))
    answer = ended.answer(asked)
    assert answer is not None
    assert isinstance(settled(ends.user.ended(answer)), NotExecutedError)
    assert ends.user.state is State.OVER


def test_a_session_that_is_over_without_a_word_leaves_its_last_request_unknown(
    ends: Ends,
) -> None:
    ends.run()
    ends.ask()
    said = ends.card.ended(ErrorCode.CARD_NOT_PRESENT, "It was pulled.")
    ends.doubting(msgspec.structs.replace(said, word=None))
    told = settled(ends.user.refused(m.error(ErrorCode.NO_SUCH_SESSION, "No."), 1.0))
    assert isinstance(told, OutcomeUnknownError)
    assert (told.code, ends.user.state) == (ErrorCode.CARD_NOT_PRESENT, State.OVER)


def test_a_card_host_that_is_gone_is_not_asked(ends: Ends) -> None:
    ends.run()
    ends.ask()
    said = m.SessionEnded(session=SESSION, code=ErrorCode.CARD_CLIENT_GONE, message="Gone.", seq=1)
    assert isinstance(settled(ends.user.ended(said)), OutcomeUnknownError)
    assert ends.user.state is State.OVER
