# SPDX-License-Identifier: Apache-2.0
"""Whether the sessions of tests are sealed, where a test does not say that itself."""

import os

from wsrc.sealing.modes import Mode

VARIABLE = "WSRC_TEST_SEAL"
"""Holds `required`, `preferred` or `off`; empty or absent leaves it to the programs."""


def chosen(text: str) -> str | None:
    """
    Return what card hosts and users of tests have as `seal`; None leaves it to the programs.

    Raises:
        ValueError: If it is no value of that setting.
    """
    return str(Mode(text)) if text else None


SEAL = chosen(os.environ.get(VARIABLE, ""))
