# SPDX-License-Identifier: Apache-2.0
"""`wsrc read`, `--decode`, `!pin` and response data of scripts, with simulated cards."""

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.card_user import apdu, card as simulated
from tests.support.processes import argv, environment
from tests.support.scripted_server import Script, card, card_host, in_thread
from wsrc.command_line.program import run
from wsrc.readers.simulation import Card

CARD = ("--card", "898600")
PIN, WRONG = "1234", "4321"
EUICC = """
[[profile]]
iccid = "8988211000000430028"
name = "first"
enabled = true
"""
SELECT_IMSI = "00A4040407A0000000871002\n00A40004026F07\n"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("WSRC_", "XDG_"))]:
        monkeypatch.delenv(name)


def host_of(made: Card) -> Script:
    return card_host([card(1, label="blue")], functools.partial(apdu, made))


def wsrc(*arguments: str, made: Card) -> int:
    with in_thread(host_of(made)) as url:
        return run(["--server-url", url, *arguments])


def document(text: str) -> Any:
    (line,) = text.splitlines()
    return json.loads(line)


def pin_file(folder: Path, text: str, mode: int = 0o600) -> str:
    file = folder / "pin"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


def test_read_shows_what_is_asked_for_in_that_order(capsys: Any) -> None:
    assert wsrc("read", "--label", "blue", "spn", "ICCID", made=simulated()) == 0
    assert capsys.readouterr().out.splitlines() == [
        "spn    name WSRC, show_plmn_at_home yes, show_abroad yes",
        "iccid  8988211000000430010",
    ]


def test_read_as_json_has_values_and_octets(capsys: Any) -> None:
    made = simulated(EUICC, kind="euicc")
    assert wsrc("read", "--label", "blue", "--json", "profiles", "iccid", made=made) == 0
    told = document(capsys.readouterr().out)
    [profile] = told["values"]["profiles"]
    assert (profile["iccid"], profile["state"]) == ("8988211000000430028", "enabled")
    assert told["raw"]["iccid"] == ["988812010000400320f8"]
    assert (told["problems"], told["card"]["label"]) == ({}, "blue")


def test_read_without_a_name_shows_what_is_there(capsys: Any) -> None:
    assert wsrc("read", "--label", "blue", made=simulated("pin1_enabled = false\n")) == 0
    printed = capsys.readouterr()
    names = [line.split()[0] for line in printed.out.splitlines() if not line.startswith(" ")]
    assert names == ["iccid", "dir", "pl", "pins", "imsi", "spn", "ad", "loci"]
    assert printed.err == ""


def test_read_says_what_is_kept_by_a_pin_and_what_is_not_there(capsys: Any) -> None:
    assert wsrc("read", "--label", "blue", "imsi", "gid1", "iccid", made=simulated()) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["iccid  8988211000000430010"]
    assert printed.err.splitlines() == [
        "imsi   The card asks for a PIN or a key first.",
        "gid1   The card does not have it.",
    ]
    assert wsrc("read", "--label", "blue", "--json", "imsi", made=simulated()) == 1
    problem = document(capsys.readouterr().out)["problems"]["imsi"]
    assert problem["sw"] == "6982"


def test_read_verifies_a_pin_of_a_file_first(capsys: Any, tmp_path: Path) -> None:
    file = pin_file(tmp_path, PIN)
    given = ("read", "--label", "blue", "--verify", "pin1", "--pin-file", file, "imsi")
    assert wsrc(*given, made=simulated()) == 0
    assert capsys.readouterr().out == "imsi  001010000000001\n"


def test_read_stops_where_the_pin_is_wrong(capsys: Any, tmp_path: Path) -> None:
    file = pin_file(tmp_path, WRONG)
    made = simulated()
    given = ("read", "--label", "blue", "--verify", "01", "--pin-file", file, "imsi", "--json")
    assert wsrc(*given, made=made) == 1
    printed = capsys.readouterr()
    assert "63C2" in printed.err
    told = document(printed.out)
    assert (told["values"], told["problems"]["verify"]["sw"]) == ({}, "63C2")
    assert apdu(made, "00200001") == "63c2"


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [
        (PIN, 0o644, "others can read"),
        ("pin2 0000\npin1 0000 0000\n", 0o600, "line 2 is not a key and its PIN"),
        ("pin2 0000\nadm1 00000000\n", 0o600, "has no PIN for key 01"),
        ("", 0o600, "has no PIN for key 01"),
        ("12", 0o600, "a PIN is 4 to 8 digits"),
        ("äöü", 0o600, "it is not ASCII text"),
    ],
)
def test_a_file_that_has_no_pin_takes_no_try(
    text: str, mode: int, sentence: str, capsys: Any, tmp_path: Path
) -> None:
    made = simulated()
    given = ("--verify", "pin1", "--pin-file", pin_file(tmp_path, text, mode), "imsi")
    assert wsrc("read", "--label", "blue", *given, made=made) == 2
    assert sentence in capsys.readouterr().err
    assert apdu(made, "00200001") == "63c3"


def test_what_is_no_key_or_no_name_is_refused_without_a_card(capsys: Any) -> None:
    assert run(["read", "--server-url", "ws://127.0.0.1:1", "--verify", "98765"]) == 2
    said = capsys.readouterr().err
    assert "two hexadecimal digits" in said
    assert "98765" not in said
    assert run(["read", "--server-url", "ws://127.0.0.1:1", "colour"]) == 2
    assert "'colour' is nothing that can be read; there are iccid, dir" in capsys.readouterr().err


def test_the_names_are_listed_without_a_server(capsys: Any) -> None:
    assert run(["read", "--list"]) == 0
    assert "3GPP TS 31.102 clause 4.2.2" in capsys.readouterr().out
    assert run(["read", "--list", "--json"]) == 0
    assert document(capsys.readouterr().out)["names"]["eid"]["clause"] == "SGP.22 clause 5.7.20"


def test_decode_names_what_is_in_a_response(capsys: Any) -> None:
    select = "00A40004023F0000"
    assert wsrc("apdu", "--label", "blue", "--decode", select, "00B000000A", made=simulated()) == 0
    first, *decoded, last = capsys.readouterr().out.splitlines()
    assert first.endswith("9000  done")
    assert "      82 7821  file descriptor  DF or ADF, shareable" in decoded
    assert last.startswith("6986")
    assert wsrc("apdu", "--label", "blue", "--decode", "--json", select, made=simulated()) == 0
    [result] = document(capsys.readouterr().out)["results"]
    assert result["decoded"][0]["name"] == "FCP template"


def scripted(folder: Path, text: str, *more: str, made: Card) -> int:
    file = folder / "x.wsrc"
    file.write_text(text)
    return wsrc("script", "--label", "blue", str(file), *more, made=made)


def test_a_script_verifies_a_pin_of_a_file(capsys: Any, tmp_path: Path) -> None:
    text = f"!expect 9000 61xx\n{SELECT_IMSI}!pin\n00B0000009 -> 9000 =0809*10\n"
    file = pin_file(tmp_path, f"adm1 3132333435363738\nPIN1 {PIN}\n")
    assert scripted(tmp_path, text, "--pin-file", file, made=simulated()) == 0
    assert "   4: 9000  done" in capsys.readouterr().out.splitlines()


def test_a_script_stops_after_a_wrong_pin(capsys: Any, tmp_path: Path) -> None:
    made = simulated()
    text = "!pin pin1\n!pin pin1\n00A40004023F00 -> any\n"
    file = pin_file(tmp_path, WRONG)
    assert scripted(tmp_path, text, "--pin-file", file, made=made) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines() == ["   1: 63C2  verification failed, 2 tries left"]
    assert WRONG not in printed.err
    assert apdu(made, "00200001") == "63c2"


def test_a_script_asks_for_no_pin_that_is_blocked_or_not_wanted(
    capsys: Any, tmp_path: Path
) -> None:
    made = simulated()
    for _ in range(3):
        apdu(made, "0020000108 30303030ffffffff")
    file = pin_file(tmp_path, PIN)
    assert scripted(tmp_path, "!pin\n", "--pin-file", file, made=made) == 1
    assert "63C0" in capsys.readouterr().out
    bare = simulated("pin1_enabled = false\n")
    assert scripted(tmp_path, "!pin\n", "--pin-file", str(tmp_path / "none"), made=bare) == 0


def test_a_script_asks_a_sim_of_class_a0_in_its_own_way(capsys: Any, tmp_path: Path) -> None:
    made = simulated("gsm_only = true\n")
    file = pin_file(tmp_path, WRONG)
    assert scripted(tmp_path, "!pin\n", "--pin-file", file, made=made) == 1
    assert "9804" in capsys.readouterr().out
    file = pin_file(tmp_path, PIN)
    assert scripted(tmp_path, "!pin\n", "--pin-file", file, made=made) == 0


def test_a_script_without_a_terminal_or_a_file_sends_no_pin(tmp_path: Path) -> None:
    made = simulated()
    file = tmp_path / "x.wsrc"
    file.write_text("!pin\n")
    with in_thread(host_of(made)) as url:
        done = subprocess.run(
            argv("wsrc", "script", "--server-url", url, "--label", "blue", str(file)),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            start_new_session=True,
        )
    assert done.returncode == 2
    assert "there is no terminal" in done.stderr
    assert apdu(made, "00200001") == "63c3"


def test_data_that_are_not_as_expected_stop_a_script_before_the_next_line(
    capsys: Any, tmp_path: Path
) -> None:
    made = simulated()
    text = "!expect 9000 61xx\n00A40004022FE2\n00B000000A -> 9000 =988911*\n00A40004023F00\n"
    assert scripted(tmp_path, text, "--json", made=made) == 1
    printed = capsys.readouterr()
    told = document(printed.out)
    assert [result["as_expected"] for result in told["results"]] == [True, False]
    assert told["results"][1]["expected_data"] == "988911*"
    assert told["stopped"] == "unexpected_data"
    assert printed.err.endswith(":3: got 9000 with data 988812010000400310f0, expected 988911*\n")
    assert scripted(tmp_path, text, "--json", "--keep-going", made=simulated()) == 1
    assert len(document(capsys.readouterr().out)["results"]) == 3


def test_data_of_a_key_are_not_repeated(capsys: Any, tmp_path: Path) -> None:
    text = (
        "!expect 9000 61xx\n00A4040407A0000000871002\n"
        "0088008011 10 000102030405060708090a0b0c0d0e0f 00 -> 9000 =00\n"
    )
    assert scripted(tmp_path, text, made=simulated()) == 1
    assert capsys.readouterr().err.endswith(":3: got 9000 with other data than expected\n")
