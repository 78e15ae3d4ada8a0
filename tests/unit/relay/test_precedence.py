# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.precedence and quotas: which reservations give way, and who may have what."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.policies import rule
from tests.support.relay_clients import Peer
from tests.support.relay_world import World, code_of, reader
from wsrc.audit import events
from wsrc.errors import ErrorCode
from wsrc.policy.machine import Policy, Quota
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.relay import precedence

ONE, TWO = "8988211000000430010", "8988211000000430028"


def bench(*, cards: int = 2, **limits: float) -> World:
    world = World(**limits)
    world.card(*[reader(f"r{n}", iccid) for n, iccid in enumerate((ONE, TWO)[:cards])])
    return world


def wish(begins: float, priority: int = 0, for_s: float = 100.0, **which: Any) -> m.Reserve:
    when = datetime.fromtimestamp(begins, UTC).isoformat()
    which = which or {"iccid": ONE}
    return m.Reserve(id=90, begins=when, for_s=for_s, priority=priority, **which)


def reserve(user: Peer, *given: Any, **fields: Any) -> str:
    return user.ask(wish(*given, **fields), m.ReserveAck).token


def states(world: World, user: Peer) -> dict[int, str]:
    """Return the states of reservations, by the order in which they were made."""
    ack = user.ask(m.ListReservations(id=91), m.ListReservationsAck)
    made = {booking.shown: number for number, booking in world.bookings.items()}
    return {made[each.number]: str(each.state) for each in ack.reservations}


def refused(user: Peer, request: m.Message) -> ErrorCode:
    return code_of(user.refused(request))


def test_one_of_a_lower_priority_gives_way_and_has_its_card_again() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    token = reserve(ida, 2000.0)
    assert refused(bob, wish(2050.0)) is ErrorCode.RESERVED
    reserve(bob, 2050.0, 1)
    assert states(world, ida) == {1: "gave_way", 2: "coming"}
    error = ida.refused(m.SelectCard(id=1, reservation=token))
    assert code_of(error) is ErrorCode.RESERVED
    assert "gave way to one of a higher priority" in error.message
    assert [each.did for each in world.events if isinstance(each, events.Reserved)] == [
        "reserved",
        "gave_way",
        "reserved",
    ]
    assert world.bookings[1].gave_way
    world.pass_time(1020.0)  # its time has begun, and the card is nobody's
    bob.ask(m.SelectCard(id=2, iccid=ONE), m.SelectCardAck)
    bob.ask(m.CancelReservation(id=3, number=world.bookings[2].shown), m.CancelReservationAck)
    world.pass_time(0)
    assert not world.bookings[1].gave_way
    assert bob.one(m.SessionEnded).code is ErrorCode.RESERVED
    ida.ask(m.SelectCard(id=4, reservation=token), m.SelectCardAck)


def test_what_gave_way_is_known_after_a_restart() -> None:
    world = bench()
    ida = world.user(who="ida")
    token = reserve(ida, 2000.0)
    reserve(ida, 2050.0, 9)
    world.start()
    world.card(reader("r0", ONE))
    ida = world.user(who="ida")
    assert states(world, ida) == {1: "gave_way", 2: "coming"}
    assert refused(ida, m.SelectCard(id=1, reservation=token)) is ErrorCode.RESERVED
    world.pass_time(1200.0)
    assert states(world, ida) == {}
    assert world.bookings == {}


@pytest.mark.parametrize("priority", [1, 2])
def test_an_equal_or_a_higher_one_does_not_give_way(priority: int) -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    reserve(ida, 2000.0, priority)
    assert refused(bob, wish(2000.0, 1)) is ErrorCode.RESERVED
    assert states(world, ida) == {1: "coming"}


def test_one_that_has_begun_or_whose_card_was_taken_does_not_give_way() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    reserve(ida, 1000.0)
    token = reserve(ida, 2000.0, iccid=TWO)
    ida.ask(m.SelectCard(id=1, reservation=token), m.SelectCardAck)
    assert refused(bob, wish(1050.0, 9)) is ErrorCode.RESERVED
    assert refused(bob, wish(2000.0, 9, iccid=TWO)) is ErrorCode.RESERVED
    ida.leave()
    reserve(bob, 2000.0, 9, iccid=TWO)


def test_of_any_card_one_that_nobody_has_reserved_comes_before_one_that_is_outranked() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    token = reserve(ida, 2000.0, pick=m.Pick.ANY)
    reserve(bob, 2000.0, 5, pick=m.Pick.ANY)
    assert set(states(world, ida).values()) == {"coming"}
    reserve(bob, 2000.0, 4, pick=m.Pick.ANY)
    assert states(world, ida) == {1: "gave_way", 2: "coming", 3: "coming"}
    bob.ask(m.CancelReservation(id=1, number=world.bookings[2].shown), m.CancelReservationAck)
    assert states(world, ida)[1] == "gave_way"  # its card is another's; any other is given for it
    ida.ask(m.SelectCard(id=2, reservation=token), m.SelectCardAck)
    assert states(world, ida)[1] == "taken"


def test_many_that_are_short_do_not_give_way_to_one_that_is_long() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    for number in range(precedence.MOST + 1):
        reserve(ida, 2000.0 + 10 * number, for_s=10.0)
    assert refused(bob, wish(2000.0, 9, for_s=1000.0)) is ErrorCode.RESERVED
    reserve(bob, 2000.0, 9, for_s=10.0 * precedence.MOST)
    assert sorted(states(world, bob).values()) == ["coming"] * 2 + ["gave_way"] * precedence.MOST


def test_what_is_not_written_makes_no_way() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    reserve(ida, 2000.0)
    world.keeps_late = True
    bob.say(wish(2000.0, 1))
    world.keep("The disk is full.")  # that the first gave way
    world.keep("The disk is full.")
    assert code_of(bob.one(m.Error)) is ErrorCode.NOT_KEPT
    assert states(world, ida) == {1: "coming"}


@pytest.mark.parametrize("priority", [-1, 10])
def test_there_is_no_other_priority(priority: int) -> None:
    assert refused(bench().user(who="ida"), wish(2000.0, priority)) is ErrorCode.BAD_MESSAGE


def guarded(*quotas: Quota, **limits: float) -> World:
    may = [rule(who, [Verb.USE, Verb.RESERVE]) for who in ("ida", "bob")]
    admin = [rule("root", [Verb.ADMIN, Verb.RESERVE])]
    world = World(policy=Policy([*may, *admin], [rule("*")], quotas=quotas), **limits)
    world.card(reader("r1", ONE), reader("r2", TWO), who="farm")
    return world


def test_a_quota_of_the_policy_goes_before_the_limit_of_the_server() -> None:
    quotas = Quota(reservations=0, to=("b*",)), Quota(reservations=2, to=("ida",))
    world = guarded(*quotas, Quota(reservations=1, to=("ida",)), max_reservations_per_principal=1)
    ida, bob = world.user(who="ida"), world.user(who="bob")
    error = bob.refused(wish(2000.0))
    assert code_of(error) is ErrorCode.TOO_MANY
    assert error.message == "This user has as many reservations as they may: 0."
    reserve(ida, 2000.0)
    reserve(ida, 3000.0)
    assert refused(ida, wish(4000.0)) is ErrorCode.TOO_MANY


def test_a_quota_says_how_long_and_with_which_priority() -> None:
    world = guarded(Quota(reserve_s=60.0, priority=3, to=("ida",)))
    ida, bob, root = (world.user(who=name) for name in ("ida", "bob", "root"))
    error = ida.refused(wish(2000.0, for_s=61.0))
    assert (code_of(error), error.message) == (
        ErrorCode.FORBIDDEN,
        "This user may reserve a card for at most 60 s.",
    )
    reserve(ida, 2000.0, 3, for_s=60.0)
    assert refused(ida, wish(3000.0, 4, for_s=60.0)) is ErrorCode.FORBIDDEN
    assert refused(bob, wish(3000.0, 1)) is ErrorCode.FORBIDDEN
    reserve(bob, 3000.0, for_s=5000.0)
    reserve(root, 2000.0, 9)
    assert states(world, root)[1] == "gave_way"
