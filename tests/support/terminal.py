# SPDX-License-Identifier: Apache-2.0
"""A terminal that a program of ours has, and what stands on its screen."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from typing import Self

from tests.support.processes import argv, environment

LIMIT_S = 60.0

_SEQUENCE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z@])|\x1b([=>78D])|\x1b\(B")

_OWN = "import os; os.close(os.open(os.ttyname(0), os.O_RDWR)); "
"""Makes the terminal of standard input that of the session, of which the program is the leader."""


class Screen:
    """As much of ECMA-48 as our programs and readline use; lines that scroll away are kept."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.scrolled: list[str] = []
        self.row = self.column = 0
        self._saved = 0, 0
        self.cursor_shown = True
        self._rest = ""

    @property
    def lines(self) -> list[str]:
        """What is on the screen, without what is empty at its end."""
        shown = ["".join(row).rstrip() for row in self.cells]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def take(self, text: str) -> None:
        text, self._rest = self._rest + text, ""
        at = 0
        while at < len(text):
            if text[at] != "\x1b":
                self._character(text[at])
                at += 1
                continue
            found = _SEQUENCE.match(text, at)
            if found is None:
                if len(text) - at < 16:
                    self._rest = text[at:]
                    return
                raise AssertionError(f"unknown sequence {text[at : at + 16]!r}")
            if found[2]:
                self._control(found[1], found[2])
            else:
                self._short(found[3])
            at = found.end()

    def _character(self, c: str) -> None:
        match c:
            case "\r":
                self.column = 0
            case "\n":
                self._down()
            case "\b":
                self.column = max(self.column - 1, 0)
            case "\x07":
                pass
            case _:
                if self.column == self.columns:
                    self.column = 0
                    self._down()
                self.cells[self.row][self.column] = c
                self.column += 1

    def _down(self) -> None:
        if self.row + 1 < self.rows:
            self.row += 1
            return
        self.scrolled.append("".join(self.cells.pop(0)).rstrip())
        self.cells.append([" "] * self.columns)

    def _short(self, name: str | None) -> None:
        match name:
            case "7":
                self._saved = self.row, self.column
            case "8":
                self.row, self.column = self._saved
            case "D":
                self._down()

    def _control(self, digits: str, name: str) -> None:
        number = int(digits) if digits.isdigit() else 0
        many = number or 1
        match name:
            case "A" | "B":
                down = many if name == "B" else -many
                self.row = min(max(self.row + down, 0), self.rows - 1)
            case "C" | "D" | "G":
                to = {"C": self.column + many, "D": self.column - many, "G": many - 1}[name]
                self.column = min(max(to, 0), self.columns - 1)
            case "H":
                self.row = self.column = 0
            case "h" | "l" if digits == "?25":
                self.cursor_shown = name == "h"
            case "L":
                for _ in range(many):
                    self.cells.insert(self.row, [" "] * self.columns)
                    self.cells.pop()
            case "K" | "J" | "P" | "@":
                self._erase(name, number)
            case _:
                pass

    def _erase(self, name: str, number: int) -> None:
        row, many = self.cells[self.row], number or 1
        match name:
            case "P":
                del row[self.column : self.column + many]
                row += [" "] * (self.columns - len(row))
            case "@":
                row[self.column : self.column] = [" "] * many
                del row[self.columns :]
            case _:
                whole = number == 2
                start = 0 if whole else self.column
                row[start:] = [" "] * (self.columns - start)
                first = 0 if whole else self.row + 1
                for below in range(first, self.rows if name == "J" else 0):
                    self.cells[below] = [" "] * self.columns


class Terminal:
    """`wsrc` at a terminal that is its own."""

    def __init__(self, *arguments: str, columns: int = 80, rows: int = 24, **more: str) -> None:
        self.screen = Screen(columns, rows)
        self.raw = ""
        self._lock = threading.Lock()
        self._near, far = pty.openpty()
        termios.tcsetwinsize(far, (rows, columns))
        env = environment(**{"TERM": "xterm", **more})
        for name in ("COLUMNS", "LINES"):
            env.pop(name, None)
        [python, *flags, code, _] = argv("wsrc", "")
        command = [python, *flags, _OWN + code, *arguments]
        self.process = subprocess.Popen(
            command, stdin=far, stdout=far, stderr=far, env=env, start_new_session=True
        )
        os.close(far)
        self._reader = threading.Thread(target=self._read, name="terminal")
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the terminal ends with its last user
            while octets := os.read(self._near, 1 << 16):
                with self._lock:
                    text = octets.decode("utf-8", "replace")
                    self.raw += text
                    self.screen.take(text)

    @property
    def lines(self) -> list[str]:
        with self._lock:
            return [*self.screen.scrolled, *self.screen.lines]

    def type(self, text: str) -> None:
        os.write(self._near, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        with self._lock:
            self.screen = Screen(columns, rows)
        termios.tcsetwinsize(self._near, (rows, columns))

    def until(self, holds: Callable[[list[str]], object]) -> list[str]:
        """Wait until the lines on the screen are as wanted; give them."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            lines = self.lines
            if holds(lines):
                return lines
            time.sleep(0.01)
        raise AssertionError("\n".join(["It was never shown. The screen is:", *self.lines]))

    def until_shown(self, text: str) -> list[str]:
        """Wait until a text is in a line."""
        return self.until(lambda lines: any(text in line for line in lines))

    def interrupt(self) -> None:
        """Type Ctrl-C."""
        self.type("\x03")

    def ended(self) -> int:
        """Wait for the end of the program; give its exit status, when all was read."""
        status = self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.ended()
        os.close(self._near)
