# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay: a card that is given back once its last request is answered."""

import pytest

from tests.support.relay_world import ATR, ICCID, CardClient, Peer, World, reader
from wsrc.card.slot import Disposition
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m

COMMAND = Octets.fromhex("00a40000")


@pytest.fixture
def world() -> World:
    return World()


def asked(world: World) -> tuple[CardClient, Peer, str, m.CApdu]:
    """Have a command be carried out of a user who gives the card back after it."""
    host, user = world.card(reader(), features=("resume",), auto=False), world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID, secret="s" * 64, keep_s=9.0))
    attach = host.next(m.Attach)
    host.say(m.AttachAck(session=attach.session, atr=ATR, keep_s=attach.keep_s))
    user.one(m.SelectCardAck)
    user.say(m.CApdu(id=2, seq=1, session=attach.session, command=COMMAND))
    goodbye = m.Detach(
        id=3, session=attach.session, disposition=Disposition.LEAVE, after_answer=True
    )
    user.say(goodbye)
    command = host.next(m.CApdu)
    assert user.quiet()
    assert host.quiet()
    return host, user, attach.session, command


def test_the_card_is_given_back_with_the_answer(world: World) -> None:
    host, user, session, command = asked(world)
    host.say(m.RApdu(id=command.id, seq=1, session=session, response=Octets(), sw="9000"))
    assert user.next(m.RApdu).sw == "9000"
    assert user.one(m.DetachAck).id == 3
    detach = host.next(m.Detach)
    assert (detach.session, detach.disposition) == (session, Disposition.LEAVE)


def test_so_it_is_with_an_error(world: World) -> None:
    host, user, session, command = asked(world)
    code, unknown = ErrorCode.CARD_TRANSMISSION_ERROR, Outcome.UNKNOWN
    host.say(m.error(code, "It failed.", id=command.id, session=session, outcome=unknown))
    assert user.next(m.Error).code is code
    assert user.one(m.DetachAck).id == 3
    assert host.next(m.Detach).session == session


def test_where_nothing_is_open_it_is_given_back_at_once(world: World) -> None:
    host, user = world.card(reader()), world.user()
    session = user.hold(iccid=ICCID)
    user.say(m.Detach(id=3, session=session, after_answer=True))
    assert user.one(m.DetachAck).id == 3
    assert host.quiet()


def test_who_lost_the_connection_gets_the_answer_and_says_it_again(world: World) -> None:
    host, user, session, command = asked(world)
    user.leave()
    host.say(m.RApdu(id=command.id, seq=1, session=session, response=Octets(), sw="9000"))
    assert host.quiet()
    later = world.user()
    later.say(m.Resume(id=5, session=session, secret="s" * 64, seq=1))
    claim = host.next(m.Resume)
    host.say(m.Resumed(id=claim.id, session=session, seq=1))
    later.one(m.Resumed)
    later.say(m.Detach(id=6, session=session, after_answer=True))
    assert later.one(m.DetachAck).id == 6
    assert host.next(m.Detach).session == session
