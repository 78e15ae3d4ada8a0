# SPDX-License-Identifier: Apache-2.0
"""`wsrc pcsc run` and `wsrc pcsc serve` as processes."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.programs.wire_client import SUCCESS, Line
from tests.support.processes import LIMIT_S, Program, Programs, argv, running
from tests.support.world import EUICC, UICC
from wsrc.bridges.pcscd.path import MAX_PATH_OCTETS

SEE = """
import os, sys, pathlib
path = pathlib.Path(os.environ["PCSCLITE_CSOCK_NAME"])
print(path, oct(path.stat().st_mode & 0o777), oct(path.parent.stat().st_mode & 0o777))
"""
HOLD = """
import subprocess, sys
from smartcard.System import readers
connection = readers()[0].createConnection()
connection.connect()
iccid, *run = sys.argv[1:]
for which in (["--all"], ["--iccid", iccid]):
    subprocess.run([*run, *which, "--", sys.executable, "-c", "pass"], check=True)
"""
VERIFY = """
from smartcard.System import readers
connection = readers()[0].createConnection()
connection.connect()
connection.transmit([0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00])
connection.transmit([0x00, 0x20, 0x00, 0x01, 0x08, *b"13577531"])
"""
WAIT = """
import os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"got USR1\\n"))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("waits", os.environ["PCSCLITE_CSOCK_NAME"], flush=True)
while True:
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def programs(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Programs]:
    with running(certificates) as programs:
        programs.server("--state-dir", str(tmp_path_factory.mktemp("state")))
        client = programs.card_client("--no-pcsc", "--simulated", "default")
        client.wait_for("Connected to")
        yield programs


def started(programs: Programs, *args: str) -> Program:
    return programs._start(argv("wsrc", *args), programs.user_environment)


def python(script: str) -> tuple[str, ...]:
    return "--", sys.executable, "-c", script


def test_program_finds_a_private_socket_that_is_gone_afterwards(programs: Programs) -> None:
    ran = programs.wsrc("pcsc", "run", "--iccid", UICC, *python(SEE))
    assert (ran.returncode, ran.stderr) == (0, "")
    path, mode, folder_mode = ran.stdout.split()
    assert (mode, folder_mode) == ("0o600", "0o700")
    assert not Path(path).exists()
    assert not Path(path).parent.exists()


CONNECT = """
from smartcard.System import readers
for reader in readers():
    connection = reader.createConnection()
    connection.connect()
    answer = connection.transmit([0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00])
    print(reader, bytes(connection.getATR()).hex(), hex(answer[1]))
"""


def test_a_program_finds_one_reader_with_any_card(programs: Programs) -> None:
    ran = programs.wsrc("pcsc", "run", "--any", "--tag", "card=uicc", *python(CONNECT))
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("WSRC any card=uicc 00 00 3b")
    assert ran.stdout.endswith(" 0x61\n")
    ran = programs.wsrc("pcsc", "run", "--any", *python(CONNECT))
    assert ran.stdout.count("\n") == 1


WAIT_FOR_CARD = """
from smartcard.CardRequest import CardRequest
from smartcard.CardType import AnyCardType
from smartcard.Exceptions import NoCardException
from smartcard.System import readers
(reader,) = readers()
try:
    reader.createConnection().connect()
except NoCardException:
    print("empty", flush=True)
there = CardRequest(timeout=60, cardType=AnyCardType(), readers=[reader]).waitforcard()
there.connection.connect()
print(hex(there.connection.transmit([0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00])[1]), flush=True)
"""


def test_a_program_waits_in_turn_for_any_card_and_its_reader_is_empty(programs: Programs) -> None:
    holder = started(
        programs, "take", "--iccid", UICC, "--", "sh", "-c", "echo held; exec sleep 600"
    )
    holder.wait_for("held")
    which = ("--any", "--tag", "card=uicc", "--wait", "60")
    program = started(programs, "pcsc", "run", *which, *python(WAIT_FOR_CARD))
    program.wait_for("^empty$")
    program.wait_for("No card is free; the reader is empty until one is given.")
    assert "No card is there" not in program.output
    holder.end()
    program.wait_for("^0x61$")
    assert program.process.wait(LIMIT_S) == 0


def test_a_program_finds_one_reader_with_the_card_of_a_reservation(programs: Programs) -> None:
    token = programs.wsrc("reserve", "--iccid", UICC, "--for", "1h").stdout.strip()
    try:
        ran = programs.wsrc("pcsc", "run", "--reservation", token, *python(CONNECT))
        assert ran.returncode == 0, ran.stderr
        assert re.match(r"WSRC reservation \d{6} 00 00 3b", ran.stdout)
        # The card is given back soon after.
        taken = ("take", "--wait", "30", "--reservation", token, "--")
        ran = programs.wsrc(*taken, *argv("wsrc", "read", "iccid"))
        assert (ran.returncode, UICC in ran.stdout) == (0, True), ran.stderr
        ran = programs.wsrc(*taken, *argv("wsrc", "pcsc", "run", *python(CONNECT)))
        assert ran.returncode == 0, ran.stderr
        assert UICC in ran.stdout
    finally:
        assert programs.wsrc("cancel", "--reservation", token).returncode == 0


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("--any", "--all"), "--all shows all cards; --any and --reservation show one."),
        (("--any", "--label", "b*"), "--any takes --label once, and without *; use tags."),
        (("--any", "--iccid", UICC, "--iccid", EUICC), "--any takes --iccid once"),
        (("--reservation", "x", "--iccid", UICC), "give no selection beside it"),
        (("--reservation", "x", "--all"), "--all shows all cards"),
        (("--iccid", UICC, "--wait", "5"), "--wait needs --any or --reservation"),
    ],
)
def test_what_cannot_be_one_card_is_said(
    programs: Programs, given: tuple[str, ...], why: str
) -> None:
    ran = programs.wsrc("pcsc", "run", *given, *python("pass"))
    assert ran.returncode == 2
    assert why in " ".join(ran.stderr.split())


def test_a_token_that_there_is_not_is_said_before_anything_runs(programs: Programs) -> None:
    for command in (("pcsc", "run", "--reservation", "x", *python("print(1)")),
                    ("vpcd", "--reservation", "x")):  # fmt: skip
        ran = programs.wsrc(*command)
        assert (ran.returncode, ran.stdout) == (3, "")
        assert "No reservation has this token" in ran.stderr


def test_13_what_a_program_exchanges_with_its_card_is_in_a_trace_without_pins(
    programs: Programs, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.txt"
    traced = ("--trace-file", str(trace), "--iccid", UICC)
    ran = programs.wsrc("pcsc", "run", *traced, *python(VERIFY))
    assert ran.returncode == 0, ran.stderr
    text = trace.read_text("utf-8")
    assert " ATR 3b" in text
    assert "00 a4 00 04 02 3f 00 -> 61" in text
    assert "00 20 00 01 08 [8 octets] -> " in text
    assert b"13577531".hex(" ") not in text


def test_socket_has_room_where_the_name_of_the_temporary_folder_is_long(
    programs: Programs, tmp_path: Path
) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    ran = subprocess.run(
        argv("wsrc", "pcsc", "run", "--iccid", UICC, *python(SEE)),
        env=programs.user_environment | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.split()[0]) <= MAX_PATH_OCTETS


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(42)", 42),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import os; os.kill(os.getpid(), 15)", 143),
    ],
)
def test_exit_status_is_that_of_the_program(programs: Programs, script: str, status: int) -> None:
    assert programs.wsrc("pcsc", "run", "--all", *python(script)).returncode == status


@pytest.mark.parametrize(
    ("program", "status", "why"),
    [("no-such-program", 127, "No such file"), (os.devnull, 126, "Permission denied")],
)
def test_program_that_cannot_be_started(
    programs: Programs, program: str, status: int, why: str
) -> None:
    ran = programs.wsrc("pcsc", "run", "--all", "--", program)
    assert ran.returncode == status
    assert why in ran.stderr


def test_arguments_and_input_reach_the_program_without_dashes(programs: Programs) -> None:
    script = "import sys; print(sys.argv[1:], sys.stdin.read())"
    ran = programs.wsrc(
        "pcsc", "run", "--iccid", UICC, sys.executable, "-c", script, "--atr", "-q", stdin="typed"
    )
    assert ran.stdout == "['--atr', '-q'] typed\n"


def test_signals_reach_the_program(programs: Programs) -> None:
    program = started(programs, "pcsc", "run", "--all", *python(WAIT))
    path = Path(program.wait_for(r"waits (\S+)")[1])
    program.process.send_signal(signal.SIGUSR1)
    program.wait_for("got USR1")
    assert program.end(signal.SIGTERM) == 7
    assert not path.exists()


def test_program_is_not_started_without_the_server(certificates: Certificates) -> None:
    with running(certificates) as programs:
        programs.user_port = 1
        ran = programs.wsrc("pcsc", "run", "--all", *python("print('ran')"))
    assert (ran.returncode, ran.stdout) == (5, "")
    assert "nothing listens there" in ran.stderr


@pytest.mark.parametrize(
    "command",
    [("run", "--", sys.executable, "-c", "print('ran')"), ("serve", "--socket", "{folder}/s")],
)
def test_d29_no_card_is_taken_that_nobody_named(
    programs: Programs, tmp_path: Path, command: tuple[str, ...]
) -> None:
    words = [word.format(folder=tmp_path) for word in command]
    ran = programs.wsrc("pcsc", *words)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "Say which cards, with --iccid" in ran.stderr
    assert "or --all for all of them. These are there:" in ran.stderr
    assert UICC in ran.stderr
    assert EUICC in ran.stderr
    assert not list(tmp_path.iterdir())
    both = programs.wsrc("pcsc", words[0], "--all", "--iccid", UICC, *words[1:])
    assert (both.returncode, both.stdout) == (2, "")
    assert "--all leaves nothing to choose" in both.stderr


def test_d29_how_many_cards_are_shown_is_told_in_one_line(
    programs: Programs, tmp_path: Path
) -> None:
    ran = programs.wsrc("pcsc", "run", "--all", *python("pass"))
    assert (ran.returncode, ran.stderr) == (0, "2 cards are shown.\n")
    hold = programs.wsrc(
        "pcsc", "run", "--iccid", UICC, *python(HOLD), UICC, *argv("wsrc", "pcsc", "run")
    )
    assert hold.returncode == 0, hold.stderr
    first_use, *told = hold.stderr.splitlines()
    assert first_use.startswith("The key of card host bench is not known")
    assert told == [
        "2 cards are shown, 1 of them in use by others.",
        "1 card is shown, which others use.",
    ]
    path = tmp_path / "socket"
    serving = started(programs, "pcsc", "serve", "--all", "--socket", str(path))
    serving.wait_for("2 cards are shown")
    assert serving.end() == 0


def test_program_is_started_without_a_card(programs: Programs) -> None:
    ran = programs.wsrc("pcsc", "run", "--label", "none", *python("print('ran')"))
    assert (ran.returncode, ran.stdout) == (0, "ran\n")
    assert "No card is there that matches" in ran.stderr


def test_iccid_is_found_in_either_form(programs: Programs) -> None:
    for iccid in (UICC, f"{UICC[:-1]}", UICC.replace("8988", "8988 ")):
        ran = programs.wsrc("pcsc", "run", "--iccid", iccid, *python("pass"))
        assert ran.stderr == "", iccid


def test_socket_is_served_until_the_end(programs: Programs, tmp_path: Path) -> None:
    path = tmp_path / "pcscd.comm"
    options = ("--socket", str(path), "--mode", "0660", "--card", UICC, "--card", EUICC)
    program = started(programs, "pcsc", "serve", *options)
    program.wait_for(f"Ready: set PCSCLITE_CSOCK_NAME={path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    with Line(path, 6) as line:
        line.establish().wait_for(lambda readers: len(readers) == 2)
        code, card, _ = line.connect(line.readers()[0].name)
        assert code == SUCCESS
        assert line.transmit(card, bytes.fromhex("00a40004023f00"))[2][:1] == b"\x61"
        again = programs.wsrc("pcsc", "serve", "--all", "--socket", str(path))
        assert again.returncode == 2
        assert "is served by another program" in again.stderr
        assert program.end(signal.SIGINT) == 0
    assert not path.exists()


def test_socket_without_a_server_shows_nothing_and_says_so(
    certificates: Certificates, tmp_path: Path
) -> None:
    with running(certificates) as programs:
        programs.user_port = 1
        path = tmp_path / "pcscd.comm"
        program = started(programs, "pcsc", "serve", "--all", "--socket", str(path))
        program.wait_for("nothing listens there")
        with Line(path) as line:
            assert line.establish().readers() == []
        assert program.end() == 0


@pytest.mark.parametrize("mode", ["rw", "0999", "-1", "7777"])
def test_mode_that_is_none_is_refused(programs: Programs, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "socket"
    ran = programs.wsrc("pcsc", "serve", "--all", "--socket", str(path), "--mode", mode)
    assert ran.returncode == 2
    assert not path.exists()


def test_leading_options_and_help(programs: Programs) -> None:
    ran = programs.wsrc("--quiet", "pcsc", "run", "--label", "none", *python("pass"))
    assert (ran.returncode, ran.stderr) == (0, "")
    shown = programs.wsrc("pcsc", "--help")
    assert {"run", "serve"} <= set(shown.stdout.split())
    assert isinstance(shown, subprocess.CompletedProcess)
