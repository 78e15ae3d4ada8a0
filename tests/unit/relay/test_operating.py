# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.operating: connections are seen and closed, peers banned, the server stopped."""

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import resume, scene
from wsrc.audit import events
from wsrc.errors import ErrorCode
from wsrc.policy.words import Verb
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import CloseCode
from wsrc.relay.bans import MAX_BANS, Ban, Bans
from wsrc.relay.operating import PAGE

OPERATIONS: list[m.Operator] = [
    m.ListPeers(id=1),
    m.Kick(id=1, peer=1, instance="run-1"),
    m.Ban(id=1, who="eve", for_s=60.0),
    m.Unban(id=1, who="eve"),
    m.ListBans(id=1),
    m.Drain(id=1, host="bench"),
    m.Undrain(id=1, host="bench"),
    m.Stop(id=1),
]


def peers(boss: Peer, after: int = 0) -> m.ListPeersAck:
    return boss.ask(m.ListPeers(id=boss.new_id(), after=after), m.ListPeersAck)


def kick(boss: Peer, peer: Peer, **fields: bool | str) -> m.KickAck:
    asked = m.Kick(id=boss.new_id(), peer=peer.number, instance="run-1", **fields)  # type: ignore[arg-type]
    return boss.ask(asked, m.KickAck)


def ban(boss: Peer, who: str, for_s: float = 60.0, why: str = "") -> m.BanAck:
    return boss.ask(m.Ban(id=boss.new_id(), who=who, for_s=for_s, why=why), m.BanAck)


def test_connections_are_listed_with_who_and_where_they_are() -> None:
    world = World()
    world.card(reader(), name="bench", who="host.example")
    ann = world.user(name="desk", who="ann", address="192.0.2.7")
    ann.hold(iccid=ICCID)
    world.user(name="bob").ask(m.SelectCard(id=1, iccid=ICCID, wait_s=60), m.Waiting)
    world.user(first_form=True)
    world.stranger(m.ClientType.USER)
    boss = world.user(name="boss")
    ack = peers(boss)
    assert (ack.instance, ack.next) == ("run-1", None)
    shown = [
        (p.number, str(p.role), p.name, p.principal, p.address, p.sessions, p.waiting, p.readers)
        for p in ack.peers
    ]
    assert shown == [
        (1, "card", "host.example (bench)", "host.example", None, 1, 0, 1),
        (2, "user", "ann (desk)", "ann", "192.0.2.7", 1, 0, 0),
        (3, "user", "bob", None, None, 0, 1, 0),
        (4, "user", "a user", None, None, 0, 0, 0),
        (6, "user", "boss", None, None, 0, 0, 0),
    ]
    assert [p.number for p in ack.peers if p.first_form] == [4]
    assert {p.since for p in ack.peers} == {"1970-01-01T00:16:40Z"}


def test_a_long_list_of_connections_comes_in_pages() -> None:
    world = World()
    users = [world.user(name=f"u{n}") for n in range(2 * PAGE + 3)]
    boss = users[0]
    for gone in users[5:9]:
        gone.leave()
    found, after, pages = list[int](), 0, 0
    while True:
        ack = peers(boss, after)
        found += [peer.number for peer in ack.peers]
        pages += 1
        if ack.next is None:
            break
        assert len(ack.peers) == PAGE
        after = ack.next
    there = [user.number for user in users if not user.gone]
    assert (found, pages) == (there, 2)
    assert peers(boss, 10**9).peers == ()


def test_a_session_of_who_is_kicked_goes_on_by_resume() -> None:
    world, card, user, session = scene()
    boss = world.user(name="boss")
    ack = kick(boss, user, why="reload your\x1b client")
    assert (ack.name, ack.sessions) == ("user", 1)
    assert user.closed == (CloseCode.POLICY, "Kicked by boss: reload your client.")
    assert card.quiet()
    back = world.user(name="user", instance="u")
    back.ask(resume(back, session), m.Resumed)
    did = [e for e in world.events if isinstance(e, events.Operated)]
    assert [(e.did, e.to, e.why) for e in did] == [
        ("kick", "user (connection 2)", "reload your client")
    ]


def test_a_kick_can_end_the_sessions() -> None:
    world, _, user, session = scene()
    boss = world.user(name="boss")
    assert kick(boss, user, end=True).sessions == 1
    ended = user.next(m.SessionEnded)
    assert (ended.session, ended.code) == (session, ErrorCode.REVOKED)
    assert user.closed is not None
    world.user().hold(iccid=ICCID)
    back = world.user(name="user", instance="u")
    assert back.ask(resume(back, session), m.SessionEnded).code is ErrorCode.REVOKED


def test_a_card_host_that_is_kicked_may_come_back_with_its_sessions_or_without() -> None:
    world, card, user, _ = scene()
    boss = world.user(name="boss")
    kick(boss, card)
    user.one(m.SessionInterrupted)
    assert card.closed == (CloseCode.POLICY, "Kicked by boss.")
    world, card, user, _ = scene()
    assert kick(world.user(name="boss"), card, end=True).sessions == 1
    assert user.one(m.SessionEnded).code is ErrorCode.REVOKED


def test_who_kicks_themselves_is_gone() -> None:
    world = World()
    boss = world.user(name="boss")
    kick(boss, boss)
    assert boss.closed == (CloseCode.POLICY, "Kicked by boss.")


def test_a_connection_that_is_gone_or_of_another_run_is_not_kicked() -> None:
    world = World()
    ann, boss = world.user(name="ann"), world.user(name="boss")
    gone = world.user()
    gone.leave()
    for number, run in ((gone.number, "run-1"), (ann.number, "run-0"), (-1, "run-1")):
        refused = boss.refused(m.Kick(id=boss.new_id(), peer=number, instance=run))
        assert code_of(refused) is ErrorCode.NO_SUCH_PEER
    assert ann.closed is None


def test_who_is_banned_loses_connections_and_cards_and_gets_no_other() -> None:
    world = World()
    world.card(reader())
    ann = world.user(who="ann", name="desk")
    session = ann.hold(iccid=ICCID)
    other = world.user(who="bob")
    boss = world.user(name="boss")
    ack = ban(boss, "ann", why="leave it")
    assert ack.closed == 1
    assert ack.ban == m.BanInfo(who="ann", until="1970-01-01T00:17:40Z", by="boss", why="leave it")
    assert ann.next(m.SessionEnded).session == session
    sentence = "Banned by boss until 1970-01-01T00:17:40Z: leave it."
    assert ann.closed == (CloseCode.POLICY, sentence)
    assert other.closed is None
    world.user().hold(iccid=ICCID)
    again = world.stranger(m.ClientType.USER, who="ann")
    assert again.closed == (CloseCode.POLICY, sentence)
    assert boss.ask(m.ListBans(id=9), m.ListBansAck).bans == (ack.ban,)
    world.pass_time(60)
    world.user(who="ann")
    assert boss.ask(m.ListBans(id=10), m.ListBansAck).bans == ()


@pytest.mark.parametrize(
    ("who", "address", "hit"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("192.0.2.7", "", False),
    ],
)
def test_an_address_is_banned_with_its_network(who: str, address: str, hit: bool) -> None:
    world = World()
    there = world.user(address=address)
    boss = world.user(name="boss", address="198.51.100.1")
    assert ban(boss, who).closed == hit
    assert (there.closed is not None) == hit
    assert (world.relay.ban_on(None, address, world.now) is not None) == hit


def test_a_principal_that_is_called_like_an_address_is_not_banned_with_it() -> None:
    world = World()
    named = world.user(who="192.0.2.7", address="198.51.100.2")
    boss = world.user(name="boss", address="198.51.100.1")
    assert ban(boss, "192.0.2.7").closed == 0
    assert named.closed is None
    assert world.relay.ban_on(Principal("192.0.2.7"), "198.51.100.2", world.now) is None


def test_nobody_bans_themselves() -> None:
    world = World()
    boss = world.user(who="boss", address="198.51.100.1")
    for who in ("boss", "198.51.100.1"):
        refused = boss.refused(m.Ban(id=boss.new_id(), who=who, for_s=60.0))
        assert code_of(refused) is ErrorCode.FORBIDDEN
    assert boss.closed is None
    assert boss.ask(m.ListBans(id=9), m.ListBansAck).bans == ()


@pytest.mark.parametrize(
    ("who", "for_s"),
    [("", 60.0), (" ", 60.0), ("a\x1b", 60.0), ("ann", 0.0), ("ann", -1.0), ("ann", 4e7)],
)
def test_a_ban_has_a_name_and_a_time(who: str, for_s: float) -> None:
    boss = World().user(name="boss")
    refused = boss.refused(m.Ban(id=1, who=who, for_s=for_s))
    assert code_of(refused) is ErrorCode.BAD_MESSAGE


def test_a_ban_is_lifted() -> None:
    world = World()
    boss = world.user(name="boss")
    ban(boss, "ann")
    boss.ask(m.Unban(id=5, who="ann"), m.UnbanAck)
    world.user(who="ann")
    refused = boss.refused(m.Unban(id=6, who="ann"))
    assert code_of(refused) is ErrorCode.NO_SUCH_PEER


def test_bans_have_a_bound_that_those_count_for_which_are_in_force() -> None:
    bans = Bans()
    for number in range(MAX_BANS):
        assert bans.put(Ban(f"p{number}", 10.0, "boss", ""), 0.0)
    assert not bans.put(Ban("one more", 10.0, "boss", ""), 0.0)
    assert bans.put(Ban("p7", 99.0, "boss", "longer"), 0.0)
    assert bans.put(Ban("one more", 99.0, "boss", ""), 10.0)
    assert [each.who for each in bans.all(10.0)] == ["p7", "one more"]


def test_the_server_stops_when_it_is_asked_to() -> None:
    world = World()
    boss = world.user(name="boss")
    boss.ask(m.Stop(id=1, why="a new kernel"), m.StopAck)
    assert world.stopped
    assert "boss asked for stop of the server: a new kernel" in world.notes


def test_what_is_an_operators_needs_admin_of_every_card() -> None:
    policy = granting(
        rule("ann", [Verb.USE, Verb.REVOKE]),
        rule("bob", [Verb.ADMIN], host="*"),
        rule("boss", [Verb.ADMIN]),
        hosts=[rule("anyone")],
    )
    for asked in OPERATIONS:
        world = World(policy=policy)
        world.card(reader())
        eve = world.user(name="eve")
        for who in ("ann", "bob", None):
            user = world.user(who=who, name=None)
            refused = user.refused(asked)
            assert code_of(refused) is ErrorCode.FORBIDDEN
            assert "gives 'admin' for every card" in refused.message
        assert not world.stopped
        assert eve.closed is None
        denied = [e for e in world.events if isinstance(e, events.Denied)]
        assert [e.code for e in denied] == ["forbidden"] * 3
        boss = world.user(who="boss", name=None)
        boss.say(asked)
        assert not any(
            isinstance(said, m.Error) and said.code is ErrorCode.FORBIDDEN for said in boss.inbox
        )


@pytest.mark.parametrize("asked", OPERATIONS)
def test_without_a_policy_strangers_do_not_run_the_server(asked: m.Operator) -> None:
    world = World(open_to_operators=False)
    refused = world.user(who="ann").refused(asked)
    assert code_of(refused) is ErrorCode.FORBIDDEN
    assert not world.stopped


@pytest.mark.parametrize("asked", OPERATIONS)
def test_who_comes_through_a_proxy_does_not_run_the_server(asked: m.Operator) -> None:
    world = World()
    refused = world.user(direct=False).refused(asked)
    assert code_of(refused) is ErrorCode.FORBIDDEN
    assert "behind a proxy" in refused.message
    policy = granting(rule("anyone", [Verb.ADMIN]))
    world = World(policy=policy)
    proxied = world.user(direct=False)
    proxied.ask(m.ListPeers(id=1), m.ListPeersAck)


def test_a_policy_that_changes_is_in_force_for_the_next_request() -> None:
    world = World(policy=granting(rule("boss", [Verb.ADMIN])))
    boss = world.user(who="boss", name=None)
    peers(boss)
    world.obey(granting(rule("boss", [Verb.USE])))
    assert code_of(boss.refused(m.ListPeers(id=77))) is ErrorCode.FORBIDDEN


def test_a_storm_of_kicks_loses_no_session() -> None:
    world, _, user, session = scene()
    boss = world.user(name="boss")
    for _ in range(50):
        kick(boss, user)
        for _ in range(2):
            refused = boss.refused(m.Kick(id=boss.new_id(), peer=user.number, instance="run-1"))
            assert code_of(refused) is ErrorCode.NO_SUCH_PEER
        user = world.user(name="user", instance="u")
        user.ask(resume(user, session), m.Resumed)
    user.command(session)
    user.one(m.RApdu)


def test_a_text_of_an_operator_has_a_bound() -> None:
    boss = World().user(name="boss")
    for asked in (m.Stop(id=1, why="x" * 257), m.Drain(id=1, host="x" * 257)):
        assert code_of(boss.refused(asked)) is ErrorCode.BAD_MESSAGE
