# SPDX-License-Identifier: Apache-2.0
"""
Which program has the next transaction on a reader, between one and the other.

Programs that were written for pcscd do not always keep a transaction from SELECT to the command
that relies on it, for there the next one is hardly ever another program's.
"""

import math
from typing import Final

import msgspec

GRACE_S: Final = 0.05
"""How long nobody else begins a transaction after one, while its program still has the reader."""

TURN_S: Final = 5.0
"""How long a program waits before others are not preferred to it any more."""

ASKS_AGAIN_S: Final = 0.5
"""How long a program that waits may take to ask again; libpcsclite takes 0.1 s."""


class _Wait(msgspec.Struct):
    since: float
    seen: float


class HandOver:
    """The transactions of one reader, in time; who has one is `Reader`'s."""

    def __init__(self) -> None:
        self._last: object = None
        self._until = -math.inf
        self._waits: dict[int, _Wait] = {}

    def ended(self, owner: object, now: float) -> None:
        """Note that a program has ended a transaction, and left the card as it was."""
        self._last, self._until = owner, now + GRACE_S

    def begun(self, handle: int) -> None:
        """Note that a handle has one."""
        self._waits.pop(handle, None)

    def dropped(self, handle: int, owner: object, *, last: bool) -> None:
        """Note that a handle is given back, and whether it was the last one of its owner."""
        self._waits.pop(handle, None)
        if last and self._last is owner:
            self._until = -math.inf

    def forget(self) -> None:
        """Note that the card is not as it was: nobody can rely on it."""
        self._last, self._until = None, -math.inf

    def wait(self, handle: int, now: float) -> None:
        """Note that a handle waits, and still does."""
        self._waits.setdefault(handle, _Wait(now, now)).seen = now

    def turn(self, handle: int, owner: object, now: float) -> float:
        """
        Return from when on a handle may begin while no other has a transaction.

        The program of the latest one comes first for a while, until whoever waits longest has
        waited long enough; then nobody comes before that one.

        Returns:
            A time; infinite where it is another's turn.
        """
        first = self._longest(now)
        if first is not None and now >= self._waits[first].since + TURN_S:
            return now if first == handle else math.inf
        return now if owner is self._last else max(now, self._until)

    def _longest(self, now: float) -> int | None:
        """Return who waits longest, of those that have not stopped asking."""
        while self._waits:
            first = next(iter(self._waits))
            if now <= self._waits[first].seen + ASKS_AGAIN_S:
                return first
            del self._waits[first]
        return None
