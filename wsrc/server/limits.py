# SPDX-License-Identifier: Apache-2.0
"""
What one address and one principal may use of a server: counts and rates.

A machine without I/O: time is an argument, in monotonic seconds. What is remembered has a bound:
who is connected, and `MAX_IDLE` of those who were.
"""

import ipaddress
from collections.abc import Hashable
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from wsrc.net.addresses import group_of, ip_of
from wsrc.protocol.parts import BURST_S

MAX_IDLE = 10_000
"""Addresses, and principals, without a connection that are remembered; the oldest is forgotten."""

HANDSHAKES_BURST_S = 50.0
"""For how many seconds an address can save up handshakes: all hosts behind it come back at once."""

TOLD_PER_S, TOLD_BURST = 1.0, 5.0
"""Refusals a second that are told to one address, and at once; telling costs a handshake."""

SOON_S = 5.0
"""After how many seconds one is to come again who has too many connections."""

T = TypeVar("T", bound=Hashable)


class Limit(StrEnum):
    """Limits of a server, by the names of their bounds."""

    PEERS = "max_peers"
    HALF_OPEN = "max_half_open"
    CONNECTIONS_OF_ADDRESS = "max_connections_per_address"
    CONNECTIONS_OF_PRINCIPAL = "max_connections_per_principal"
    HANDSHAKES = "handshakes_per_s"
    REQUESTS = "requests_per_s"
    OCTETS = "octets_per_s"
    WRONG = "wrong_credentials_per_min"


class Bounds(NamedTuple):
    """
    What one may use, by the names of the settings; 0 is no limit.

    Attributes:
        unlimited_from: Networks whose addresses are not limited.
    """

    max_connections_per_address: int = 0
    max_connections_per_principal: int = 0
    handshakes_per_s: float = 0.0
    requests_per_s: float = 0.0
    octets_per_s: float = 0.0
    wrong_credentials_per_min: float = 0.0
    unlimited_from: tuple[str, ...] = ()


class Refusal(NamedTuple):
    """A limit that is reached, and after how many seconds it may be otherwise."""

    limit: Limit
    retry_after_s: float


class Budget:
    """
    A rate of requests, and a burst; time is an argument, in monotonic seconds.

    Args:
        rate: Requests a second; 0 is no limit.
        burst: Requests that may come at once.
    """

    __slots__ = ("_burst", "_left", "_rate", "_seen")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._seen = 0.0

    def take(self, now: float, count: int = 1) -> float:
        """Take one, or one that counts as several; return the seconds until another may be."""
        rate = self._rate
        if not rate:
            return 0.0
        left = self._left + (now - self._seen) * rate
        self._left = left = (left if left < self._burst else self._burst) - count  # noqa: FURB136 - called for each message
        self._seen = now
        return 0.0 if left >= 0.0 else -left / rate

    def ask(self, now: float) -> float:
        """Take one if it is there; else return the seconds until it is, and take none."""
        if not self._rate:
            return 0.0
        self._left = min(self._burst, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class Usage:
    """
    What one address, or one principal, uses with all its connections.

    Attributes:
        key: Its name; that of an address is none of a principal.
        connections: How many there are now.
        requests: Requests of its users.
        octets: What its messages have.
        handshakes: Connections that are begun; of an address.
        tellings: Refusals that it is told; of an address.
        wrong: Wrong credentials; of an address.
    """

    __slots__ = ("connections", "handshakes", "key", "octets", "requests", "tellings", "wrong")

    def __init__(self, key: str, bounds: Bounds) -> None:
        self.key = key
        self.connections = 0
        requests, octets = bounds.requests_per_s, bounds.octets_per_s
        begun, wrong = bounds.handshakes_per_s, bounds.wrong_credentials_per_min
        self.requests = Budget(requests, requests * BURST_S)
        self.octets = Budget(octets, octets * BURST_S)
        self.handshakes = Budget(begun, max(1.0, begun * HANDSHAKES_BURST_S))
        self.tellings = Budget(TOLD_PER_S, TOLD_BURST)
        self.wrong = Budget(wrong / 60, wrong)


class Arrival(NamedTuple):
    """
    What becomes of a connection that was accepted.

    Attributes:
        usage: Whose it counts as; None where nobody's.
        refusal: Why it is not served, if it is not.
        told: Whether a peer that is refused is told so, which takes a handshake.
    """

    usage: Usage | None
    refusal: Refusal | None = None
    told: bool = True


class Quotas:
    """
    Counts what each address and each principal uses, and says what is too much.

    `bitten` tells how often each limit was reached since the start.

    Args:
        bounds: Of the server.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._free = [ipaddress.ip_network(each) for each in bounds.unlimited_from]
        self._usages = _Usages(bounds)
        self.bitten: dict[str, int] = {}

    def bit(self, limit: str) -> None:
        """Count that a limit was reached."""
        self.bitten[limit] = self.bitten.get(limit, 0) + 1

    def arrived(self, address: str, now: float) -> Arrival:
        """Count a connection that was accepted from an address; `left` ends it."""
        if self._is_free(address):
            return Arrival(None)
        usage = self._usages.of(f"address {group_of(address)}")
        most = self._bounds.max_connections_per_address
        refusal = None
        if most and usage.connections >= most:
            refusal = Refusal(Limit.CONNECTIONS_OF_ADDRESS, SOON_S)
        elif again_s := usage.handshakes.ask(now):
            refusal = Refusal(Limit.HANDSHAKES, again_s)
        if refusal is not None:
            self.bit(refusal.limit)
            if usage.tellings.ask(now):
                return Arrival(None, refusal, told=False)
        self._usages.enter(usage)
        return Arrival(usage, refusal)

    def let_in(self, principal: str) -> Usage | Refusal:
        """Count a connection of a principal, or say why it is one too many; `left` ends it."""
        usage = self._usages.of(f"principal {principal}")
        most = self._bounds.max_connections_per_principal
        if most and usage.connections >= most:
            self.bit(Limit.CONNECTIONS_OF_PRINCIPAL)
            return Refusal(Limit.CONNECTIONS_OF_PRINCIPAL, SOON_S)
        self._usages.enter(usage)
        return usage

    def left(self, usage: Usage) -> None:
        """Note that a connection ended that was counted for an address or a principal."""
        self._usages.leave(usage)

    def wrong(self, address: str, now: float) -> Refusal | None:
        """Note wrong credentials; return what the answer to them is where there were too many."""
        if self._is_free(address):
            return None
        usage = self._usages.of(f"address {group_of(address)}")
        again_s = usage.wrong.ask(now)
        if not again_s:
            return None
        self.bit(Limit.WRONG)
        return Refusal(Limit.WRONG, again_s)

    def _is_free(self, address: str) -> bool:
        ip = ip_of(address)
        return ip is not None and any(ip in network for network in self._free)

    def __len__(self) -> int:
        return len(self._usages)


class _Usages:
    """The usage of many: of all who are connected, and of some who were."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._connected: dict[str, Usage] = {}
        self._idle: dict[str, Usage] = {}

    def of(self, key: str) -> Usage:
        """Return the usage of one, who is the last to be forgotten now."""
        usage = self._connected.get(key)
        if usage is None:
            usage = self._idle.pop(key, None) or Usage(key, self._bounds)
            self._remember(usage)
        return usage

    def enter(self, usage: Usage) -> None:
        """Count one more connection."""
        usage.connections += 1
        if usage.connections == 1:
            self._idle.pop(usage.key, None)
            self._connected[usage.key] = usage

    def leave(self, usage: Usage) -> None:
        """Count one less."""
        usage.connections -= 1
        if not usage.connections:
            del self._connected[usage.key]
            self._remember(usage)

    def _remember(self, usage: Usage) -> None:
        """Remember one who is not connected."""
        self._idle[usage.key] = usage
        if len(self._idle) > MAX_IDLE:
            del self._idle[next(iter(self._idle))]

    def __len__(self) -> int:
        return len(self._connected) + len(self._idle)


class HalfOpen(Generic[T]):
    """
    Connections that are no WebSockets yet, by where they come from.

    Whichever way they come and go, each step takes the same time.
    """

    def __init__(self) -> None:
        self._groups: dict[str, dict[T, None]] = {}
        self._by_size: dict[int, dict[str, None]] = {}
        self._most = 0
        self._count = 0

    def enter(self, group: str, one: T) -> None:
        """Enter one that has just come."""
        members = self._groups.setdefault(group, {})
        self._resize(group, len(members), len(members) + 1)
        members[one] = None
        self._count += 1

    def leave(self, group: str, one: T) -> None:
        """Strike one that was entered."""
        members = self._groups[group]
        del members[one]
        self._resize(group, len(members) + 1, len(members))
        if not members:
            del self._groups[group]
        self._count -= 1

    def oldest_of_most(self) -> T | None:
        """Return the oldest of those that come from where the most come from."""
        largest = self._by_size.get(self._most)
        return next(iter(self._groups[next(iter(largest))])) if largest else None

    def _resize(self, group: str, before: int, after: int) -> None:
        if before:
            same = self._by_size[before]
            del same[group]
            if not same:
                del self._by_size[before]
        if after:
            self._by_size.setdefault(after, {})[group] = None
        if after > self._most or self._most not in self._by_size:
            self._most = after

    def __len__(self) -> int:
        return self._count
