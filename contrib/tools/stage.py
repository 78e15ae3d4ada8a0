# SPDX-License-Identifier: Apache-2.0
"""The processes of the demonstration: started, listened to, and ended whatever happens."""

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

BIN = Path(sys.executable).parent
"""Where the commands of WSRC are installed."""

START_S = 60.0
"""Longest start of a program on a slow machine."""

COMMAND_S = 60.0
"""Longest command."""

STOP_S = 15.0
"""How long a program may take to end when it is asked to."""


class DemoError(Exception):
    """Something was not as it must be."""


class Signals:
    """SIGINT, SIGTERM and SIGHUP end the demonstration once, by KeyboardInterrupt."""

    def __init__(self) -> None:
        self.seen: int | None = None
        self._held = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take)

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """Hold a signal back until the block is done."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self.seen is not None:
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Take no more signals: the end has begun."""
        self._held = True

    def _take(self, number: int, _frame: FrameType | None) -> None:
        first, self.seen = self.seen is None, self.seen or number
        if first and not self._held:
            raise KeyboardInterrupt


class Program:
    """A process whose output is read as it comes."""

    def __init__(self, process: subprocess.Popen[str], name: str) -> None:
        self.process = process
        self.lines: list[str] = []
        self.echo = False
        self._name = name
        self._read = 0
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def line(self, pattern: str = "", limit_s: float = COMMAND_S) -> re.Match[str]:
        """Return the next line that has the pattern."""
        deadline = time.monotonic() + limit_s
        with self._news:
            while True:
                while self._read < len(self.lines):
                    self._read += 1
                    found = re.search(pattern, self.lines[self._read - 1])
                    if found:
                        return found
                if not self._news.wait_for(self._has_news, deadline - time.monotonic()):
                    self.fail(f"said nothing of {pattern!r} within {limit_s:g} s")
                if self._read == len(self.lines):
                    self.fail(f"ended without a word of {pattern!r}")

    def skip(self) -> None:
        """Pass over all that it has said so far."""
        with self._news:
            self._read = len(self.lines)

    def type(self, text: str) -> None:
        """Send it a line to read."""
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def wait(self, limit_s: float = COMMAND_S) -> int:
        """Wait until it has ended and all that it said is read; give its exit status."""
        try:
            status = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.fail(f"did not end within {limit_s:g} s")
        self._reader.join(limit_s)
        return status

    def stop(self) -> None:
        """End it: politely, then by force."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        self._reader.join(STOP_S)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def fail(self, what: str) -> NoReturn:
        """Return what it should have done, and the end of its output."""
        said = "".join(f"\n  {line}" for line in self.lines[-20:])
        raise DemoError(f"{self._name} {what}.{' It said:' if said else ''}{said}")

    def _has_news(self) -> bool:
        return self._read < len(self.lines) or not self._reader.is_alive()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip())
                self._news.notify_all()
            if self.echo:
                print(f"{self._name}: {line.rstrip()}", flush=True)
        with self._news:
            self._news.notify_all()


class Stage:
    """The folder and the processes of one demonstration; `close` leaves neither."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._programs: list[Program] = []
        with signals.held():
            self.folder = Path(tempfile.mkdtemp(prefix="wsrc-demo-"))
            atexit.register(self.close)
        (self.folder / "empty.toml").touch()

    def start(self, *command: str, **environ: str) -> Program:
        """Start a command of WSRC that cannot see how this user has set up WSRC."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("WSRC_")}
        for name in ("NOTIFY_SOCKET", "JOURNAL_STREAM", "FORCE_COLOR", "TTY_COMPATIBLE"):
            kept.pop(name, None)
        settings = {
            "WSRC_CONFIG": "empty.toml",
            "WSRC_TLS_CA": "ca.pem",
            "STATE_DIRECTORY": str(self.folder / "host"),
            "XDG_STATE_HOME": str(self.folder / "user"),
        }
        with self._signals.held():
            process = subprocess.Popen(
                [str(BIN / command[0]), *command[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                cwd=self.folder,
                env={**kept, **settings, **environ},
                start_new_session=True,
            )
            self._programs.append(Program(process, command[0]))
        return self._programs[-1]

    def close(self) -> None:
        """End all processes, the latest first, and remove the folder."""
        self._signals.ignore()
        while self._programs:
            self._programs[-1].stop()
            self._programs.pop()
        shutil.rmtree(self.folder, ignore_errors=True)
