# SPDX-License-Identifier: Apache-2.0
"""Any interleaving of what happens to a cluster, its users and its cards."""

from hypothesis import settings

from tests.support.models.cluster_machine import ClusterMachine

TestCluster = ClusterMachine.TestCase
TestCluster.settings = settings(stateful_step_count=30)
