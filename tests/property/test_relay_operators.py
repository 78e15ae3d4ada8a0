# SPDX-License-Identifier: Apache-2.0
"""Cards are taken back, lent and shared, peers kicked, hosts drained, among all else."""

from hypothesis import settings

from tests.support.models.relay_machine import RelayMachine
from tests.support.models.relay_operators import Operating


class OperatedMachine(RelayMachine, Operating):
    pass


TestOperated = OperatedMachine.TestCase
TestOperated.settings = settings(stateful_step_count=60)
