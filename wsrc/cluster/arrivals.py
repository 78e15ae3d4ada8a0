# SPDX-License-Identifier: Apache-2.0
"""Data of a road as it comes, in any order and again, becomes items, each once and in order."""

import struct

from wsrc.cluster.datagrams import HEAD, MAX_GAPS, MAX_ITEM_OCTETS, MORE, PART, BrokenError, Gap

_LONGEST_GAP = 2**16 - 1


class Arrivals:
    """
    What has come.

    Args:
        ahead: Datagrams, and octets of them, that are kept before their turn.

    Attributes:
        taken: Number up to which all data has come.
        highest: Highest number that is known to have been sent.
        items, octets: What was taken since they were set to 0.
    """

    def __init__(self, ahead: tuple[int, int]) -> None:
        self.taken = self.highest = 0
        self.items = self.octets = 0
        self._most, self._most_octets = ahead
        self._ahead: dict[int, bytes] = {}
        self._ahead_octets = 0
        self._parts: list[bytes] = []
        self._parts_octets = 0

    @property
    def has_gaps(self) -> bool:
        """Whether something was sent that has not come."""
        return self.highest > self.taken

    def next(self, text: bytes) -> list[bytes]:
        """
        Take data whose turn it is, and what was kept for after it; return the items that end.

        Raises:
            BrokenError: If it is no data.
        """
        items: list[bytes] = []
        self._take(text, items)
        while self._ahead and self.taken + 1 in self._ahead:
            early = self._ahead.pop(self.taken + 1)
            self._ahead_octets -= len(early)
            self._take(early, items)
        self.highest = max(self.highest, self.taken)
        self.items += len(items)
        return items

    def early(self, number: int, text: bytes) -> bool:
        """
        Keep data that comes before its turn, if there is room; else it will be sent again.

        Return whether that is the first that is known of a gap before it.
        """
        skips = number > self.highest + 1
        fits = self._ahead_octets + len(text) <= self._most_octets
        if fits and number - self.taken <= self._most:
            self._ahead[number] = text
            self._ahead_octets += len(text)
        self.highest = max(self.highest, number)
        return skips

    def has(self, number: int) -> bool:
        """Return whether data of a number has come."""
        return number <= self.taken or number in self._ahead

    def gaps(self) -> list[Gap]:
        """Return the first gaps in what has come."""
        gaps: list[Gap] = []
        before = self.taken
        for number in (*sorted(self._ahead), self.highest + 1):
            if number > before + 1:
                gaps.append(Gap(before - self.taken, min(number - before - 1, _LONGEST_GAP)))
                if len(gaps) == MAX_GAPS:
                    break
            before = number
        return gaps

    def _take(self, text: bytes, items: list[bytes]) -> None:
        self.taken += 1
        self.octets += len(text)
        at, end = HEAD.size, len(text)
        while at < end:
            try:
                (length,) = PART.unpack_from(text, at)
            except struct.error:
                raise BrokenError("a part of an item has no length") from None
            more, length = length & MORE, length & ~MORE
            at += PART.size
            part = text[at : at + length]
            at += length
            if at > end:
                raise BrokenError("a part of an item is shorter than it says")
            if more or self._parts:
                self._join(part, items, more=bool(more))
            else:
                items.append(part)

    def _join(self, part: bytes, items: list[bytes], *, more: bool) -> None:
        """Take a part of an item that has several."""
        self._parts.append(part)
        self._parts_octets += len(part)
        if self._parts_octets > MAX_ITEM_OCTETS:
            raise BrokenError("an item is longer than one may be")
        if not more:
            items.append(b"".join(self._parts))
            self._parts, self._parts_octets = [], 0
