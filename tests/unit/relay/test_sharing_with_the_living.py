# SPDX-License-Identifier: Apache-2.0
"""Who shares a card shares it with the living: nobody joins those who are out of reach."""

from tests.support.relay_clients import ICCID, Peer
from tests.support.resuming_scene import Scene, comes_back, resume, running, scene
from wsrc.card.slot import Disposition, Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m


def kept_and_living(**limits: float) -> tuple[Scene, Peer, str]:
    """Set a scene in which a user shares the card with one who cannot come back."""
    stage = scene(share=Share.SHARED, **limits)
    other = stage.world.user(name="other")
    wish = m.SelectCard(id=other.new_id(), iccid=ICCID, share=Share.SHARED)
    session = other.ask(wish, m.SelectCardAck).session
    assert session is not None
    return stage, other, session


def wants(user: Peer, wait_s: float) -> m.SelectCard:
    return m.SelectCard(id=user.new_id(), iccid=ICCID, share=Share.SHARED, wait_s=wait_s)


def test_a6_nobody_joins_those_who_are_out_of_reach() -> None:
    (world, card, user, session), other, others = kept_and_living()
    user.leave()
    leave = m.Detach(id=other.new_id(), session=others, disposition=Disposition.LEAVE)
    other.ask(leave, m.DetachAck)
    late, patient = world.user(), world.user()
    refused = late.refused(wants(late, 0.0))
    assert refused.code is ErrorCode.CARD_BUSY
    assert "out of reach" in refused.message
    patient.say(wants(patient, 100.0))
    patient.one(m.Waiting)
    card.auto, card.inbox = False, []
    world.pass_time(60.0)
    assert card.one(m.Detach).session == session
    patient.inbox.clear()
    card.say(m.DetachAck(session=session))
    card.answer(card.one(m.Attach))
    patient.one(m.SelectCardAck)


def test_a6_nobody_joins_after_a_restart_until_a_holder_is_back() -> None:
    world, card, _, session = scene(share=Share.SHARED)
    world.start()
    card = comes_back(world, card, running(session, share=Share.SHARED))
    late = world.user()
    assert late.refused(wants(late, 0.0)).code is ErrorCode.CARD_BUSY
    late.say(wants(late, 50.0))
    late.one(m.Waiting)
    user = world.user(name="user", instance="u")
    user.ask(resume(user, session), m.Resumed)
    late.next(m.SelectCardAck)


def test_a6_who_joins_the_dead_is_not_joined_before_it_is_there() -> None:
    (world, card, user, _), other, _ = kept_and_living()
    card.auto, card.inbox = False, []
    second, third = world.user(), world.user()
    second.say(wants(second, 0.0))
    attach = card.one(m.Attach)
    user.leave()
    other.leave()
    third.say(wants(third, 50.0))
    third.one(m.Waiting)
    assert [type(each) for each in card.inbox] == [m.Detach]
    card.inbox.clear()
    card.answer(attach)
    second.one(m.SelectCardAck)
    card.answer(card.one(m.Attach))
    third.next(m.SelectCardAck)


def test_a6_a_card_that_is_opened_by_one_who_is_gone_is_not_joined() -> None:
    world, card, user, session = scene()
    late = world.user()
    late.say(wants(late, 50.0))
    late.one(m.Waiting)
    card.auto, card.inbox = False, []
    user.say(m.Reconnect(id=user.new_id(), session=session, share=Share.SHARED, seq=1))
    opens = card.one(m.Reconnect)
    user.leave()
    late.inbox.clear()
    card.answer(opens)
    assert card.quiet()
    assert not any(isinstance(each, m.SelectCardAck) for each in late.inbox)


def test_a6_who_takes_a_session_over_can_be_joined() -> None:
    (world, _, user, session), other, others = kept_and_living()
    user.leave()
    other.ask(m.Detach(id=other.new_id(), session=others), m.DetachAck)
    claimant, late = world.user(name="claimant"), world.user()
    assert late.refused(wants(late, 0.0)).code is ErrorCode.CARD_BUSY
    claimant.ask(resume(claimant, session), m.Resumed)
    late.ask(wants(late, 0.0), m.SelectCardAck)


def test_a6_a_card_whose_holders_are_out_of_reach_is_shown_as_exclusive() -> None:
    world, _, user, session = scene(share=Share.SHARED)
    looker = world.user()

    def exclusive() -> bool:
        asked = m.ListReaders(id=looker.new_id())
        return looker.ask(asked, m.ListReadersAck).readers[0].exclusive

    assert not exclusive()
    user.leave()
    assert exclusive()
    back = world.user(name="user", instance="u")
    back.ask(resume(back, session), m.Resumed)
    assert not exclusive()
