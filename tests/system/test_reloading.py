# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: services read their files anew; one whose terminal was closed ends (issue 13, 1)."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates, make
from tests.support.processes import LIMIT_S, Program, Programs, argv, running

READ = "The certificates, keys and lists of TLS were read anew"
REFUSED = "A new file is not taken, and what was there stays in force: "

SERVICES = ["wsrc-server", "wsrc-card-client", "wsrc pcsc serve", "wsrc vpcd"]

LOGGING = SERVICES[:2]
"""Those that say so when all is well; the others say only what is wrong."""


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    return make(tmp_path / "files")


@pytest.fixture
def programs(files: Certificates) -> Iterator[Programs]:
    with running(files) as programs:
        programs.server()
        yield programs


def service(programs: Programs, name: str, folder: Path) -> Program:
    """Start a service and wait until it is at work."""
    match name:
        case "wsrc-server":
            return programs.server("--user-port", "0", "--card-port", "0")
        case "wsrc-card-client":
            program = programs.card_client("--no-pcsc", "--simulated", "default")
            program.wait_for("Connected to")
        case "wsrc pcsc serve":
            path = str(folder / "pcscd.comm")
            program = programs.wsrc_that_runs("pcsc", "serve", "--all", "--socket", path)
            program.wait_for("Ready")
        case _:
            program = programs.wsrc_that_runs("vpcd", "--iccid", "none")
            program.wait_for("No card is there that matches")
    return program


@pytest.mark.parametrize("name", SERVICES)
def test_13_a_hang_up_has_a_service_read_its_files_and_ends_none(
    programs: Programs, name: str, files: Certificates, tmp_path: Path
) -> None:
    program = service(programs, name, tmp_path)
    for count in (1, 2) if name in LOGGING else ():
        program.process.send_signal(signal.SIGHUP)
        program.wait_for(READ, count)
    files.ca.write_text("broken")
    files.cert.write_text("broken")
    program.process.send_signal(signal.SIGHUP)
    program.wait_for(REFUSED)
    assert program.process.poll() is None
    assert program.end(signal.SIGTERM) == 0
    # Once for the signal, and once where the program was about to connect, which looks as well.
    assert program.output.count(REFUSED) in (1, 2)
    assert "Traceback" not in program.output


class OnTerminal:
    """A program whose controlling terminal is ours to close."""

    def __init__(self, command: list[str], environ: dict[str, str], log: Path) -> None:
        self.terminal, theirs = pty.openpty()
        take = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        take += "os.execv(sys.argv[1], sys.argv[1:])"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", take, *command],
                env=environ,
                stdin=theirs,
                stdout=output,
                stderr=output,
            )
        os.close(theirs)
        self._log = log

    def wait_for(self, text: str, count: int = 1) -> None:
        deadline = time.monotonic() + LIMIT_S
        while self._log.read_text().count(text) < count:
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)


@pytest.mark.parametrize("name", ["wsrc-server", "wsrc pcsc serve"])
def test_13_a_service_ends_with_its_terminal_and_not_by_a_signal_alone(
    programs: Programs, name: str, tmp_path: Path
) -> None:
    files = programs.certificates
    environ = programs.user_environment
    if name == "wsrc-server":
        named = ("--tls-cert", str(files.cert), "--tls-key", str(files.key))
        command = argv("wsrc-server", *named, "--user-port", "0", "--card-port", "0")
    else:
        command = argv("wsrc", "pcsc", "serve", "--all", "--socket", str(tmp_path / "pcscd.comm"))
    program = OnTerminal(command, environ, tmp_path / "log")
    try:
        program.wait_for("Ready")
        files.cert.write_text("broken")
        files.ca.write_text("broken")
        program.process.send_signal(signal.SIGHUP)
        program.wait_for(REFUSED)
        assert program.process.poll() is None
    finally:
        os.close(program.terminal)
        try:
            assert program.process.wait(LIMIT_S) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                program.process.kill()
