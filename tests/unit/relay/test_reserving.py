# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.reserving: who is given a card that is reserved, and when."""

# Longer than the aim: one test for each rule.

from typing import Any

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.reserving import ONE, TWO, at, bench, listed, number_of, reserve
from wsrc.audit import events
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.relay import reservations, reserving
from wsrc.relay.reservations import GRACE_S


def refused(user: Peer, request: m.Message) -> ErrorCode:
    return code_of(user.refused(request))


def has(user: Peer, id_: int, **which: Any) -> str:
    """Select a card, which is given at once; return the session."""
    session = user.ask(m.SelectCard(id=id_, **which), m.SelectCardAck).session
    assert session is not None
    return session


def test_from_the_beginning_the_card_is_given_to_the_token_alone() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    token = reserve(ida)
    error = bob.refused(m.SelectCard(id=1, iccid=ONE))
    assert code_of(error) is ErrorCode.RESERVED
    assert "Reader r1 is reserved for another until 1970-01-01T00:18:20Z" in error.message
    assert refused(ida, m.SelectCard(id=1, iccid=ONE)) is ErrorCode.RESERVED
    bob.say(m.SelectCard(id=2, iccid=ONE, wait_s=1000.0))
    assert bob.one(m.Waiting).position == 1
    session = has(ida, 2, reservation=token)
    ida.ask(m.Detach(id=3, session=session), m.DetachAck)
    assert bob.inbox == []
    session = has(ida, 4, reservation=token)
    ida.ask(m.Detach(id=5, session=session), m.DetachAck)
    world.pass_time(101.0)
    assert bob.one(m.SelectCardAck).id == 2
    assert listed(ida) == ()
    assert refused(ida, m.SelectCard(id=6, reservation=token)) is ErrorCode.NO_SUCH_RESERVATION


def test_lists_and_watchers_show_that_a_card_is_reserved_while_it_is() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    bob.ask(m.WatchReaders(id=70, iccid=ONE), m.WatchReadersAck)

    def shown() -> list[bool]:
        told = [each.reader.reserved for each in bob.inbox if isinstance(each, m.ReaderEvent)]
        bob.inbox.clear()
        cards = bob.ask(m.ListCards(id=71, iccid=ONE), m.ListCardsAck).cards
        return [*told, *(each.reserved for each in cards)]

    assert shown() == [False]
    reserve(ida, for_s=100)
    world.pass_time(1)
    assert shown() == [True, True]
    world.pass_time(100)
    assert shown() == [False, False]


def test_any_card_that_is_picked_is_none_that_is_reserved() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    reserve(ida)
    ack = bob.ask(m.SelectCard(id=1, pick=m.Pick.ANY), m.SelectCardAck)
    assert ack.identities.iccid == TWO
    assert refused(bob, m.SelectCard(id=2, pick=m.Pick.ANY)) is ErrorCode.CARD_BUSY


def test_who_had_the_card_before_it_was_reserved_keeps_it_and_the_token_is_first_then() -> None:
    world = bench()
    ida, bob, cid = (world.user(who=name) for name in ("ida", "bob", "cid"))
    session = has(bob, 1, iccid=ONE)
    cid.say(m.SelectCard(id=1, iccid=ONE, wait_s=1000.0))
    cid.one(m.Waiting)
    token = reserve(ida, for_s=500.0)
    ida.say(m.SelectCard(id=2, reservation=token, wait_s=400.0))
    assert ida.one(m.Waiting).lease is not None
    world.pass_time(200.0)
    assert bob.inbox == []
    assert listed(ida)[0].state is m.ReservationState.HELD
    bob.ask(m.Detach(id=2, session=session), m.DetachAck)
    assert ida.next(m.SelectCardAck).id == 2
    assert not [each for each in cid.inbox if isinstance(each, m.SelectCardAck)]


def test_who_was_given_the_card_later_is_told_until_when_and_loses_it_then() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    token = reserve(ida, begins=1060.0)
    ack = bob.ask(m.SelectCard(id=1, iccid=ONE), m.SelectCardAck)
    assert ack.card is not None
    assert ack.card.lease is not None
    assert ack.card.lease.until == "1970-01-01T00:17:40Z"
    ida.say(m.SelectCard(id=2, reservation=token, wait_s=100.0))
    ida.one(m.Waiting)
    world.pass_time(59.0)
    assert bob.inbox == []
    world.pass_time(1.0)
    ended = bob.one(m.SessionEnded)
    assert ended.code is ErrorCode.RESERVED
    assert ida.next(m.SelectCardAck).id == 2
    assert listed(ida)[0].state is m.ReservationState.TAKEN


def test_a_session_by_a_token_goes_on_after_its_time_until_that_of_another_begins() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    token = reserve(ida, for_s=100.0)
    has(ida, 1, reservation=token)
    reserve(bob, begins=1200.0)
    world.pass_time(150.0)
    assert ida.inbox == []
    world.pass_time(51.0)
    assert ida.one(m.SessionEnded).code is ErrorCode.RESERVED


def test_an_overlapping_time_is_refused_and_names_the_one_in_the_way() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    reserve(ida, begins=2000.0, for_s=100.0)
    for begins, for_s in (
        (1950.0, 51.0),
        (2000.0, 100.0),
        (2050.0, 1.0),
        (2099.0, 9.0),
        (1900, 999),
    ):
        request = m.Reserve(id=1, iccid=ONE, begins=at(begins), for_s=for_s)
        error = bob.refused(request)
        assert code_of(error) is ErrorCode.RESERVED
        assert "from 1970-01-01T00:33:20Z until 1970-01-01T00:35:00Z" in error.message
        assert "ida" not in error.message
    reserve(bob, begins=1900.0, for_s=100.0)
    reserve(bob, begins=2100.0, for_s=100.0)
    assert len(listed(bob)) == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"begins": "tomorrow"},
        {"begins": "1970-01-01T01:00:00"},
        {"begins": "1970-01-01T00:10:00Z"},
        {"begins": "1971-06-01T00:00:00Z"},
        {"begins": "9999-12-31T23:59:59-23:59"},
        {"for_s": 0.0},
        {"for_s": -1.0},
        {"for_s": 31 * 86_400.0 + 1},
    ],
)
def test_a_time_in_the_past_or_that_is_none_is_refused(fields: dict[str, Any]) -> None:
    user = bench().user(who="ida")
    request = m.Reserve(**{"id": 1, "iccid": ONE, "for_s": 60.0, **fields})
    assert refused(user, request) is ErrorCode.BAD_MESSAGE
    assert listed(user) == ()


def test_cards_that_are_not_here_ambiguous_or_not_to_be_reserved_are_refused() -> None:
    may = [rule("ida", [Verb.USE, Verb.RESERVE]), rule("bob", [Verb.USE])]
    world = World(policy=granting(*may, hosts=[rule("*")]))
    world.card(reader("r1", ONE, label="x"), reader("r2", TWO, label="x"), who="farm")
    ida, bob = world.user(who="ida"), world.user(who="bob")
    assert refused(ida, m.Reserve(id=1, iccid="89" * 9, for_s=1.0)) is ErrorCode.NO_SUCH_CARD
    assert refused(ida, m.Reserve(id=1, label="x", for_s=1.0)) is ErrorCode.AMBIGUOUS
    assert refused(ida, m.Reserve(id=1, for_s=1.0)) is ErrorCode.NOTHING_SELECTED
    assert refused(bob, m.Reserve(id=1, iccid=ONE, for_s=1.0)) is ErrorCode.FORBIDDEN
    any_ = m.Reserve(id=1, pick=m.Pick.ANY, for_s=1.0)
    assert refused(bob, any_) is ErrorCode.NO_SUCH_CARD
    assert ida.ask(any_, m.ReserveAck).reservation.any


def test_a_token_is_of_its_principal_and_of_one_session_at_a_time() -> None:
    world = bench()
    ida, again, bob = world.user(who="ida"), world.user(who="ida"), world.user(who="bob")
    token = reserve(ida)
    assert refused(bob, m.SelectCard(id=1, reservation=token)) is ErrorCode.NO_SUCH_RESERVATION
    assert refused(ida, m.SelectCard(id=1, reservation="x")) is ErrorCode.NO_SUCH_RESERVATION
    wrong = m.SelectCard(id=1, reservation=token, iccid=ONE)
    assert refused(ida, wrong) is ErrorCode.BAD_MESSAGE
    has(ida, 1, reservation=token)
    second = again.refused(m.SelectCard(id=1, reservation=token, wait_s=50.0))
    assert code_of(second) is ErrorCode.CARD_BUSY
    assert "with this token already" in second.message
    assert token not in " ".join(world.notes) + repr(world.events)


def test_a_token_is_not_waited_with_twice() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    has(bob, 1, iccid=ONE)
    token = reserve(ida)
    ida.say(m.SelectCard(id=1, reservation=token, wait_s=50.0))
    ida.one(m.Waiting)
    assert refused(ida, m.SelectCard(id=2, reservation=token, wait_s=5.0)) is ErrorCode.CARD_BUSY
    ida.leave()
    other = world.user(who="ida")
    other.say(m.SelectCard(id=1, reservation=token, wait_s=50.0))
    assert other.one(m.Waiting).position == 1


def test_a_program_that_died_is_followed_by_one_with_the_same_token() -> None:
    world = World()
    world.card(reader("r1", ONE), features=("batch", "pcsc", "resume", "seal", "share"))
    ida, bob = world.user(who="ida", instance="one"), world.user(who="bob")
    token = reserve(ida)
    has(ida, 1, reservation=token, secret="s", keep_s=500.0)
    ida.leave()
    bob.say(m.SelectCard(id=1, iccid=ONE, wait_s=1000.0))
    bob.one(m.Waiting)
    after = world.user(who="ida", instance="two")
    after.say(m.SelectCard(id=1, reservation=token, wait_s=5.0))
    after.next(m.Waiting)
    assert after.one(m.SelectCardAck).id == 1
    assert bob.inbox == []


def test_a_reservation_whose_card_is_away_is_told_so_and_found_again() -> None:
    world = World()
    host = world.card(reader("r1", ONE))
    ida, bob = world.user(who="ida"), world.user(who="bob")
    token = reserve(ida, for_s=1000.0)
    host.leave()
    assert listed(ida)[0].state is m.ReservationState.AWAY
    error = ida.refused(m.SelectCard(id=1, reservation=token))
    assert code_of(error) is ErrorCode.NO_SUCH_CARD
    assert error.message == f"The card that is reserved, ICCID {ONE}, is not here now."
    ida.say(m.SelectCard(id=2, reservation=token, wait_s=500.0))
    ida.one(m.Waiting)
    bob.say(m.SelectCard(id=2, iccid=ONE, wait_s=500.0))
    bob.one(m.Waiting)
    world.card(reader("r7", ONE), name="elsewhere")
    assert ida.next(m.SelectCardAck).id == 2
    assert not [each for each in bob.inbox if isinstance(each, m.SelectCardAck)]


def test_of_any_card_another_is_given_where_its_own_is_away_or_held() -> None:
    world = World()
    first = world.card(reader("r1", ONE))
    ida = world.user(who="ida")
    token = reserve(ida, for_s=1000.0, pick=m.Pick.ANY)
    first.leave()
    world.card(reader("r2", TWO), name="other")
    ack = ida.ask(m.SelectCard(id=1, reservation=token), m.SelectCardAck)
    assert ack.identities.iccid == TWO
    assert listed(ida)[0].card == f"iccid {TWO}"
    assert world.bookings[1].identity == f"iccid {TWO}"


def test_any_spreads_over_cards_and_ends_where_all_are_reserved() -> None:
    world = bench()
    ida = world.user(who="ida")
    for _ in range(2):
        reserve(ida, begins=5000.0, pick=m.Pick.ANY)
    assert len({each.card for each in listed(ida)}) == 2
    full = m.Reserve(id=1, pick=m.Pick.ANY, begins=at(5050.0), for_s=9.0)
    assert refused(ida, full) is ErrorCode.RESERVED


def test_a_restart_loses_none_and_nobody_is_given_the_card_before() -> None:
    world = bench()
    ida = world.user(who="ida")
    token, coming = reserve(ida, for_s=5000.0), reserve(ida, begins=9000.0, iccid=TWO)
    world.start()
    bob, ida = world.user(who="bob"), world.user(who="ida")
    world.card(reader("r1", ONE), reader("r2", TWO))
    assert refused(bob, m.SelectCard(id=1, iccid=ONE)) is ErrorCode.RESERVED
    has(ida, 1, reservation=token)
    has(ida, 2, reservation=coming)
    assert [each.number for each in listed(ida)] == [number_of(token), number_of(coming)]
    world.start()
    world.card(reader("r1", ONE))
    reserve(world.user(who="ida"), begins=50_000.0)
    assert world.last_booking == 3


def test_a_clock_that_is_set_is_noticed_within_a_minute_and_loses_none() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    token = reserve(ida, for_s=1000.0)
    coming = reserve(ida, begins=50_000.0, for_s=100.0, iccid=TWO)
    world.epoch_s = 86_400.0
    world.pass_time(reserving.LOOK_S)
    assert refused(ida, m.SelectCard(id=1, reservation=token)) is ErrorCode.NO_SUCH_RESERVATION
    assert refused(ida, m.SelectCard(id=1, reservation=coming)) is ErrorCode.NO_SUCH_RESERVATION
    session = has(bob, 1, iccid=ONE)
    world.epoch_s = 0.0
    world.pass_time(reserving.LOOK_S)
    assert bob.one(m.SessionEnded).session == session
    has(ida, 2, reservation=token)
    assert len(listed(ida)) == 2
    world.epoch_s = -86_400.0
    world.pass_time(reserving.LOOK_S)
    assert not [each for each in ida.inbox if isinstance(each, m.SessionEnded)]
    assert listed(ida)[0].state is m.ReservationState.TAKEN
    world.epoch_s = 2 * 86_400.0
    world.pass_time(GRACE_S + 2 * reserving.LOOK_S)
    ida.inbox.clear()
    assert listed(ida) == ()
    assert world.bookings == {}


def test_what_cannot_be_written_is_not_reserved() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    world.keeps_late = True
    ida.say(m.Reserve(id=1, iccid=ONE, for_s=100.0))
    assert refused(bob, m.Reserve(id=1, iccid=ONE, for_s=1.0)) is ErrorCode.RESERVED
    assert listed(bob) == ()
    world.keep("The disk is full.")
    assert code_of(ida.one(m.Error)) is ErrorCode.NOT_KEPT
    has(bob, 2, iccid=ONE)


def test_what_cannot_be_written_is_not_reserved_though_its_time_began_meanwhile() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    world.keeps_late = True
    ida.say(m.Reserve(id=1, iccid=TWO, for_s=100.0))
    ida.say(m.Reserve(id=2, iccid=ONE, for_s=100.0))
    world.keep()
    world.keep("The disk is full.")
    assert ida.next(m.ReserveAck).id == 1
    assert code_of(ida.one(m.Error)) is ErrorCode.NOT_KEPT
    has(bob, 2, iccid=ONE)


def test_a_cancel_that_cannot_be_written_leaves_it() -> None:
    world = bench()
    ida = world.user(who="ida")
    token = reserve(ida)
    world.keeps_late = True
    ida.say(m.CancelReservation(id=1, number=number_of(token)))
    world.keep("The disk is full.")
    assert code_of(ida.one(m.Error)) is ErrorCode.NOT_KEPT
    has(ida, 2, reservation=token)


def test_who_is_gone_before_the_token_is_told_has_reserved_nothing() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    world.keeps_late = True
    ida.say(m.Reserve(id=1, iccid=ONE, for_s=100.0))
    ida.leave()
    world.keep()
    world.keep()
    assert world.bookings == {}
    has(bob, 1, iccid=ONE)


def test_a_reservation_is_cancelled_by_its_owner_the_token_or_the_operator() -> None:
    world = bench()
    ida, bob = world.user(who="ida", direct=False), world.user(who="bob", direct=False)
    operator = world.user(who="root")
    nobody = world.user()
    number = number_of(reserve(ida))
    assert refused(bob, m.CancelReservation(id=1, number=number)) is ErrorCode.NO_SUCH_RESERVATION
    assert refused(bob, m.CancelReservation(id=1, number=7)) is ErrorCode.NO_SUCH_RESERVATION
    assert refused(bob, m.CancelReservation(id=1)) is ErrorCode.NO_SUCH_RESERVATION
    ack = ida.ask(m.CancelReservation(id=1, number=number), m.CancelReservationAck)
    assert ack.number == number
    has(bob, 2, iccid=ONE)
    number = number_of(reserve(ida, iccid=TWO))
    operator.ask(m.CancelReservation(id=1, number=number), m.CancelReservationAck)
    token = reserve(nobody, iccid=TWO)
    bob.ask(m.CancelReservation(id=3, token=token), m.CancelReservationAck)
    assert listed(bob) == ()
    kinds = [each.did for each in world.events if isinstance(each, events.Reserved)]
    assert kinds == ["reserved", "cancelled"] * 3


def test_a_cancel_leaves_who_took_the_card_with_it() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    token = reserve(ida)
    session = has(ida, 1, reservation=token)
    bob.say(m.SelectCard(id=1, iccid=ONE, wait_s=500.0))
    bob.one(m.Waiting)
    ida.ask(m.CancelReservation(id=2, token=token), m.CancelReservationAck)
    assert not [each for each in ida.inbox if isinstance(each, m.SessionEnded)]
    ida.ask(m.Detach(id=3, session=session), m.DetachAck)
    assert bob.next(m.SelectCardAck).id == 1


def test_one_principal_has_so_many_and_what_is_over_counts_no_more() -> None:
    world = bench(max_reservations_per_principal=2)
    ida, bob = world.user(who="ida"), world.user(who="bob")
    reserve(ida, for_s=10.0)
    reserve(ida, begins=5000.0)
    assert refused(ida, m.Reserve(id=1, iccid=TWO, for_s=9.0)) is ErrorCode.TOO_MANY
    reserve(bob, iccid=TWO)
    world.pass_time(11.0)
    reserve(ida, for_s=10.0)


def test_no_two_reservations_have_one_number(monkeypatch: pytest.MonkeyPatch) -> None:
    world = bench()
    ida = world.user(who="ida")
    monkeypatch.setattr(reservations, "FIRST", 1)
    numbers = {number_of(reserve(ida, begins=5000.0 + 1000 * at)) for at in range(9)}
    assert numbers == set(range(1, 10))
    for number in numbers:
        assert ida.ask(m.CancelReservation(id=1, number=number), m.CancelReservationAck)
    assert listed(ida) == ()


def test_a_card_that_is_reserved_is_not_lent_and_shared_by_whom_its_holder_lets() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    token = reserve(ida)
    session = has(ida, 1, reservation=token, share=Share.SHARED)
    assert refused(ida, m.Lend(id=2, session=session, who="bob")) is ErrorCode.RESERVED
    assert refused(bob, m.SelectCard(id=1, iccid=ONE)) is ErrorCode.CARD_BUSY


def test_nothing_new_begins_while_the_server_stops() -> None:
    world = bench()
    ida = world.user(who="ida")
    number = number_of(reserve(ida))
    world.perform(world.relay.shut_down(1.0, world.now))
    ida.one(m.Restarting)
    assert refused(ida, m.Reserve(id=1, iccid=TWO, for_s=1.0)) is ErrorCode.SHUTTING_DOWN
    assert refused(ida, m.CancelReservation(id=1, number=number)) is ErrorCode.SHUTTING_DOWN


@pytest.fixture
def few_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no more than three cards looked at in one go."""
    monkeypatch.setattr(reserving, "LOOKED_AT", 3)


def busy_bench(mine: int, *before: str) -> tuple[World, Peer]:
    """Return a world with cards of some labels, and so many of bob's behind, which are in use."""
    policy = granting(
        rule("ann", list(Verb)),
        rule("bob", [Verb.USE, Verb.RESERVE], label="mine"),
        rule("bob", [Verb.RESERVE], label="no use"),
        hosts=[rule("*")],
    )
    world = World(policy=policy)
    labels = [*before, *["mine"] * mine]
    cards = [reader(f"r{n}", f"89882110000004300{n:02}", label=at) for n, at in enumerate(labels)]
    world.card(*cards, who="bench")
    ann = world.user(who="ann")
    for number in range(len(before), len(labels)):
        has(ann, number + 1, reader=f"r{number}@bench")
    return world, world.user(who="bob")


@pytest.mark.usefixtures("few_looked_at")
def test_any_of_few_is_reserved_however_many_cards_of_others_there_are() -> None:
    _, bob = busy_bench(1, *["hidden"] * 9)
    ack = bob.ask(m.Reserve(id=1, pick=m.Pick.ANY, for_s=9.0), m.ReserveAck)
    assert ack.reservation.reader == "Reader r9"


@pytest.mark.usefixtures("few_looked_at")
def test_any_of_many_is_one_that_may_be_taken() -> None:
    _, bob = busy_bench(4, "no use")
    by = {"atr": "3b9f96801fc78031a073be21136743200718000001a5"}
    ack = bob.ask(m.Reserve(id=1, pick=m.Pick.ANY, for_s=9.0, **by), m.ReserveAck)
    assert ack.reservation.reader == "Reader r1"
