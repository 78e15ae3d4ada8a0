# SPDX-License-Identifier: Apache-2.0
"""The other nodes, for what asks them something: by roads, and by subjects that they subscribe."""

from collections.abc import Callable, Iterator, Sequence

import msgspec

from wsrc.cluster import items
from wsrc.cluster.effects import Ask, Carried, Publish, Subscribe, Unsubscribe
from wsrc.cluster.errands import NUMBERS
from wsrc.cluster.names import Names
from wsrc.cluster.roads import Roads
from wsrc.cluster.served import Served
from wsrc.cluster.twins import CLAIM, Twins
from wsrc.relay.index import Index
from wsrc.relay.records import UserPeer
from wsrc.relay.timers import Timers
from wsrc.selection import Key


class Beyond:
    """
    What `outside.Outside` says, and what of us others find.

    `now` is the time of the event that is being dealt with, `hears` whether there is what carries
    questions. `clock` has the deadlines of who asks.
    `questions` are the keys that others may ask for, and `followed` those of which we are told, by
    their subjects. `enter` has one of our users be one of a node as well. `same` are the numbers of
    cards that others have as well.

    Args:
        names: Of the node.
        roads: To the others.
        served: What is here.
        index: Where our cards are filed.
        carry: Is given what is to be carried.
    """

    def __init__(
        self,
        names: Names,
        roads: Roads,
        served: Served,
        index: Index,
        carry: Callable[[Carried], None],
    ) -> None:
        self.now = 0.0
        self.hears = False
        self.clock: Timers[tuple[str, int]] = Timers()
        self.questions: dict[str, Key] = {}
        self.followed: dict[str, Key] = {}
        self.enter: Callable[[UserPeer, str], None] = lambda _user, _node: None
        self._names, self._roads, self._served, self._carry = names, roads, served, carry
        self._index = index
        self.same = Twins(names, roads, self._hosts, self._numbers, self.clock, carry)

    def up(self) -> Sequence[str]:
        """Return the names of the nodes to which there is a road."""
        return self._roads.up

    def place(self, node: str) -> int:
        """Return the place of a node."""
        return self._roads.place(node)

    def name(self, place: int) -> str | None:
        """Return the node at a place."""
        return self._roads.name(place)

    def at(self, place: int) -> str | None:
        """Return the node at a place, if there is a road to it."""
        node = self.name(place)
        return node if node in self._roads else None

    def serves(self, key: Key) -> bool:
        """Return whether a card or host of a key is here."""
        return key in self._served

    def twins(self, key: Key) -> Sequence[str]:
        """Return the nodes that have another card of a number that is here."""
        return self.same.of(key)

    def means(self, words: str, key: Key) -> bool:
        """Return whether words stand for a key, as in subjects."""
        return words == self._names.key(key)

    def arrives(self, user: UserPeer, node: str) -> None:
        """Have one of our users be one of a node as well."""
        self.enter(user, node)

    def carry(self, node: str, item: items.Item) -> None:
        """Send a node an item, if there is a road to it."""
        self._roads.send(node, item)

    def ask(self, key: Key, number: int) -> None:
        """Ask who has what is named so."""
        question = msgspec.msgpack.encode((self._names.node, number))
        self._carry(Ask(self._names.has(key), question, number))

    def follow(self, key: Key) -> None:
        """Have it told when what is named so comes up anywhere."""
        subject = self._names.came(key)
        self.followed[subject] = key
        self._carry(Subscribe(subject))

    def unfollow(self, key: Key) -> None:
        """Take that back."""
        subject = self._names.came(key)
        del self.followed[subject]
        self._carry(Unsubscribe(subject))

    def until(self, what: tuple[str, int], when: float | None) -> None:
        """Have `expired` called at a time, or not."""
        if when is None:
            self.clock.clear(what)
        else:
            self.clock.set(what, when)

    def is_asked(self, key: Key, octets: bytes) -> None:
        """Answer a node that asks for what is here."""
        try:
            node, number = msgspec.msgpack.decode(octets, type=tuple[str, int])
        except msgspec.DecodeError:
            return
        if node not in self._roads or key not in self._served:
            return
        if number == CLAIM:
            self.same.claimed(key, node)
        else:
            self.carry(node, items.Has(number, self._names.key(key), self.same.of(key)))

    def is_same(self, node: str, said: items.Same) -> None:
        """Take note of a node that has a card of a number that is here as well."""
        self.same.said(node, self.questions.get(self._names.asked(said.key)), said.hosts)

    def tell_changes(self) -> list[Key]:
        """Let other nodes find what has come, and not what is gone; return what has come."""
        came: list[Key] = []
        for key, is_there in self._served.changes().items():
            subject = self._names.has(key)
            if is_there:
                came.append(key)
                self.questions[subject] = key
                self._carry(Subscribe(subject))
                self._carry(Publish(self._names.came(key), self._names.node.encode()))
                if key[0] in NUMBERS:
                    self.same.came(key, self.now)
            else:
                self.questions.pop(subject, None)
                self.same.gone(key)
                self._carry(Unsubscribe(subject))
        return came

    def _hosts(self, key: Key) -> frozenset[str]:
        """Return the names of the card hosts here that have a card of a number."""
        return frozenset(slot.peer.name for slot in self._index.under(key))

    def _numbers(self) -> Iterator[Key]:
        return (key for key in self._served if key[0] in NUMBERS)
