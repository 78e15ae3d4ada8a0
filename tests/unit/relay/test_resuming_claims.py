# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.resuming: claims that are not granted, and how each of them ends."""

from tests.support.relay_clients import ICCID
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import (
    COMMAND,
    FEATURES,
    SECRET,
    holder_of,
    resume,
    scene,
)
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay.resuming import MAX_CLAIMS


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
    world, card, user, session = scene(max_sessions_per_user=9)
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
    assert len(card.inbox) == 9
    assert world.relay.counts["claims"] == 9


def test_who_has_as_many_cards_as_may_be_can_claim_one_of_them() -> None:
    """As where the word of a card host is asked for, on the connection that has the session."""
    _, _, user, session = scene(max_sessions_per_user=1)
    assert code_of(user.refused(resume(user, "another"))) is ErrorCode.TOO_MANY
    user.say(resume(user, session))
    assert user.next(m.Resumed).session == session
    answer = user.ask(m.CApdu(id=user.new_id(), session=session, command=COMMAND), m.RApdu)
    assert answer.session == session


def test_who_had_cards_can_claim_them_however_many_wait_for_others() -> None:
    world, _, user, session = scene(max_waiting=1)
    waiting = world.user()
    waiting.say(m.SelectCard(id=1, label="absent", wait_s=60))
    waiting.one(m.Waiting)
    user.leave()
    back = world.user()
    back.say(resume(back, session))
    assert back.next(m.Resumed).session == session


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
    assert info.until == world.relay._state.utc(world.now + 60)


def test_a_claim_can_be_cancelled() -> None:
    world, card, user, session = scene()
    card.auto = False
    user.leave()
    back = world.user()
    claim = resume(back, session)
    back.say(claim)
    assert claim.id is not None
    back.say(m.Cancel(id=99, target=claim.id, session=session))
    assert code_of(back.next(m.Error)) is ErrorCode.CANCELLED
    assert back.one(m.CancelAck).cancelled


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
