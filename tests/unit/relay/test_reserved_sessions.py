# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay: who has a card that is reserved is told in time, and known again as who reserved."""

from typing import Any

import pytest

from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import FEATURES, SECRET, comes_back, resume, running
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay import reserving
from wsrc.relay.keeping import RESERVED
from wsrc.relay.reservations import digest_of, shown_of

IDLE = ("idle",)
OTHER = "8988211000000430028"


def reserve(user: Peer, in_s: float, for_s: float = 100.0, **which: Any) -> str:
    """Reserve a card for a time that begins so many seconds from now; return the token."""
    begins = user.world.relay._state.utc(user.world.now + in_s)
    which = which or {"iccid": ICCID}
    asked = m.Reserve(id=90, begins=begins, for_s=for_s, **which)
    return user.ask(asked, m.ReserveAck).token


def listed(user: Peer) -> tuple[m.ReservationInfo, ...]:
    return user.ask(m.ListReservations(id=91), m.ListReservationsAck).reservations


def warnings(user: Peer) -> list[m.SessionIdle]:
    found = [each for each in user.inbox if isinstance(each, m.SessionIdle)]
    user.inbox.clear()
    return found


def bench() -> World:
    world = World(lease_idle_s=0, lease_warn_s=300)
    world.card(reader("r1", ICCID), reader("r2", OTHER))
    return world


def test_a_holder_is_told_in_time_that_another_has_reserved_the_card() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob", features=IDLE)
    reserve(ida, in_s=1000)
    session = bob.hold(iccid=ICCID)
    world.pass_time(699)
    assert warnings(bob) == []
    world.pass_time(1)
    (said,) = warnings(bob)
    assert (said.session, said.in_s, said.code) == (session, 300.0, ErrorCode.RESERVED)
    assert said.until == "1970-01-01T00:33:20Z"
    assert said.message == (
        "The card is taken back in 300 s, at 1970-01-01T00:33:20Z: it is reserved for another."
    )
    assert "ida" not in said.message
    assert any("which is reserved from in 300 s on" in note for note in world.notes)
    world.pass_time(299)
    assert warnings(bob) == []
    world.pass_time(1)
    assert bob.one(m.SessionEnded).code is ErrorCode.RESERVED


def test_who_takes_the_card_shortly_before_is_told_at_once() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob", features=IDLE)
    reserve(ida, in_s=60)
    bob.hold(iccid=ICCID)
    world.pass_time(0)
    assert [(each.in_s, each.code) for each in warnings(bob)] == [(60.0, ErrorCode.RESERVED)]


def test_who_keeps_the_card_is_told_nothing() -> None:
    world = bench()
    ida, bob, cid = (world.user(who=name, features=IDLE) for name in ("ida", "bob", "cid"))
    bob.hold(iccid=ICCID)
    token = reserve(ida, in_s=500)
    cid.hold(iccid=OTHER)
    world.pass_time(550)
    assert not [each for user in (bob, cid) for each in warnings(user)]
    bob.leave()
    ida.ask(m.SelectCard(id=1, reservation=token), m.SelectCardAck)
    world.pass_time(0)
    assert warnings(ida) == []


def test_who_has_it_by_a_reservation_is_told_of_the_next() -> None:
    world = bench()
    ida, bob = (world.user(who=name, features=IDLE) for name in ("ida", "bob"))
    token = reserve(ida, in_s=0)
    ida.ask(m.SelectCard(id=1, reservation=token), m.SelectCardAck)
    reserve(bob, in_s=400)
    world.pass_time(99)
    assert warnings(ida) == []
    world.pass_time(1)
    assert [each.in_s for each in warnings(ida)] == [300.0]


def test_who_does_not_know_of_warnings_or_is_away_gets_none_and_who_resumes_does() -> None:
    world = World(lease_idle_s=0, lease_warn_s=300)
    world.card(reader(), features=FEATURES, instance="c")
    ida, old = world.user(who="ida"), world.user(who="bob", instance="u")
    reserve(ida, in_s=500)
    wish = m.SelectCard(id=1, iccid=ICCID, secret=SECRET, keep_s=600.0)
    session = old.ask(wish, m.SelectCardAck).session
    assert session is not None
    world.pass_time(250)
    assert old.quiet()
    old.leave()
    back = world.user(who="bob", instance="u", features=IDLE)
    back.ask(resume(back, session), m.Resumed)
    world.pass_time(0)
    assert [(each.in_s, each.code) for each in warnings(back)] == [(250.0, ErrorCode.RESERVED)]


def test_without_a_time_to_warn_nobody_is_warned() -> None:
    world = World(lease_idle_s=0, lease_warn_s=0)
    world.card(reader())
    ida, bob = world.user(who="ida"), world.user(who="bob", features=IDLE)
    reserve(ida, in_s=50)
    bob.hold(iccid=ICCID)
    world.pass_time(49)
    assert bob.quiet()


def taken(world: World, user: Peer, token: str, **fields: Any) -> str:
    """Take a card by a token, in a session that outlives its connection; return that."""
    given = {"secret": SECRET, "keep_s": 500.0, **fields}
    ack = user.ask(m.SelectCard(id=1, reservation=token, **given), m.SelectCardAck)
    assert ack.session is not None
    return ack.session


def test_a_session_that_outlives_the_server_is_still_that_of_its_reservation() -> None:
    world = World()
    card = world.card(reader(), features=FEATURES, instance="c")
    ida = world.user(who="ida", instance="u")
    token = reserve(ida, in_s=0, for_s=5000)
    session = taken(world, ida, token)
    owner = world.relay._state.sessions[session].owner
    world.start()
    kept = running(session, instance=f"u.{owner}", keep_s=500.0)
    comes_back(world, card, kept)
    ida = world.user(who="ida", instance="u")
    assert listed(ida)[0].state is m.ReservationState.TAKEN
    ida.ask(resume(ida, session), m.Resumed)
    again = world.user(who="ida", instance="other")
    error = again.refused(m.SelectCard(id=1, reservation=token))
    assert code_of(error) is ErrorCode.CARD_BUSY
    assert "with this token already" in error.message
    ida.leave()
    again.say(m.SelectCard(id=2, reservation=token, wait_s=5.0))
    again.next(m.Waiting)
    assert again.one(m.SelectCardAck).id == 2


def test_a_session_is_no_reservation_s_that_is_another_s_or_of_another_card() -> None:
    for fields in ({"instance": "u.somebody"}, {"reader": "r2"}, {"session": "session-99"}):
        world = World()
        card = world.card(reader(), reader("r2", OTHER), features=FEATURES, instance="c")
        ida = world.user(who="ida", instance="u")
        session = taken(world, ida, reserve(ida, in_s=0, for_s=5000))
        owner = world.relay._state.sessions[session].owner
        world.start()
        said = {"session": session, "instance": f"u.{owner}", **fields}
        kept = running(**said)
        world.card(
            reader(),
            reader("r2", OTHER),
            features=FEATURES,
            instance="c",
            before=card,
            sessions=(kept,),
        )
        states = [each.state for each in listed(world.user(who="ida"))]
        assert m.ReservationState.TAKEN not in states, fields


def test_what_a_session_knew_outlives_the_connection_of_its_card_host() -> None:
    world = World()
    card = world.card(reader(), features=FEATURES, instance="c")
    ida, bob = world.user(who="ida"), world.user(who="bob", instance="u")
    reserve(ida, in_s=300)
    wish = m.SelectCard(id=1, iccid=ICCID, secret=SECRET, keep_s=600.0)
    session = bob.ask(wish, m.SelectCardAck).session
    assert session is not None
    owner = world.relay._state.sessions[session].owner
    card.leave()
    bob.one(m.SessionInterrupted)
    comes_back(world, card, running(session, instance=f"u.{owner}", keep_s=600.0))
    bob.ask(resume(bob, session), m.Resumed)
    world.pass_time(301)
    assert bob.one(m.SessionEnded).code is ErrorCode.RESERVED


def hold(user: Peer) -> m.RunningSession:
    """Take the card for long; return the session as its card host brings it back."""
    wish = m.SelectCard(id=1, iccid=ICCID, secret=SECRET, keep_s=600.0)
    session = user.ask(wish, m.SelectCardAck).session
    assert session is not None
    owner = user.world.relay._state.sessions[session].owner
    return running(session, instance=f"u.{owner}", keep_s=600.0)


@pytest.mark.parametrize("down_s", [0, 301])
@pytest.mark.parametrize("first", ["the session", "the reservation"])
def test_who_was_given_a_card_that_was_reserved_loses_it_after_a_restart_too(
    first: str, down_s: float
) -> None:
    world = World()
    card = world.card(reader(), features=FEATURES, instance="c")
    ida, bob = world.user(who="ida"), world.user(who="bob", instance="u")
    session = hold(bob) if first == "the session" else None
    token = reserve(ida, in_s=300, for_s=5000)
    kept = session or hold(bob)
    world.start()
    world.now += down_s
    comes_back(world, card, kept)
    ida, bob = world.user(who="ida"), world.user(who="bob", instance="u")
    bob.say(resume(bob, kept.session))
    world.pass_time(301)
    ends = [each for each in bob.inbox if isinstance(each, m.SessionEnded | m.Error)]
    ida.say(m.SelectCard(id=2, reservation=token))
    if first == "the session":
        assert not ends
        assert code_of(ida.one(m.Error)) is ErrorCode.CARD_BUSY
    else:
        assert [each.code for each in ends] == [ErrorCode.RESERVED]
        assert ends[0].message == RESERVED
        assert ida.one(m.SelectCardAck).id == 2


def test_who_has_a_card_whose_host_is_away_when_its_time_begins_loses_it_when_that_is_back() -> (
    None
):
    world = World()
    card = world.card(reader(), features=FEATURES, instance="c")
    ida, bob = world.user(who="ida"), world.user(who="bob", instance="u")
    token = reserve(ida, in_s=300, for_s=5000)
    kept = hold(bob)
    card.leave()
    bob.one(m.SessionInterrupted)
    world.pass_time(301)
    comes_back(world, card, kept)
    bob.say(resume(bob, kept.session))
    said = bob.one(m.SessionEnded)
    assert (said.code, said.message) == (ErrorCode.RESERVED, RESERVED)
    assert ida.ask(m.SelectCard(id=2, reservation=token), m.SelectCardAck).id == 2


def test_one_is_listed_by_its_token_to_whose_it_is() -> None:
    world = bench()
    ida, bob = world.user(who="ida"), world.user(who="bob")
    token = reserve(ida, in_s=100)
    reserve(ida, in_s=1000)

    def by_token(user: Peer, token: str) -> list[int]:
        asked = m.ListReservations(id=1, token=token)
        ack = user.ask(asked, m.ListReservationsAck)
        assert ack.next is None
        return [each.number for each in ack.reservations]

    assert by_token(ida, token) == [shown_of(digest_of(token))]
    assert by_token(ida, "none") == []
    assert by_token(bob, token) == []


def test_a_page_looks_at_so_many_whoever_asks() -> None:
    world = bench()
    ida, bob = world.user(who="ida", direct=False), world.user(who="bob")
    world.relay._state.open_to_operators = False
    for number in range(reserving.LOOKED_AT + 3):
        reserve(ida, in_s=5000.0 + 10 * number, for_s=10.0)
    world.peers[1].leave()
    page = bob.ask(m.ListReservations(id=1), m.ListReservationsAck)
    assert page.reservations == ()
    assert page.next is not None
    page = bob.ask(m.ListReservations(id=1, after=page.next or 0), m.ListReservationsAck)
    assert (page.reservations, page.next) == ((), None)
