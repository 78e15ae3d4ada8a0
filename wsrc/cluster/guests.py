# SPDX-License-Identifier: Apache-2.0
"""Users of other nodes, each with the number that it has here; none of our own has one below 0."""

from typing import NamedTuple

import msgspec

from wsrc.cluster import items
from wsrc.principal import Principal
from wsrc.protocol import codec, messages as m
from wsrc.relay.records import UserPeer

MAX_GUESTS = 50_000
"""Users of one other node at a time."""


class Known(NamedTuple):
    """What is told of one of our users to other nodes, beside what its connection says."""

    account: str | None
    hello: m.Hello

    def arrival(self, user: UserPeer, now: float) -> items.Arrive:
        """Return what another node is told of a user, who is one of the present form there."""
        who, version = user.principal, self.hello.version or m.VERSION
        return items.Arrive(
            link=user.number,
            name=who.name if who is not None else None,
            groups=tuple(sorted(who.groups)) if who is not None else (),
            account=self.account,
            address=user.address,
            hello=codec.encode(msgspec.structs.replace(self.hello, version=version)),
            nonce=user.nonce,
            age_s=now - user.since,
        )


def principal_of(item: items.Arrive) -> Principal | None:
    """Return who a user of another node is."""
    return Principal(item.name, frozenset(item.groups)) if item.name is not None else None


class Whose(NamedTuple):
    """A user of a node, by the number that it has there."""

    node: str
    link: int


class Guests:
    """All users of other nodes that are here."""

    def __init__(self) -> None:
        self._last = 0
        self._numbers: dict[str, dict[int, int]] = {}
        self._whose: dict[int, Whose] = {}

    def enter(self, node: str, link: int) -> int | None:
        """Return the number of a user from now on; None if it is one too many."""
        there = self._numbers.setdefault(node, {})
        if len(there) >= MAX_GUESTS:
            return None
        self._last -= 1
        there[link] = self._last
        self._whose[self._last] = Whose(node, link)
        return self._last

    def leave(self, number: int) -> None:
        """Strike a user."""
        whose = self._whose.pop(number, None)
        if whose is None:
            return
        there = self._numbers[whose.node]
        if there.get(whose.link) == number:
            del there[whose.link]
        if not there:
            del self._numbers[whose.node]

    def number(self, node: str, link: int) -> int | None:
        """Return the number of a user, if it is here."""
        return self._numbers.get(node, {}).get(link)

    def whose(self, number: int) -> Whose | None:
        """Return whose user has a number."""
        return self._whose.get(number)

    def of(self, node: str) -> list[int]:
        """Return the numbers of all users of a node."""
        return list(self._numbers.get(node, {}).values())

    def __len__(self) -> int:
        return len(self._whose)
