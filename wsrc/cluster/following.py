# SPDX-License-Identifier: Apache-2.0
"""
What is waited for until it comes up anywhere: its name is followed, and asked for now and then.

News can be lost, as a question can: without a road to who has it, and without what carries it. So
what is followed is asked for again, more and more rarely, and soon where that has changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from wsrc.cluster.errands import Errand
from wsrc.cluster.outside import Outside
from wsrc.selection import Key

AGAIN = "again"
"""Kind of the deadlines by which something is asked for again."""

FIRST_S, MOST_S = 1.0, 32.0
"""After how many seconds it is asked for again, at first and at most; each time after twice."""

SOON_S, APART_S = 0.05, 0.001
"""When it is asked for where something has changed, and how far apart two questions are then."""


@dataclass(slots=True, eq=False)
class _Followed:
    key: Key
    errands: dict[int, Errand] = field(default_factory=dict[int, Errand])
    again_s: float = FIRST_S


class Following:
    """
    All names that are followed.

    Args:
        outside: The other nodes.
        new_number: Returns a number that no other question has.
    """

    def __init__(self, outside: Outside, new_number: Callable[[], int]) -> None:
        self._outside = outside
        self._new_number = new_number
        self._numbers: dict[Key, int] = {}
        self._followed: dict[int, _Followed] = {}

    def __len__(self) -> int:
        return len(self._followed)

    def enter(self, key: Key, errand: Errand, now: float) -> None:
        """Follow a name for a request."""
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = self._new_number()
            self._followed[number] = _Followed(key)
            self._outside.follow(key)
            self._outside.until((AGAIN, number), now + FIRST_S)
        self._followed[number].errands[errand.number] = errand

    def leave(self, key: Key, errand: Errand) -> None:
        """Follow it for that no longer."""
        number = self._numbers.get(key)
        if number is None:
            return
        errands = self._followed[number].errands
        errands.pop(errand.number, None)
        if not errands:
            del self._numbers[key], self._followed[number]
            self._outside.until((AGAIN, number), None)
            self._outside.unfollow(key)

    def errands(self, key: Key) -> list[Errand]:
        """Return the requests for which a name is followed."""
        number = self._numbers.get(key)
        return list(self._followed[number].errands.values()) if number is not None else []

    def key(self, number: int) -> Key | None:
        """Return the name that is asked for by a number, if it is followed."""
        followed = self._followed.get(number)
        return followed.key if followed is not None else None

    def ask(self, key: Key) -> None:
        """Ask who has what is followed."""
        number = self._numbers.get(key)
        if number is not None:
            self._outside.ask(key, number)

    def expired(self, number: int, now: float) -> None:
        """Ask for a name again, unless our own relay has what is called so."""
        followed = self._followed.get(number)
        if followed is None:
            return
        followed.again_s = min(2 * followed.again_s, MOST_S)
        self._outside.until((AGAIN, number), now + followed.again_s)
        if not self._outside.serves(followed.key):
            self._outside.ask(followed.key, number)

    def soon(self, now: float) -> None:
        """Ask for all names again, one after the other, for there may be others to answer."""
        for place, (number, followed) in enumerate(self._followed.items()):
            followed.again_s = FIRST_S / 2
            self._outside.until((AGAIN, number), now + SOON_S + place * APART_S)
