# SPDX-License-Identifier: Apache-2.0
"""What servers share, as one of them knows it: each key at its revision, opened."""

from collections import defaultdict
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from wsrc.cluster.bucket import Entry
from wsrc.relay.kept import Kept
from wsrc.relay.reservations import Booking
from wsrc.server.shared_values import (
    CARD,
    KINDS,
    NODE,
    NOTE,
    TOKEN,
    CardValue,
    NodeValue,
    NoteValue,
    TokenValue,
    UnreadableError,
    Value,
    Vault,
)

NOTHING: Final = 0
"""Revision of a key that never was."""

V = TypeVar("V", TokenValue, NoteValue, CardValue, NodeValue)


class Held(NamedTuple):
    """A revision of a key, and its value; None where it is nothing any more, or is not read."""

    revision: int
    value: Value | None
    unreadable: str = ""


_NEVER: Final = Held(NOTHING, None)


class Mirror:
    """
    All keys.

    Args:
        vault: Opens values.
        changed: Called with what a key had and has, when that changes.
    """

    def __init__(self, vault: Vault, changed: Callable[[Value | None, Value | None], None]) -> None:
        self.vault = vault
        self._changed = changed
        self._kinds: defaultdict[str, dict[str, Held]] = defaultdict(dict)
        self._at: dict[int, tuple[int, str]] = {}

    def take(self, entry: Entry) -> str:
        """Know a key from a revision on; return why its value is not read, if so."""
        held = self._kinds[_kind(entry.key)]
        before = held.get(entry.key, _NEVER)
        if entry.revision <= before.revision:
            return ""
        why, value = "", None
        if entry.octets is not None:
            try:
                value = self.vault.open(entry.key, entry.octets)
            except UnreadableError as exc:
                why = str(exc)
        held[entry.key] = Held(entry.revision, value, why)
        if isinstance(value, CardValue):
            self._place(entry.key, before.value, value)
        if value != before.value:
            self._changed(before.value, value)
        return why

    def held(self, key: str) -> Held:
        """Return what is known of a key."""
        return self._kinds[_kind(key)].get(key, _NEVER)

    @property
    def unreadable(self) -> dict[str, str]:
        """Why values are not read, by their keys."""
        every = (each for kind in self._kinds.values() for each in kind.items())
        return {key: held.unreadable for key, held in every if held.unreadable}

    def every(self, kind: type[V]) -> list[V]:
        """Return all values of a kind."""
        held = list(self._kinds[KINDS[kind]].values())  # which another thread may add to
        return [each.value for each in held if isinstance(each.value, kind)]

    def keys(self, kind: str) -> list[str]:
        """Return all keys of a kind, also those that have nothing any more."""
        return list(self._kinds[kind])

    def note(self, identity: str) -> Kept:
        """Return what users noted of a card."""
        value = self.held(self.vault.key(NOTE, identity)).value
        return Kept(value.tags, value.comment) if isinstance(value, NoteValue) else Kept()

    def card(self, identity: str) -> CardValue:
        """Return the reservations of a card as they are kept, but those of another card by now."""
        key = self.vault.key(CARD, identity)
        value = self.held(key).value
        if not isinstance(value, CardValue):
            return CardValue(identity)
        here = tuple(p for p in value.placed if self._at.get(p.booking.number, (0, key))[1] == key)
        return CardValue(identity, value.last, here)

    def bookings(self, identity: str) -> tuple[Booking, ...]:
        """Return the reservations of a card."""
        return tuple(placed.booking for placed in self.card(identity).placed)

    def where(self, number: int) -> tuple[int, str] | None:
        """Return how often a reservation came to another card, and the key of that."""
        return self._at.get(number)

    def _place(self, key: str, before: Value | None, value: CardValue) -> None:
        there = {placed.booking.number: placed.moves for placed in value.placed}
        for placed in before.placed if isinstance(before, CardValue) else ():
            number = placed.booking.number
            if number not in there and self._at.get(number, (0, ""))[1] == key:
                del self._at[number]
        for number, moves in there.items():
            known = self._at.get(number)
            if known is None or moves >= known[0]:
                self._at[number] = moves, key


def _kind(key: str) -> str:
    return key.partition(".")[0]


def number_of(key: str) -> int:
    """Return the number in a key; -1 where there is none."""
    word = key.partition(".")[2]
    return int(word) if word.isdecimal() else -1


def token_key(number: int) -> str:
    """Return the key of a token."""
    return f"{TOKEN}.{number}"


def node_key(place: int) -> str:
    """Return the key of a server."""
    return f"{NODE}.{place}"
