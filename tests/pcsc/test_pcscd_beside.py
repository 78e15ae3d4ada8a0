# SPDX-License-Identifier: Apache-2.0
"""Two programs at the same time that do not keep the card from one command to the next."""

import subprocess
from contextlib import AbstractContextManager
from typing import cast

import pytest

from tests.support.pcsc import sides, tools
from tests.support.pcsc.bench import refuse, require
from tests.support.pcsc.openpgp import card_of_many_applications
from tests.support.pcsc.sides import Side

pytestmark = pytest.mark.pcscd

RUNS = 10
DELAY_S = 0.003
"""Of each command; without it the programs are through before they meet."""

READS, LOOKS = ("openpgp-tool", "-U"), ("opensc-tool", "-n")
"""The first selects and reads in transactions of their own; the other selects anything."""


def start(side: Side, program: tuple[str, ...]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        program,
        env=side.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(running: subprocess.Popen[str]) -> tuple[int, str]:
    printed, _ = running.communicate(timeout=tools.LIMIT_S)
    return running.returncode, printed


@pytest.mark.parametrize("name", ["real", "local"])
def test_d30e_programs_that_do_not_lock_get_through_beside_each_other(name: str) -> None:
    """Without a grace for the last holder, 6 of 10 runs of openpgp-tool fail."""
    if any(tools.found(program) is None for program, _ in (READS, LOOKS)):
        refuse("opensc is not on this host")
    require()
    serve = sides.real if name == "real" else sides.local
    served = cast(AbstractContextManager[Side], serve([card_of_many_applications(DELAY_S)]))
    with served as side:
        alone = [ended(start(side, program)) for program in (READS, LOOKS)]
        assert [code for code, _ in alone] == [0, 0]
        for _ in range(RUNS):
            both = [start(side, program) for program in (READS, LOOKS)]
            assert [ended(running) for running in both] == alone
