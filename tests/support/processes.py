# SPDX-License-Identifier: Apache-2.0
"""The three programs as processes, ended by real signals."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.support.certificates import Certificates
from tests.support.paths import ROOT
from tests.support.seal_way import HOST_SEAL, SEAL
from tests.support.secret_scan import EARS

LIMIT_S = 60.0
"""How long a program may take to say what is waited for, or to end."""

SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
MAIN = "import sys; from {0} import {1}; sys.argv[0] = '{2}'; sys.exit({1}())"


def argv(program: str, *args: str) -> list[str]:
    """Return the command line that runs one of our programs in this interpreter."""
    main = MAIN.format(*SCRIPTS[program].split(":"), program)
    return [sys.executable, "-W", "error", "-c", main, *args]


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a program: no settings of whoever runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WSRC_")}
    return kept | {"HOME": "/nonexistent", "COLUMNS": "100"} | more


class Program:
    """A program that runs until it is ended; what it prints is kept."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(env),
            pass_fds=descriptors,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def output(self) -> str:
        """Everything that was printed so far."""
        with self._changed:
            return "\n".join(self.lines)

    def wait_for(self, pattern: str, count: int = 1, limit_s: float = LIMIT_S) -> re.Match[str]:
        """Wait until so many lines match, and give the last of these."""
        deadline = time.monotonic() + limit_s
        with self._changed:
            while True:
                found = [m for m in (re.search(pattern, line) for line in self.lines) if m]
                if len(found) >= count:
                    return found[count - 1]
                left = deadline - time.monotonic()
                ended = self.process.poll() is not None and not self._thread.is_alive()
                if left <= 0 or ended:
                    raise AssertionError(f"no {pattern!r} in:\n" + "\n".join(self.lines))
                self._changed.wait(min(left, 1.0))

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and give the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(LIMIT_S)
        self._thread.join(LIMIT_S)
        return status

    def close(self) -> None:
        """End the program if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT_S)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "What the program started lives on, with its output."
        assert self.process.stdout is not None
        self.process.stdout.close()
        EARS.hear(self.output, "the output of a program")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()


def server_command(
    *args: str, stdout: IO[str] | int = subprocess.PIPE
) -> "subprocess.CompletedProcess[str]":
    """Run a command of a server to its end."""
    return subprocess.run(
        argv("wsrc-server", *args),
        env=environment(),
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


class Programs:
    """Starts programs that belong together; `running` ends them."""

    def __init__(self, certificates: Certificates, stack: contextlib.ExitStack) -> None:
        self.certificates = certificates
        self.user_port = 0
        self.card_port = 0
        self.seal, self.host_seal = SEAL, HOST_SEAL
        """What users and card hosts have as `seal`; None leaves it to them."""

        self._stack = stack

    def server(self, *args: str) -> Program:
        """Start a server, at the ports of the earlier one if there was one."""
        program = self.server_that_starts(self.user_port, self.card_port, *args)
        self.user_port, self.card_port = ports_of(program)
        return program

    def server_that_starts(self, user_port: int, card_port: int, *args: str) -> Program:
        """Start a server at these ports, 0 for any, and do not wait until it is ready."""
        files = ("--tls-cert", str(self.certificates.cert), "--tls-key", str(self.certificates.key))
        ports = ("--user-port", str(user_port), "--card-port", str(card_port))
        ports += ("--http-port", "0")
        return self._start(argv("wsrc-server", *files, *ports, *args), environment())

    def card_client(self, *args: str, env: Mapping[str, str] | None = None) -> Program:
        """Start a card client of that server."""
        url = f"wss://localhost:{self.card_port}/card"
        given = ("--server-url", url, "--tls-ca", str(self.certificates.ca))
        waits = ("--reconnect-min-s", "0.1", "--reconnect-max-s", "0.5")
        command = argv("wsrc-card-client", *given, *waits, "--name", "bench", *args)
        return self._start(command, environment(**{**_sealed(self.host_seal), **(env or {})}))

    def wsrc(
        self, *args: str, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run the user's command to its end."""
        return subprocess.run(
            argv("wsrc", *args),
            env={**self.user_environment, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def wsrc_that_runs(self, *args: str) -> Program:
        """Start the user's command, which runs until it is ended."""
        return self._start(argv("wsrc", *args), self.user_environment)

    def user_script(self, script: str, *args: str, env: Mapping[str, str] | None = None) -> Program:
        """Start a Python program that uses the library."""
        variables = {**self.user_environment, **(env or {})}
        return self._start([sys.executable, "-c", script, *args], variables)

    @property
    def user_environment(self) -> dict[str, str]:
        """Environment in which the user's programs find the server."""
        return environment(
            WSRC_SERVER_URL=f"wss://localhost:{self.user_port}/user",
            WSRC_TLS_CA=str(self.certificates.ca),
            WSRC_NAME="first@laptop",
            PYTHONPATH=str(ROOT),
            **_sealed(self.seal),
        )

    def _start(self, command: Sequence[str], env: Mapping[str, str]) -> Program:
        program = Program(command, env)
        self._stack.callback(program.close)
        return program


def _sealed(seal: str | None) -> dict[str, str]:
    return {} if seal is None else {"WSRC_SEAL": seal}


def ports_of(server: Program) -> tuple[int, int]:
    """Wait until a server is ready, and return its ports for users and for card clients."""
    ready = server.wait_for(r"Ready: users on \S+:(\d+)/user, card clients on \S+:(\d+)/card")
    return int(ready[1]), int(ready[2])


@contextlib.contextmanager
def running(certificates: Certificates) -> Iterator[Programs]:
    """End every program that was started in the context."""
    with contextlib.ExitStack() as stack:
        yield Programs(certificates, stack)
