# SPDX-License-Identifier: Apache-2.0
"""The user guide names every command and every error of PC/SC."""

import pytest

from tests.support.paths import ROOT
from wsrc.command_line.program import COMMANDS
from wsrc.readers.pcsc_api import error_name

GUIDE = ROOT.joinpath("docs", "user-guide.md").read_text("utf-8")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_a_section_with_an_example(command: str) -> None:
    section = GUIDE.partition(f"\n### {command}\n")[2].partition("\n### ")[0]
    assert "wsrc " + command in section


def test_every_error_of_pcsc_has_a_row() -> None:
    table = GUIDE.partition("\n### Error codes\n")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    told = {name.strip() for row in rows for name in row.partition(" of ")[0].split(",")}
    names = {error_name(0x8010_0000 + number) for number in range(0x73)}
    known = {name.split("_", 2)[2] for name in names if name.startswith("SCARD_")}
    assert known <= told
