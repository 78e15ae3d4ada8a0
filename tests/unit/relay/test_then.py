# SPDX-License-Identifier: Apache-2.0
"""What follows a select at once, and when the relay takes it."""

import pytest

from tests.support.relay_clients import ATR, ICCID, CardClient, Peer
from tests.support.relay_world import World, code_of, reader
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.fields import MAX_USER_ID

COMMAND = Octets.fromhex("00a4000c023f00")
THEN = m.CApdu(id=2, seq=1, command=COMMAND)


def select(then: m.Following | None = THEN, **fields: float) -> m.SelectCard:
    return m.SelectCard(id=1, iccid=ICCID, then=then, **fields)  # type: ignore[arg-type]


def attached(card: CardClient) -> str:
    session = card.one(m.Attach).session
    card.say(m.AttachAck(session=session, atr=ATR))
    return session


def scene() -> tuple[World, CardClient, Peer]:
    world = World()
    return world, world.card(reader(), auto=False), world.user()


@pytest.mark.parametrize(
    "then",
    [THEN, m.Batch(id=2, seq=1, session="", steps=(m.Step(COMMAND),))],
    ids=["c_apdu", "batch"],
)
def test_what_follows_reaches_the_card_once_it_is_given(then: m.Following) -> None:
    _, card, user = scene()
    user.say(select(then))
    session = card.one(m.Attach).session
    assert card.quiet()
    card.say(m.AttachAck(session=session, atr=ATR))
    assert user.one(m.SelectCardAck).then
    sent = card.one(type(then))
    assert (sent.id, sent.seq, sent.session) == (2, 1, session)
    assert user.quiet()


def test_what_follows_is_answered_by_its_own_id() -> None:
    world = World()
    world.card(reader())
    user = world.user()
    user.say(select())
    assert user.next(m.SelectCardAck).id == 1
    assert user.one(m.RApdu).id == 2


def test_what_follows_runs_once_though_the_card_client_repeats_its_answer() -> None:
    _, card, user = scene()
    user.say(select())
    session = attached(card)
    card.one(m.CApdu)
    card.say(m.AttachAck(session=session, atr=ATR))
    assert card.quiet()
    user.one(m.SelectCardAck)


def test_nothing_follows_for_who_waits_for_the_card() -> None:
    world, card, user = scene()
    other = world.user()
    other.say(select(None))
    session = attached(card)
    user.say(select(wait_s=60))
    user.one(m.Waiting)
    other.say(m.Detach(id=9, session=session))
    card.one(m.Detach)
    card.say(m.DetachAck(session=session))
    attached(card)
    assert not user.one(m.SelectCardAck).then
    assert card.quiet()


def test_nothing_follows_where_the_card_is_not_given() -> None:
    world, card, user = scene()
    world.user().say(select(None))
    attached(card)
    assert code_of(user.refused(select())) is ErrorCode.CARD_BUSY
    assert card.quiet()


def test_nothing_follows_where_the_card_client_refuses() -> None:
    _, card, user = scene()
    user.say(select())
    session = card.one(m.Attach).session
    card.say(m.error(ErrorCode.CARD_UNRESPONSIVE, "It is mute.", session=session))
    assert user.one(m.Error).id == 1
    assert user.quiet()
    assert not [each for each in card.inbox if isinstance(each, m.CApdu)]


def test_nothing_follows_where_the_select_is_given_up_meanwhile() -> None:
    _, card, user = scene()
    user.say(select())
    session = card.one(m.Attach).session
    user.say(m.Cancel(id=9, target=1))
    card.say(m.AttachAck(session=session, atr=ATR))
    card.one(m.Detach)


def test_what_follows_is_refused_by_itself() -> None:
    _, card, user = scene()
    user.say(select(m.CApdu(id=2, seq=1, command=Octets(2))))
    attached(card)
    assert user.next(m.SelectCardAck).then
    refused = user.one(m.Error)
    assert (refused.id, refused.code) == (2, ErrorCode.BAD_APDU)
    assert refused.outcome is Outcome.NOT_EXECUTED
    assert card.quiet()


def test_what_follows_is_refused_while_the_server_stops() -> None:
    world, card, user = scene()
    user.say(select())
    world.perform(world.relay.shut_down(1.0, world.now))
    session = card.next(m.Attach).session
    card.one(m.Restarting)
    card.say(m.AttachAck(session=session, atr=ATR))
    user.next(m.Restarting)
    assert user.next(m.SelectCardAck).then
    refused = user.one(m.Error)
    assert (refused.id, refused.code) == (2, ErrorCode.SHUTTING_DOWN)
    assert refused.outcome is Outcome.NOT_EXECUTED


@pytest.mark.parametrize("id_", [None, 1, -1, MAX_USER_ID + 1])
def test_what_follows_has_an_id_of_its_own(id_: int | None) -> None:
    _, card, user = scene()
    refused = user.refused(select(m.CApdu(id=id_, command=COMMAND)))
    assert (refused.id, refused.code) == (1, ErrorCode.BAD_MESSAGE)
    assert card.quiet()


def test_the_server_keeps_nothing_of_what_followed() -> None:
    world, card, user = scene()
    user.say(select())
    session = attached(card)
    lease = world.relay._state.sessions[session]
    assert lease.asked is not None
    assert lease.asked.message.then is None
