# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.resuming: card hosts that go and come back, and servers that start again."""

import pytest

from tests.support.card_watcher import CardWatcher
from tests.support.relay_clients import ICCID, OK
from tests.support.relay_world import World, code_of, empty, reader
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
from wsrc.protocol import messages as m

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
    watcher = CardWatcher(world.user())
    waiting = world.user()
    waiting.say(m.SelectCard(id=1, iccid=ICCID, wait_s=100))
    assert waiting.one(m.Waiting).position == 1
    comes_back(world, card, running(session))
    [event] = watcher.told()
    assert (event.change, event.card.state) == (m.Change.ADDED, m.CardState.ASSOCIATED)
    assert waiting.quiet()
    info = holder_of(world)
    assert info is not None
    assert (info.holder, info.until) == ("user", world.relay._state.utc(world.now + 60))
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
    assert (info.holder, info.until) == ("a user", world.relay._state.utc(world.now + 10))


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
