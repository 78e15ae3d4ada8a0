# SPDX-License-Identifier: Apache-2.0
"""The short form of the run of a cluster."""

from tests.soak.cluster import ClusterSizes, cluster
from tests.soak.stand import rows
from tests.support.certificates import Certificates


def test_no_command_is_lost_or_run_twice_where_nodes_and_nats_die(
    certificates: Certificates,
) -> None:
    sizes = ClusterSizes.given(
        nats=1,
        hosts=4,
        users=4,
        commands=200,
        kills=1,
        freezes=1,
        ends=1,
        nats_kills=1,
        nats_ends=0,
    )
    figures = cluster(sizes, certificates)
    told = f"seed {sizes.seed}\n{rows([figures._fields, figures])}"
    assert figures.commands >= sizes.commands, told
    assert (figures.killed, figures.frozen, figures.ended) == (1, 1, 1), told
    assert figures.cuts, told
    assert figures.resumed, told
    assert (figures.lost, figures.run_twice, figures.misreported, figures.dirty) == (0, 0, 0, 0), (
        told
    )
