# SPDX-License-Identifier: Apache-2.0
"""A node that ends tells its peers where to go (issue 16, 4)."""

from collections import Counter

import pytest

from tests.support.cluster_world import Cluster
from tests.support.relay_world import reader
from wsrc.cluster.handover import MOST_TOLD, Handover
from wsrc.protocol import messages as m


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster("a", "b", "c")
    for node in cluster.nodes.values():
        node.serve()
    cluster.pass_time(1)
    return cluster


def told(cluster: Cluster, node: str) -> list[tuple[str, ...]]:
    """End a node beneath two users and a card host; return where each is sent."""
    user, other = cluster[node].user(), cluster[node].user(name="other")
    peers = [user, other, cluster[node].card(reader())]
    cluster[node].shut_down()
    return [peer.one(m.Restarting).instead for peer in peers]


def test_clients_of_a_node_that_ends_are_sent_to_all_others(cluster: Cluster) -> None:
    for hosts in told(cluster, "a"):
        assert sorted(hosts) == ["b.example", "c.example"]


def test_they_are_spread(cluster: Cluster) -> None:
    first = Counter(hosts[0] for hosts in told(cluster, "a"))
    assert set(first) == {"b.example", "c.example"}


def test_none_is_sent_to_a_node_that_ends_as_well(cluster: Cluster) -> None:
    cluster["b"].shut_down()
    cluster.pass_time(0.1)
    assert set(told(cluster, "a")) == {("c.example",)}


def test_none_is_sent_to_a_node_that_is_lost(cluster: Cluster) -> None:
    cluster.frozen.add("b")
    cluster.pass_time(6)
    assert set(told(cluster, "a")) == {("c.example",)}


def test_none_is_sent_to_a_node_that_has_not_begun_to_serve() -> None:
    cluster = Cluster("a", "b")
    assert set(told(cluster, "a")) == {()}


def test_a_node_that_starts_anew_is_known_again(cluster: Cluster) -> None:
    cluster.kill("b")
    cluster.pass_time(6)
    cluster["b"].serve()
    cluster.pass_time(1)
    assert sorted(told(cluster, "a")[0]) == ["b.example", "c.example"]


def test_a_node_that_comes_later_is_told_of_those_that_serve(cluster: Cluster) -> None:
    cluster.kill("a")
    cluster.pass_time(6)
    assert sorted(told(cluster, "a")[0]) == ["b.example", "c.example"]


def test_a_node_without_a_host_of_its_own_is_no_place_to_go() -> None:
    said: list[object] = []
    silent = Handover("", lambda node, item: said.append((node, item)))
    silent.up("b", ["takes"])
    silent.serve()
    assert not said


@pytest.mark.parametrize("host", ["", "x" * 254])
def test_what_is_no_host_is_not_passed_on(host: str) -> None:
    handover = Handover("a.example", lambda _node, _item: None)
    handover.told("b", "b.example")
    handover.told("b", host)
    assert handover.instead(1) == ()


def test_of_many_nodes_each_client_is_told_some_and_all_are_told_to_as_many() -> None:
    handover = Handover("a.example", lambda _node, _item: None)
    for number in range(20):
        handover.told(f"n{number}", f"n{number}.example")
    given = [handover.instead(number) for number in range(200)]
    assert {len(hosts) for hosts in given} == {MOST_TOLD}
    counts = Counter(host for hosts in given for host in hosts)
    assert len(counts) == 20
    assert len(set(counts.values())) == 1


@pytest.mark.parametrize("features", [frozenset[str](), frozenset({"takes", "later"})])
def test_nodes_of_an_earlier_and_a_later_version_serve_beside_ours(
    cluster: Cluster, features: frozenset[str]
) -> None:
    """An earlier one is told nothing that it does not know."""
    cluster["b"].features = features
    cluster.kill("b")
    cluster.pass_time(6)
    cluster["b"].serve()
    cluster.pass_time(1)
    cluster["b"].card(reader())
    session = cluster["a"].user(name="third").hold(iccid=reader().iccid)
    assert session
    assert not any("not understood" in str(each) for each in cluster["b"].notes)
    expected = ["b.example", "c.example"] if features else ["c.example"]
    assert sorted(told(cluster, "a")[0]) == expected
