# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.positions: rounds through long queues, and through several at a time."""

from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_watchers import watch
from tests.support.relay_world import World, empty, reader
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.relay.positions import VISITS

OTHER = "8949020000099999999"


def select(iccid: str = ICCID) -> m.SelectCard:
    return m.SelectCard(id=1, wait_s=60, iccid=iccid)


def test_everyone_moves_up_in_a_queue_that_is_longer_than_one_look_at_it() -> None:
    world = World()
    world.card(reader())
    world.user().hold(iccid=ICCID)
    first, *others = (world.user() for _ in range(2 * VISITS + 2))
    for user in (first, *others):
        user.say(select())
        user.one(m.Waiting)
    first.leave()
    for _ in range(3):
        world.pass_time(1)
    assert [user.one(m.Waiting).position for user in others] == [*range(1, 2 * VISITS + 2)]


def test_those_behind_move_up_though_others_give_up_another_card() -> None:
    world = World()
    first, second, other = (world.user() for _ in range(3))
    for user in (first, second, other):
        user.say(select(OTHER if user is other else ICCID))
        user.one(m.Waiting)
    first.leave()
    other.leave()
    world.pass_time(1)
    assert second.one(m.Waiting).position == 1


def shown(world: World, user: Peer) -> dict[str, int]:
    """Return how many wait for the card of each reader, as a user is shown."""
    readers = user.ask(m.ListReaders(id=user.new_id()), m.ListReadersAck).readers
    return {each.reader: each.waiting for each in readers}


def told(watcher: Peer) -> list[int]:
    """Return how many wait, by each change that a watcher was told of since it was asked last."""
    heard, watcher.inbox = watcher.inbox, []
    return [each.reader.waiting for each in heard if isinstance(each, m.ReaderEvent)]


def test_watchers_are_told_how_many_wait_for_a_card_at_most_once_a_second() -> None:
    world = World()
    world.card(reader())
    watcher = world.user()
    watch(watcher)
    world.user().hold(iccid=ICCID)
    told(watcher)
    waiting = [world.user() for _ in range(50)]
    waiting[0].say(select())
    world.pass_time(0.1)
    assert told(watcher) == [1]
    for user in waiting[1:]:
        user.say(select())
        world.pass_time(0.01)
    assert told(watcher) == []
    world.pass_time(1)
    assert told(watcher) == [50]
    for user in waiting:
        user.leave()
    world.pass_time(1)
    last = told(watcher)
    assert last[-1] == 0
    assert len(last) <= 2


def test_of_two_cards_each_shows_those_who_wait_for_it() -> None:
    world = World()
    world.card(reader("r1"), reader("r2", iccid=OTHER))
    watcher, one, other = (world.user() for _ in range(3))
    for user, iccid in ((world.user(), ICCID), (world.user(), OTHER)):
        user.hold(iccid=iccid)
    one.say(select())
    other.say(select(OTHER))
    world.pass_time(1)
    assert shown(world, watcher) == {"r1": 1, "r2": 1}
    one.leave()
    world.pass_time(1)
    assert shown(world, watcher) == {"r1": 0, "r2": 1}


def test_a_card_that_comes_shows_those_who_wait_for_it_and_one_that_went_does_not() -> None:
    world = World()
    card = world.card(reader(state=m.ReaderState.IN_USE))
    watcher, user = world.user(), world.user()
    user.say(select())
    world.pass_time(1)
    assert shown(world, watcher) == {"r1": 1}
    card.say(m.ReaderReport(reader=empty("r1", insertion=2)))
    world.pass_time(2)
    assert shown(world, watcher) == {"r1": 0}
    card.say(m.ReaderReport(reader=reader(insertion=3, state=m.ReaderState.IN_USE)))
    world.pass_time(2)
    assert shown(world, watcher) == {"r1": 1}
    card.say(m.ReaderGone(reader="r1"))
    world.pass_time(2)
    assert shown(world, watcher) == {}
    user.leave()
    assert world.relay.counts["waiting"] == 0


def test_who_waits_for_any_card_is_counted_apart() -> None:
    world = World()
    world.card(reader())
    watcher, holder, user = (world.user() for _ in range(3))
    holder.hold(iccid=ICCID)
    user.say(m.SelectCard(id=1, wait_s=60, iccid=ICCID, pick=m.Pick.ANY))
    world.pass_time(1)
    assert shown(world, watcher) == {"r1": 0}
    assert world.relay.bulletin.waiting_for_any(watcher.number) == 1
    user.leave()
    assert world.relay.bulletin.waiting_for_any(watcher.number) == 0
    assert world.relay.bulletin.waiting_for_any(user.number) == 0


def test_of_others_who_wait_for_any_card_those_are_told_who_see_the_same_and_operators() -> None:
    policy = granting(
        rule("root", list(Verb)),
        rule(("ann", "bob"), [Verb.LIST, Verb.USE], label="seen"),
        rule("cid", [Verb.LIST, Verb.USE], label="dark"),
        hosts=[rule("*")],
    )
    world = World(policy=policy)
    world.card(reader("r1", label="seen"), reader("r2", OTHER, label="dark"), who="host")
    root, ann, bob, cid = (world.user(who=who) for who in ("root", "ann", "bob", "cid"))
    for iccid in (ICCID, OTHER):
        root.hold(iccid=iccid)
    for user in (ann, bob, cid):
        user.say(m.SelectCard(id=1, wait_s=60, tags={"card": "uicc"}, pick=m.Pick.ANY))
        user.one(m.Waiting)
    counts = [world.relay.bulletin.waiting_for_any(user.number) for user in (root, ann, bob, cid)]
    assert counts == [3, 2, 2, 1]
