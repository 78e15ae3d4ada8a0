# SPDX-License-Identifier: Apache-2.0
"""What users are told of reservations, their own and those of others."""

from tests.support.policies import granting, rule
from tests.support.relay_world import World, reader
from tests.support.reserving import ONE, TWO, bench, listed, number_of, reserve
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.relay import reserving
from wsrc.relay.reservations import NEWS, Booking


def test_a_list_has_what_may_be_listed_and_names_who() -> None:
    may = [rule("ida", [Verb.USE, Verb.RESERVE]), rule("bob", [Verb.USE], label="other")]
    world = World(policy=granting(*may, hosts=[rule("*")]))
    world.card(reader("r1", ONE), reader("r2", TWO, label="other"), who="farm")
    ida, bob = world.user(who="ida", direct=False), world.user(who="bob", direct=False)
    first, second = number_of(reserve(ida)), number_of(reserve(ida, begins=9000.0, iccid=TWO))
    assert [(each.number, each.own) for each in listed(ida)] == [(first, True), (second, True)]
    (seen,) = listed(bob)
    assert (seen.number, seen.holder, seen.own) == (second, "ida (a user)", False)
    assert seen.state is m.ReservationState.COMING


def test_a_change_is_noticed_by_whose_it_is_who_sees_the_card_and_operators() -> None:
    may = [
        rule("root", list(Verb)),
        rule("ida", [Verb.USE, Verb.RESERVE]),
        rule("bob", [Verb.LIST], label="other"),
        rule("eve", [Verb.USE], label="none"),
    ]
    world = World(policy=granting(*may, hosts=[rule("*")]))
    card = world.card(reader("r1", ONE), reader("r2", TWO, label="other"), who="farm")
    users = {who: world.user(who=who, direct=False) for who in ("root", "ida", "bob", "eve")}
    seen = dict.fromkeys(users, 0)

    def who_noticed() -> set[str]:
        told = {}
        for who, user in users.items():
            seen[who], told[who] = world.relay.bulletin.reservations_since(user.number, seen[who])
        return {who for who, noticed in told.items() if noticed}

    assert who_noticed() == set()
    reserve(users["ida"], for_s=100.0)
    assert who_noticed() == {"root", "ida"}
    assert who_noticed() == set()
    reserve(users["ida"], begins=1500.0, for_s=1000.0, iccid=TWO)
    assert who_noticed() == {"root", "ida", "bob"}
    world.pass_time(101.0)
    assert who_noticed() == {"root", "ida"}
    world.pass_time(449.0)
    assert who_noticed() == {"root", "ida", "bob"}
    card.leave()
    world.pass_time(1000.0)
    assert who_noticed() == {"root", "ida"}
    assert world.relay.bulletin.reservations_since(card.number, 0)[1] is False


def test_where_more_changed_than_is_known_everybody_looks_again() -> None:
    world = World(policy=granting(rule("eve", [Verb.USE], label="none"), hosts=[rule("*")]))
    world.card(reader("r1", ONE), who="farm")
    user, eve = world.user(direct=True), world.user(who="eve", direct=False)
    table = world.relay._state.reservations
    before, _ = world.relay.bulletin.reservations_since(eve.number, 0)
    booking = Booking(1, b"", "", "", f"iccid {ONE}", 0.0, 1.0)
    for _ in range(NEWS):
        table.note(booking)
    assert world.relay.bulletin.reservations_since(eve.number, before)[1] is False
    table.note(booking)
    assert world.relay.bulletin.reservations_since(eve.number, before)[1] is True
    assert user.inbox == []


def test_what_any_card_was_asked_for_by_is_told_to_whose_it_is_and_operators() -> None:
    may = [rule("root", list(Verb)), rule("ida", [Verb.USE, Verb.RESERVE]), rule("bob", [Verb.USE])]
    world = World(policy=granting(*may, hosts=[rule("*")]))
    world.card(reader("r1", ONE, tags={"kind": "test"}), who="farm")
    root, ida, bob = (world.user(who=who, direct=False) for who in ("root", "ida", "bob"))
    reserve(ida, pick=m.Pick.ANY, tags={"kind": "test"})
    reserve(ida, begins=9000.0, iccid=ONE)
    wishes = [[each.wish for each in listed(user)] for user in (root, ida, bob)]
    assert wishes == [["any with tag kind=test", None]] * 2 + [[None, None]]


def test_many_are_listed_in_pages() -> None:
    world = bench()
    ida = world.user(who="ida")
    for number in range(reserving.PAGE + 1):
        reserve(ida, begins=5000.0 + 10 * number, for_s=10.0)
    page = ida.ask(m.ListReservations(id=1), m.ListReservationsAck)
    assert (len(page.reservations), page.next) == (reserving.PAGE, page.reservations[-1].number)
    rest = ida.ask(m.ListReservations(id=1, after=page.next or 0), m.ListReservationsAck)
    begins = {each.begins for each in (*page.reservations, *rest.reservations)}
    assert len(begins) == reserving.PAGE + 1
    assert (len(rest.reservations), rest.next) == (1, None)


def test_13_numbers_and_pages_of_reservations_tell_nothing_of_those_of_hidden_cards() -> None:
    told: list[object] = []
    may = [rule("ida", [Verb.RESERVE], label="x"), rule("bob", [Verb.RESERVE], label="y")]
    for others in (0, 700):
        world = World(policy=granting(*may, hosts=[rule("*")]), max_reservations_per_principal=999)
        world.card(reader("r1", ONE, label="x"), reader("r2", TWO, label="y"), who="farm")
        ida, bob = world.user(who="ida", direct=False), world.user(who="bob", direct=False)
        tokens = [reserve(bob, begins=9000.0, iccid=TWO)]
        for number in range(others):
            reserve(ida, begins=5000.0 + 10 * number, for_s=10.0)
        tokens.append(reserve(bob, begins=99_000.0, iccid=TWO))
        page = bob.ask(m.ListReservations(id=1), m.ListReservationsAck)
        assert {each.number for each in page.reservations} == set(map(number_of, tokens))
        told.append((page.next, [each.begins for each in listed(bob)]))
    assert told[0] == told[1]
