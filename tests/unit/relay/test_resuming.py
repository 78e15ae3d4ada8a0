# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.resuming: sessions without their user, claims to them, and who gets them."""

import msgspec
import pytest

from tests.support.relay_clients import ICCID, OK
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import (
    COMMAND,
    FEATURES,
    SECRET,
    comes_back,
    holder_of,
    resume,
    running,
    scene,
    select,
    seq_command,
    wish,
)
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m

# What is granted


def test_a_session_is_kept_as_long_as_all_three_agree_to() -> None:
    world = World(keep_s=50)
    card = world.card(reader(), features=FEATURES, auto=False)
    user = world.user(name="user")
    user.say(wish(user, 60))
    attach = card.one(m.Attach)
    assert (attach.secret, attach.keep_s, attach.holder) == (SECRET, 50, "user")
    card.say(m.AttachAck(session=attach.session, atr=Octets(), keep_s=40))
    assert user.one(m.SelectCardAck).keep_s == 40


@pytest.mark.parametrize(
    ("secret", "keep_s", "features", "limit_s"),
    [
        (None, 60.0, FEATURES, 60.0),
        ("", 60.0, FEATURES, 60.0),
        (SECRET, 0.0, FEATURES, 60.0),
        (SECRET, -1.0, FEATURES, 60.0),
        (SECRET, 60.0, ("pcsc", "share"), 60.0),
        (SECRET, 60.0, FEATURES, 0.0),
    ],
)
def test_else_it_ends_with_its_connection(
    secret: str | None, keep_s: float, features: tuple[str, ...], limit_s: float
) -> None:
    world = World(keep_s=limit_s)
    card = world.card(reader(), features=features, auto=False)
    user = world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID, secret=secret, keep_s=keep_s))
    attach = card.one(m.Attach)
    assert (attach.secret, attach.keep_s, attach.holder) == (None, 0, None)
    card.say(m.AttachAck(session=attach.session, atr=Octets(), keep_s=99))
    assert user.one(m.SelectCardAck).keep_s == 0
    user.leave()
    assert card.one(m.Detach).code is None


# A user who is out of reach


def test_nobody_else_gets_the_card_of_a_user_who_is_out_of_reach() -> None:
    world, card, user, _ = scene(60)
    since = world.now
    user.leave()
    assert card.ends
    info = holder_of(world)
    assert info is not None
    assert (info.holder, info.until) == ("user", world.relay._state.utc(since + 60))
    other = world.user()
    refused = other.refused(wish(other))
    assert code_of(refused) is ErrorCode.CARD_BUSY
    assert f"out of reach and for whom it is kept until {info.until}" in refused.message
    assert any("is kept for 60 s: its user is out of reach" in note for note in world.notes)


def test_who_stays_away_too_long_loses_the_card() -> None:
    world, card, user, session = scene(60)
    user.leave()
    world.pass_time(59)
    assert session in card.ends
    world.pass_time(1)
    assert world.notes[-1].endswith("): Its user did not come back in time.")
    back = world.user()
    ended = back.ask(resume(back, session), m.SessionEnded)
    assert (ended.code, ended.seq) == (ErrorCode.LEASE_EXPIRED, 0)
    select(world.user())


def test_a_session_that_was_kept_for_too_long_is_ended_once() -> None:
    world, card, user, session = scene()
    card.auto = False
    user.leave()
    world.pass_time(60)
    assert card.one(m.Detach) == m.Detach(session=session, code=ErrorCode.LEASE_EXPIRED)
    back = world.user(instance="u")
    refused = back.refused(m.Detach(id=back.new_id(), session=session))
    assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
    assert card.quiet()


def test_who_says_goodbye_is_not_waited_for() -> None:
    world, card, user, _ = scene(60)
    user.leave(goodbye=True)
    assert not card.ends
    assert holder_of(world) is None


def test_the_idle_limit_counts_again_after_the_user_is_back() -> None:
    world, _, user, session = scene(60, lease_idle_s=30)
    user.leave()
    world.pass_time(45)
    back = world.user()
    back.ask(resume(back, session), m.Resumed)
    world.pass_time(29)
    assert back.quiet()
    world.pass_time(1)
    assert back.one(m.SessionEnded).code is ErrorCode.LEASE_EXPIRED


def test_one_sharer_is_away_and_the_other_goes_on() -> None:
    world, _, user, session = scene(60, share=Share.SHARED)
    other = world.user(name="other")
    kept = select(other, 30, Share.SHARED).session
    user.leave()
    assert kept is not None
    seq_command(other, kept, 1)
    assert other.one(m.RApdu).sw == "9000"
    world.pass_time(60)
    back = world.user()
    assert back.ask(resume(back, session), m.SessionEnded).code is ErrorCode.LEASE_EXPIRED
    seq_command(other, kept, 2)
    assert other.one(m.RApdu).sw == "9000"


# Claims


def test_a_user_goes_on_over_another_connection() -> None:
    world, card, user, session = scene()
    user.leave()
    back = world.user(name="user again")
    claim = resume(back, session)
    assert back.ask(claim, m.Resumed) == m.Resumed(id=claim.id, session=session, seq=0)
    seq_command(back, session, 1)
    assert back.one(m.RApdu).sw == "9000"
    assert world.notes[-1] == f"Session {session[:8]} of user again is resumed"
    info = holder_of(world)
    assert info is not None
    assert info.holder == "user again"
    world.pass_time(120)
    assert back.quiet()
    back.leave(goodbye=True)
    assert not card.ends


def test_the_answer_that_was_on_its_way_is_given_again() -> None:
    world, card, user, session = scene()
    card.auto = False
    command = seq_command(user, session, 1)
    asked = card.one(m.CApdu)
    user.leave()
    assert world.relay.in_flight == 1
    end = card.ends[session]
    end.receive(asked)
    answer = m.RApdu(id=command.id, session=session, response=OK, sw="9000")
    card.say(end.answered(answer))
    assert world.relay.in_flight == 0
    card.auto = True
    back = world.user()
    resumed = back.ask(resume(back, session, seq=1), m.Resumed)
    assert (resumed.seq, resumed.answer) == (1, end.answered(answer))


def test_a_wrong_secret_is_told_to_the_claimant_and_the_operator() -> None:
    world, _, user, session = scene()
    user.leave()
    thief = world.user(name="thief")
    refused = thief.refused(resume(thief, session, "wrong"))
    assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
    sentence = "is not given to thief: There is no such session, or it cannot be resumed."
    assert world.notes[-1] == f"Session {session[:8]} of user {sentence}"
    assert not any("wrong" in note for note in world.notes)
    back = world.user()
    back.ask(resume(back, session), m.Resumed)


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        ("c", "There is no such session here."),
        ("d", "bench was restarted and the card was reset."),
    ],
)
def test_a_session_that_a_restarted_card_client_does_not_have_is_told_so(
    run: str, sentence: str
) -> None:
    world, card, user, session = scene()
    card.leave()
    user.one(m.SessionInterrupted)
    world.card(reader(), features=FEATURES, instance=run)
    refused = user.refused(resume(user, session))
    assert (refused.code, refused.message) == (ErrorCode.NO_SUCH_SESSION, sentence)


def test_an_unknown_session_is_asked_where_it_was() -> None:
    world = World()
    world.card(reader("r9", "1234"), features=FEATURES, name="elsewhere")
    world.card(reader("r1", "1234"), features=("pcsc", "share"), name="old")
    world.card(reader("r1", "5678"), features=FEATURES, name="elsewhere")
    card = world.card(reader(), features=FEATURES, auto=False)
    user = world.user()
    claim = resume(user, "nobody's")
    user.say(claim)
    asked = card.one(m.Resume)
    assert (asked.session, asked.secret, asked.reader) == ("nobody's", SECRET, "r1")
    assert asked.id != claim.id
    card.answer(asked)
    assert code_of(user.one(m.Error)) is ErrorCode.NO_SUCH_SESSION
    assert not any("not given" in note for note in world.notes)


def test_a_session_that_comes_with_another_card_client_is_claimed_there() -> None:
    world, card, _, session = scene()
    world.start()
    namesake = world.card(reader("r1", "1234"), features=FEATURES, auto=False)
    back = world.user()
    back.say(resume(back, session))
    asked = namesake.one(m.Resume)
    comes_back(world, card, running(session))
    assert back.quiet()
    namesake.answer(asked)
    back.one(m.Resumed)


def test_a_session_that_ended_is_asked_for_where_it_ran() -> None:
    world, card, user, session = scene()
    user.leave()
    card.say(m.ReaderGone(reader="r1"))
    card.end(session, ErrorCode.READER_UNAVAILABLE)
    back = world.user()
    assert back.ask(resume(back, session), m.SessionEnded).code is ErrorCode.READER_UNAVAILABLE


@pytest.mark.parametrize("fails", [False, True])
def test_an_answer_is_for_its_number_though_ids_are_used_again(*, fails: bool) -> None:
    world, card, user, session = scene()
    card.auto = False
    user.say(m.CApdu(id=1, session=session, command=COMMAND, seq=1))
    user.leave()
    back = world.user()
    card.auto = True
    back.ask(resume(back, session, seq=1), m.Resumed)
    card.auto = False
    back.say(m.CApdu(id=1, session=session, command=COMMAND, seq=2))
    late = m.RApdu(id=1, session=session, seq=1, response=Octets(), sw="9000")
    code = ErrorCode.CARD_TRANSMISSION_ERROR
    failure = m.error(code, "Late.", id=1, session=session, seq=1)
    card.say(failure if fails else late)
    assert back.quiet()
    card.say(msgspec.structs.replace(late, seq=2))
    assert back.one(m.RApdu).seq == 2


def test_who_resumes_elsewhere_takes_the_session_along() -> None:
    world, card, user, session = scene()
    card.auto = False
    command = seq_command(user, session, 1)
    assert command.id is not None
    user.say(m.Cancel(id=88, target=command.id, session=session))
    assert isinstance(card.inbox.pop(), m.Cancel)
    card.auto, card.inbox = True, []
    back = world.user()
    back.ask(resume(back, session, seq=1), m.Resumed)
    assert not user.next(m.CancelAck).cancelled
    answered = user.next(m.Error)
    assert (answered.id, answered.outcome) == (command.id, Outcome.UNKNOWN)
    assert code_of(answered) is ErrorCode.RESUMED_ELSEWHERE
    assert user.one(m.SessionEnded).code is ErrorCode.RESUMED_ELSEWHERE
    assert world.relay.in_flight == 0
    late = m.CApdu(id=77, session=session, command=COMMAND, seq=2)
    assert code_of(user.refused(late)) is ErrorCode.RESUMED_ELSEWHERE
    user.leave()
    seq_command(back, session, 2)
    back.one(m.RApdu)


def test_a_session_can_be_resumed_on_the_connection_that_has_it() -> None:
    _, _, user, session = scene()
    user.ask(resume(user, session), m.Resumed)
    seq_command(user, session, 1)
    user.one(m.RApdu)


@pytest.mark.parametrize("answer_comes", [True, False])
def test_a_wish_to_share_outlives_the_connection(answer_comes: bool) -> None:
    world, card, user, session = scene()
    card.auto = False
    user.say(m.Reconnect(id=50, session=session, share=Share.SHARED, seq=1))
    user.leave()
    card.auto = True
    asked = card.one(m.Reconnect)
    other = world.user()
    assert code_of(other.refused(wish(other, share=Share.SHARED))) is ErrorCode.CARD_BUSY
    if answer_comes:
        card.answer(asked)
    back = world.user()
    back.ask(resume(back, session, seq=1), m.Resumed)
    if answer_comes:
        select(other, share=Share.SHARED)
    else:
        assert code_of(other.refused(wish(other, share=Share.SHARED))) is ErrorCode.CARD_BUSY


def test_a_command_that_is_never_answered_ends_a_lease_whose_user_is_away() -> None:
    world, card, user, session = scene(600, command_s=10)
    card.auto = False
    seq_command(user, session, 1)
    user.leave()
    world.pass_time(10)
    assert isinstance(card.inbox[-1], m.Detach)
    assert card.inbox[-1].code is ErrorCode.COMMAND_TIMEOUT


@pytest.mark.parametrize("cleaned", [True, False])
def test_a_session_that_ended_before_the_card_client_answered_is_over(cleaned: bool) -> None:
    world, card, user, session = scene(5)
    card.auto = False
    user.leave()
    back = world.user()
    back.say(resume(back, session, seq=3))
    world.pass_time(5)
    asked, detach = card.inbox
    assert isinstance(asked, m.Resume)
    assert isinstance(detach, m.Detach)
    card.inbox.clear()
    if cleaned:
        card.say(m.DetachAck(session=session))
    card.answer(asked)
    ended = back.one(m.SessionEnded)
    assert (ended.code, ended.seq, ended.id) == (ErrorCode.LEASE_EXPIRED, 0, 1)
    assert ([type(each) for each in card.inbox] == [m.Detach]) is cleaned


def test_an_answer_under_the_number_of_a_claim_that_belongs_to_a_request_is_no_answer_to_it() -> (
    None
):
    world, card, user, session = scene()
    user.leave()
    card.auto = False
    back = world.user()
    back.say(resume(back, session))
    number = card.one(m.Resume).id
    why = "It is not for this."
    card.say(m.error(ErrorCode.INTERNAL, why, id=number, session=session, seq=1))
    card.say(m.Resumed(id=number, session="another", seq=0))
    card.say(m.Resumed(session=session, seq=0))
    card.say(m.DetachAck(id=number, session=session))
    assert back.quiet()
    assert world.relay.counts["claims"] == 1


def test_a_broken_status_word_in_a_kept_answer_breaks_the_protocol() -> None:
    _, card, _, session = scene()
    answer = m.RApdu(response=Octets(), sw="what", seq=1)
    card.say(m.Resumed(id=1, session=session, seq=1, answer=answer))
    assert card.closed is not None


def test_a10_a_session_that_its_card_client_ends_without_seq_leaves_no_command_open() -> None:
    world, card, user, session = scene()
    card.auto = False
    command = seq_command(user, session, 1)
    code = ErrorCode.CARD_TRANSMISSION_ERROR
    card.say(m.SessionEnded(session=session, code=code, message="The card is lost."))
    unknown = user.next(m.Error)
    assert (unknown.id, unknown.session, unknown.code) == (command.id, session, code)
    assert unknown.outcome is Outcome.UNKNOWN
    assert user.one(m.SessionEnded).session == session
    assert world.relay.counts["sessions"] == 0


@pytest.mark.parametrize("seq", [0, 1])
def test_a10_what_a_card_client_says_of_the_last_request_settles_it(seq: int) -> None:
    _, card, user, session = scene()
    card.auto = False
    seq_command(user, session, 1)
    said = m.SessionEnded(session=session, code=ErrorCode.CANCELLED, message="x", seq=seq)
    card.say(said)
    assert user.one(m.SessionEnded) == said
