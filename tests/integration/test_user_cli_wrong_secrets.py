# SPDX-License-Identifier: Apache-2.0
"""The command `wsrc` stops by itself after a wrong PIN, and says why and what was not sent."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_server import card, card_host, in_thread
from wsrc.command_line.program import run

WRONG, READ = "0020000108313233340000ffff", "00b000000a"
HOST = card_host(
    [card(1, label="blue")],
    {WRONG: ("", "63C2"), READ: ("98680000000000000010", "9000")},
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("WSRC_", "XDG_"))]:
        monkeypatch.delenv(name)


def wsrc(*arguments: str) -> int:
    with in_thread(HOST) as url:
        return run(["--server-url", url, *arguments])


def test_apdu_sends_nothing_after_a_wrong_pin(capsys: Any) -> None:
    assert wsrc("apdu", "--label", "blue", WRONG, WRONG, READ) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1
    assert "command 1: got 63C2 (verification failed, 2 tries left); 2 commands were not" in err
    assert "--keep-going sends all" in err


def test_json_says_why_it_stopped(capsys: Any) -> None:
    assert wsrc("apdu", "--label", "blue", "--json", WRONG, READ) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["stopped"], len(told["results"])) == ("wrong_secret", 1)
    assert wsrc("apdu", "--label", "blue", "--json", "--expect", "6983", WRONG, READ) == 1
    assert json.loads(capsys.readouterr().out)["stopped"] == "unexpected_status_word"
    assert wsrc("apdu", "--label", "blue", "--json", WRONG) == 0
    assert "stopped" not in json.loads(capsys.readouterr().out)


def test_apdu_goes_on_if_told(capsys: Any) -> None:
    assert wsrc("apdu", "--label", "blue", "--keep-going", WRONG, WRONG, READ) == 0
    assert wsrc("apdu", "--label", "blue", "--expect", "63cx,9000", WRONG, WRONG, READ) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6


def test_a_script_stops_where_any_is_expected(tmp_path: Path, capsys: Any) -> None:
    script = tmp_path / "pin.wsrc"
    script.write_text(f"{WRONG} -> any\n{WRONG} -> any\n{READ}\n", "utf-8")
    assert wsrc("script", "--label", "blue", "--json", str(script)) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["stopped"] == "wrong_secret"
    assert f"{script}:1: got 63C2 (verification failed, 2 tries left); 2 lines were not" in err
    assert wsrc("script", "--label", "blue", "--keep-going", str(script)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
