# SPDX-License-Identifier: Apache-2.0
"""wsrc.session and wsrc.protocol.boxed: both ends of a sealed session, whatever is said between."""

import msgspec
import pytest

from tests.support.sealed_ends import COMMAND, KEEP_S, Ends, refusal
from tests.support.sealing import SESSION
from tests.support.session_ends import sent, settled
from wsrc.card_client.ended import Ended
from wsrc.errors import (
    ErrorCode,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    RefusedError,
)
from wsrc.octets import Octets
from wsrc.open_request import Progress
from wsrc.protocol import messages as m
from wsrc.protocol.boxed import room_for
from wsrc.sealing.faults import SealError
from wsrc.session import CardEnd, State, Verdict


@pytest.fixture
def ends() -> Ends:
    return Ends()


# What goes to and fro


def test_a_request_and_its_answer_are_what_they_were(ends: Ends) -> None:
    asked = ends.ask(msgspec.structs.replace(COMMAND, id=7))
    assert (asked.id, asked.seq, asked.of, asked.session) == (7, 1, "c_apdu", SESSION)
    assert COMMAND.command.hex().encode() not in asked.box
    assert ends.take(asked) == msgspec.structs.replace(COMMAND, id=7, seq=1, session=SESSION)
    answer = settled(ends.user.answered(ends.answer("63c1")))
    assert isinstance(answer, m.RApdu)
    assert (answer.sw, answer.seq) == ("63c1", 1)


def test_a_copy_is_the_same_octets_and_is_given_the_same_answer(ends: Ends) -> None:
    asked = ends.ask()
    ends.take(asked)
    answer = ends.answer()
    later = msgspec.structs.replace(asked, id=9, secret=None)
    assert ends.card.receive(asked) is Verdict.REPEAT
    assert ends.card.repeated(later) == msgspec.structs.replace(answer, id=9)


def test_another_box_or_none_under_a_number_that_was_used_is_wrong(ends: Ends) -> None:
    asked = ends.ask()
    ends.take(asked)
    ends.answer()
    assert ends.card.receive(msgspec.structs.replace(asked, box=b"b")) is Verdict.WRONG
    assert ends.card.receive(msgspec.structs.replace(COMMAND, seq=1)) is Verdict.WRONG


@pytest.mark.parametrize("seq", [None, 0, -1])
def test_a_box_without_a_number_is_wrong(ends: Ends, seq: int | None) -> None:
    asked = msgspec.structs.replace(ends.ask(), seq=seq)
    assert ends.card.receive(asked) is Verdict.WRONG
    assert ends.card.taken == 0


def test_a_box_of_an_earlier_number_is_late_and_its_answer_is_given_to_no_later_one(
    ends: Ends,
) -> None:
    first = ends.ask()
    ends.take(first)
    settled(ends.user.answered(ends.answer()))
    second = ends.ask()
    ends.take(second)
    assert ends.card.receive(second) is Verdict.LATE
    assert ends.card.receive(first) is Verdict.LATE
    assert ends.card.outcome_of(first) is Outcome.UNKNOWN
    ends.answer()
    assert ends.card.receive(first) is Verdict.LATE


def test_what_a_resume_has_passed_is_neither_begun_nor_answered_again(ends: Ends) -> None:
    ends.run()
    asked = ends.ask()
    assert ends.card.may_resume(claim := ends.resume())
    assert ends.card.resumed(claim).seq == 1
    first = msgspec.structs.replace(asked, seq=1)
    assert ends.card.receive(first) is Verdict.LATE
    assert ends.card.receive(asked) is Verdict.LATE
    assert ends.card.ended(ErrorCode.CARD_NOT_PRESENT, "It was pulled.").seq == 1


def test_a_copy_of_what_is_carried_out_comes_without_the_secret_once_that_is_known(
    ends: Ends,
) -> None:
    ends.take(ends.ask())
    claim = ends.resume()
    assert ends.card.may_resume(claim)
    again = sent(ends.user.resumed(ends.card.resumed(claim)))
    assert isinstance(again, m.Sealed)
    assert (again.seq, again.secret) == (1, None)
    assert ends.card.receive(again) is Verdict.LATE
    ends.answer()
    assert ends.card.receive(again) is Verdict.REPEAT


def test_a_request_that_is_refused_unopened_has_the_secret_for_the_word_on_it(ends: Ends) -> None:
    asked = ends.ask()
    ends.card.refused(asked)
    word = ends.card.word_on(asked)
    told = settled(ends.user.answered(refusal(ends, word)))
    assert isinstance(told, m.Error)
    assert told.outcome is Outcome.NOT_EXECUTED


def test_an_answer_that_no_message_has_room_for_is_an_error_sealed_once() -> None:
    ends = Ends(longest=1024)
    ends.take(ends.ask())
    long = m.RApdu(session=SESSION, response=Octets(400), sw="9000")
    said = ends.card.answered(long)
    assert isinstance(said, m.SealedResp)
    assert (said.of, said.code) == ("error", ErrorCode.TOO_MANY)
    told = settled(ends.user.answered(said))
    assert isinstance(told, m.Error)
    assert told.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(("longest", "pad"), [(1 << 20, 1), (4096, 256), (600, 1), (100, 1)])
def test_what_has_room_is_in_no_longer_message(longest: int, pad: int) -> None:
    from wsrc.protocol.codec import encode  # noqa: PLC0415

    room = room_for(longest, pad)
    box = bytes(room and room + 25 + pad)
    said = m.SealedResp(id=10**9, seq=2**53 - 1, session="s" * 32, of="r_apdu", box=box)
    assert len(encode(said)) <= longest or not room


@pytest.mark.parametrize(
    "changed",
    [
        {"of": "batch"},
        {"resets": True},
        {"seq": 2},
        {"seq": None},
        {"box": b""},
    ],
    ids=str,
)
def test_a_request_that_is_not_as_it_was_sealed_is_not_opened(
    ends: Ends, changed: dict[str, object]
) -> None:
    asked = msgspec.structs.replace(ends.ask(), **changed)
    with pytest.raises(SealError, check=lambda exc: exc.code is ErrorCode.SEAL_BOX):
        ends.host.open(asked, 0)


def test_a_word_of_a_later_version_in_a_box_is_refused_as_in_any_request(ends: Ends) -> None:
    kind = msgspec.json.decode(b'"scalding"', type=type(m.ResetReq().kind))
    asked = ends.ask(m.ResetReq(kind=kind))
    with pytest.raises(RefusedError, check=lambda exc: exc.code is ErrorCode.NOT_SUPPORTED):
        ends.host.open(asked, 0)


def test_an_answer_that_is_not_what_it_is_told_to_be_is_not_taken(ends: Ends) -> None:
    """As of a card host that seals one thing as another."""
    ends.take(ends.ask())
    text = b'{"msg_type":"r_apdu","response":"","sw":"9000"}'
    box = ends.host._seal.seal("batch_resp", 1, text)
    said = m.SealedResp(seq=1, session=SESSION, of="batch_resp", box=box)
    told = settled(ends.user.answered(said))
    assert isinstance(told, OutcomeUnknownError)
    assert told.code is ErrorCode.SEAL_BOX


# What is believed


def test_that_a_request_was_not_executed_is_believed_with_the_word_of_the_card_end(
    ends: Ends,
) -> None:
    ends.run()
    asked = ends.ask()
    ends.card.refused(asked)
    word = ends.card.word_on(asked)
    assert word is not None
    assert settled(ends.user.answered(refusal(ends, word))) == refusal(ends, word)
    ends.run()


def test_the_word_on_another_number_is_none_on_this_one(ends: Ends) -> None:
    ends.run()
    first = ends.ask()
    ends.card.refused(first)
    word = ends.card.word_on(first)
    ends.user.answered(refusal(ends, word))
    ends.ask()
    ends.doubting(refusal(ends, word))


def test_there_is_no_word_on_what_was_taken_in_hand_or_never_seen(ends: Ends) -> None:
    asked = ends.ask()
    assert ends.card.word_on(asked) is None
    ends.take(asked)
    assert ends.card.word_on(asked) is None


def test_what_was_not_sent_needs_no_word(ends: Ends) -> None:
    ends.run()
    ends.ask()
    assert settled(ends.user.unsent(refusal(ends))) == refusal(ends)
    ends.run()


def test_an_answer_without_a_box_is_of_nobody(ends: Ends) -> None:
    ends.ask()
    own = m.RApdu(session=SESSION, seq=1, response=Octets(), sw="9000")
    told = settled(ends.user.answered(own))
    assert isinstance(told, OutcomeUnknownError)
    assert told.code is ErrorCode.SEAL_BOX


def test_a_request_of_which_the_user_was_told_wrongly_stops_the_next(ends: Ends) -> None:
    """The user believes a word; were that of a card end that lied, the next would not be begun."""
    ends.run()
    ran = ends.ask()
    word = ends.host.refused(2)
    ends.take(ran)
    ends.user.answered(refusal(ends, word))
    with pytest.raises(SealError, check=lambda exc: exc.code is ErrorCode.SEAL_ORDER):
        ends.host.open(ends.ask(), ends.card.taken)


# Resume


def test_a_session_goes_on_after_a_proof_with_what_was_not_begun(ends: Ends) -> None:
    ends.run()
    first = ends.ask()
    asked = ends.resume()
    assert (asked.secret, asked.seq) == ("", 2)
    assert ends.card.may_resume(asked)
    again = sent(ends.user.resumed(ends.card.resumed(asked)))
    assert isinstance(again, m.Sealed)
    assert (again.seq, again.of) == (3, first.of)
    ends.take(again)
    assert isinstance(settled(ends.user.answered(ends.answer())), m.RApdu)


def test_a_kept_answer_comes_with_resumed(ends: Ends) -> None:
    ends.take(ends.ask())
    ends.answer("6a82")
    asked = ends.resume()
    assert asked.seal is not None
    assert ends.card.may_resume(asked)
    told = settled(ends.user.resumed(ends.card.resumed(asked)))
    assert isinstance(told, m.RApdu)
    assert told.sw == "6a82"


def test_a_session_is_resumed_before_its_first_request(ends: Ends) -> None:
    asked = ends.resume()
    assert ends.card.may_resume(asked)
    assert ends.user.resumed(ends.card.resumed(asked)) == ()
    ends.run()


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": b"another" + bytes(25)},
        {"nonce": None},
        {"seq": 0},
        {"host": "other"},
        {"reader": None},
        {"proof": None},
        {"proof": m.SealProof(counter=2, mac=b"x" * 32)},
    ],
    ids=str,
)
def test_a_proof_for_something_else_does_not_resume(ends: Ends, changed: dict[str, object]) -> None:
    ends.run()
    asked = ends.resume()
    assert not ends.card.may_resume(msgspec.structs.replace(asked, **changed))
    assert ends.card.may_resume(asked)
    assert not ends.card.may_resume(asked)


def test_a_server_that_is_lost_may_be_followed_by_one_that_asks_again(ends: Ends) -> None:
    ends.run()
    asked = ends.resume()
    assert ends.card.may_resume(asked)
    ends.card.disconnected(2.0)
    assert ends.card.may_resume(asked)
    assert not ends.card.may_resume(asked)


def test_a_secret_resumes_no_sealed_session() -> None:
    ends = Ends()
    ends.run()
    card = CardEnd(SESSION, "secret", KEEP_S, ends.host)
    assert not card.may_resume(m.Resume(session=SESSION, secret="secret", seq=1))


@pytest.mark.parametrize("word", [None, b"w" * 32])
def test_resumed_without_the_word_of_the_card_end_ends_the_session(
    ends: Ends, word: bytes | None
) -> None:
    ends.run()
    ends.ask()
    ends.resume()
    told = ends.user.resumed(m.Resumed(session=SESSION, seq=1, word=word))
    assert isinstance(settled(told[:1]), OutcomeUnknownError)
    assert ends.user.state is State.OVER


# The end


def test_how_a_session_ended_is_told_with_a_word(ends: Ends) -> None:
    ends.run()
    ends.ask()
    said = ends.card.ended(ErrorCode.CARD_NOT_PRESENT, "It was pulled.")
    assert isinstance(settled(ends.user.ended(said)), NotExecutedError)


def test_a_kept_answer_comes_with_the_end(ends: Ends) -> None:
    ends.take(ends.ask())
    ends.answer("6a82")
    told = ends.user.ended(ends.card.ended(ErrorCode.CARD_NOT_PRESENT, "It was pulled."))
    answer = settled(told)
    assert isinstance(answer, m.RApdu)
    assert answer.sw == "6a82"


def test_who_never_was_heard_is_told_by_whom_the_session_ended_with_the_secret_in_resume(
    ends: Ends,
) -> None:
    """The first request is lost on its way, and the card goes: with the proof there is a word."""
    ends.ask()
    ended = Ended()
    assert ends.card.ended(ErrorCode.CARD_NOT_PRESENT, "Gone.").word is None
    ended.put(ends.card, ends.card.ended(ErrorCode.CARD_NOT_PRESENT, "Gone."))
    said = ended.answer(ends.resume())
    assert said is not None
    told = settled(ends.user.ended(said))
    assert isinstance(told, NotExecutedError)


def test_of_a_session_that_was_given_back_unused_nothing_is_kept(ends: Ends) -> None:
    ends.ask()
    ended = Ended()
    ended.put(ends.card, ends.card.ended(ErrorCode.NO_SUCH_SESSION, "Over."), given_back=True)
    assert ended.answer(ends.resume()) is None


def test_who_comes_late_is_told_how_it_ended_for_a_proof(ends: Ends) -> None:
    ends.run()
    ended, said = Ended(), ends.card.ended(ErrorCode.LEASE_EXPIRED, "It is over.")
    ended.put(ends.card, said)
    asked = ends.resume()
    assert ended.answer(msgspec.structs.replace(asked, nonce=bytes(32))) is None
    assert ended.answer(asked) == msgspec.structs.replace(said, id=asked.id)


def test_a_request_that_is_sent_has_its_progress(ends: Ends) -> None:
    ends.ask()
    assert ends.user._open is not None
    assert ends.user._open.progress is Progress.SENT


def test_a_proof_resumes_no_session_of_another_principal_and_stays_good_for_its_own(
    ends: Ends,
) -> None:
    ends.run()
    ends.card.owner = "anna@example.com"
    claim = ends.resume()
    assert not ends.card.may_resume(msgspec.structs.replace(claim, owner="eve@example.com"))
    assert ends.card.may_resume(msgspec.structs.replace(claim, owner="anna@example.com"))
