# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.queue: a card client that is lost while it resets a card for a user."""

import pytest

from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, reader
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

OTHER = "8949020000099999999"


def select(peer_id: int = 1, wait_s: float = 0.0, **by: str) -> m.SelectCard:
    return m.SelectCard(id=peer_id, wait_s=wait_s, **(by or {"iccid": ICCID}))


def lose_while_resetting(wait_s: float, *, pause_s: float = 0.0) -> tuple[World, Peer]:
    """Lose the card client of a user whose card is being reset; give the user."""
    world = World()
    card = world.card(reader(), auto=False)
    user = world.user(name="first")
    user.say(select(wait_s=wait_s))
    world.pass_time(pause_s)
    card.leave()
    return world, user


def test_who_waits_goes_on_waiting_when_the_card_client_is_lost() -> None:
    world, user = lose_while_resetting(60)
    assert user.one(m.Waiting).position == 1
    world.card(reader())
    assert user.one(m.SelectCardAck).id == 1
    user.leave()
    assert world.relay.counts["sessions"] == 0


def test_another_card_of_the_name_is_given_at_once_to_who_waits_on() -> None:
    world = World()
    card = world.card(reader(label="L"), auto=False)
    user = world.user()
    user.say(select(wait_s=60, label="L"))
    world.card(reader("r1", OTHER, label="L"), name="other")
    card.leave()
    user.next(m.Waiting)
    assert user.one(m.SelectCardAck).identities.iccid == OTHER


def test_who_had_the_card_almost_is_before_those_who_came_later() -> None:
    world = World()
    card = world.card(reader(), auto=False)
    first, second = world.user(), world.user()
    first.say(select(wait_s=60))
    second.say(select(wait_s=60))
    second.one(m.Waiting)
    card.leave()
    first.one(m.Waiting)
    world.card(reader())
    first.one(m.SelectCardAck)
    assert all(isinstance(said, m.Waiting) for said in second.inbox)


def test_the_wait_goes_on_from_where_it_was() -> None:
    world, user = lose_while_resetting(60, pause_s=20)
    user.one(m.Waiting)
    world.pass_time(39)
    assert user.quiet()
    world.pass_time(1)
    assert code_of(user.one(m.Error)) is ErrorCode.NO_SUCH_CARD


@pytest.mark.parametrize(("wait_s", "pause_s"), [(0, 0), (10, 10), (10, 20)])
def test_who_does_not_wait_or_not_any_more_is_told_of_the_loss(
    wait_s: float, pause_s: float
) -> None:
    _, user = lose_while_resetting(wait_s, pause_s=pause_s)
    assert code_of(user.one(m.Error)) is ErrorCode.CARD_CLIENT_GONE


def test_who_did_not_ask_to_wait_is_told_of_the_loss_also_after_the_card_was_identified() -> None:
    world = World()
    card = world.card(reader(state=m.ReaderState.IDENTIFYING), auto=False)
    user = world.user()
    user.say(select())
    user.one(m.Waiting)
    card.say(m.ReaderReport(reader=reader()))
    card.one(m.Attach)
    card.leave()
    assert code_of(user.one(m.Error)) is ErrorCode.CARD_CLIENT_GONE


def test_who_waits_is_sent_to_the_next_server_when_this_one_stops() -> None:
    world = World()
    card = world.card(reader(), auto=False)
    user = world.user()
    user.say(select(wait_s=60))
    world.perform(world.relay.shut_down(1.0, world.now))
    user.one(m.Restarting)
    card.leave()
    assert code_of(user.one(m.Error)) is ErrorCode.SHUTTING_DOWN
