# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.standing: bans and drained hosts are in force at once, and again after a restart."""

import pytest

from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, reader
from wsrc.errors import ErrorCode
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.relay.draining import MAX_WAITS
from wsrc.relay.operating import MAX_BAN_S

HOUR, DAY = 3600.0, 86_400.0
EVE = Principal("eve")


def ban(boss: Peer, who: str = "eve", for_s: float = HOUR) -> None:
    boss.say(m.Ban(id=boss.new_id(), who=who, for_s=for_s, why="a lost laptop"))


def banned(world: World, who: Principal = EVE, address: str = "") -> bool:
    return world.relay.ban_on(who, address, world.now) is not None


def bans(boss: Peer) -> list[m.BanInfo]:
    return list(boss.ask(m.ListBans(id=boss.new_id()), m.ListBansAck).bans)


def drained(boss: Peer) -> tuple[m.DrainedHost, ...]:
    return boss.ask(m.ListPeers(id=boss.new_id()), m.ListPeersAck).drained


def test_a_ban_stands_after_a_restart_as_it_was_said_and_until_its_time() -> None:
    world = World()
    boss = world.user(name="boss")
    ban(boss)
    ban(boss, "192.0.2.7")
    before = [boss.next(m.BanAck).ban for _ in range(2)]
    world.start()
    assert bans(world.user()) == before
    assert banned(world)
    assert banned(world, Principal("ann"), "192.0.2.7")
    world.pass_time(HOUR)
    assert not banned(world)
    world.start()
    assert bans(world.user()) == []
    assert not world.orders


def test_a_ban_whose_time_came_while_the_server_was_down_is_over_and_struck() -> None:
    world = World()
    ban(world.user(name="boss"))
    world.epoch_s += HOUR
    world.start()
    assert not banned(world)
    assert bans(world.user()) == []
    assert not world.orders


def test_a_clock_that_was_set_back_lets_no_ban_last_longer_than_the_longest() -> None:
    world = World()
    world.epoch_s = 100 * MAX_BAN_S
    ban(world.user(name="boss"), for_s=DAY)
    world.epoch_s = 0.0
    world.start()
    assert banned(world)
    world.pass_time(MAX_BAN_S)
    assert not banned(world)


def test_a_ban_that_is_over_is_struck_when_the_next_is_said() -> None:
    world = World()
    boss = world.user(name="boss")
    ban(boss)
    world.pass_time(HOUR)
    ban(boss, "mallory")
    assert [each.who for each in world.orders.values()] == ["mallory"]


def test_who_is_let_in_again_is_so_after_a_restart() -> None:
    world = World()
    boss = world.user(name="boss")
    ban(boss, "2001:db8::1")
    boss.next(m.BanAck)
    boss.ask(m.Unban(id=70, who="2001:db8::2"), m.UnbanAck)
    assert not world.orders
    world.start()
    assert not banned(world, EVE, "2001:db8::1")


def test_a_host_is_drained_after_a_restart_and_shown_before_it_is_back() -> None:
    world = World()
    world.card(reader())
    boss = world.user(name="boss")
    boss.ask(m.Drain(id=70, host="bench", why="a new rack"), m.DrainAck)
    world.start()
    boss = world.user(name="boss")
    assert drained(boss) == (m.DrainedHost(host="bench", by="boss", why="a new rack"),)
    world.card(reader())
    assert code_of(boss.refused(m.SelectCard(id=71, iccid=ICCID))) is ErrorCode.DRAINING
    boss.ask(m.Undrain(id=72, host="BENCH"), m.UndrainAck)
    assert not world.orders
    world.start()
    world.card(reader())
    boss = world.user(name="boss")
    assert drained(boss) == ()
    boss.hold(iccid=ICCID)


@pytest.mark.parametrize(
    ("request_", "said", "then"),
    [
        (m.Ban(id=9, who="eve", for_s=HOUR), "eve is not let in", {"mallory", "eve", "other"}),
        (m.Unban(id=9, who="mallory"), "mallory is let in", {"other"}),
        (
            m.Drain(id=9, host="bench", wait_s=60),
            "Card host bench is drained",
            {"mallory", "other", "bench"},
        ),
        (m.Undrain(id=9, host="other"), "The cards of other can be had", {"mallory"}),
    ],
)
def test_what_cannot_be_written_is_in_force_and_said_to_be_so_until_a_restart(
    request_: m.Message, said: str, then: set[str]
) -> None:
    world = World()
    boss = world.user(name="boss")
    for name in ("bench", "other"):
        world.card(reader(iccid=None), name=name)
    ban(boss, "mallory")
    boss.next(m.BanAck)
    boss.ask(m.Drain(id=8, host="other"), m.DrainAck)
    before = dict(world.orders)
    world.keeps_late = True
    boss.say(request_)
    assert boss.quiet()
    world.keep("The disk is full.")
    refused = boss.one(m.Error)
    assert code_of(refused) is ErrorCode.NOT_KEPT
    assert refused.message == f"{said} until the server is started again. The disk is full."
    assert {each.who for each in bans(boss)} | {each.host for each in drained(boss)} == then
    assert world.orders == before


def test_who_asked_and_left_is_not_answered_and_the_order_stands() -> None:
    world = World()
    world.card(reader())
    boss = world.user(name="boss")
    world.keeps_late = True
    boss.say(m.Drain(id=9, host="bench", wait_s=60))
    boss.leave()
    world.keep()
    assert len(world.orders) == 1
    assert not world.relay._state.drained["bench"].waits


def test_who_would_wait_for_a_host_that_is_not_drained_any_more_is_told() -> None:
    world = World()
    world.card(reader())
    boss = world.user(name="boss")
    world.keeps_late = True
    boss.say(m.Drain(id=9, host="bench", wait_s=60))
    boss.say(m.Undrain(id=10, host="bench"))
    world.keep()
    assert code_of(boss.one(m.Error)) is ErrorCode.CANCELLED
    world.keep()
    assert boss.one(m.UndrainAck).id == 10


def test_requests_that_are_not_written_yet_wait_for_no_more_hosts_than_others() -> None:
    world = World()
    ann, boss = world.user(name="ann"), world.user(name="boss")
    for number in range(MAX_WAITS + 1):
        iccid = f"89490200000123{number:05}"
        world.card(reader(iccid=iccid), name=f"bench-{number}")
        ann.hold(iccid=iccid)
    world.keeps_late = True
    for number in range(MAX_WAITS + 1):
        boss.say(m.Drain(id=100 + number, host=f"bench-{number}", wait_s=60))
    while world.to_keep:
        world.keep()
    refused = boss.one(m.Error)
    assert (refused.id, code_of(refused)) == (100 + MAX_WAITS, ErrorCode.TOO_MANY)
