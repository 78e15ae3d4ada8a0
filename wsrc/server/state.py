# SPDX-License-Identifier: Apache-2.0
"""
What outlives a server, whatever keeps it: SQLite for one server, NATS for those that share it.

Both keepers are used by one thread each, and block it; every method raises `ConfigError` where it
cannot be done, with a sentence for the operator, and has changed nothing then. Something new that
is to be kept has its method here, and a test that runs on both.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, Self

from wsrc.protocol.messages import ClientType
from wsrc.relay.effects import Book
from wsrc.relay.kept import Change, Kept
from wsrc.relay.reservations import Booking, Numbering

NOT_WRITTEN: Final = "The server could not write it, and its log says why. Ask its operator."


class Stored(NamedTuple):
    """
    One token, without itself; times are in seconds of UTC.

    Attributes:
        number: Of no other token, nor of one that was revoked.
        hash: SHA-256 of the token.
        name: Of the principal that it lets in.
        role: What it lets in.
        made: When it was made.
        expires: When it ends, if it does.
        used: When it was used last, if it was; a server tells that within a minute, or within ten
            where several share the tokens.
    """

    number: int
    hash: bytes
    name: str
    role: ClientType
    made: float
    expires: float | None
    used: float | None


class Tokens(Protocol):
    """Who is let in by a token. Several programs may use it at once."""

    @property
    def where(self) -> str:
        """Where they are kept, for people."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None:
        """Use it no more."""
        ...

    def add(self, name: str, role: ClientType, now: float, expires: float | None) -> str:
        """Make a token and return it; nobody can return it again."""
        ...

    def all(self) -> list[Stored]:
        """Return all tokens, by their numbers."""
        ...

    def revoke(self, which: Sequence[str]) -> list[Stored]:
        """Revoke tokens, each by its number or all of a name by that; return them."""
        ...

    def used(self, when: Mapping[int, float]) -> None:
        """Note when tokens were used last, by their numbers."""
        ...

    def changed(self) -> bool:
        """Return whether others may have changed them since this was asked last."""
        ...


Told = Callable[[str, Kept | tuple[Booking, ...]], None]
"""
Of a change that another server may have made: the identity of the card, and all that is kept of it
now, what users noted or its reservations.
"""


class State(Protocol):
    """What users noted of cards, and reservations, of one server or of several that share it."""

    @property
    def numbering(self) -> Numbering:
        """Which numbers this server gives to reservations."""
        ...

    def close(self) -> None:
        """Use it no more."""
        ...

    def follow(self, told: Told) -> None:
        """Have changes told from now on, those of our own as well, by any thread."""
        ...

    def notes(self) -> dict[str, Kept]:
        """Return what is kept of cards, by their identities."""
        ...

    def note(self, changes: Mapping[int, tuple[str, Change]]) -> dict[int, Kept | str]:
        """
        Keep changes in their order.

        Returns:
            By their numbers, what is kept of each card then, or why its change was not made.
        """
        ...

    def bookings(self) -> tuple[tuple[Booking, ...], int]:
        """Return the reservations that are kept, and the greatest number that one ever had."""
        ...

    def book(self, changes: Sequence[Book]) -> Mapping[int, str]:
        """
        Keep reservations, or keep them no more, in their order.

        Returns:
            By the numbers of changes, why they were not made; others were.
        """
        ...
