# SPDX-License-Identifier: Apache-2.0
"""
Numbers of our cards that a card of another node has as well, so that they name neither.

A node claims each number that it has where others are asked for it: under the subject of the
question, which only they hear who have a card of that number. They answer over their roads, so that
nobody is marked for what anybody published. A claim that is lost is made again in its turn.

A card host that is known to two nodes has moved: its card is one, and no twin.
"""

import itertools
from collections.abc import Callable, Iterator

import msgspec

from wsrc.cluster import items
from wsrc.cluster.effects import Carried, Publish
from wsrc.cluster.names import Names
from wsrc.cluster.roads import Roads
from wsrc.relay.timers import Timers
from wsrc.selection import Key

TIMER = "claims"

ROUND_S, CLAIMS = 1.0, 100
"""How often numbers are claimed anew, in seconds, and how many of them at once."""

CLAIM = 0
"""The number of a question that is none, but a claim."""

MAX_HOSTS = 16
"""Card hosts that are named of one number."""

_Hosts = frozenset[str]


class Twins:
    """
    All such numbers.

    Args:
        names: Of the node.
        roads: To the others.
        hosts: Returns the card hosts here that have a card of a number; none where none has.
        keys: Yields all numbers that are here.
        clock: Has our deadline, of the kind `TIMER`.
        carry: Is given what is to be carried.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it knows of the node, each by its name
        self,
        names: Names,
        roads: Roads,
        hosts: Callable[[Key], _Hosts],
        keys: Callable[[], Iterator[Key]],
        clock: Timers[tuple[str, int]],
        carry: Callable[[Carried], None],
    ) -> None:
        self._names, self._roads, self._hosts, self._keys = names, roads, hosts, keys
        self._clock, self._carry = clock, carry
        self._others: dict[Key, dict[str, _Hosts]] = {}
        self._to_claim: Iterator[Key] = iter(())
        self._is_due = False

    def __len__(self) -> int:
        return len(self._others)

    def of(self, key: Key) -> tuple[str, ...]:
        """Return the other nodes that have another card of a number that is here."""
        others = self._others.get(key)
        if others is None:
            return ()
        here = self._hosts(key)
        return tuple(node for node, hosts in others.items() if hosts - here)

    # What happens here

    def came(self, key: Key, now: float) -> None:
        """Claim a number that has come."""
        if self._roads.up:
            self._claim(key)
            self.up(now)

    def gone(self, key: Key) -> None:
        """Tell who has a number as well that it is here no more."""
        for node in self._others.pop(key, ()):
            self._roads.send(node, items.Same(self._names.key(key), ()))

    def up(self, now: float) -> None:
        """Claim all numbers in turn, while there is a road to another node."""
        if not self._is_due:
            self._is_due = True
            self._clock.set((TIMER, 0), now + ROUND_S)

    def down(self, node: str) -> None:
        """Forget what a node has to which there is no road."""
        for key in [key for key, others in self._others.items() if node in others]:
            self._forget(key, node)

    def expired(self, now: float) -> None:
        """Claim the next numbers anew, as long as there are any, and who could hear it."""
        self._is_due = False
        if not self._roads.up or next(self._keys(), None) is None:
            return
        some = list(itertools.islice(self._to_claim, CLAIMS))
        if not some:
            self._to_claim = iter(list(self._keys()))
        for key in some:
            if self._hosts(key):
                self._claim(key)
        self.up(now)

    # What other nodes say

    def claimed(self, key: Key, node: str) -> None:
        """Tell a node, which claims a number, that it is here as well."""
        if self._hosts(key):
            self._tell(key, node)

    def said(self, node: str, key: Key | None, hosts: tuple[str, ...]) -> None:
        """Take note of who has a number at another node; the key is None if it is not here."""
        if key is None:
            return
        if not hosts:
            self._forget(key, node)
            return
        others = self._others.setdefault(key, {})
        theirs = frozenset(hosts[:MAX_HOSTS])
        if others.get(node) != theirs:
            others[node] = theirs
            self._tell(key, node)

    def _claim(self, key: Key) -> None:
        claim = msgspec.msgpack.encode((self._names.node, CLAIM))
        self._carry(Publish(self._names.has(key), claim))

    def _tell(self, key: Key, node: str) -> None:
        hosts = tuple(itertools.islice(sorted(self._hosts(key)), MAX_HOSTS))
        self._roads.send(node, items.Same(self._names.key(key), hosts))

    def _forget(self, key: Key, node: str) -> None:
        others = self._others.get(key, {})
        others.pop(node, None)
        if not others:
            self._others.pop(key, None)
