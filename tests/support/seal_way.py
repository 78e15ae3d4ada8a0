# SPDX-License-Identifier: Apache-2.0
"""Whether the sessions of tests are sealed, where a test does not say that itself."""

import os

from wsrc.sealing.modes import Mode

VARIABLE = "WSRC_TEST_SEAL"
"""Holds `required`, `preferred` or `off`; empty or absent leaves it to the programs."""

_GIVEN = os.environ.get(VARIABLE, "")

SEAL = str(Mode(_GIVEN)) if _GIVEN else None
"""What users have as `seal`; None leaves it to the programs."""

HOST_SEAL = str(Mode.PREFERRED) if SEAL == Mode.REQUIRED else SEAL
"""What card hosts have: users who cannot seal at all are for tests of their own."""
