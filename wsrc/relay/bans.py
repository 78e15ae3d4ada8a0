# SPDX-License-Identifier: Apache-2.0
"""Who is not let in for a time: principals and addresses."""

from collections.abc import Iterator
from typing import NamedTuple

from wsrc.net.addresses import group_of, ip_of

Key = tuple[str, str]
"""`from` and what an address counts as, or `principal` and its name."""

MAX_BANS = 1_000
"""Bans at a time."""


class Ban(NamedTuple):
    """`who` is not let in until a time in monotonic seconds; `by` said so, and `why` if at all."""

    who: str
    until: float
    by: str
    why: str


def key_of(who: str) -> Key:
    """Return what is banned with a text: the network of an address, else a principal."""
    return ("principal", who) if ip_of(who) is None else ("from", group_of(who))


class Bans:
    """All bans."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Ban] = {}

    def put(self, ban: Ban, now: float) -> bool:
        """Ban somebody, in place of an earlier ban; return whether there was room."""
        key = key_of(ban.who)
        if key not in self._by_key and sum(1 for _ in self.all(now)) >= MAX_BANS:
            return False
        self._by_key.pop(key, None)
        self._by_key[key] = ban
        return True

    def lift(self, who: str, now: float) -> Ban | None:
        """Let somebody in again; return the ban that was in force, if one was."""
        ban = self._by_key.get(key_of(who))
        if ban is None or ban.until <= now:
            return None
        return self._by_key.pop(key_of(who))

    def all(self, now: float) -> Iterator[Ban]:
        """Yield the bans that are not over, the oldest first."""
        return (ban for ban in self._by_key.values() if ban.until > now)

    def pop_over(self, now: float) -> list[Ban]:
        """Forget the bans that are over, and return them."""
        over = [key for key, ban in self._by_key.items() if ban.until <= now]
        return [self._by_key.pop(key) for key in over]

    def on(self, principal: str | None, address: str, now: float) -> Ban | None:
        """Return why whoever comes as a principal from an address is not let in, if so."""
        if not self._by_key:
            return None
        keys = [("from", group_of(address))] if address else []
        keys += [("principal", principal)] if principal is not None else []
        bans = [ban for key in keys if (ban := self._by_key.get(key)) and ban.until > now]
        return max(bans, key=lambda ban: ban.until, default=None)
