# SPDX-License-Identifier: Apache-2.0
"""How the programs tell what they are: `-h`, `help`, `version`; and what a pipe is given."""

import os
import pty
import subprocess
import termios
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import argv, environment
from tests.support.scripted_server import card, card_host, in_thread
from wsrc import __version__
from wsrc.command_line.program import COMMANDS, run

ICCID, EID = "89860000000000000001", "89049032000000000000000000000013"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("WSRC_", "XDG_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_tells_of_itself_in_three_ways(name: str, capsys: Any) -> None:
    shown = []
    for arguments in ([name, "-h"], [name, "--help"], ["help", name]):
        assert run(arguments) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0].startswith(f"Usage: wsrc {name}")
    assert shown[0] == shown[1] == shown[2]


def test_a_group_of_commands_knows_help_too(capsys: Any) -> None:
    for arguments in (["help", "pcsc", "run"], ["pcsc", "help", "run"], ["pcsc", "run", "-h"]):
        assert run(arguments) == 0
        assert capsys.readouterr().out.startswith("Usage: wsrc pcsc run")
    assert run(["pcsc", "help"]) == 0
    assert capsys.readouterr().out.startswith("Usage: wsrc pcsc")
    assert run(["help"]) == run(["-h"]) == 0
    assert run(["help", "nothing"]) == 2


def test_the_version_is_a_command_and_an_option(capsys: Any) -> None:
    assert run(["version"]) == run(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n" * 2


@pytest.mark.parametrize("program", ["wsrc-server", "wsrc-card-client", "wsrc-certs"])
def test_every_program_knows_the_short_form_of_help(program: str) -> None:
    done = subprocess.run(
        argv(program, "-h"), env=environment(), capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith(f"Usage: {program}")


def cards() -> list[dict[str, Any]]:
    lease = {"holder": "ida@lab", "since": "2026-01-01T00:00:00Z"}
    return [
        card(10, label="tab\there", lease=lease, others=[lease | {"holder": "bob@desk"}]),
        card(1, eids=[EID]),
    ]


def test_columns_into_a_pipe_are_values_with_tabs(capsys: Any) -> None:
    names = "iccid,eid,label,holder,since,reader,id"
    with in_thread(card_host(cards(), {})) as url:
        assert run(["list", "--server-url", url, "--utc", "--columns", names]) == 0
        printed = capsys.readouterr()
        assert run(["list", "--server-url", url, "--label", "no", "--columns", names]) == 0
        assert capsys.readouterr() == ("", "")
    since = "2026-01-01T00:00:00Z"
    assert [line.split("\t") for line in printed.out.splitlines()] == [
        [ICCID, EID, "", "", "", "Reader 1", "reader-1"],
        ["89860000000000000010", "", "tab\\there", "ida@lab,bob@desk", f"{since},{since}",
         "Reader 10", "reader-10"],
    ]  # fmt: skip
    assert printed.err == ""


def test_a_column_that_is_not_there_is_refused_before_the_server_is_asked(capsys: Any) -> None:
    for command in ("list", "watch"):
        given = [command, "--server-url", "ws://127.0.0.1:1", "--columns", "iccid,colour"]
        assert run(given) == 2
        assert "'colour' is no column" in capsys.readouterr().err


def test_wide_lines_are_not_folded(capsys: Any) -> None:
    with in_thread(card_host(cards(), {})) as url:
        assert run(["list", "--server-url", url, "--wide"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1 + 1 + 2
    assert "Reader id" in printed.out
    assert printed.err == "2 cards, 1 in use.\n"


def test_the_progress_of_a_script_is_in_no_result(tmp_path: Path) -> None:
    file = tmp_path / "x.wsrc"
    file.write_text("00b000000a\n" * 3)
    near, far = pty.openpty()
    termios.tcsetwinsize(far, (24, 80))
    host = card_host([card(1)], {"00b000000a": ("01", "9000")})
    env = environment(TERM="xterm", FORCE_COLOR="1", TTY_COMPATIBLE="1")
    with in_thread(host) as url:
        given = ("script", "--server-url", url, "--iccid", ICCID, str(file))
        at_terminal = subprocess.run(
            argv("wsrc", *given), env=env, stdout=subprocess.PIPE, stderr=far, text=True,
            timeout=60, check=True,
        )  # fmt: skip
        os.close(far)
        piped = subprocess.run(
            argv("wsrc", *given), env=env, capture_output=True, text=True, timeout=60, check=True
        )
    shown = os.read(near, 1 << 16).decode()
    os.close(near)
    assert at_terminal.stdout == piped.stdout == "".join(
        f"   {number}: 01 9000  done\n" for number in (1, 2, 3)
    )  # fmt: skip
    assert "\r3 of 3 lines" in shown
    assert "\x1b" not in piped.stderr
    assert "of 3 lines" not in piped.stderr
