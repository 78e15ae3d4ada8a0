# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.resuming: runs of a user's program, which come again or say goodbye."""

import pytest

from tests.support.relay_clients import ICCID
from tests.support.relay_world import World, code_of, empty, reader
from tests.support.resuming_scene import (
    FEATURES,
    SECRET,
    comes_back,
    holder_of,
    resume,
    running,
    scene,
    select,
    wish,
)
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

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
    assert any(note.endswith("): its user selects the card again") for note in world.notes)


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


@pytest.mark.parametrize("gone", ["server", "card host"])
def test_a_repeated_select_is_known_after_its_session_came_back(gone: str) -> None:
    world = World()
    card = world.card(reader(), features=FEATURES, instance="c", auto=False)
    user = world.user(instance="u")
    user.say(wish(user))
    attach = card.one(m.Attach)
    assert attach.instance is not None
    assert attach.instance != "u"
    card.answer(attach)
    if gone == "server":
        world.start()
    else:
        card.leave()
    card = comes_back(world, card, running(attach.session, instance=attach.instance))
    other, back = world.user(instance="x"), world.user(instance="u")
    assert code_of(other.refused(wish(other))) is ErrorCode.CARD_BUSY
    back.say(wish(back))
    back.next(m.Waiting)
    back.one(m.SelectCardAck)


def test_a_repeated_select_that_waits_takes_back_what_its_card_host_brings() -> None:
    world, card, user, session = scene()
    user.leave()
    card.leave()
    back = world.user(instance="u")
    back.say(m.SelectCard(id=1, iccid=ICCID, wait_s=100))
    back.one(m.Waiting)
    card = comes_back(world, card, running(session))
    assert back.one(m.SelectCardAck).session != session
    assert session not in card.ends


def test_a_session_is_not_taken_for_a_lost_answer_by_a_select_over_its_own_connection() -> None:
    world, card, user, session = scene()
    user.say(m.SelectCard(id=88, iccid=ICCID, wait_s=100))
    user.one(m.Waiting)
    card = comes_back(world, card, running(session))
    user.next(m.SessionInterrupted)
    assert code_of(user.refused(wish(user))) is ErrorCode.CARD_BUSY
    user.ask(resume(user, session), m.Resumed)
    assert session in card.ends


def test_a_session_that_is_claimed_is_not_taken_for_a_lost_answer() -> None:
    world, card, user, session = scene()
    user.leave()
    card.leave()
    back = world.user(instance="u")
    back.say(resume(back, session))
    back.say(m.SelectCard(id=88, iccid=ICCID, wait_s=100))
    back.one(m.Waiting)
    comes_back(world, card, running(session))
    back.one(m.Resumed)


def test_a_repeated_select_of_an_empty_reader_is_known() -> None:
    world = World()
    card = world.card(empty(), features=FEATURES)
    first = m.SelectCard(id=1, reader="r1", share=Share.DIRECT, secret=SECRET, keep_s=60)
    world.user(instance="u").ask(first, m.SelectCardAck)
    back = world.user(instance="u")
    back.say(first)
    assert list(card.ends) == ["session-2"]


# A user who gives back what was interrupted a moment ago


@pytest.mark.parametrize("is_back", [False, True])
def test_what_is_given_back_while_its_card_host_is_lost_is_not_kept(is_back: bool) -> None:
    world, card, user, session = scene()
    card.leave()
    if is_back:
        card = comes_back(world, card, running(session))
    user.next(m.SessionInterrupted)
    user.ask(m.Detach(id=88, session=session), m.DetachAck)
    user.say(resume(user, session))
    if not is_back:
        card = comes_back(world, card, running(session))
    assert session not in card.ends
    assert isinstance(user.inbox[-1], m.SessionEnded)
    assert holder_of(world) is None


@pytest.mark.parametrize("is_back", [False, True])
def test_nobody_else_gives_it_back(is_back: bool) -> None:
    world, card, user, session = scene()
    card.leave()
    if is_back:
        card = comes_back(world, card, running(session))
    user.next(m.SessionInterrupted)
    other = world.user(instance="x")
    refused = other.refused(m.Detach(id=88, session=session))
    assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
    user.say(resume(user, session))
    if not is_back:
        comes_back(world, card, running(session))
    user.one(m.Resumed)


@pytest.mark.parametrize("host_is_lost", [False, True])
def test_a_later_connection_of_the_same_run_gives_back(host_is_lost: bool) -> None:
    world, card, user, session = scene()
    user.leave()
    if host_is_lost:
        card.leave()
    stranger, back = world.user(instance="x"), world.user(instance="u")
    refused = stranger.refused(m.Detach(id=88, session=session))
    assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
    back.ask(m.Detach(id=88, session=session), m.DetachAck)
    if host_is_lost:
        card = comes_back(world, card, running(session))
    assert session not in card.ends
    assert holder_of(world) is None


# A user who says goodbye


def test_what_is_kept_for_who_says_goodbye_is_not_kept_any_more() -> None:
    world, card, user, session = scene()
    user.leave()
    stranger, back = world.user(instance="x"), world.user(instance="u")
    stranger.leave(goodbye=True)
    assert session in card.ends
    back.leave(goodbye=True)
    assert session not in card.ends
    assert holder_of(world) is None


def test_what_another_wants_to_go_on_with_outlives_a_goodbye() -> None:
    world, card, user, session = scene()
    user.leave()
    card.auto = False
    claimant, back = world.user(instance="x"), world.user(instance="u")
    claimant.say(resume(claimant, session))
    back.leave(goodbye=True)
    card.answer(card.one(m.Resume))
    claimant.one(m.Resumed)


@pytest.mark.parametrize("restarted", [False, True])
def test_what_is_lost_with_its_card_host_when_its_user_says_goodbye_ends_as_it_comes_back(
    restarted: bool,
) -> None:
    world = World()
    card = world.card(reader(), features=FEATURES, instance="c", auto=False)
    user = world.user(instance="u")
    user.say(wish(user))
    attach = card.one(m.Attach)
    card.answer(attach)
    card.leave()
    if restarted:
        world.start()
        user = world.user(instance="u")
    user.leave(goodbye=True)
    described = running(attach.session, instance=attach.instance)
    card = comes_back(world, card, described, auto=False)
    detach = card.one(m.Detach)
    assert (detach.session, detach.code) == (attach.session, ErrorCode.CANCELLED)


def test_a_run_of_a_program_that_comes_again_after_its_goodbye_is_kept_for() -> None:
    world = World()
    world.user(instance="u").leave(goodbye=True)
    card = world.card(reader(), features=FEATURES, instance="c")
    user = world.user(instance="u")
    session = select(user).session
    assert session is not None
    card.leave()
    user.next(m.SessionInterrupted)
    user.say(resume(user, session))
    comes_back(world, card, running(session))
    user.one(m.Resumed)
