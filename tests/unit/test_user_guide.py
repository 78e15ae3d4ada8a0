# SPDX-License-Identifier: Apache-2.0
"""The user guide names every command."""

from pathlib import Path

import pytest

from wsrc.user_client.cli import program

GUIDE = Path(__file__).parents[2].joinpath("docs", "user-guide.md").read_text("utf-8")


@pytest.mark.parametrize("command", sorted(program.commands))
def test_every_command_has_a_section_with_an_example(command: str) -> None:
    section = GUIDE.partition(f"\n### {command}\n")[2].partition("\n### ")[0]
    assert "wsrc " + command in section
