# SPDX-License-Identifier: Apache-2.0
"""Any interleaving of what happens to a cluster, its users and its cards."""

from hypothesis import settings

from tests.support.models.cluster_machine import ClusterMachine

FEWER = 4
"""A play of three nodes takes as long as so many of one server."""

TestCluster = ClusterMachine.TestCase
TestCluster.settings = settings(
    max_examples=settings.default.max_examples // FEWER, stateful_step_count=30
)
