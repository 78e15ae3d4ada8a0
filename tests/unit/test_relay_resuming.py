# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.resuming: sessions without their user, claims to them, and who gets them."""

from typing import NamedTuple

import pytest

from tests.unit.relay_world import ICCID, OK, CardClient, Peer, World, code_of, empty, reader
from wsrc import messages as m
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.relay.resuming import MAX_CLAIMS
from wsrc.slot import Share

SECRET = "5e" * 32
FEATURES = ("pcsc", "resume", "share")
COMMAND = Octets.fromhex("00a40004023f00")


class Scene(NamedTuple):
    """A card that is held by a user whose session can be resumed."""

    world: World
    card: CardClient
    user: Peer
    session: str


def scene(keep_s: float = 60.0, *, share: Share = Share.EXCLUSIVE, **limits: float) -> Scene:
    """Set the scene."""
    world = World(**limits)
    card = world.card(reader(), features=FEATURES, instance="c")
    user = world.user(name="user", instance="u")
    session = select(user, keep_s, share).session
    assert session is not None
    return Scene(world, card, user, session)


def select(user: Peer, keep_s: float = 60.0, share: Share = Share.EXCLUSIVE) -> m.SelectCardAck:
    """Select the card with a secret."""
    return user.ask(wish(user, keep_s, share), m.SelectCardAck)


def wish(user: Peer, keep_s: float = 60.0, share: Share = Share.EXCLUSIVE) -> m.SelectCard:
    """Say which card is wanted."""
    return m.SelectCard(
        id=user.new_id(), iccid=ICCID, secret=SECRET, keep_s=keep_s, share=share, wait_s=0
    )


def resume(user: Peer, session: str, secret: str = SECRET, seq: int = 0) -> m.Resume:
    """Claim a session on a connection."""
    return m.Resume(
        id=user.new_id(), session=session, secret=secret, seq=seq, host="bench", reader="r1"
    )


def running(session: str, **fields: object) -> m.RunningSession:
    """Describe a session that a card client kept."""
    given = {"reader": "r1", "insertion": 1, "holder": "user", "keep_s": 60.0, **fields}
    return m.RunningSession(session=session, **given)  # type: ignore[arg-type]  # fields by name


def comes_back(
    world: World, card: CardClient, *sessions: m.RunningSession, auto: bool = True
) -> CardClient:
    """Let a card client connect again with what it kept."""
    return world.card(
        reader(), features=FEATURES, instance="c", before=card, sessions=sessions, auto=auto
    )


def seq_command(user: Peer, session: str, seq: int) -> m.CApdu:
    """Send a numbered command."""
    command = m.CApdu(id=user.new_id(), session=session, command=COMMAND, seq=seq)
    user.say(command)
    return command


def holder_of(world: World) -> m.LeaseInfo | None:
    """Give who holds the card, as others are told."""
    listed = world.user().ask(m.ListCards(id=1), m.ListCardsAck)
    return listed.cards[0].lease


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
    assert (info.holder, info.until) == ("user", world.relay._floor.utc(since + 60))
    other = world.user()
    refused = other.refused(wish(other))
    assert code_of(refused) is ErrorCode.CARD_BUSY
    assert f"out of reach and for whom it is kept until {info.until}" in refused.message
    assert any("out of reach, and the card is kept for 60 s" in note for note in world.notes)


def test_who_stays_away_too_long_loses_the_card() -> None:
    world, card, user, session = scene(60)
    user.leave()
    world.pass_time(59)
    assert session in card.ends
    world.pass_time(1)
    assert world.notes[-1].endswith("of user ended: Its user did not come back in time.")
    back = world.user()
    ended = back.ask(resume(back, session), m.SessionEnded)
    assert (ended.code, ended.seq) == (ErrorCode.LEASE_EXPIRED, 0)
    select(world.user())


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
    assert (
        world.notes[-1]
        == f"Session {session[:8]} of user is not given to thief: There is no such session here."
    )
    assert not any("wrong" in note for note in world.notes)
    back = world.user()
    back.ask(resume(back, session), m.Resumed)


def test_an_unknown_session_is_asked_where_it_was() -> None:
    world = World()
    world.card(reader("r9", "1234"), features=FEATURES, name="elsewhere")
    world.card(reader("r1", "1234"), features=("pcsc", "share"))
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


def test_a_session_without_resume_cannot_be_claimed() -> None:
    world = World()
    world.card(reader(), features=FEATURES)
    session = world.user().hold(iccid=ICCID)
    thief = world.user()
    assert code_of(thief.refused(resume(thief, session))) is ErrorCode.NO_SUCH_SESSION


def test_a_server_that_keeps_nothing_takes_no_claims() -> None:
    world = World(keep_s=0)
    user = world.user()
    assert code_of(user.refused(resume(user, "s"))) is ErrorCode.NO_SUCH_SESSION


def test_claims_have_bounds() -> None:
    world, card, user, session = scene(max_waiting=10, max_sessions_per_user=9)
    card.auto = False
    user.leave()
    back = world.user()
    for _ in range(MAX_CLAIMS):
        back.say(resume(back, session))
    again = m.Resume(id=1, session="other", secret=SECRET)
    assert code_of(back.refused(again)) is ErrorCode.REQUEST_IN_FLIGHT
    assert code_of(back.refused(resume(back, session))) is ErrorCode.TOO_MANY
    back.say(resume(back, "other"))
    assert code_of(back.refused(resume(back, "one more"))) is ErrorCode.TOO_MANY
    third = world.user()
    third.say(resume(third, "third"))
    assert code_of(third.refused(resume(third, "fourth"))) is ErrorCode.TOO_MANY
    assert len(card.inbox) == 10
    assert world.relay.counts["claims"] == 10


def test_a_claim_that_is_not_answered_is_given_up() -> None:
    world, card, user, session = scene(600, command_s=10, attach_s=5)
    card.auto = False
    user.leave()
    back = world.user()
    back.say(resume(back, session))
    world.pass_time(24)
    assert back.quiet()
    world.pass_time(1)
    refused = back.one(m.Error)
    assert (code_of(refused), refused.session) == (ErrorCode.COMMAND_TIMEOUT, session)
    card.answer(card.one(m.Resume))
    assert back.quiet()


def test_a_claimant_who_is_gone_leaves_the_card_where_it_was() -> None:
    world, card, user, session = scene()
    card.auto = False
    user.leave()
    back = world.user()
    back.say(resume(back, session))
    back.leave()
    card.answer(card.one(m.Resume))
    info = holder_of(world)
    assert info is not None
    assert info.until == world.relay._floor.utc(world.now + 60)


def test_a_claim_can_be_cancelled() -> None:
    world, card, user, session = scene()
    card.auto = False
    user.leave()
    back = world.user()
    claim = resume(back, session)
    back.say(claim)
    assert claim.id is not None
    back.say(m.Cancel(id=99, target=claim.id, session=session))
    assert back.next(m.CancelAck).cancelled
    assert code_of(back.one(m.Error)) is ErrorCode.CANCELLED


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


def test_another_card_client_cannot_answer_a_claim() -> None:
    world, card, user, session = scene()
    card.auto = False
    user.leave()
    back = world.user()
    back.say(resume(back, session))
    number = card.one(m.Resume).id
    other = world.card(reader("r2", "1234"), name="other", features=FEATURES)
    other.say(m.Resumed(id=number, session=session, seq=0))
    assert back.quiet()


def test_a_broken_status_word_in_a_kept_answer_breaks_the_protocol() -> None:
    _, card, _, session = scene()
    answer = m.RApdu(response=Octets(), sw="what", seq=1)
    card.say(m.Resumed(id=1, session=session, seq=1, answer=answer))
    assert card.closed is not None


# A card client that is out of reach


def test_users_are_told_that_the_card_host_is_out_of_reach() -> None:
    world, card, user, session = scene()
    card.auto = False
    command = seq_command(user, session, 1)
    assert command.id is not None
    user.say(m.Cancel(id=88, target=command.id, session=session))
    card.leave()
    assert not user.next(m.CancelAck).cancelled
    told = user.one(m.SessionInterrupted)
    assert (told.session, told.message.startswith("The connection of card host bench")) == (
        session,
        True,
    )
    assert any("of user is interrupted: The connection" in note for note in world.notes)
    claim = resume(user, session, seq=1)
    user.say(claim)
    assert user.quiet()
    comes_back(world, card, running(session))
    assert user.one(m.Resumed).id == claim.id
    assert any("came back with card host bench and waits" in note for note in world.notes)


def test_a_claim_goes_on_where_the_card_client_comes_back() -> None:
    world, card, user, session = scene()
    card.auto = False
    user.leave()
    back = world.user()
    back.say(resume(back, session))
    card.leave()
    assert back.quiet()
    comes_back(world, card, running(session))
    back.one(m.Resumed)


def test_a_card_host_that_does_not_come_back_is_not_waited_for_for_ever() -> None:
    world, card, user, session = scene(keep_s=60)
    world.pass_time(1)
    card.leave()
    user.next(m.SessionInterrupted)
    user.say(resume(user, session))
    world.pass_time(599)
    assert user.quiet()
    world.pass_time(1)
    refused = user.one(m.Error)
    assert code_of(refused) is ErrorCode.CARD_CLIENT_GONE
    assert refused.message == "Card host bench did not come back in time."
    user.say(m.Resume(id=9, session=session, secret=SECRET))
    world.pass_time(600)
    assert user.one(m.Error).message == "Card host of the session did not come back in time."


def test_a_reader_that_comes_late_is_asked_too() -> None:
    world, card, user, session = scene()
    card.leave()
    user.next(m.SessionInterrupted)
    user.say(resume(user, session))
    card = world.card(features=FEATURES, before=card)
    card.end(session, ErrorCode.READER_UNAVAILABLE)
    card.report(reader())
    assert user.one(m.SessionEnded).code is ErrorCode.READER_UNAVAILABLE


def test_a_card_client_without_resume_is_not_asked() -> None:
    world, card, user, session = scene()
    card.leave()
    user.next(m.SessionInterrupted)
    user.say(resume(user, session))
    silent = world.card(reader(), sessions=(running(session),), auto=False)
    assert silent.one(m.Detach).session == session
    assert user.quiet()


# Sessions that card clients bring


def test_a_server_that_was_restarted_learns_who_has_the_cards() -> None:
    world, card, _, session = scene()
    world.start()
    world.notes.clear()
    watcher = world.user()
    watcher.ask(m.Watch(id=1), m.WatchAck)
    waiting = world.user()
    waiting.say(m.SelectCard(id=1, iccid=ICCID, wait_s=100))
    assert waiting.one(m.Waiting).position == 1
    comes_back(world, card, running(session))
    event = watcher.next(m.CardEvent)
    assert (event.change, event.card.state) == (m.Change.ADDED, m.CardState.ASSOCIATED)
    assert waiting.quiet()
    info = holder_of(world)
    assert info is not None
    assert (info.holder, info.until) == ("user", world.relay._floor.utc(world.now + 60))
    back = world.user(name="user")
    back.ask(resume(back, session), m.Resumed)
    back.leave(goodbye=True)
    waiting.one(m.SelectCardAck)


def test_a_user_who_is_back_first_waits_for_the_card_host() -> None:
    world, card, _, session = scene()
    world.start()
    back = world.user()
    back.say(resume(back, session))
    assert back.quiet()
    comes_back(world, card, running(session))
    back.one(m.Resumed)


def test_a_user_who_does_not_come_back_after_a_restart_loses_the_card() -> None:
    world, card, _, session = scene()
    world.start()
    card = comes_back(world, card, running(session, keep_s=20))
    world.pass_time(20)
    assert not card.ends
    select(world.user())


def test_a_card_client_that_comes_and_goes_does_not_keep_a_card_for_longer() -> None:
    world, card, user, session = scene(60)
    since = holder_of(world)
    user.leave()
    world.pass_time(40)
    card.leave()
    card = comes_back(world, card, running(session))
    back = holder_of(world)
    assert since is not None
    assert back is not None
    assert back.since == since.since
    world.pass_time(19)
    assert card.ends
    world.pass_time(1)
    assert not card.ends


@pytest.mark.parametrize("how", ["ended", "attaching", "too late"])
def test_a_session_that_was_given_up_is_ended_when_it_comes_back(how: str) -> None:
    world, card, user, session = scene(60)
    if how == "attaching":
        user.leave(goodbye=True)
        card.auto = False
        user = world.user()
        user.say(wish(user))
        session = card.one(m.Attach).session
        card.leave()
        assert code_of(user.one(m.Error)) is ErrorCode.CARD_CLIENT_GONE
    elif how == "ended":
        card.auto = False
        user.leave()
        world.pass_time(60)
        card.leave()
    else:
        user.leave()
        card.leave()
        world.pass_time(60)
    other = world.user()
    other.say(m.SelectCard(id=1, iccid=ICCID, wait_s=100))
    other.one(m.Waiting)
    card = comes_back(world, card, running(session), auto=False)
    detach = card.one(m.Detach)
    assert (detach.session, detach.code) == (session, ErrorCode.LEASE_EXPIRED)
    card.answer(detach)
    assert isinstance(card.inbox[-1], m.Attach)


def test_sessions_for_which_there_is_no_place_are_ended() -> None:
    world, card, _, session = scene()
    world.start()
    claims = (
        running(session, reader="r2"),
        running("other card", insertion=2),
        running(""),
        running("x" * 65),
        running("a\nb"),
    )
    card = comes_back(world, card, *claims, auto=False)
    assert [each.session for each in card.inbox if isinstance(each, m.Detach)] == [
        each.session for each in claims
    ]
    assert world.relay.counts["sessions"] == 0


def test_a_session_that_another_card_client_has_is_not_taken_from_it() -> None:
    world, card, _, session = scene()
    liar = world.card(
        reader("r2", "1234"), features=FEATURES, sessions=(running(session, reader="r2"),)
    )
    assert liar.quiet()
    assert card.ends
    assert world.relay.counts["sessions"] == 1


def test_a_session_without_its_card_is_ended_but_one_for_the_reader_goes_on() -> None:
    world = World()
    sessions = (running("card"), running("reader", share=Share.DIRECT))
    card = world.card(empty(), features=FEATURES, sessions=sessions, auto=False)
    assert card.one(m.Detach).session == "card"
    assert world.relay.counts["sessions"] == 1


def test_of_sessions_that_exclude_each_other_the_first_goes_on() -> None:
    world = World()
    sessions = (running("one"), running("two", share=Share.SHARED))
    card = world.card(reader(), features=FEATURES, sessions=sessions, auto=False)
    assert card.one(m.Detach).session == "two"
    shared = (running("three", share=Share.SHARED), running("four", share=Share.SHARED))
    both = World().card(reader(), features=FEATURES, sessions=shared, auto=False)
    assert both.quiet()


def test_a_session_is_not_kept_for_longer_than_the_server_allows() -> None:
    world = World(keep_s=10)
    world.card(reader(), features=FEATURES, sessions=(running("s", keep_s=99, holder="\x00"),))
    info = holder_of(world)
    assert info is not None
    assert (info.holder, info.until) == ("a user", world.relay._floor.utc(world.now + 10))


# A session that its card client ends


def test_the_end_of_a_session_says_what_became_of_the_last_request() -> None:
    world, card, user, session = scene()
    card.auto = False
    command = seq_command(user, session, 1)
    assert command.id is not None
    user.say(m.Cancel(id=88, target=command.id, session=session))
    code, answer = ErrorCode.CARD_NOT_PRESENT, m.RApdu(response=OK, sw="9000", seq=1)
    ended = m.SessionEnded(session=session, code=code, message="Gone.", seq=1, answer=answer)
    card.say(ended)
    assert not user.next(m.CancelAck).cancelled
    assert user.one(m.SessionEnded) == ended
    assert world.relay.counts["sessions"] == 0
    other = world.user()
    assert code_of(other.refused(wish(other))) is ErrorCode.NO_SUCH_CARD


def test_a_session_can_end_while_its_user_is_away() -> None:
    world, card, user, session = scene()
    user.leave()
    card.end(session, ErrorCode.CARD_WAS_RESET)
    card.say(m.SessionEnded(session=session, code=ErrorCode.CARD_WAS_RESET, message="Reset."))
    back = world.user()
    assert back.ask(resume(back, session), m.SessionEnded).code is ErrorCode.CARD_WAS_RESET


# The same program again


def test_a_user_who_connects_again_replaces_the_earlier_connection() -> None:
    world, _, user, session = scene()
    back = world.user(instance="u")
    assert user.closed == (1008, "The user client has connected again.")
    back.ask(resume(back, session), m.Resumed)
    assert world.user(instance="c").closed is None


def test_a_select_that_is_repeated_takes_back_the_card_that_was_given_unheard() -> None:
    world, _, _, session = scene()
    back = world.user(instance="u", name="user")
    back.say(wish(back))
    back.next(m.Waiting)
    assert back.one(m.SelectCardAck).session != session
    assert f"Session {session[:8]} of user ended: its user selects the card again" in world.notes


def test_a_select_does_not_take_a_card_from_others_or_from_a_claim() -> None:
    world, card, user, session = scene()
    user.leave()
    for other in (world.user(instance="x"), world.user()):
        assert code_of(other.refused(wish(other))) is ErrorCode.CARD_BUSY
    card.auto = False
    back = world.user(instance="u")
    back.say(resume(back, session))
    assert code_of(back.refused(wish(back))) is ErrorCode.CARD_BUSY
    card.answer(card.one(m.Resume))
    back.one(m.Resumed)
    assert code_of(back.refused(wish(back))) is ErrorCode.CARD_BUSY


# A server that stops


def test_claims_are_for_the_next_server_once_this_one_stops() -> None:
    world, card, user, session = scene()
    card.auto = False
    user.leave()
    back, late = world.user(), world.user()
    back.say(resume(back, session))
    world.perform(world.relay.shut_down(1.0, world.now))
    assert code_of(back.next(m.Error)) is ErrorCode.SHUTTING_DOWN
    late.next(m.Restarting)
    assert code_of(late.refused(resume(late, session))) is ErrorCode.SHUTTING_DOWN
    command = m.CApdu(id=5, session=session, command=COMMAND)
    assert late.refused(command).outcome is Outcome.NOT_EXECUTED


def test_nothing_is_left_when_all_are_gone() -> None:
    world, card, user, session = scene()
    second = world.user(instance="v")
    second.say(resume(second, "unknown"))
    user.leave()
    card.leave()
    back = world.user(instance="u")
    back.say(resume(back, session))
    for peer in (second, back):
        peer.leave()
    assert world.leftovers() == {}
    assert world.relay.deadline() is None
