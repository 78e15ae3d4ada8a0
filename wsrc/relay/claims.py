# SPDX-License-Identifier: Apache-2.0
"""
Users who claim a session, and sessions that are not leases any more.

A claim is asked of a card client, or waits for one to connect. What is remembered of sessions has
a bound, beyond which the oldest is forgotten.
"""

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from wsrc.errors import ErrorCode
from wsrc.principal import Principal
from wsrc.protocol.fields import MAX_USER_ID
from wsrc.protocol.messages import Resume
from wsrc.relay.records import CardPeer, Claim, UserPeer

FIRST_NUMBER = MAX_USER_ID
"""Ids of claims begin here: requests that users count from 1 have others."""

MAX_REMEMBERED = 10_000
"""Sessions of one kind that are remembered."""

T = TypeVar("T")

Sign = tuple[str, ...]
"""What tells that a card client may have a session: the session's name, or host and reader."""


def signs_of(message: Resume, session: str | None = None) -> list[Sign]:
    """Return the signs by which a session, or what it is called, is found when its host comes."""
    signs: list[Sign] = [(session or message.session,)]
    if message.host is not None and message.reader is not None:
        signs.append((message.host, message.reader))
    return signs


class Claims:
    """All claims; those that wait are found by the signs of their session."""

    def __init__(self) -> None:
        self._by_number: dict[int, Claim] = {}
        self._by_session: dict[str, set[int]] = {}
        self._waiting: dict[Sign, dict[int, Claim]] = {}
        self._number = FIRST_NUMBER

    def add(self, user: UserPeer, message: Resume) -> Claim:
        """Enter a claim of a user, which neither waits nor is asked yet."""
        self._number += 1
        claim = Claim(self._number, user, message, message.session)
        user.claims[message.id] = claim
        user.waits(1)
        self._by_number[claim.number] = claim
        self._by_session.setdefault(claim.session, set()).add(claim.number)
        return claim

    def divert(self, claim: Claim, session: str) -> None:
        """Let a claim be to another session than the one that its user names."""
        self._set_down(claim)
        self._leave_session(claim)
        claim.session = session
        self._by_session.setdefault(session, set()).add(claim.number)

    def remove(self, claim: Claim) -> None:
        """Strike a claim."""
        self._set_down(claim)
        del claim.user.claims[claim.message.id]
        claim.user.waits(-1)
        del self._by_number[claim.number]
        self._leave_session(claim)

    def _leave_session(self, claim: Claim) -> None:
        same = self._by_session[claim.session]
        same.remove(claim.number)
        if not same:
            del self._by_session[claim.session]

    def ask(self, claim: Claim, peer: CardPeer) -> None:
        """Note that a card client is asked."""
        self._set_down(claim)
        claim.peer = peer
        peer.claims[claim.number] = claim

    def wait(self, claim: Claim) -> None:
        """Note that a card client has to come first."""
        self._set_down(claim)
        for sign in signs_of(claim.message, claim.session):
            self._waiting.setdefault(sign, {})[claim.number] = claim

    def waiting_for(self, signs: Iterable[Sign]) -> list[Claim]:
        """Return the claims that wait for any of these signs, the first come first."""
        found = {n: claim for sign in signs for n, claim in self._waiting.get(sign, {}).items()}
        return [found[number] for number in sorted(found)]

    def numbered(self, number: int) -> Claim:
        """Return the claim of a number."""
        return self._by_number[number]

    def count(self, session: str) -> int:
        """Count the claims to a session."""
        return len(self._by_session.get(session, ()))

    def _set_down(self, claim: Claim) -> None:
        """Take a claim out of those that wait or are asked."""
        if claim.peer is not None:
            del claim.peer.claims[claim.number]
            claim.peer = None
        for sign in signs_of(claim.message, claim.session):
            waiting = self._waiting.get(sign, {})
            if waiting.pop(claim.number, None) is not None and not waiting:
                del self._waiting[sign]

    def __len__(self) -> int:
        return len(self._by_number)


class Past(NamedTuple):
    """Where a session was that is no lease any more: the number of its card client; and whose."""

    peer: int
    owner: str


class Lost(NamedTuple):
    """
    A lease whose card client, in its run `host_run`, is away; not to be kept from `until` on.

    `owner` is a digest of whose it is, and `principal` who that is. `commands` were passed on
    before. `holder` names the user, where that was known. The others are as of the lease.
    """

    since: float
    until: float
    instance: str | None
    last_user: int
    code: ErrorCode | None
    host_run: str | None = None
    owner: str = ""
    principal: Principal | None = None
    commands: int = 0
    holder: str | None = None
    why: str | None = None
    sealed: bool | None = None
    guests: set[str] | None = None
    knew: int = 0


class Remembered(Generic[T]):
    """Something about each of the sessions that were entered last."""

    def __init__(self) -> None:
        self._by_session: dict[str, T] = {}

    def put(self, session: str, what: T) -> None:
        """Remember a session; of too many the oldest is forgotten."""
        self._by_session.pop(session, None)
        self._by_session[session] = what
        if len(self._by_session) > MAX_REMEMBERED:
            del self._by_session[next(iter(self._by_session))]

    def get(self, session: str) -> T | None:
        """Return what is remembered."""
        return self._by_session.get(session)

    def pop(self, session: str) -> T | None:
        """Return what is remembered, and forget it."""
        return self._by_session.pop(session, None)
