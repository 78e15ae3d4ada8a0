# SPDX-License-Identifier: Apache-2.0
"""Data that come in parts: what a card may have put together by now, in every way it may do so."""

from typing import Final

from wsrc.guard.commands import ENVELOPE, PSEUDO, Seen, succeeded

PREFIX_OCTETS: Final = 71
"""As much of data in parts as anything is judged by: a header, a length and 64 octets."""

MAX_READINGS: Final = 16
"""In so many ways may parts belong together; beyond that nobody can say what the card has."""


class Parts:
    """
    The beginnings of data that a card may hold, by the instruction that brings them.

    A part that follows its predecessor at once belongs to it. After anything else a card may have
    kept what it had, in one place or in one for each channel, or not: each part is then taken
    alone and after every beginning that was held.
    """

    def __init__(self) -> None:
        self._held: dict[int, tuple[bytes, ...]] = {}
        self._going_on: tuple[int, ...] | None = None
        self._due = 0

    @property
    def open(self) -> bool:
        """Whether the next command may be a part of what was begun."""
        return self._going_on is not None or bool(self._held)

    def goes_on(self, seen: Seen) -> bool:
        """Return whether a command surely is the next part of what the last one began."""
        return self._going_on == seen.chain

    def readings(self, seen: Seen) -> tuple[bytes, ...] | None:
        """
        Return the beginnings of what the card has once it has run a command.

        None where there are too many; nothing where all that is judged was judged before.
        """
        held = self._held.get(seen.ins, ())
        joined = [each + data for each in held for data in seen.readings]
        found = joined if self.goes_on(seen) else [*seen.readings, *joined]
        unique = tuple(dict.fromkeys(each[:PREFIX_OCTETS] for each in found))
        return unique if len(unique) <= MAX_READINGS else None

    def went(self, seen: Seen, readings: tuple[bytes, ...], sw: int | None) -> None:
        """
        Take note of a command that the card was given.

        Args:
            seen: The command.
            readings: What `readings` said of it.
            sw: What the card answered; None if that is not known.
        """
        if seen.cla == PSEUDO:
            return
        sure, done = self.goes_on(seen), sw is not None and succeeded(sw)
        held = self._held.get(seen.ins, ())
        carries = seen.carries and not seen.empty
        due = self._due if sure else _due(seen, held)
        self._due = due - len(seen.readings[0]) if carries else 0
        self._going_on = seen.chain if done and (seen.more or self._due > 0) else None
        if seen.more or carries:
            kept = readings if sure else (*held, *readings)
            self._hold(seen.ins, tuple(each for each in kept if not _is_judged(seen.ins, each)))
        elif sure and done and len(held) <= 1:
            self._hold(seen.ins, ())

    def interrupted(self) -> None:
        """Note that the card was given another command, after which a part may begin anew."""
        self._going_on = None

    def was_reset(self) -> None:
        """Forget all, as the card does."""
        self._held.clear()
        self._going_on = None

    def _hold(self, ins: int, beginnings: tuple[bytes, ...]) -> None:
        unique = tuple(dict.fromkeys(beginnings))
        if unique:
            self._held[ins] = unique
        else:
            self._held.pop(ins, None)


def _is_judged(ins: int, beginning: bytes) -> bool:
    """Return whether no further part can change what is judged of a beginning."""
    whole = _size(beginning) if ins == ENVELOPE else None
    return len(beginning) >= PREFIX_OCTETS or (whole is not None and len(beginning) >= whole)


def _due(seen: Seen, held: tuple[bytes, ...]) -> int:
    """Return how long the command is that an ENVELOPE begins to carry; 0 where that is unclear."""
    clear = not held and len(seen.readings) == 1
    return (_size(seen.readings[0]) or 0) if clear else 0


def _size(beginning: bytes) -> int | None:
    """Return the octets of a command with data up to its Le; None where it has no Lc so far."""
    if len(beginning) > 5 and beginning[4]:
        return 5 + beginning[4]
    if len(beginning) > 7 and not beginning[4]:
        return 7 + int.from_bytes(beginning[5:7])
    return None
