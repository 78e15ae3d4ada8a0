# SPDX-License-Identifier: Apache-2.0
"""Things by key, of which most keys have one: that one takes no collection of its own."""

from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Hashable)


class Several(Generic[K, V]):
    """
    Things by key, those of one key in the order in which they came.

    To enter, to strike and to find take as long with many as with few. A thing is no dictionary.
    """

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[K, V | dict[V, None]] = {}

    def enter(self, key: K, thing: V) -> None:
        """Enter a thing, once, under one more key."""
        same = self._found.setdefault(key, thing)
        if isinstance(same, dict):
            same[thing] = None
        elif same is not thing and same != thing:
            self._found[key] = {same: None, thing: None}

    def strike(self, key: K, thing: V) -> None:
        """Strike a thing from a key, if it is there."""
        same = self._found.get(key)
        if isinstance(same, dict):
            same.pop(thing, None)
            if not same:
                del self._found[key]
        elif same is not None and same == thing:
            del self._found[key]

    def under(self, key: K) -> Collection[V]:
        """Return the things of a key."""
        same = self._found.get(key)
        if isinstance(same, dict):
            return same
        return () if same is None else (same,)

    def copy(self) -> "Several[K, V]":
        """Return the same things under the same keys."""
        other: Several[K, V] = Several()
        other._found = {
            key: dict(same) if isinstance(same, dict) else same for key, same in self._found.items()
        }
        return other

    def __contains__(self, key: K) -> bool:
        return key in self._found

    def __len__(self) -> int:
        return len(self._found)
