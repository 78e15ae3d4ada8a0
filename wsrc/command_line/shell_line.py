# SPDX-License-Identifier: Apache-2.0
"""The line that a person types at the prompt: its history, its completion, notes that come in."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Self

from wsrc.command_line.table import columns, folded

MAX_HISTORY = 1000
"""Lines that are kept."""

_DOWN, _SAVE, _RESTORE = "\x1bD", "\x1b7", "\x1b8"
"""Of the cursor: down in its column, where the terminal scrolls if it must; kept; put back."""


class History:
    """The lines of earlier runs for the editing of new ones, where the system can edit lines."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._readline = _readline()

    def __enter__(self) -> Self:
        if self._readline is not None:
            self._readline.set_auto_history(False)
            self._readline.clear_history()
            if self._path is not None and self._path.is_file():
                self._readline.read_history_file(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._readline is None or self._path is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600))
            self._path.chmod(0o600)
            self._readline.set_history_length(MAX_HISTORY)
            self._readline.write_history_file(self._path)
        except OSError:
            return

    def remember(self, line: str) -> None:
        """Keep a line."""
        if self._readline is not None:
            self._readline.add_history(line)


class Line:
    """
    Reads lines at a terminal; `note` may be called from any thread meanwhile.

    Args:
        complete: Returns what may stand for the last word of a line, given the words before it
            and its beginning.
    """

    def __init__(self, complete: Callable[[Sequence[str], str], Sequence[str]]) -> None:
        self._complete = complete
        self._readline = _readline()
        self._lock = threading.Lock()
        self._prompt: str | None = None
        self._found: Sequence[str] = ()
        if self._readline is not None:
            self._readline.set_completer_delims(" \t\n")
            self._readline.set_completer(self._nth)
            self._readline.parse_and_bind("tab: complete")

    def read(self, prompt: str) -> str:
        """
        Return a line.

        Raises:
            EOFError: If there is none any more.
        """
        self._prompt = prompt
        try:
            return input(prompt)
        finally:
            with self._lock:
                self._prompt = None

    def note(self, text: str) -> None:
        """Show a line above the one that is being typed, which stays as it is."""
        with self._lock:
            prompt, readline = self._prompt, self._readline
            drawn = sys.stdout.isatty() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
            if prompt is None or not drawn:
                sys.stderr.write(f"{text}\n")
            else:
                typed = readline.get_line_buffer() if readline is not None else ""
                width = shutil.get_terminal_size().columns
                sys.stderr.write(above(text, f"{prompt}{typed}", width))
            sys.stderr.flush()

    def _nth(self, text: str, number: int) -> str | None:
        """Answer readline, which asks for one after the other."""
        assert self._readline is not None
        if number == 0:
            before = self._readline.get_line_buffer()[: self._readline.get_begidx()].split()
            self._found = self._complete(before, text)
        if number >= len(self._found):
            return None
        return self._found[number] + " " * (len(self._found) == 1)


def above(text: str, line: str, width: int) -> str:
    """
    Return what shows a text above the line in which the cursor is, and puts the cursor back.

    Whoever edits the line need not know of it: rows are inserted, and the cursor stays in its
    column. A line of several rows is written again below the text instead.
    """
    if columns(line) >= width:
        return f"\n{text}\n{line}"
    rows = list(folded(text, width))
    many = len(rows)
    made = _DOWN * many + f"\x1b[{many}A{_SAVE}\r\x1b[{many}L"
    shown = "\r\n".join(rows)
    return f"{made}{shown}{_RESTORE}\x1b[{many}B"


def _readline() -> ModuleType | None:
    try:
        import readline  # noqa: PLC0415 - not every system has it
    except ImportError:
        return None
    return readline
