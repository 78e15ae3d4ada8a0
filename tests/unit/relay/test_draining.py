# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.draining: a host whose cards nobody is given any more, and whose sessions go on."""

import pytest

from tests.support.relay_clients import ICCID, CardClient, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import FEATURES, comes_back, resume, running, scene
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay.draining import MAX_WAITS

OTHER = "8949020000012345670"
DONE = "Card host bench is drained: no session is left on its cards"


def bench(**limits: float) -> tuple[World, CardClient, Peer, Peer]:
    world = World(**limits)
    card = world.card(reader(), reader("r2", OTHER), features=FEATURES, instance="c")
    return world, card, world.user(name="ann"), world.user(name="boss")


def drain(boss: Peer, host: str = "bench", **fields: float | str) -> m.DrainAck:
    return boss.ask(m.Drain(id=boss.new_id(), host=host, **fields), m.DrainAck)  # type: ignore[arg-type]


def undrain(boss: Peer, host: str = "bench") -> None:
    boss.ask(m.Undrain(id=boss.new_id(), host=host), m.UndrainAck)


def test_sessions_of_a_drained_host_go_on_and_there_are_no_new_ones() -> None:
    world, card, ann, boss = bench()
    session = ann.hold(iccid=ICCID)
    assert drain(boss, why="a new rack").sessions == 1
    ann.command(session)
    ann.one(m.RApdu)
    assert card.quiet()
    for which in (ICCID, OTHER):
        refused = world.user().refused(m.SelectCard(id=1, iccid=which))
        assert code_of(refused) is ErrorCode.DRAINING
        assert refused.message == (
            "Card host bench is drained (a new rack): no session begins on its cards for now."
        )
    ann.ask(m.Detach(id=90, session=session), m.DetachAck)
    assert world.notes.count(DONE) == 1
    assert code_of(ann.refused(m.SelectCard(id=91, iccid=ICCID))) is ErrorCode.DRAINING


def test_a_host_that_is_drained_again_keeps_its_reason_unless_there_is_another() -> None:
    _, _, ann, boss = bench()
    drain(boss, why="a new rack")
    for why, said in (("", "a new rack"), ("no power", "no power")):
        drain(boss, why=why)
        assert f"({said})" in ann.refused(m.SelectCard(id=ann.new_id(), iccid=ICCID)).message


def test_a_drain_in_mid_command_lets_it_end() -> None:
    _, card, ann, boss = bench()
    session = ann.hold(iccid=ICCID)
    card.auto = False
    command = ann.command(session)
    assert drain(boss).sessions == 1
    assert ann.quiet()
    card.answer(card.one(m.CApdu))
    assert ann.one(m.RApdu).id == command.id


def test_who_waits_for_a_card_waits_until_the_host_is_back_in_use() -> None:
    world, _, ann, boss = bench()
    drain(boss)
    ann.ask(m.SelectCard(id=5, iccid=ICCID, wait_s=900), m.Waiting)
    world.pass_time(60)
    assert ann.quiet()
    undrain(boss)
    world.pass_time(1)
    ann.one(m.SelectCardAck)


def test_who_waits_too_long_is_told_that_the_host_is_drained() -> None:
    world, _, ann, boss = bench()
    drain(boss)
    ann.ask(m.SelectCard(id=5, iccid=ICCID, wait_s=60), m.Waiting)
    world.pass_time(60)
    assert code_of(ann.one(m.Error)) is ErrorCode.DRAINING


def test_nobody_joins_those_who_share_a_card_of_a_drained_host() -> None:
    world, _, ann, boss = bench()
    ann.hold(iccid=ICCID, share=Share.SHARED)
    drain(boss)
    refused = world.user().refused(m.SelectCard(id=1, iccid=ICCID, share=Share.SHARED))
    assert code_of(refused) is ErrorCode.DRAINING


def test_who_drains_can_wait_for_the_last_session() -> None:
    world, _, ann, boss = bench()
    first, second = ann.hold(iccid=ICCID), ann.hold(iccid=OTHER)
    boss.say(m.Drain(id=70, host="bench", wait_s=600))
    ann.ask(m.Detach(id=90, session=first), m.DetachAck)
    assert boss.quiet()
    ann.ask(m.Detach(id=91, session=second), m.DetachAck)
    assert boss.one(m.DrainAck) == m.DrainAck(id=70, sessions=0)
    assert drain(boss, wait_s=600).sessions == 0
    assert world.notes.count(DONE) == 1


def test_who_drains_waits_no_longer_than_they_said() -> None:
    world, _, ann, boss = bench()
    ann.hold(iccid=ICCID)
    boss.say(m.Drain(id=70, host="bench", wait_s=30))
    world.pass_time(29.9)
    assert boss.quiet()
    world.pass_time(0.1)
    assert boss.one(m.DrainAck) == m.DrainAck(id=70, sessions=1)


@pytest.mark.parametrize("how", ["cancel", "undrain", "leave", "stop"])
def test_a_wait_for_the_last_session_ends_otherwise(how: str) -> None:
    world, card, ann, boss = bench()
    ann.hold(iccid=ICCID)
    boss.say(m.Drain(id=70, host="bench", wait_s=600))
    if how == "cancel":
        boss.say(m.Cancel(id=71, target=70))
        assert code_of(boss.next(m.Error)) is ErrorCode.CANCELLED
        assert boss.one(m.CancelAck).cancelled
        assert code_of(world.user().refused(m.SelectCard(id=1, iccid=OTHER))) is ErrorCode.DRAINING
    elif how == "undrain":
        undrain(world.user(name="other"))
        assert code_of(boss.one(m.Error)) is ErrorCode.CANCELLED
    elif how == "stop":
        world.perform(world.relay.shut_down(1.0, world.now))
        assert code_of(boss.next(m.Error)) is ErrorCode.SHUTTING_DOWN
    for peer in world.peers.values():
        if not peer.gone:
            peer.leave(goodbye=True)
    assert card.gone
    assert world.leftovers() == {}


def test_a_host_that_connects_again_is_drained_still() -> None:
    world, card, user, session = scene()
    boss = world.user(name="boss")
    boss.say(m.Drain(id=70, host="bench", wait_s=600))
    card.leave()
    user.one(m.SessionInterrupted)
    assert boss.quiet(), "its session may come back"
    again = comes_back(world, card, running(session))
    user.ask(resume(user, session), m.Resumed)
    assert code_of(world.user().refused(m.SelectCard(id=1, iccid=ICCID))) is ErrorCode.DRAINING
    user.ask(m.Detach(id=90, session=session), m.DetachAck)
    assert boss.one(m.DrainAck).sessions == 0
    again.leave()
    assert drain(boss, host=" BENCH ").sessions == 0
    comes_back(world, again)
    assert world.notes.count(DONE) == 1
    undrain(boss)
    world.user().hold(iccid=ICCID)


def test_a_host_that_comes_back_without_its_sessions_is_done() -> None:
    world, card, _, _ = scene()
    boss = world.user(name="boss")
    boss.say(m.Drain(id=70, host="bench", wait_s=600))
    card.leave()
    comes_back(world, card)
    assert boss.one(m.DrainAck).sessions == 0
    assert world.notes.count(DONE) == 1


def test_a_host_that_says_goodbye_is_done() -> None:
    world, card, _, _ = scene()
    boss = world.user(name="boss")
    boss.say(m.Drain(id=70, host="bench", wait_s=600))
    card.leave(goodbye=True)
    assert boss.one(m.DrainAck).sessions == 0
    undrain(boss)


def test_lists_and_watchers_show_that_a_host_is_drained() -> None:
    world, _, _, boss = bench()
    watcher = world.user()
    watcher.ask(m.WatchReaders(id=1), m.WatchReadersAck)
    for on in (True, False):
        drain(boss) if on else undrain(boss)
        told = [watcher.inbox.pop(0) for _ in range(2)]
        assert [each.reader.draining for each in told if isinstance(each, m.ReaderEvent)] == [
            on
        ] * 2
        cards = boss.ask(m.ListCards(id=99), m.ListCardsAck).cards
        assert [card.draining for card in cards] == [on, on]
        peers = boss.ask(m.ListPeers(id=98), m.ListPeersAck).peers
        assert [peer.draining for peer in peers if peer.role is m.ClientType.CARD] == [on]


@pytest.mark.parametrize("kind", [m.Drain, m.Undrain])
@pytest.mark.parametrize("host", ["elsewhere", "", "ann", "bench\x1b[2J"])
def test_a_host_that_is_not_known_is_told_so(kind: type[m.Drain | m.Undrain], host: str) -> None:
    _, _, _, boss = bench()
    refused = boss.refused(kind(id=1, host=host))
    assert code_of(refused) is ErrorCode.NO_SUCH_PEER
    assert refused.message.isprintable()


def test_undrain_of_a_host_that_is_not_drained_is_told_so() -> None:
    _, _, _, boss = bench()
    assert code_of(boss.refused(m.Undrain(id=1, host="bench"))) is ErrorCode.NO_SUCH_PEER


def test_a_user_waits_for_few_hosts_at_a_time() -> None:
    _, _, ann, boss = bench()
    ann.hold(iccid=ICCID)
    for number in range(MAX_WAITS):
        boss.say(m.Drain(id=100 + number, host="bench", wait_s=60))
    assert boss.quiet()
    refused = boss.refused(m.Drain(id=200, host="bench", wait_s=60))
    assert code_of(refused) is ErrorCode.TOO_MANY
    assert drain(boss).sessions == 1


def test_a_second_drain_with_the_same_id_is_refused() -> None:
    _, _, ann, boss = bench()
    ann.hold(iccid=ICCID)
    boss.say(m.Drain(id=100, host="bench", wait_s=60))
    refused = boss.refused(m.Drain(id=100, host="bench", wait_s=60))
    assert code_of(refused) is ErrorCode.REQUEST_IN_FLIGHT


def test_the_host_of_a_first_form_card_can_be_drained() -> None:
    world = World()
    world.old_card()
    boss = world.user(name="boss")
    assert drain(boss, host="first-form card client").sessions == 0
    assert code_of(world.user().refused(m.SelectCard(id=1, iccid=ICCID))) is ErrorCode.DRAINING


@pytest.mark.parametrize("first", [{"iccid": ICCID}, {"pick": m.Pick.ANY, "iccid": ICCID}])
@pytest.mark.parametrize("second", [{"iccid": ICCID}, {"pick": m.Pick.ANY, "iccid": ICCID}])
def test_who_asks_as_soon_as_a_host_is_undrained_overtakes_nobody_who_waited(
    first: dict[str, object], second: dict[str, object]
) -> None:
    world, _, ann, boss = bench()
    bob = world.user(name="bob")
    drain(boss)
    ann.say(m.SelectCard(id=1, wait_s=60.0, **first))  # type: ignore[arg-type]  # by name
    ann.one(m.Waiting)
    undrain(boss)
    bob.say(m.SelectCard(id=1, wait_s=60.0, **second))  # type: ignore[arg-type]  # by name
    world.pass_time(1.0)
    assert ann.next(m.SelectCardAck).id == 1
    assert not [each for each in bob.inbox if isinstance(each, m.SelectCardAck)]
