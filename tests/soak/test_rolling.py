# SPDX-License-Identifier: Apache-2.0
"""The short form of the run that restarts a cluster, one node after the other."""

from tests.soak.rolling import RollingSizes, rolling
from tests.soak.stand import rows
from tests.support.certificates import Certificates


def test_nobody_sees_more_than_a_delay_where_each_node_in_its_turn_is_started_anew(
    certificates: Certificates,
) -> None:
    sizes = RollingSizes.given(hosts=3, users=4, rounds=1, between=20)
    figures = rolling(sizes, certificates)
    told = f"seed {sizes.seed}\n{rows([figures._fields, figures])}"
    assert figures.ended == 3, told
    assert figures.resumed, told
    assert (figures.lost, figures.errors, figures.left) == (0, 0, 0), told
    assert (figures.misreported, figures.run_twice) == (0, 0), told
    assert not figures.refused, told
