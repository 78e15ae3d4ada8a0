# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.lending: who may share a card, after a restart of the server that was told of it."""

import msgspec
import pytest

from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import FEATURES, SECRET, resume, running
from wsrc.audit import events
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay.lending import MAX_GUESTS
from wsrc.session import CardEnd

ANN, BOB = "s-ann", "s-bob"


def restarted(*sessions: str, share: Share = Share.SHARED) -> World:
    """A server that has just begun, and a card host that comes to it with sessions."""
    world = World()
    kept = tuple(running(each, share=share) for each in sessions)
    card = world.card(reader(), features=FEATURES, instance="c", sessions=kept)
    for each in sessions:
        card.ends[each] = CardEnd(each, SECRET, 60.0)
    return world


def comes_back(world: World, session: str, *guests: str) -> Peer:
    user = world.user(name=session.removeprefix("s-"))
    user.ask(msgspec.structs.replace(resume(user, session), guests=guests), m.Resumed)
    return user


def may_join(world: World, name: str) -> bool:
    """Tell whether a user can share the card, who leaves it again."""
    user = world.user(name=name)
    user.say(m.SelectCard(id=1, iccid=ICCID, share=Share.SHARED))
    answer = user.inbox.pop(0)
    if isinstance(answer, m.SelectCardAck):
        user.ask(m.Detach(id=2, session=answer.session or ""), m.DetachAck)
        return True
    assert isinstance(answer, m.Error)
    assert code_of(answer) is ErrorCode.CARD_BUSY
    return False


def test_the_holder_tells_whom_it_let() -> None:
    world = restarted(ANN)
    comes_back(world, ANN, "bob")
    assert (may_join(world, "eve"), may_join(world, "bob")) == (False, True)
    told = [e.turn for e in world.events if isinstance(e, events.SessionTurned)]
    assert "may be shared by bob" in told


def test_nobody_joins_a_guest_who_is_back_before_the_holder() -> None:
    world = restarted(ANN, BOB)
    comes_back(world, BOB)
    assert not may_join(world, "eve")
    ann = comes_back(world, ANN, "bob", "dan")
    assert (may_join(world, "eve"), may_join(world, "dan")) == (False, True)
    ann.ask(m.Detach(id=90, session=ANN), m.DetachAck)
    assert (may_join(world, "eve"), may_join(world, "dan")) == (False, True)


def test_a_guest_who_is_back_after_the_holder_lets_in_nobody_else() -> None:
    world = restarted(BOB, ANN)
    ann = comes_back(world, ANN, "bob", "dan")
    comes_back(world, BOB)
    assert (may_join(world, "eve"), may_join(world, "dan")) == (False, True)
    ann.ask(m.Detach(id=90, session=ANN), m.DetachAck)
    assert (may_join(world, "eve"), may_join(world, "dan")) == (False, True)


def test_a_card_that_is_shared_with_all_is_so_once_those_who_had_it_are_back() -> None:
    world = restarted(ANN, BOB)
    comes_back(world, BOB)
    assert not may_join(world, "eve")
    comes_back(world, ANN)
    assert may_join(world, "eve")


def test_a_card_that_is_shared_with_all_is_so_once_who_does_not_come_back_has_lost_it() -> None:
    world = restarted(ANN, BOB)
    comes_back(world, BOB)
    world.pass_time(61.0)
    assert may_join(world, "eve")


def test_who_had_let_somebody_and_not_shared_the_card_yet_goes_on() -> None:
    world = restarted(ANN, share=Share.EXCLUSIVE)
    ann = comes_back(world, ANN, "bob")
    assert not may_join(world, "bob")
    ann.ask(m.Reconnect(id=90, session=ANN, share=Share.SHARED), m.ReconnectAck)
    assert (may_join(world, "eve"), may_join(world, "bob")) == (False, True)


def test_a_server_that_knows_who_was_let_believes_itself() -> None:
    world = World()
    world.card(reader(), features=FEATURES, instance="c")
    ann = world.user(name="ann")
    asked = m.SelectCard(id=1, iccid=ICCID, secret=SECRET, keep_s=60.0, share=Share.SHARED)
    session = ann.ask(asked, m.SelectCardAck).session or ""
    ann.leave()
    comes_back(world, session, "bob")
    assert may_join(world, "eve")


@pytest.mark.parametrize("name", ["", " ", "b\x1bob"])
def test_names_that_cannot_be_shown_let_nobody_in(name: str) -> None:
    world = restarted(ANN)
    comes_back(world, ANN, name)
    assert may_join(world, "eve")


def test_more_guests_than_may_be_are_not_let_in() -> None:
    world = restarted(ANN)
    comes_back(world, ANN, *(f"g{number}" for number in range(MAX_GUESTS + 1)))
    assert may_join(world, f"g{MAX_GUESTS - 1}")
    assert not may_join(world, f"g{MAX_GUESTS}")
