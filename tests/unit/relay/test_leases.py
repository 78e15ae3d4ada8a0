# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.leases: granted, attached, used, and not used for too long."""

import pytest

from tests.support.relay_clients import ATR, ICCID
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.card.slot import CardProtocol
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m


def test_a_card_is_given_after_its_card_client_reset_it() -> None:
    world = World()
    card = world.card(reader(insertion=7), auto=False)
    user = world.user(name="user")
    user.say(m.SelectCard(id=5, iccid=ICCID, raw_tpdu=True))
    assert card.one(m.Attach) == m.Attach(
        session="session-1", reader="r1", insertion=7, raw_tpdu=True, iccid=ICCID
    )
    assert user.quiet()
    new_atr = Octets.fromhex("3b00")
    told = {"protocol": CardProtocol.T1, "features": Octets.fromhex("060400330006")}
    card.say(m.AttachAck(session="session-1", atr=new_atr, **told))  # type: ignore[arg-type]
    got = user.one(m.SelectCardAck)
    assert (got.id, got.session, got.features) == (5, "session-1", told["features"])
    assert got.identities == m.Identities(atr="3b00", iccid=ICCID)
    assert got.card is not None
    assert got.card.protocol is CardProtocol.T1
    assert got.card.state is m.CardState.ASSOCIATED
    assert got.card.lease is not None
    assert got.card.lease.holder == "user"
    assert code_of(world.user().refused(m.SelectCard(id=1, atr="3b00"))) is ErrorCode.CARD_BUSY


def test_an_ack_without_atr_leaves_what_is_known() -> None:
    world = World()
    card = world.card(reader(), auto=False)
    user = world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    card.say(m.AttachAck(session=card.one(m.Attach).session, atr=Octets()))
    assert user.one(m.SelectCardAck).identities.atr == str(ATR)


def test_a_repeated_ack_is_not_told_twice() -> None:
    world = World()
    card = world.card(reader())
    session = (user := world.user()).hold(iccid=ICCID)
    card.say(m.AttachAck(session=session, atr=ATR))
    assert user.quiet()


def test_a_lease_that_is_not_used_expires() -> None:
    world = World(lease_idle_s=60)
    world.card(reader())
    user = world.user()
    session = user.hold(iccid=ICCID)
    world.pass_time(59)
    assert user.quiet()
    world.pass_time(1)
    ended = user.one(m.SessionEnded)
    assert (ended.session, ended.code) == (session, ErrorCode.LEASE_EXPIRED)
    refused = user.refused(m.CApdu(id=9, session=session, command=Octets(4)))
    assert code_of(refused) is ErrorCode.LEASE_EXPIRED
    assert refused.outcome is Outcome.NOT_EXECUTED


def test_use_renews_a_lease() -> None:
    world = World(lease_idle_s=60)
    world.card(reader())
    user = world.user()
    session = user.hold(iccid=ICCID)
    for _ in range(4):
        world.pass_time(40)
        user.command(session)
        user.one(m.RApdu)
    world.pass_time(59)
    assert user.quiet()
    world.pass_time(1)
    user.one(m.SessionEnded)


def test_a_lease_does_not_expire_while_a_command_is_in_flight() -> None:
    world = World(lease_idle_s=10, command_s=100)
    card = world.card(reader())
    user = world.user()
    session = user.hold(iccid=ICCID)
    card.auto = False
    command = user.command(session)
    world.pass_time(35)
    assert user.quiet()
    card.answer(card.one(m.CApdu))
    assert user.one(m.RApdu).id == command.id
    world.pass_time(9.9)
    assert user.quiet()
    world.pass_time(0.1)
    assert user.one(m.SessionEnded).code is ErrorCode.LEASE_EXPIRED


def test_without_a_limit_a_lease_never_expires() -> None:
    world = World(lease_idle_s=0)
    world.card(reader())
    user = world.user()
    session = user.hold(iccid=ICCID)
    world.pass_time(1e6)
    user.command(session)
    user.one(m.RApdu)


def test_a_card_client_that_never_attaches_costs_the_user_a_bounded_time() -> None:
    world = World(attach_s=5)
    card = world.card(reader(), auto=False)
    user = world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    world.pass_time(5)
    refused = user.one(m.Error)
    assert (refused.id, code_of(refused)) == (1, ErrorCode.CARD_UNRESPONSIVE)
    assert refused.outcome is Outcome.NOT_EXECUTED
    attach = card.next(m.Attach)
    card.one(m.Detach)
    card.say(m.AttachAck(session=attach.session, atr=ATR))
    assert user.quiet()


def test_a_command_that_is_never_answered_ends_in_an_unknown_outcome() -> None:
    world = World(command_s=5)
    card = world.card(reader())
    user = world.user()
    session = user.hold(iccid=ICCID)
    card.auto = False
    command = user.command(session)
    assert world.relay.in_flight == 1
    world.pass_time(5)
    refused = user.next(m.Error)
    assert (refused.id, refused.session) == (command.id, session)
    assert code_of(refused) is ErrorCode.COMMAND_TIMEOUT
    assert refused.outcome is Outcome.UNKNOWN
    assert user.one(m.SessionEnded).code is ErrorCode.COMMAND_TIMEOUT
    assert world.relay.in_flight == 0
    card.answer(card.next(m.CApdu))
    assert user.quiet()


def test_deadlines_of_one_moment_do_not_trip_over_each_other() -> None:
    world = World(command_s=10, lease_idle_s=10)
    card = world.card(reader())
    user = world.user()
    session = user.hold(iccid=ICCID)
    card.auto = False
    user.command(session)
    world.pass_time(10)
    assert user.next(m.Error).code is ErrorCode.COMMAND_TIMEOUT
    assert user.one(m.SessionEnded).code is ErrorCode.COMMAND_TIMEOUT
    assert not any("not used" in note for note in world.notes)


def test_a_card_that_is_taken_out_while_it_is_attached_is_not_given() -> None:
    world = World()
    card = world.card(reader(), auto=False)
    user = world.user()
    user.say(m.SelectCard(id=1, iccid=ICCID))
    card.report(empty())
    refused = user.one(m.Error)
    assert code_of(refused) is ErrorCode.CARD_NOT_PRESENT
    assert refused.outcome is Outcome.NOT_EXECUTED
    card.say(m.AttachAck(session=card.one(m.Attach).session, atr=ATR))
    assert user.quiet()


@pytest.mark.parametrize(
    ("which", "told"),
    [
        ({"iccid": ICCID}, (ICCID, None)),
        ({"any": ICCID}, (ICCID, None)),
        ({"label": "blue"}, (None, "blue")),
        ({"any": "blue"}, (None, "blue")),
        ({"reader": "r1"}, (None, None)),
        ({"atr": ATR.hex()}, (None, None)),
        ({"any": "r1"}, (None, None)),
        ({"reader": "r1", "iccid": ICCID}, (ICCID, None)),
    ],
)
def test_a2_a_card_client_is_told_by_what_that_may_change_a_card_was_found(
    which: dict[str, str], told: tuple[str | None, str | None]
) -> None:
    world = World()
    card = world.card(reader(label="blue"), auto=False)
    world.user().say(m.SelectCard(id=5, **which))
    asked = card.one(m.Attach)
    assert (asked.iccid, asked.label) == told


def test_36_the_log_says_that_a_session_began_with_which_card_in_which_reader() -> None:
    world = World()
    world.card(reader())
    session = world.user(name="ida@lab").hold(iccid=ICCID)
    begun = [note for note in world.notes if " took " in note]
    card = f"{ICCID[:6]}…{ICCID[-4:]}"
    assert begun == [f"ida@lab took {card} in Reader r1 at bench (session {session[:8]})"]
