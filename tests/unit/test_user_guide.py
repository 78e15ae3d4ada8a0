# SPDX-License-Identifier: Apache-2.0
"""The user guide names every command, exit status and setting."""

from pathlib import Path

import pytest

from wsrc.config import Setting, UserSettings, settings_of
from wsrc.user_client.cli import program
from wsrc.user_client.invocation import Exit

GUIDE = Path(__file__).parents[2].joinpath("docs", "user-guide.md").read_text("utf-8")


@pytest.mark.parametrize("command", sorted(program.commands))
def test_every_command_has_a_section_with_an_example(command: str) -> None:
    section = GUIDE.partition(f"\n### {command}\n")[2].partition("\n### ")[0]
    assert "wsrc " + command in section


def test_every_exit_status_is_listed() -> None:
    listed = GUIDE.partition("<!-- exit statuses -->\n")[2].partition("<!-- end")[0]
    rows = [f"| {each.value} | {each.meaning} |" for each in Exit]
    assert listed.splitlines()[2:] == rows


@pytest.mark.parametrize("setting", settings_of(UserSettings), ids=lambda each: each.name)
def test_every_setting_is_listed(setting: Setting) -> None:
    row = (
        f"| `{setting.name}` | `{setting.flag}` | `{setting.environment}` "
        f"| {setting.default_text} | {setting.description} |"
    )
    assert row in GUIDE.splitlines()
