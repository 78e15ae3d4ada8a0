# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay: what another server has changed of a card is in force here at once."""

from typing import Any

from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, reader
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay.effects import Book
from wsrc.relay.kept import Kept
from wsrc.relay.recalled import Recalled
from wsrc.relay.reservations import Booking, Numbering, digest_of, shown_of

CARD = f"iccid {ICCID}"
OTHER = "8988211000000430028"


def bench() -> World:
    world = World(lease_idle_s=0)
    world.card(reader("r1", ICCID), reader("r2", OTHER))
    return world


def foreign(world: World, number: int = 5_000, **fields: Any) -> Booking:
    """Return what another server has reserved, with the token `secret`."""
    utc = world.epoch_s + world.now
    given = {"begins": utc, "ends": utc + 100, "identity": CARD, "owner": "", **fields}
    return Booking(number, digest_of("secret"), holder="ida", **given)


def told(world: World, *bookings: Booking, identity: str = CARD) -> None:
    world.perform(world.relay.told(identity, bookings, world.now))


def acked(user: Peer) -> m.SelectCardAck:
    """Return what a user was given who has waited."""
    (ack,) = [each for each in user.inbox if isinstance(each, m.SelectCardAck)]
    user.inbox.clear()
    return ack


def listed(user: Peer) -> tuple[m.ReservationInfo, ...]:
    return user.ask(m.ListReservations(id=91), m.ListReservationsAck).reservations


def test_tags_of_another_server_are_shown_and_give_the_card_to_who_waits_for_them() -> None:
    world = bench()
    user = world.user()
    user.say(m.SelectCard(id=1, tags={"kind": "x"}, pick=m.Pick.ANY, wait_s=60))
    kept = Kept({"kind": "x"}, "a drawer")
    world.perform(world.relay.told(CARD, kept, world.now))
    assert acked(user).card.identities.iccid == ICCID
    (card,) = user.ask(m.ListCards(id=2, iccid=ICCID), m.ListCardsAck).cards
    assert card.comment == "a drawer"
    assert world.relay.told(CARD, kept, world.now) == []
    world.perform(world.relay.told(CARD, Kept(), world.now))
    assert user.ask(m.ListCards(id=3, tags={"kind": "x"}), m.ListCardsAck).cards == ()


def test_a_reservation_of_another_server_keeps_the_card_until_it_is_struck_there() -> None:
    world = bench()
    bob = world.user()
    told(world, foreign(world))
    bob.say(m.SelectCard(id=1, iccid=ICCID))
    assert code_of(bob.one(m.Error)) is ErrorCode.RESERVED
    assert [each.number for each in listed(bob)] == [shown_of(digest_of("secret"))]
    bob.say(m.SelectCard(id=2, iccid=ICCID, wait_s=60))
    told(world)
    assert acked(bob)
    assert listed(bob) == ()


def test_the_token_of_another_server_takes_the_card_and_what_is_told_then_leaves_it() -> None:
    world = bench()
    ida = world.user()
    told(world, foreign(world))
    session = ida.hold(reservation="secret")
    told(world, foreign(world, session=digest_of(session)))
    assert [each.state for each in listed(ida)] == [m.ReservationState.TAKEN]
    ida.say(m.SelectCard(id=7, reservation="secret"))
    assert code_of(ida.one(m.Error)) is ErrorCode.CARD_BUSY
    told(world, foreign(world, identity=f"iccid {OTHER}"), identity=f"iccid {OTHER}")
    assert [each.card for each in listed(ida)] == [f"iccid {OTHER}"]


def test_who_had_the_card_before_keeps_it_and_who_was_given_it_after_loses_it() -> None:
    world = bench()
    bob = world.user()
    bob.hold(iccid=ICCID)
    told(world, foreign(world))
    assert not any(isinstance(each, m.SessionEnded) for each in bob.inbox)
    other = world.user()
    coming = foreign(world, 6_000, identity=f"iccid {OTHER}", begins=world.epoch_s + world.now + 10)
    told(world, coming, identity=f"iccid {OTHER}")
    other.hold(iccid=OTHER)
    world.pass_time(10)
    assert other.one(m.SessionEnded).code is ErrorCode.RESERVED


def test_one_that_is_not_written_yet_stays_whatever_is_told() -> None:
    world = bench()
    world.keeps_late = True
    ida = world.user()
    ida.say(m.Reserve(id=1, for_s=100, iccid=ICCID))
    told(world)
    assert len(world.relay._state.reservations) == 1
    world.keep()
    assert ida.one(m.ReserveAck).reservation.card == f"iccid {ICCID}"


def test_one_that_is_over_by_the_clock_here_is_not_taken_up() -> None:
    world = bench()
    user = world.user()
    utc = world.epoch_s + world.now
    told(world, foreign(world, begins=utc - 100, ends=utc - 1))
    assert listed(user) == ()
    assert not any(isinstance(each, Book) for each in world.to_keep)


def test_numbers_are_those_of_this_server_and_greater_than_what_others_gave() -> None:
    world = bench()
    world.relay.recall(Recalled({}, (), 1_000, Numbering(1_000, 7)), world.now)
    told(world, foreign(world, 5_003))
    world.user().ask(m.Reserve(id=1, for_s=9, iccid=OTHER), m.ReserveAck)
    assert list(world.bookings) == [6_007]
