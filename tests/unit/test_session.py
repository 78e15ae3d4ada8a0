# SPDX-License-Identifier: Apache-2.0
"""wsrc.session: the end where the card is, by itself, without a network."""

import msgspec
import pytest

from tests.support.session_ends import (
    KEEP_S,
    SECRET,
    answer,
    card_end,
    over,
    request,
    resume,
    user_end,
)
from wsrc.card_client.ended import MAX_ENDED, Ended
from wsrc.errors import (
    ErrorCode,
)
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.session import CardEnd, Verdict


class TestCardEndTakesRequests:
    def test_a_higher_number_is_executed(self) -> None:
        end = card_end(taken=1)
        assert end.receive(request(2)) is Verdict.EXECUTE
        assert end.taken == 2

    def test_numbers_may_have_gaps(self) -> None:
        assert card_end(taken=1).receive(request(9)) is Verdict.EXECUTE

    @pytest.mark.parametrize("seq", [None, 0, -1])
    def test_a_request_without_a_number_is_wrong(self, seq: int | None) -> None:
        end = card_end()
        assert end.receive(request(seq)) is Verdict.WRONG
        assert end.taken == 0

    def test_a_copy_of_the_command_that_runs_is_late(self) -> None:
        assert card_end(taken=1).receive(request(1)) is Verdict.LATE

    def test_the_last_request_is_answered_again(self) -> None:
        end = card_end(taken=1, kept=answer(sw="6a82"))
        again = msgspec.structs.replace(request(1), id=5)
        assert end.receive(again) is Verdict.REPEAT
        assert end.repeated(again) == m.RApdu(
            id=5, session="s", seq=1, response=Octets(), sw="6a82"
        )

    def test_another_request_under_the_same_number_is_wrong(self) -> None:
        end = card_end(taken=1, kept=answer())
        assert end.receive(request(1, b"\x00\x20\x00\x80")) is Verdict.WRONG

    def test_a_lower_number_is_late(self) -> None:
        end = card_end(taken=2, kept=answer())
        assert end.receive(request(1)) is Verdict.LATE

    def test_a_new_request_displaces_the_kept_answer(self) -> None:
        end = card_end(taken=1, kept=answer())
        end.receive(request(2))
        assert end.receive(request(2)) is Verdict.LATE
        assert end.resumed(resume(2)).answer is None

    def test_an_answer_gets_the_number_of_its_request(self) -> None:
        assert card_end(taken=3).answered(answer()) == answer(3)


class TestCardEndResumes:
    def test_resumed_has_the_number_taken_and_the_kept_answer(self) -> None:
        end = card_end(taken=2, kept=answer())
        assert end.resumed(resume(2)) == m.Resumed(id=7, session="s", seq=2, answer=answer(2))

    def test_nothing_up_to_the_number_of_resume_is_begun(self) -> None:
        end = card_end(taken=1, kept=answer())
        assert end.resumed(resume(3)).seq == 1
        assert [end.receive(request(seq)) for seq in (2, 3, 1)] == [Verdict.LATE] * 3
        assert end.taken == 1

    def test_the_next_number_after_resume_is_executed(self) -> None:
        end = card_end(taken=1)
        end.resumed(resume(3))
        assert end.receive(request(4)) is Verdict.EXECUTE

    def test_an_old_resume_does_not_take_back_what_was_seen(self) -> None:
        end = card_end(taken=5, kept=answer())
        end.resumed(resume(2))
        assert end.receive(request(3)) is Verdict.LATE
        assert end.receive(request(5)) is Verdict.REPEAT

    def test_the_secret_is_that_of_the_session(self) -> None:
        assert card_end().owns(SECRET)
        assert not card_end().owns(SECRET[:-1] + "0")
        assert not card_end().owns("\N{SNOWMAN}")

    @pytest.mark.parametrize("none", [None, ""])
    def test_a_session_without_a_secret_is_nobodys(self, none: str | None) -> None:
        end = CardEnd("s", none, KEEP_S)
        assert not end.owns("")
        assert end.keep_s == 0


class TestCardEndKeeps:
    def test_a_session_with_a_server_has_no_deadline(self) -> None:
        end = card_end()
        assert end.deadline() is None
        assert not end.expired(1e9)

    def test_a_session_is_kept_for_its_time(self) -> None:
        end = card_end()
        end.disconnected(100.0)
        assert end.deadline() == 160.0
        assert not end.expired(159.9)
        assert end.expired(160.0)

    def test_the_time_counts_from_the_first_loss(self) -> None:
        end = card_end()
        end.disconnected(100.0)
        end.disconnected(150.0)
        assert end.deadline() == 160.0

    def test_the_time_stops_when_the_server_is_back(self) -> None:
        end = card_end()
        end.disconnected(100.0)
        end.connected()
        assert end.deadline() is None


class TestEnded:
    def test_the_rightful_user_is_told_the_end_and_the_answer(self) -> None:
        end, ended = card_end(taken=2, kept=answer()), Ended()
        said = end.ended(ErrorCode.CARD_NOT_PRESENT, "It was pulled.")
        assert said == over(2, answer(2))
        ended.put(end, said)
        assert ended.answer(resume(2)) == msgspec.structs.replace(said, id=7)

    def test_what_was_not_taken_in_hand_is_not_told(self) -> None:
        end = card_end(taken=2, kept=answer())
        end.resumed(resume(3))
        assert end.ended(ErrorCode.CARD_NOT_PRESENT, "It was pulled.") == over(2, answer(2))

    def test_nobody_else_is_told(self) -> None:
        end, ended = card_end(), Ended()
        ended.put(end, over(0))
        assert ended.answer(resume(secret="wrong")) is None
        assert ended.answer(resume(session="other")) is None

    @pytest.mark.parametrize(("owner", "other"), [("ann", "bob"), ("ann", ""), ("", "bob")])
    def test_13_the_secret_alone_tells_no_other_principal(self, owner: str, other: str) -> None:
        end, ended = card_end(taken=1, kept=answer(), owner=owner), Ended()
        ended.put(end, over(1, answer(1)))
        assert not end.may_resume(resume(1, owner=other))
        assert ended.answer(resume(1, owner=other)) is None
        assert end.may_resume(resume(1, owner=owner))
        assert ended.answer(resume(1, owner=owner)) is not None

    def test_of_too_many_the_oldest_is_forgotten(self) -> None:
        ended = Ended()
        for number in range(MAX_ENDED):
            ended.put(CardEnd(str(number), SECRET, KEEP_S), over(0))
        ended.put(CardEnd("0", SECRET, KEEP_S), over(1))
        assert ended.answer(resume(session="1")) is not None
        ended.put(CardEnd("last", SECRET, KEEP_S), over(0))
        assert ended.answer(resume(session="1")) is None
        told = ended.answer(resume(session="0"))
        assert told is not None
        assert told.seq == 1


def test_nothing_shows_the_secret() -> None:
    card, user = card_end(), user_end()
    user.closed("Enough.")
    shown = [repr(card), repr(user), str(user.over), repr(card.ended(ErrorCode.INTERNAL, "x"))]
    assert not any(SECRET in text for text in shown)
