# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.accounts: the cards and places of one user, over all connections."""

import pytest

from tests.support.relay_world import World, code_of, empty, reader
from tests.support.resuming_scene import FEATURES, SECRET, comes_back, resume, running, scene
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import SOON_S

MINE, OTHERS = "principal tester@example.org", "principal other"


def bench(count: int = 4, **limits: float) -> World:
    world = World(**limits)
    world.card(*(reader(f"r{n}", f"894902000001234567{n}") for n in range(count)))
    return world


def limits_reached(world: World) -> list[str]:
    return [note.partition(" is reached: ")[0] for note in world.notes if "is reached" in note]


def test_13_cards_count_over_all_connections_of_a_user() -> None:
    world = bench(max_sessions_per_principal=2)
    first, second = world.user(account=MINE), world.user(account=MINE)
    first.hold(reader="r0")
    session = second.hold(reader="r1")
    for peer in (first, second, world.user(account=MINE)):
        error = peer.refused(m.SelectCard(id=peer.new_id(), reader="r2"))
        assert code_of(error) is ErrorCode.TOO_MANY
        assert error.retry_after_s is None
        assert (
            "connections of this user hold or wait for as many cards as they may: 2"
            in error.message
        )
    assert limits_reached(world) == ["max_sessions_per_principal"] * 3
    world.user(account=OTHERS).hold(reader="r2")
    world.user(account=None).hold(reader="r3")
    second.ask(m.Detach(id=second.new_id(), session=session), m.DetachAck)
    first.hold(reader="r1")


def test_13_a_card_that_is_kept_counts_and_one_that_is_given_back_does_not() -> None:
    world, _, user, session = scene(max_sessions_per_principal=1)
    world.card(reader("r2", "8949020000012345679"), name="other")
    user.leave()
    mine = world.user(account="all")
    assert code_of(mine.refused(m.SelectCard(id=1, reader="r2"))) is ErrorCode.TOO_MANY
    mine.ask(resume(mine, session), m.Resumed)
    assert world.accounts()[0] == {"held": 1, "waiting": 0}
    mine.leave(goodbye=True)
    world.user(account="all").hold(reader="r2")


def test_13_a_card_counts_for_who_resumes_it() -> None:
    world, card, _, session = scene()
    world.start()
    comes_back(world, card, running(session))
    assert world.accounts()[0] == {"held": 0, "waiting": 0}
    user = world.user(account=MINE)
    user.ask(resume(user, session), m.Resumed)
    assert world.relay._state.account(MINE).held == 1
    thief = world.user(account=OTHERS)
    thief.ask(resume(thief, session), m.Resumed)
    assert world.relay._state.account(MINE).held == 0
    assert world.relay._state.account(OTHERS).held == 1


def test_13_places_in_queues_count_over_all_connections_of_a_user() -> None:
    world = bench(1, max_waiting_per_principal=2)
    world.user(account=OTHERS).hold(reader="r0")
    waits = [world.user(account=MINE) for _ in range(2)]
    for peer in waits:
        peer.ask(m.SelectCard(id=1, reader="r0", wait_s=60), m.Waiting)
    one_more = world.user(account=MINE)
    error = one_more.refused(m.SelectCard(id=1, reader="r0", wait_s=60))
    assert (code_of(error), error.retry_after_s) == (ErrorCode.TOO_MANY, SOON_S)
    assert limits_reached(world) == ["max_waiting_per_principal"]
    world.user(account=OTHERS).ask(m.SelectCard(id=1, reader="r0", wait_s=60), m.Waiting)
    waits[0].leave()
    one_more.ask(m.SelectCard(id=2, reader="r0", wait_s=60), m.Waiting)


def test_13_who_waits_counts_among_those_who_have_a_card() -> None:
    world = bench(2, max_sessions_per_principal=2)
    world.user(account=OTHERS).hold(reader="r0")
    first, second = world.user(account=MINE), world.user(account=MINE)
    first.ask(m.SelectCard(id=1, reader="r0", wait_s=60), m.Waiting)
    second.hold(reader="r1")
    assert code_of(second.refused(m.SelectCard(id=9, reader="r0"))) is ErrorCode.TOO_MANY


def test_13_sessions_that_are_asked_for_count_as_places() -> None:
    world = World(max_waiting_per_principal=3)
    world.card(empty(), features=FEATURES)
    peers = [world.user(account=MINE) for _ in range(4)]
    wishes = [
        m.Resume(id=1, session=f"s{n}", secret=SECRET, seq=0, host="away", reader="x")
        for n in range(4)
    ]
    for peer, wish in zip(peers[:3], wishes[:3], strict=True):
        peer.say(wish)
        assert peer.quiet()
    error = peers[3].refused(wishes[3])
    assert (code_of(error), error.retry_after_s) == (ErrorCode.TOO_MANY, SOON_S)
    assert error.session == "s3"
    for peer in peers:
        peer.leave()
    assert world.accounts()[0] == {"held": 0, "waiting": 0}
    assert len(world.relay._state.accounts) == 0


def test_13_with_all_cards_that_one_may_have_one_can_go_on_with_each() -> None:
    world, _, user, session = scene(max_sessions_per_principal=1, max_waiting_per_principal=1)
    user.leave()
    again = world.user(account="all")
    again.ask(resume(again, session), m.Resumed)


@pytest.mark.parametrize("known", [True, False])
def test_13_who_guesses_sessions_is_counted_and_told_the_same(known: bool) -> None:
    world, _, user, session = scene()
    user.leave()
    told = set()
    for number in range(20):
        thief = world.user(name="thief")
        name = session if known else f"guess-{number}"
        error = thief.refused(resume(thief, name, "wrong"))
        assert code_of(error) is ErrorCode.NO_SUCH_SESSION
        told.add((error.message.replace("here", "").strip(" ."), error.outcome, error.lease))
    assert len(told) == 1
    notes = [note for note in world.noted if note.limit is not None]
    assert len(notes) == 20
    assert len({note.limit for note in notes}) == 1
    owner = world.user(name="user")
    owner.ask(resume(owner, session), m.Resumed)


def test_13_who_is_slowed_down_is_told_and_the_first_form_is_not() -> None:
    world = World()
    user, old, silent = world.user(), world.user(first_form=True), world.stranger(m.ClientType.USER)
    for peer in (user, old, silent):
        world.perform(world.relay.slowed(peer.number, "requests_per_s", 2.5, world.now))
    world.perform(world.relay.slowed(99, "requests_per_s", 2.5, world.now))
    error = user.one(m.Error)
    assert (error.id, code_of(error), error.retry_after_s) == (None, ErrorCode.TOO_MANY, 2.5)
    assert "requests_per_s" in error.message
    assert old.quiet()
    assert silent.quiet()


def test_13_a_lease_of_nobody_counts_for_nobody() -> None:
    world = bench(1)
    user = world.user(account=None)
    session = user.hold(reader="r0")
    assert world.accounts() == ({"held": 0, "waiting": 0}, {"held": 0, "waiting": 0})
    user.ask(m.Detach(id=user.new_id(), session=session), m.DetachAck)
