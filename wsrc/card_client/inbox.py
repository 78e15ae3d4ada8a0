# SPDX-License-Identifier: Apache-2.0
"""What the server asks of one reader, for as long as its turn has not come."""

from collections.abc import Collection
from typing import TypeVar

from wsrc.protocol import messages as m

M = TypeVar("M", bound=m.Message)

MAX_WAITING = 64
"""What may wait for one reader: a session has one request in flight, the rest is slack."""


class Inbox:
    """Messages in the order in which they came; each is told from its equals."""

    def __init__(self) -> None:
        self._waiting: list[m.Message] = []

    @property
    def empty(self) -> bool:
        """Whether nothing waits; any thread may ask."""
        return not self._waiting

    @property
    def full(self) -> bool:
        """Whether no further request is to be taken in."""
        return len(self._waiting) >= MAX_WAITING

    def put(self, message: m.Message) -> None:
        """Take a message in."""
        self._waiting.append(message)

    def has(self, message: m.Message) -> bool:
        """Return whether a message still waits."""
        return any(waiting is message for waiting in self._waiting)

    def take(self, message: m.Message) -> bool:
        """Strike a message; return whether it was there."""
        there = self.has(message)
        self._waiting = [waiting for waiting in self._waiting if waiting is not message]
        return there

    def find(self, kind: type[M], session: str) -> M | None:
        """Return the first message of a kind that waits for a session."""
        found = (w for w in self._waiting if isinstance(w, kind))
        return next((w for w in found if m.session_of(w) == session), None)

    def target(self, cancel: m.Cancel) -> m.Forwarded | None:
        """Return the request that is to be cancelled."""
        found = (w for w in self._waiting if isinstance(w, m.Forwarded) and w.id == cancel.target)
        return next((w for w in found if w.session == cancel.session), None)

    def strike_requests(self, sessions: Collection[str]) -> list[m.Forwarded]:
        """Strike the requests of sessions, and return them."""
        found = [w for w in self._waiting if isinstance(w, m.Forwarded) and w.session in sessions]
        for request in found:
            self.take(request)
        return found

    def strike_all_but(self, kind: type[m.Message]) -> list[m.Message]:
        """Strike all messages but those of one kind, and return them."""
        struck = [w for w in self._waiting if not isinstance(w, kind)]
        self._waiting = [w for w in self._waiting if isinstance(w, kind)]
        return struck
