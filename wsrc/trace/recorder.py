# SPDX-License-Identifier: Apache-2.0
"""The latest exchanges with cards, kept in memory without what is secret in them."""

import threading
from collections import deque
from typing import Final

from wsrc.process.printable import clean
from wsrc.trace.events import Traced, text_of
from wsrc.trace.tracer import CardTrace

MAX_LINE: Final = 600
"""Characters of a line; what is longer is cut, and says so."""


class Recorder:
    """
    Keeps what sessions exchange with their cards; any thread may use it.

    PINs and keys are left out, whatever the settings of a trace say.

    Args:
        most: Exchanges that are kept; those before are counted. 0 keeps none.
    """

    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Traced] = deque(maxlen=most)
        self._seen = 0

    def card(self, reader: str) -> CardTrace:
        """Return what takes the exchanges of a card that is powered now."""
        return CardTrace(self._put, reader, secrets=False)

    def clear(self) -> None:
        """Forget all exchanges; what leaves out secrets remembers what was selected."""
        with self._lock:
            self._kept.clear()
            self._seen = 0

    def lines(self) -> list[str]:
        """Return a line for each exchange that is kept, and one for all before."""
        with self._lock:
            kept, before = list(self._kept), self._seen - len(self._kept)
        first = [f"{before} before these are not shown"] if before and kept else []
        return first + [_cut(clean(text_of(each))) for each in kept]

    def _put(self, traced: Traced) -> None:
        with self._lock:
            self._kept.append(traced)
            self._seen += 1


def _cut(line: str) -> str:
    if len(line) <= MAX_LINE:
        return line
    return f"{line[: MAX_LINE // 2]} [{len(line) - MAX_LINE} characters] {line[-MAX_LINE // 2 :]}"
