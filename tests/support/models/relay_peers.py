# SPDX-License-Identifier: Apache-2.0
"""What each peer of a relay knows in the property test: what it has, asked and was asked."""

from dataclasses import dataclass, field

from tests.support.relay_clients import CardClient, OldCardClient, Peer
from wsrc.card.slot import Share
from wsrc.octets import Octets
from wsrc.protocol import messages as m

LIMITS = {
    "hello_s": 2.0,
    "attach_s": 3.0,
    "command_s": 5.0,
    "settle_s": 2.0,
    "lease_idle_s": 9.0,
    "lease_warn_s": 3.0,
    "lend_s": 2.0,
    "wait_max_s": 7.0,
    "keep_s": 4.0,
    "max_sessions_per_user": 3,
    "max_waiting": 4,
    "max_readers_per_card_client": 3,
}


@dataclass
class Asked:
    """A request of a user that is not answered; `echo` is what its card answers to it."""

    request: m.Message
    until: float
    echo: bytes | None = None


@dataclass
class Place:
    """
    A reader at a card client; `sessions` are those that were not ended yet, and their share.

    `owner` is the session that has a transaction, and `depth` how often it was begun.
    """

    info: m.ReaderInfo
    sessions: dict[str, Share] = field(default_factory=dict)
    owner: str | None = None
    depth: int = 0

    def end(self, session: str) -> None:
        """End a session, and the transaction that it has."""
        self.sessions.pop(session, None)
        if self.owner == session:
            self.owner, self.depth = None, 0


@dataclass
class Host:
    """A card client; `todo` is what it was asked, `done` what it has answered already."""

    peer: CardClient
    name: str
    instance: str
    places: dict[str, Place] = field(default_factory=dict)
    todo: list[m.Message] = field(default_factory=list)
    done: list[m.Message] = field(default_factory=list)

    def place_of(self, session: str | None) -> Place | None:
        """Return the reader that a session has."""
        return next((each for each in self.places.values() if session in each.sessions), None)

    @property
    def ready(self) -> list[m.Message]:
        """What need not wait for the end of another session's transaction."""
        return [asked for asked in self.todo if not self._must_wait(asked)]

    def _must_wait(self, asked: m.Message) -> bool:
        session = m.session_of(asked)
        place = self.place_of(session)
        waits = isinstance(asked, m.Forwarded) and not isinstance(asked, m.Status | m.GetAttribute)
        return waits and place is not None and place.owner not in {None, session}


@dataclass
class OldHost:
    """A card client of the first form; `dirty` is who sent commands since the last reset."""

    peer: OldCardClient
    question: m.Message | None = None
    dirty: str | None = None


@dataclass
class Asker:
    """A user; `held` are its sessions, `order` the open questions of a first-form user."""

    peer: Peer
    open: dict[int, Asked] = field(default_factory=dict)
    order: list[Asked] = field(default_factory=list)
    held: list[str] = field(default_factory=list)


def echo_of(command: bytes) -> Octets:
    return Octets(command[::-1])


@dataclass
class Known:
    """What its user knows of a session that can be resumed."""

    secret: str
    keep_s: float
    host: str | None
    reader: str | None
