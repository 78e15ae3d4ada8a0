# SPDX-License-Identifier: Apache-2.0
"""Signals to `wsrc pcsc run`, `wsrc pcsc serve` and `wsrc vpcd`, and those that are ignored."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.bench import wait_until
from tests.support.pcsc.programs.wire_client import SUCCESS, Line
from tests.support.processes import LIMIT_S, Program, Programs, argv, running
from tests.support.world import UICC

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

WAITS = """
import os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"got USR1\\n"))
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(7))
ignored = [n.name for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN]
print("waits, ignores", *ignored, flush=True)
while True:
    time.sleep(60)
"""

LEAVES = """
import os, signal, struct
from tests.support.pcsc.programs.wire_client import Line
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
line = Line(os.environ["PCSCLITE_CSOCK_NAME"], 6).establish()
code, card, protocol = line.connect(line.readers()[0].name)
assert code == 0
print("connected", os.getpid(), os.environ["PCSCLITE_CSOCK_NAME"], flush=True)
signal.sigwait([signal.SIGUSR1])
command = bytes.fromhex("00a40004023f00")
line.send(0x09, struct.pack("=iIIIIIII", card, 1, 16, len(command), 1, 16, 65548, 0), command)
os._exit(7)
"""
"""Ends while the card runs a command, when it is told to."""


class Stand:
    """A server, a card client that can be stopped, and the command."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        programs.server()
        self.client = programs.card_client("--no-pcsc", "--simulated", "default")
        self.client.wait_for(" UICC.* has card")

    def wsrc(self, *args: str, ignored: signal.Signals | None = None) -> Program:
        """Start the command, by a shell that ignores a signal."""
        trap = f'trap "" {ignored.name.removeprefix("SIG")}; ' if ignored else ""
        command = ["sh", "-c", f'{trap}exec "$@"', "sh", *argv("wsrc", *args)]
        return self._programs._start(command, self._programs.user_environment)

    def run(self, script: str, ignored: signal.Signals | None = None) -> Program:
        """Run a Python program that finds the UICC."""
        python = (sys.executable, "-c", script)
        return self.wsrc("pcsc", "run", "--iccid", UICC, "--", *python, ignored=ignored)


@pytest.fixture(scope="module")
def stand(certificates: Certificates) -> Iterator[Stand]:
    with running(certificates) as programs:
        yield Stand(programs)


@pytest.mark.parametrize("number", ENDING)
def test_an_ignored_signal_is_ignored_by_the_program_too(
    stand: Stand, number: signal.Signals
) -> None:
    program = stand.run(WAITS, ignored=number)
    assert number.name in program.wait_for("waits, ignores.*")[0].split()
    program.process.send_signal(number)
    program.process.send_signal(signal.SIGUSR1)
    program.wait_for("got USR1")
    assert program.end(signal.SIGUSR2) == 7


@pytest.mark.parametrize("number", ENDING)
def test_a_socket_is_served_on_where_the_signal_is_ignored(
    stand: Stand, tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "pcscd.comm"
    program = stand.wsrc("pcsc", "serve", "--all", "--socket", str(path), ignored=number)
    program.wait_for("Ready")
    program.process.send_signal(number)
    with Line(path, 6) as line:
        line.establish().wait_for(lambda readers: len(readers) == 2)
        code, card, _ = line.connect(line.readers()[0].name)
        assert code == SUCCESS
        assert line.transmit(card, bytes.fromhex("00a40004023f00"))[0] == SUCCESS
    other = signal.SIGTERM if number is signal.SIGINT else signal.SIGINT
    assert program.end(other) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_every_signal_that_ends_a_service_does_so_with_0(
    stand: Stand, tmp_path: Path, number: signal.Signals
) -> None:
    serve = stand.wsrc("pcsc", "serve", "--all", "--socket", str(tmp_path / "pcscd.comm"))
    vpcd = stand.wsrc("vpcd", "--iccid", "none")
    serve.wait_for("Ready")
    vpcd.wait_for("No card is there that matches")
    for program in (serve, vpcd):
        program.process.send_signal(number)
        assert program.end(number) == 0, program.output
        assert "Interrupted" not in program.output
        assert "Traceback" not in program.output


def test_a_signal_that_vpcd_is_to_ignore_is_ignored(stand: Stand) -> None:
    program = stand.wsrc("vpcd", "--iccid", "none", ignored=signal.SIGTERM)
    program.wait_for("No card is there that matches")
    status = Path(f"/proc/{program.process.pid}/status")
    if status.exists():
        [ignored] = [each for each in status.read_text().splitlines() if each.startswith("SigIgn")]
        assert int(ignored.split()[1], 16) & 1 << signal.SIGTERM - 1
    assert program.end(signal.SIGINT) == 0


def test_signals_after_the_end_of_the_program_change_nothing(stand: Stand) -> None:
    program = stand.run(LEAVES)
    connected = program.wait_for(r"connected (\d+) (\S+)")
    number, folder = int(connected[1]), Path(connected[2]).parent
    stand.client.process.send_signal(signal.SIGSTOP)
    try:
        program.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: not is_there(number), LIMIT_S, "the program has ended")
        for each in [*ENDING, signal.SIGUSR1, signal.SIGUSR2]:
            program.process.send_signal(each)
    finally:
        stand.client.process.send_signal(signal.SIGCONT)
    assert program.process.wait(LIMIT_S) == 7
    assert not folder.exists()
    lines = [line for line in program.lines if not line.startswith("The key of card host")]
    assert len(lines) == 1, program.output


def is_there(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True
