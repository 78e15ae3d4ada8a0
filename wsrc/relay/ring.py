# SPDX-License-Identifier: Apache-2.0
"""The last changes of readers, each with its number."""

from collections import deque
from itertools import islice

import msgspec

from wsrc.protocol.messages import Change, ReaderEvent, ReaderView


class Entry(msgspec.Struct, frozen=True):
    """One change, and the reader `before` it; None for one that came."""

    event: ReaderEvent
    before: ReaderView | None


class Ring:
    """Changes numbered from 1 on; the oldest go when there are more than `capacity`."""

    def __init__(self, capacity: int) -> None:
        self.seq = 0
        self._entries: deque[Entry] = deque(maxlen=capacity)

    def add(self, change: Change, reader: ReaderView, before: ReaderView | None) -> Entry:
        """Enter a change under the next number."""
        self.seq += 1
        entry = Entry(ReaderEvent(seq=self.seq, change=change, reader=reader), before)
        self._entries.append(entry)
        return entry

    def since(self, seq: int) -> list[Entry] | None:
        """Return the changes after `seq`, or None if some are forgotten or were never made."""
        missing = self.seq - seq
        if not 0 <= missing <= len(self._entries):
            return None
        return list(islice(self._entries, len(self._entries) - missing, None))

    def copy(self) -> "Ring":
        """Return the same changes with the same numbers."""
        other = Ring(self._entries.maxlen or 0)
        other.seq = self.seq
        other._entries.extend(self._entries)
        return other

    def __len__(self) -> int:
        return len(self._entries)
