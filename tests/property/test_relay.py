# SPDX-License-Identifier: Apache-2.0
"""Any interleaving of peers of both forms, with answers late, repeated and wrong."""

from hypothesis import settings

from tests.support.models.relay_machine import RelayMachine

TestRelay = RelayMachine.TestCase
TestRelay.settings = settings(stateful_step_count=80)
