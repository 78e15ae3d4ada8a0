# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.leases: who has a card and does not use it is told before it is taken back."""

from tests.support.relay_clients import ICCID
from tests.support.relay_world import World, reader
from tests.support.resuming_scene import resume, scene
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

IDLE = ("idle",)


def test_a_holder_is_warned_once_before_the_card_is_taken_back() -> None:
    world = World(lease_idle_s=60, lease_warn_s=20)
    world.card(reader())
    user = world.user(features=IDLE)
    session = user.hold(iccid=ICCID)
    world.pass_time(39.9)
    assert user.quiet()
    world.pass_time(0.1)
    said = user.one(m.SessionIdle)
    assert (said.session, said.in_s, said.until) == (session, 20.0, "1970-01-01T00:17:40Z")
    assert said.message == (
        "The card is taken back in 20 s, at 1970-01-01T00:17:40Z, unless it is used."
    )
    assert any("has not used" in note and "taken back in 20 s" in note for note in world.notes)
    world.pass_time(19.9)
    assert user.quiet()
    world.pass_time(0.1)
    assert user.one(m.SessionEnded).code is ErrorCode.LEASE_EXPIRED


def test_who_uses_the_card_is_warned_again_when_it_is_idle_again() -> None:
    world = World(lease_idle_s=60, lease_warn_s=20)
    world.card(reader())
    user = world.user(features=IDLE)
    session = user.hold(iccid=ICCID)
    for _ in range(3):
        world.pass_time(45)
        user.next(m.SessionIdle)
        user.command(session)
        user.one(m.RApdu)
    world.pass_time(39.9)
    assert user.quiet()
    world.pass_time(0.1)
    user.one(m.SessionIdle)
    world.pass_time(20)
    user.one(m.SessionEnded)


def test_a_card_in_use_is_no_reason_to_warn() -> None:
    world = World(lease_idle_s=60, lease_warn_s=20, command_s=500)
    card = world.card(reader())
    user = world.user(features=IDLE)
    session = user.hold(iccid=ICCID)
    card.auto = False
    user.command(session)
    world.pass_time(200)
    assert user.quiet()
    for _ in range(8):
        card.answer(card.one(m.CApdu))
        user.one(m.RApdu)
        world.pass_time(30)
        user.command(session)
    assert user.quiet()


def test_the_warning_comes_in_the_second_half_at_the_earliest() -> None:
    world = World(lease_idle_s=60, lease_warn_s=300)
    world.card(reader())
    user = world.user(features=IDLE)
    user.hold(iccid=ICCID)
    world.pass_time(29.9)
    assert user.quiet()
    world.pass_time(0.1)
    assert user.one(m.SessionIdle).in_s == 30.0


def test_who_does_not_know_of_warnings_gets_none() -> None:
    world = World(lease_idle_s=60, lease_warn_s=20)
    world.card(reader())
    for user in (world.user(), world.user(first_form=True)):
        if user.first_form:
            user.say(m.SelectCard(id_type="ICCID", id_str=ICCID))
            user.one(m.SelectCardAck)
        else:
            user.hold(iccid=ICCID)
        world.pass_time(59)
        assert user.quiet()
        user.leave(goodbye=True)


def test_who_resumes_is_warned_after_that() -> None:
    world, _, user, session = scene(lease_idle_s=60.0, lease_warn_s=20.0)
    world.pass_time(50)
    user.leave()
    back = world.user(name="user", instance="u", features=IDLE)
    back.ask(resume(back, session), m.Resumed)
    world.pass_time(39)
    assert back.quiet()
    world.pass_time(1)
    back.one(m.SessionIdle)
