# SPDX-License-Identifier: Apache-2.0
"""The other nodes, as seen by what asks them something."""

from collections.abc import Callable, Sequence
from typing import Protocol

from wsrc.cluster.items import Item
from wsrc.protocol.messages import Message
from wsrc.relay.records import UserPeer
from wsrc.selection import Key

Home = Callable[[UserPeer, Message, bytes | None, float], None]
"""Has our own relay act on a request of a user: the message, its text if there is one, the time."""

ANSWER_S = 2.0
"""How long another node may take to answer with a page of a list, in seconds."""

FIND_S = 6.0
"""How long it may take to find who has what is meant: a NATS that is slow by 2 s delays no less."""

FIRST_AGAIN_S = 0.5
"""When a question is asked again that NATS may have lost, at first; each time after twice."""


class Outside(Protocol):
    """The other nodes."""

    @property
    def hears(self) -> bool:
        """Whether questions go out, as far as is known."""
        ...

    def up(self) -> Sequence[str]:
        """Return the names of those to which there is a road."""
        ...

    def place(self, node: str) -> int:
        """Return the place of a node: a number from 1 on that no other had since the start."""
        ...

    def at(self, place: int) -> str | None:
        """Return the node at a place, if there is a road to it."""
        ...

    def name(self, place: int) -> str | None:
        """Return the node at a place, with a road to it or without."""
        ...

    def serves(self, key: Key) -> bool:
        """Return whether our own relay has what is named so."""
        ...

    def twins(self, key: Key) -> Sequence[str]:
        """Return the nodes that have another card of a number that is here."""
        ...

    def means(self, words: str, key: Key) -> bool:
        """Return whether words stand for a key, as in subjects."""
        ...

    def arrives(self, user: UserPeer, node: str) -> None:
        """Have one of our users be one of a node as well."""
        ...

    def carry(self, node: str, item: Item) -> None:
        """Send a node an item, if there is a road to it."""
        ...

    def ask(self, key: Key, number: int) -> None:
        """Ask who has what is named so; `has` or `nobody` follows, or neither."""
        ...

    def follow(self, key: Key) -> None:
        """Have it told, by `came`, when what is named so comes up anywhere."""
        ...

    def unfollow(self, key: Key) -> None:
        """Take that back."""
        ...

    def until(self, what: tuple[str, int], when: float | None) -> None:
        """Have `expired` called at a time, or not."""
        ...
