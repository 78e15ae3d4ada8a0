# SPDX-License-Identifier: Apache-2.0
"""Connections in the order in which they came, and by what they are called."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from wsrc.net.addresses import group_of
from wsrc.relay.bans import Key
from wsrc.relay.names import written
from wsrc.relay.records import CardPeer, Peer, UserPeer
from wsrc.relay.several import Several
from wsrc.selection import normal


def aliases(peer: UserPeer) -> tuple[str, ...]:
    """
    Return what a user is called by others, beside its name.

    A principal with parentheses is called as it is shown, or it could be taken for a name that
    somebody without a principal chose.
    """
    if peer.principal is None:
        return ()
    name = peer.principal.name
    return (written(name), *((name,) if "(" not in name else ()))


class Roll:
    """All connections that have said hello, and all from an address or of a principal."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._by_number: dict[int, Peer] = {}
        self._by_key: Several[Key, Peer] = Several()

    def connected(self, peer: Peer) -> None:
        """Enter a connection, which has not said hello."""
        for key in _whose(peer):
            self._by_key.enter(key, peer)

    def greeted(self, peer: Peer) -> None:
        """Enter a connection that has a name from now on."""
        self._numbers.append(peer.number)
        if len(self._numbers) > 1 and self._numbers[-2] > peer.number:
            self._numbers.sort()
        self._by_number[peer.number] = peer
        for key in _names(peer):
            self._by_key.enter(key, peer)

    def left(self, peer: Peer) -> None:
        """Strike a connection."""
        if self._by_number.pop(peer.number, None) is not None:
            del self._numbers[bisect_left(self._numbers, peer.number)]
        for key in (*_whose(peer), *_names(peer)):
            self._by_key.strike(key, peer)

    def after(self, number: int) -> Iterator[Peer]:
        """Yield the connections with higher numbers that have said hello."""
        for at in range(bisect_right(self._numbers, number), len(self._numbers)):
            yield self._by_number[self._numbers[at]]

    def users(self, name: str) -> list[UserPeer]:
        """Return the users that are called so."""
        return [peer for peer in self.of(("user", name)) if isinstance(peer, UserPeer)]

    def host(self, name: str) -> CardPeer | None:
        """Return the card host that is shown under a name; neither case nor space counts."""
        found = self.of(("host", normal("host", name)))
        return next((peer for peer in found if isinstance(peer, CardPeer)), None)

    def of(self, key: Key) -> list[Peer]:
        """Return the connections with a key, such as that of a ban."""
        return list(self._by_key.under(key))

    def __len__(self) -> int:
        return len(self._by_key)


def _whose(peer: Peer) -> list[Key]:
    keys = [("from", group_of(peer.address))] if peer.address else []
    return [*keys, ("principal", peer.principal.name)] if peer.principal is not None else keys


def _names(peer: Peer) -> list[Key]:
    if isinstance(peer, UserPeer):
        return [("user", name) for name in peer.called]
    return [("host", normal("host", peer.name))]
