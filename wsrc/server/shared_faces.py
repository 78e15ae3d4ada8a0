# SPDX-License-Identifier: Apache-2.0
"""What servers share, as `Tokens` and `State`: each call waits for the thread that knows it."""

from collections.abc import Mapping, Sequence
from typing import Self

from wsrc.protocol.messages import ClientType
from wsrc.relay.effects import Book
from wsrc.relay.kept import Change, Kept
from wsrc.relay.reservations import Booking, Numbering
from wsrc.server.shared_state import SharedState
from wsrc.server.state import Stored, Told


class SharedTokens:
    """
    Tokens that servers share; a `Tokens`.

    Args:
        shared: All that is shared, which has been started.
        closes: Whether the end of this is its end too.
    """

    def __init__(self, shared: SharedState, *, closes: bool = False) -> None:
        self._shared = shared
        self._closes = closes
        self._seen = -1

    @property
    def where(self) -> str:
        """Which bucket has them."""
        return self._shared.where

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Use it no more."""
        if self._closes:
            self._shared.close()

    def add(self, name: str, role: ClientType, now: float, expires: float | None) -> str:
        """Make a token and return it; nobody can return it again."""
        return self._shared.run(self._shared.add_token(name, role, now, expires))

    def all(self) -> list[Stored]:
        """Return all tokens, by their numbers."""
        return self._shared.run(self._shared.tokens())

    def revoke(self, which: Sequence[str]) -> list[Stored]:
        """
        Revoke tokens, each by its number or all of a name by that; return them.

        Raises:
            ConfigError: Also if there is no such token; none is revoked then.
        """
        return self._shared.run(self._shared.revoke(which))

    def used(self, when: Mapping[int, float]) -> None:
        """Note when tokens were used last, by their numbers, where that is known much too early."""
        self._shared.run(self._shared.used(when))

    def changed(self) -> bool:
        """Return whether some have come or gone since this was asked last."""
        self._shared.run(self._shared.look())
        seen, self._seen = self._seen, self._shared.token_changes
        return seen != self._seen


class SharedNotes:
    """
    What users noted, and reservations, that servers share; a `State`.

    Args:
        shared: All that is shared, which has been started.
    """

    def __init__(self, shared: SharedState) -> None:
        self._shared = shared

    @property
    def numbering(self) -> Numbering:
        """Which numbers this server gives to reservations."""
        return self._shared.numbering

    def close(self) -> None:
        """Use it no more; who shares it ends that."""

    def follow(self, told: Told) -> None:
        """Have changes told from now on, those of our own as well, by a thread of its own."""
        self._shared.follow(told)

    def notes(self) -> dict[str, Kept]:
        """Return what is kept of cards, by their identities."""
        return self._shared.run(self._shared.noted())

    def note(self, changes: Mapping[int, tuple[str, Change]]) -> dict[int, Kept | str]:
        """Keep changes, those of a card in their order and in one step; see `State.note`."""
        return self._shared.run(self._shared.note(changes))

    def bookings(self) -> tuple[tuple[Booking, ...], int]:
        """Return the reservations that are not over, and the greatest number of all."""
        return self._shared.run(self._shared.booked())

    def book(self, changes: Sequence[Book]) -> Mapping[int, str]:
        """Keep reservations, or keep them no more; see `State.book`."""
        return self._shared.run(self._shared.book(changes))
