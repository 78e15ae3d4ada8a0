# SPDX-License-Identifier: Apache-2.0
"""More is said to a node in one turn than it takes at once."""

import pytest

from tests.support.cluster_world import Cluster
from wsrc.cluster import items
from wsrc.cluster.departures import MOST, WINDOW


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster("a", "b")
    cluster.pass_time(1)
    return cluster


def says(cluster: Cluster, count: int, octets: int = 10) -> None:
    """Have node a say so many items to b in one turn; b does not know whom they are for."""
    node = cluster["a"].relay
    for number in range(count):
        node._beyond.carry("b", items.Say(number, bytes(octets)))
    cluster["a"].perform(node._effects(cluster.now))


@pytest.mark.parametrize(("count", "octets"), [(5 * WINDOW[0], 10), (40, 2**20)])
def test_what_is_said_in_one_turn_arrives(cluster: Cluster, count: int, octets: int) -> None:
    heard: list[items.Item] = []
    act = cluster["b"].relay._act_on
    cluster["b"].relay._act_on = lambda _node, item, _now: heard.append(item)  # type: ignore[method-assign]
    says(cluster, count, octets)
    cluster.pass_time(1)
    cluster["b"].relay._act_on = act  # type: ignore[method-assign]
    assert [each.link for each in heard if isinstance(each, items.Say)] == list(range(count))
    assert cluster["a"].relay.nodes == {"b": True}


def test_a_node_that_takes_nothing_is_too_slow(cluster: Cluster) -> None:
    cluster.frozen.add("b")
    says(cluster, MOST[0] + 1)
    assert cluster["a"].relay.nodes == {"b": False}
    assert any("slow" in note for note in cluster["a"].notes)


def test_what_waits_is_forgotten_with_the_road(cluster: Cluster) -> None:
    cluster.frozen.add("b")
    says(cluster, 2 * WINDOW[0])
    cluster.pass_time(6)
    assert cluster["a"].relay.nodes == {"b": False}
    assert not cluster["a"].relay._roads._waiting
