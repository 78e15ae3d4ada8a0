# SPDX-License-Identifier: Apache-2.0
"""What operators do reaches all nodes: their connections, bans, and who is closed on where."""

import pytest

from tests.support.cluster_world import Cluster
from tests.support.policies import granting, rule
from tests.support.relay_clients import Peer
from tests.support.relay_world import code_of, reader
from wsrc.cluster.gathering import number_of, place_of
from wsrc.errors import ErrorCode
from wsrc.policy.words import ALL
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import CloseCode


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster("a", "b", "c")
    for node in cluster.nodes.values():
        node.obey(granting(rule("root", list(ALL)), rule("ida", ["list"]), hosts=[rule("*")]))
    return cluster


def listed(operator: Peer) -> tuple[dict[str, m.PeerInfo], str, set[str]]:
    """Return all connections by name, the run of the server, and who did not answer."""
    found, after, unanswered = dict[str, m.PeerInfo](), 0, set[str]()
    while True:
        operator.say(m.ListPeers(id=operator.new_id(), after=after))
        operator.world.cluster.pass_time(3)  # type: ignore[attr-defined]  # a node's
        ack = operator.one(m.ListPeersAck)
        found |= {each.name: each for each in ack.peers}
        unanswered |= set(ack.unanswered)
        if ack.next is None:
            return found, ack.instance, unanswered
        after = ack.next


def test_connections_of_all_nodes_are_listed_once_each(cluster: Cluster) -> None:
    """A user of one node who has something of another is none of its connections."""
    operator = cluster["a"].user(who="root")
    cluster["b"].card(reader(), name="host-b", who="farm")
    cluster["c"].user(who="ida", name="ida at c").say(m.ListCards(id=1, pages=8))
    cluster.pass_time(1)
    found, _, unanswered = listed(operator)
    where = {name: each.node for name, each in found.items()}
    assert where == {"root (a user)": None, "farm (host-b)": "b", "ida (ida at c)": "c"}
    assert len({each.number for each in found.values()}) == 3
    assert unanswered == set()


def test_a_node_that_does_not_answer_is_named(cluster: Cluster) -> None:
    cluster.frozen.add("b")
    found, _, unanswered = listed(cluster["a"].user(who="root"))
    assert set(found) == {"root (a user)"}
    assert unanswered == {"b"}


def test_a_node_where_one_is_no_operator_is_named(cluster: Cluster) -> None:
    cluster["b"].obey(granting(rule("ida", ["list"]), hosts=[rule("*")]))
    cluster["b"].user(who="ida")
    found, _, unanswered = listed(cluster["a"].user(who="root"))
    assert set(found) == {"root (a user)"}
    assert unanswered == {"b"}


def test_who_is_no_operator_is_shown_nobody(cluster: Cluster) -> None:
    error = cluster["a"].user(who="ida").refused(m.ListPeers(id=1))
    assert code_of(error) is ErrorCode.FORBIDDEN


def test_a_connection_of_another_node_is_closed_there(cluster: Cluster) -> None:
    operator, other = cluster["a"].user(who="root"), cluster["b"].user(who="ida")
    found, instance, _ = listed(operator)
    number = found["ida (a user)"].number
    ack = operator.ask(m.Kick(id=99, peer=number, instance=instance, why="go"), m.KickAck)
    assert ack.name == "ida (a user)"
    assert other.closed is not None
    assert other.closed[0] == CloseCode.POLICY


def test_a_connection_of_a_node_that_has_started_anew_is_another(cluster: Cluster) -> None:
    """Its number may be somebody else's by now."""
    operator = cluster["a"].user(who="root")
    cluster["b"].user(who="ida")
    found, instance, _ = listed(operator)
    place, _ = place_of(found["ida (a user)"].number)
    cluster.kill("b")
    cluster["b"].obey(granting(rule("root", list(ALL)), hosts=[rule("*")]))
    cluster.pass_time(8)
    other = cluster["b"].user(who="ida")
    number = number_of(place, other.number)
    error = operator.refused(m.Kick(id=99, peer=number, instance=instance))
    assert code_of(error) is ErrorCode.NO_SUCH_PEER
    assert other.closed is None


@pytest.mark.parametrize("number", [2**40 + 999, 9 * 2**40 + 1])
def test_a_connection_that_there_is_not_is_refused(cluster: Cluster, number: int) -> None:
    error = cluster["a"].user(who="root").refused(m.Kick(id=1, peer=number))
    assert code_of(error) is ErrorCode.NO_SUCH_PEER


@pytest.mark.parametrize("way", ["frozen", "killed"])
def test_of_a_node_that_is_silent_it_is_said_that_it_may_have_done_it(
    cluster: Cluster, way: str
) -> None:
    operator = cluster["a"].user(who="root")
    cluster["b"].user(who="ida")
    number = listed(operator)[0]["ida (a user)"].number
    cluster.frozen.add("b")
    operator.say(m.Kick(id=99, peer=number))
    if way == "killed":
        cluster.kill("b")
    cluster.pass_time(6)
    error = operator.one(m.Error)
    assert error.id == 99
    assert "may have" in error.message
    assert len(cluster["a"].relay._everywhere) == 0


def test_who_is_banned_is_let_in_by_no_node(cluster: Cluster) -> None:
    operator = cluster["a"].user(who="root")
    others = [cluster[name].user(who="ida", account=name) for name in "abc"]
    ack = operator.ask(m.Ban(id=1, who="ida", for_s=60.0), m.BanAck)
    assert ack.closed == 3
    assert ack.ban.unanswered == ()
    assert all(each.closed is not None for each in others)
    bans = operator.ask(m.ListBans(id=2), m.ListBansAck)
    assert [each.who for each in bans.bans] == ["ida"]
    for node in cluster.nodes.values():
        assert len(list(node.relay._state.bans.all(node.now))) == 1
    assert operator.ask(m.Unban(id=3, who="ida"), m.UnbanAck).unanswered == ()
    for node in cluster.nodes.values():
        assert not list(node.relay._state.bans.all(node.now))


def test_a_guest_is_counted_where_it_is_connected(cluster: Cluster) -> None:
    cluster["b"].card(reader(), name="host-b", who="farm")
    ida = cluster["c"].user(who="ida")
    ida.say(m.ListCards(id=1, pages=8))
    cluster.pass_time(1)
    operator = cluster["a"].user(who="root")
    assert operator.ask(m.Ban(id=1, who="ida", for_s=60.0), m.BanAck).closed == 1


def test_a_node_that_does_not_do_it_is_named(cluster: Cluster) -> None:
    cluster["b"].obey(granting(rule("ida", ["list"]), hosts=[rule("*")]))
    operator = cluster["a"].user(who="root")
    cluster.frozen.add("c")
    operator.say(m.Ban(id=1, who="ida", for_s=60.0))
    cluster.pass_time(3)
    assert operator.one(m.BanAck).ban.unanswered == ("b", "c")
    operator.say(m.ListBans(id=2))
    cluster.pass_time(3)
    assert {"b"} <= set(operator.one(m.ListBansAck).unanswered)


def test_a_ban_that_is_refused_here_is_asked_of_nobody(cluster: Cluster) -> None:
    operator = cluster["a"].user(who="root")
    assert code_of(operator.refused(m.Ban(id=1, who="root", for_s=60.0))) is ErrorCode.FORBIDDEN
    assert cluster["b"].relay.beside["guests"] == 0
    error = cluster["a"].user(who="ida").refused(m.Ban(id=1, who="root", for_s=60.0))
    assert code_of(error) is ErrorCode.FORBIDDEN


def test_a_ban_that_another_node_knows_is_lifted(cluster: Cluster) -> None:
    """As one that was made while this node was not there."""
    cluster.cut.add("a")
    cluster.pass_time(6)
    cluster["b"].user(who="root").say(m.Ban(id=1, who="ida", for_s=60.0))
    cluster.pass_time(3)
    cluster.cut.clear()
    cluster.pass_time(4)
    operator = cluster["a"].user(who="root")
    assert [b.who for b in operator.ask(m.ListBans(id=1), m.ListBansAck).bans] == ["ida"]
    assert operator.ask(m.Unban(id=2, who="ida"), m.UnbanAck)
    error = operator.refused(m.Unban(id=3, who="ida"))
    assert code_of(error) is ErrorCode.NO_SUCH_PEER


def test_who_asks_and_goes_leaves_nothing(cluster: Cluster) -> None:
    operator = cluster["a"].user(who="root")
    cluster.frozen.add("b")
    operator.say(m.Ban(id=1, who="ida", for_s=60.0))
    operator.leave()
    assert len(cluster["a"].relay._everywhere) == 0
    cluster.pass_time(1.5)
    assert len(cluster["a"].relay._beyond.clock) == 0
