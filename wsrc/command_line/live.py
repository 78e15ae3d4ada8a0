# SPDX-License-Identifier: Apache-2.0
"""A table at a terminal that is drawn again in its place whenever something has changed."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final, Self

Frame = Callable[[int, int], Sequence[str]]
"""Returns the lines to show, at most as many as the second number, no wider than the first."""

MOST_HZ: Final = 10
"""Drawings in a second, however much changes."""

LOOK_S: Final = 1.0
"""How long it may take to see that the size of the terminal changed."""

JOIN_S: Final = 5.0

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""What is between is shown at once, by terminals that know it."""

_TO_END_OF_LINE, _TO_END, _CLEAR = "\x1b[K", "\x1b[J", "\x1b[H\x1b[2J"


class Live:
    """
    Draws frames from `with` to its end, in a thread of its own; the last one stays.

    `frame` is called in that thread. What it shows is changed under `lock`, and then `changed`
    is called. A line is overwritten, never erased first, so that nothing flickers.
    """

    def __init__(self, frame: Frame) -> None:
        self.lock = threading.Lock()
        self._frame = frame
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._drawn = 0
        self._size = os.terminal_size((0, 0))
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)

    def changed(self) -> None:
        """Draw anew, soon."""
        self._wake.set()

    def __enter__(self) -> Self:
        self._write(_HIDE)
        self._thread.start()
        return self

    def __exit__(self, kind: object, exc: object, traceback: object) -> None:
        self._ended.set()
        self._wake.set()
        self._thread.join(JOIN_S)
        if not isinstance(exc, OSError):
            self._draw()
            self._write(f"{_SHOW}\n")

    def _run(self) -> None:
        while not self._ended.is_set():
            if self._wake.is_set() or shutil.get_terminal_size() != self._size:
                self._wake.clear()
                try:
                    self._draw()
                except OSError:  # the terminal is gone; whoever waits for news is told by SIGHUP
                    return
                self._ended.wait(1 / MOST_HZ)
            self._wake.wait(LOOK_S)

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        with self.lock:
            lines = self._frame(size.columns, size.lines)
        resized, self._size = bool(self._drawn) and size != self._size, size
        self._write(drawing(lines, 0 if resized else self._drawn, clear=resized))
        self._drawn = len(lines)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


def drawing(lines: Sequence[str], before: int, *, clear: bool = False) -> str:
    """
    Return what draws lines over those that were drawn before; the cursor stays on the last one.

    Args:
        lines: What is drawn.
        before: How many lines were drawn before.
        clear: Whether the terminal is cleared first, since their places are not known.
    """
    up = f"\x1b[{before - 1}A" if before > 1 else ""
    start = _CLEAR if clear else f"{up}\r"
    rest = _TO_END if before > len(lines) else ""
    text = f"{_TO_END_OF_LINE}\n".join(lines)
    return f"{_BEGIN}{start}{text}{_TO_END_OF_LINE}{rest}{_END}"
