# SPDX-License-Identifier: Apache-2.0
"""The command `wsrc` as a person and as a script use it: output and exit status."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_server import (
    LIMIT_S,
    Peer,
    Script,
    card,
    card_host,
    give_card,
    in_thread,
    take_back,
)
from wsrc.card.identity import luhn_digit
from wsrc.command_line.program import run

ICCID = "89860000000000000001"
LEASE = {"holder": "ida@lab", "since": "2026-01-01T00:00:00Z"}
CARDS = [
    card(1, eids=["89049032000000000000000000000013"]),
    card(2, label="blue", reader_name="ACME Reader [CCID] 00\x1b[2J"),
    card(3, label="held", lease=LEASE),
]
ANSWERS = {
    "00a40004023f00": ("", "9000"),
    "00b000000a": ("98680000000000000010", "9000"),
    "0020000108313233340000ffff": ("", "63C2"),
}
HOST = card_host(CARDS, ANSWERS)
MF, READ, MISSING = "00A40004023F00", "00b000000a", "00b2010400"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("WSRC_", "XDG_"))]:
        monkeypatch.delenv(name)


def wsrc(*arguments: str, script: Script = HOST) -> int:
    with in_thread(script) as url:
        return run(["--server-url", url, *arguments])


def document(text: str) -> Any:
    (line,) = text.splitlines()
    return json.loads(line)


def test_list_shows_where_cards_are_and_who_holds_them(capsys: Any) -> None:
    assert wsrc("list") == 0
    out = capsys.readouterr().out
    assert re.search(rf"bench +Reader 1 +ready +{ICCID} +8904903200", out)
    assert "ida@lab" in out
    assert "ACME Reader [CCID] 00\\x1b[2J" in out
    assert "\x1b" not in out


def test_list_as_json_is_one_document(capsys: Any) -> None:
    assert wsrc("list", "--label", "held", "--json") == 0
    (held,) = document(capsys.readouterr().out)["cards"]
    assert (held["holder"], held["iccid"], held["eids"]) == ("ida@lab", ICCID[:-1] + "3", [])


def test_options_may_stand_on_either_side_of_the_command(capsys: Any) -> None:
    with in_thread(HOST) as url:
        assert run(["--json", "list", "--server-url", url]) == 0
        assert len(document(capsys.readouterr().out)["cards"]) == 3
        assert run(["--server-url", "ws://localhost:1", "list", "--server-url", url]) == 0


def test_info_shows_one_card_and_reads_its_atr(capsys: Any) -> None:
    assert wsrc("info", "--iccid", ICCID) == 0
    out = capsys.readouterr().out
    assert re.search(r"eUICC +yes", out)
    assert re.search(r"Reader +Reader 1 \(reader-1\) on bench", out)


def test_info_finds_an_iccid_written_with_its_check_digit(capsys: Any) -> None:
    short = card(4)
    short["identities"]["ICCID"] = ICCID[:-1]
    full = ICCID[:-1] + luhn_digit(ICCID[:-1])
    assert wsrc("info", "--iccid", full, "--json", script=card_host([short], {})) == 0
    assert document(capsys.readouterr().out)["card"]["iccid"] == ICCID[:-1]


def test_info_says_that_no_card_has_what_is_no_iccid(capsys: Any) -> None:
    assert wsrc("info", "--iccid", "89882110000004300zz") == 3
    assert "No card is there" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["info", "reset"])
def test_a_label_that_is_close_is_offered(command: str, capsys: Any) -> None:
    assert wsrc(command, "--label", "Bleu") == 3
    assert "Did you mean blue? `wsrc list` shows all." in capsys.readouterr().err
    assert wsrc(command, "--label", "green", "--json") == 3
    assert "Did you mean" not in capsys.readouterr().err


def test_apdu_shows_responses_and_what_they_mean(capsys: Any) -> None:
    assert wsrc("apdu", "--iccid", ICCID, MF, READ, MISSING) == 0
    assert capsys.readouterr().out.splitlines() == [
        "9000  done",
        "98680000000000000010 9000  done",
        "6D00  instruction not supported",
    ]


def test_apdu_stops_at_what_is_not_expected(capsys: Any) -> None:
    assert wsrc("apdu", "--iccid", ICCID, "--expect", "9000,61xx", "--json", MISSING, READ) == 1
    printed = capsys.readouterr()
    (result,) = document(printed.out)["results"]
    assert (result["response"], result["sw"]) == ("", "6D00")
    assert "command 1: got 6D00 (instruction not supported), expected 9000 or 61xx" in printed.err


def test_apdu_reads_commands_from_standard_input(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "in").write_text(f"{MF}  # the MF\n\n{READ}\n")
    with (tmp_path / "in").open() as typed:
        monkeypatch.setattr(sys, "stdin", typed)
        assert wsrc("apdu", "--iccid", ICCID, "-") == 0
        assert run(["apdu", "--iccid", ICCID, "-"]) == 2
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert "no command on standard input" in printed.err


@pytest.mark.parametrize("wrong", ["00A4000402FF", "0G", "00A", "0020000108313233"])
def test_what_is_no_command_is_not_sent_nor_repeated(wrong: str, capsys: Any) -> None:
    assert run(["apdu", "--iccid", ICCID, wrong, "--server-url", "ws://localhost:1"]) == 2
    err = capsys.readouterr().err
    assert "Command 1 is no command APDU" in err
    assert wrong not in err


def test_reset_shows_the_new_atr(capsys: Any) -> None:
    assert wsrc("reset", "--iccid", ICCID, "--warm") == 0
    assert capsys.readouterr().out == "3b00\n"


def test_who_selects_nothing_is_told_what_there_is(capsys: Any) -> None:
    assert wsrc("reset") == 2
    err = capsys.readouterr().err
    assert "--iccid" in err
    assert f"ICCID {ICCID}" in err
    assert "label blue" in err


def test_refusals_name_the_candidates_and_the_holder(capsys: Any) -> None:
    assert wsrc("reset", "--iccid", "1") == 3
    assert "no_such_card" in capsys.readouterr().err
    assert wsrc("reset", "--label", "held") == 3
    assert "held by ida@lab since 2026" in capsys.readouterr().err
    assert wsrc("reset", "--atr", "3B 9F 96 80 1F") == 3
    assert "label blue" in capsys.readouterr().err
    assert wsrc("reset", "--card", "3b9f96801f", "--json") == 3
    failure = document(capsys.readouterr().out)
    assert (failure["exit_status"], failure["error"]["code"]) == (3, "ambiguous")
    assert len(failure["error"]["candidates"]) == 3


def test_settings_that_cannot_work_are_named(capsys: Any, tmp_path: Path) -> None:
    assert run(["list", "--server-url", "http://x"]) == 2
    assert "server_url" in capsys.readouterr().err
    assert run(["list", "--config", str(tmp_path / "none.toml")]) == 2
    assert run(["nonsense"]) == 2
    assert run(["apdu", "--iccid", ICCID]) == 2
    assert run(["apdu", "--iccid", ICCID, MF, "--expect", "done"]) == 2


def test_a_server_that_is_not_there_is_exit_status_5(capsys: Any) -> None:
    with in_thread(HOST) as url:
        pass
    assert run(["list", "--server-url", url]) == 5
    assert "nothing listens there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"code": "card_not_present", "outcome": "not_executed"}, 4),
        ({"code": "card_not_present", "outcome": "unknown"}, 6),
        ({"code": "command_timeout", "outcome": "unknown"}, 6),
        ({"code": "lease_expired", "outcome": "not_executed"}, 4),
    ],
)
def test_a_failed_command_says_whether_it_may_have_run(
    fields: dict[str, str], status: int, capsys: Any
) -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        batch = await peer.hear("batch")
        ids = {"id": batch["id"], "session": batch["session"]}
        error = {"msg_type": "error", "message": "No: failed.", **fields}
        results = [{"response": "01", "sw": "9000"}]
        await peer.say("batch_resp", **ids, results=results, error=error)
        await take_back(peer)

    assert wsrc("apdu", "--card", "x", READ, READ, "--json", script=script) == status
    printed = capsys.readouterr()
    told = document(printed.out)
    assert told["error"]["code"] == fields["code"]
    assert [each["response"] for each in told["results"]] == ["01"]
    assert printed.err.startswith("wsrc: No: ")


def test_script_checks_every_status_word(capsys: Any, tmp_path: Path) -> None:
    good = tmp_path / "good.wsrc"
    good.write_text(f"# read\n{MF}\n!reset warm\n{MISSING} -> 6Dxx\n{READ}\n")
    assert wsrc("script", "--iccid", ICCID, str(good)) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "   2: 9000  done",
        "   3: reset, ATR 3b00",
        "   4: 6D00  instruction not supported",
        "   5: 98680000000000000010 9000  done",
    ]
    assert "4 lines done" in printed.err


def test_a_script_of_one_line_is_one_line_done(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "s.wsrc").write_text(MF)
    assert wsrc("script", "--iccid", ICCID, str(tmp_path / "s.wsrc")) == 0
    assert "1 line done, all as expected." in capsys.readouterr().err


def test_script_stops_at_the_first_surprise_unless_told_to_keep_going(
    capsys: Any, tmp_path: Path
) -> None:
    file = tmp_path / "bad.wsrc"
    file.write_text(f"{MISSING}\n{READ}\n{MISSING}\n")
    assert wsrc("script", "--iccid", ICCID, str(file), "--json") == 1
    printed = capsys.readouterr()
    (only,) = document(printed.out)["results"]
    assert (only["line"], only["as_expected"]) == (1, False)
    assert f"{file}:1: got 6D00 (instruction not supported), expected 9000" in printed.err
    assert wsrc("script", "--iccid", ICCID, str(file), "--json", "--keep-going") == 1
    printed = capsys.readouterr()
    results = document(printed.out)["results"]
    assert [each["as_expected"] for each in results] == [False, True, False]
    assert f"{file}:3: got 6D00" in printed.err


def test_script_names_the_line_that_was_not_answered(capsys: Any, tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        batch = await peer.hear("batch")
        gone = {"msg_type": "error", "code": "card_not_present", "message": "It is gone."}
        ids = {"id": batch["id"], "session": "s1"}
        await peer.say("batch_resp", **ids, results=[{"response": "", "sw": "9000"}], error=gone)
        await take_back(peer)

    file = tmp_path / "s.wsrc"
    file.write_text(f"{READ}\n\n{READ}\n")
    assert wsrc("script", "--card", "x", str(file), script=script) == 6
    assert f"{file}:3: It is gone." in capsys.readouterr().err


def test_script_with_a_line_that_is_none_is_not_begun(capsys: Any, tmp_path: Path) -> None:
    file = tmp_path / "s.wsrc"
    file.write_text("00A4\n")
    assert run(["script", "--card", "x", str(file), "--server-url", "ws://localhost:1"]) == 2
    assert f"{file}:1: a command APDU has at least 4 octets" in capsys.readouterr().err


def test_shell_obeys_lines_from_a_pipe(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "in").write_text(f"atr\n{READ}\n00A4\nreset\nhelp\nquit\n{READ}\n")
    with (tmp_path / "in").open() as typed:
        monkeypatch.setattr(sys, "stdin", typed)
        assert wsrc("shell", "--iccid", ICCID) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[:3] == ["3b9f96801f", "98680000000000000010 9000  done", "3b00"]
    assert "type help for help" in printed.err
    assert printed.out.count("98680000000000000010") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(shell: str, capsys: Any) -> None:
    assert run(["completion", shell]) == 0
    assert "_WSRC_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["list", "info", "apdu", "reset", "script", "shell", "watch", "completion"]
)
def test_every_command_teaches_with_examples(command: str, capsys: Any) -> None:
    assert run([command, "--help"]) == 0
    assert f"Examples:\n    {'eval' if command == 'completion' else 'wsrc ' + command}" in (
        capsys.readouterr().out
    )


def start(url: str, *arguments: str, before: Sequence[str] = ()) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "wsrc.command_line.program", *arguments, "--server-url", url]
    return subprocess.Popen(
        [*before, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "Interrupted."),
        (signal.SIGTERM, 143, ""),
        (signal.SIGHUP, 129, ""),
    ],
)
def test_a_signal_cancels_the_command_and_gives_the_card_back(
    number: int, status: int, said: str
) -> None:
    heard = threading.Event()

    async def script(peer: Peer) -> None:
        await give_card(peer)
        command = await peer.hear("c_apdu")
        heard.set()
        assert (await peer.hear("cancel"))["target"] == command["id"]
        await take_back(peer)

    with in_thread(script) as url:
        program = start(url, "apdu", "--card", "x", READ)
        assert heard.wait(LIMIT_S)
        program.send_signal(number)
        _, err = program.communicate(timeout=LIMIT_S)
    assert (program.returncode, err.strip()) == (status, said)


def test_a_signal_that_is_ignored_stays_so() -> None:
    heard = threading.Event()
    go_on = threading.Event()

    async def script(peer: Peer) -> None:
        await give_card(peer)
        command = await peer.hear("c_apdu")
        heard.set()
        await asyncio.to_thread(go_on.wait, LIMIT_S)
        await peer.answer(command, "01", "9000")
        await take_back(peer)

    with in_thread(script) as url:
        program = start(url, "apdu", "--card", "x", READ, before=["nohup"])
        assert heard.wait(LIMIT_S)
        program.send_signal(signal.SIGHUP)
        go_on.set()
        out, _ = program.communicate(timeout=LIMIT_S)
    assert (program.returncode, out) == (0, "01 9000  done\n")


def test_watch_prints_json_lines_and_a_reader_that_goes_away_is_no_traceback() -> None:
    with in_thread(card_host([card(n) for n in range(1, 2000)], {})) as url:
        program = start(url, "watch", "--json")
        assert program.stdout is not None
        assert program.stderr is not None
        first = json.loads(program.stdout.readline())
        program.stdout.close()
        err = program.stderr.read()
        program.stderr.close()
        status = program.wait(LIMIT_S)
    assert (first["change"], first["card"]["reader"]) == ("added", "reader-1")
    assert (status, err) == (141, "")
