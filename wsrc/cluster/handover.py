# SPDX-License-Identifier: Apache-2.0
"""Where the clients of a node go when it ends: to nodes that have said that they take clients."""

from collections.abc import Callable, Iterable

from wsrc.cluster import items

MOST_TOLD = 8
"""Nodes that one client is told of."""

MOST_HOST = 253
"""Characters of a name or an address."""

Say = Callable[[str, items.Item], None]
"""Sends a node an item."""


class Handover:
    """
    What nodes tell each other of where clients reach them.

    Args:
        host: Where clients reach this node alone; empty where that is not told.
        say: Sends a node an item.
    """

    def __init__(self, host: str, say: Say) -> None:
        self._host, self._say = host, say
        self._told = ""
        self._asking: dict[str, None] = {}
        self._others: dict[str, str] = {}

    def up(self, node: str, features: Iterable[str]) -> None:
        """Tell a node that there is a road to, if it knows what that means."""
        if items.TAKES in features:
            self._asking[node] = None
            if self._told:
                self._say(node, items.Takes(self._told))

    def down(self, node: str) -> None:
        """Send nobody to a node that is lost."""
        self._asking.pop(node, None)
        self._others.pop(node, None)

    def told(self, node: str, host: str) -> None:
        """Take note of where a node takes clients; empty is nowhere."""
        self._others.pop(node, None)
        if 0 < len(host) <= MOST_HOST:
            self._others[node] = host

    def serve(self) -> None:
        """Tell all that this node takes clients."""
        self._tell(self._host)

    def end(self) -> None:
        """Tell all that it takes none any more."""
        self._tell("")

    def instead(self, number: int) -> tuple[str, ...]:
        """Return where a client goes: each number begins with the next, so that all get as many."""
        hosts = sorted(set(self._others.values()))
        first = number % len(hosts) if hosts else 0
        return tuple(hosts[first:] + hosts[:first])[:MOST_TOLD]

    def _tell(self, host: str) -> None:
        if host == self._told:
            return
        self._told = host
        for node in self._asking:
            self._say(node, items.Takes(host))
