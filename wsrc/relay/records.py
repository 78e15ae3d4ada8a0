# SPDX-License-Identifier: Apache-2.0
"""What the relay remembers: peers, slots, leases, waiters."""

import hashlib
import hmac
import math
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from wsrc.card.slot import Disposition, Share
from wsrc.errors import ErrorCode
from wsrc.policy.facts import Facts, in_reader
from wsrc.policy.words import ALL, Verb
from wsrc.principal import Principal
from wsrc.protocol.conversation import Phase
from wsrc.protocol.messages import (
    CardState,
    Detach,
    Error,
    Identities,
    ListCards,
    ListReaders,
    Message,
    ReaderInfo,
    ReaderState,
    Resume,
    SelectCard,
    SetComment,
    SetTags,
    WatchReaders,
    Who,
)
from wsrc.relay.audience import Audience
from wsrc.relay.kept import Change
from wsrc.selection import Key, Selection
from wsrc.states import Table, follow
from wsrc.words import Word

# Longer than the aim: peers, slots, leases, claims and waiters know one another.

MAX_REMEMBERED_ENDS = 16
"""Ended sessions whose reason a user can still be told."""

BATCH, CANCEL, RAW_TPDU, READ_AHEAD = "batch", "cancel", "raw_tpdu", "read_ahead"
"""Features of a card client that runs batches, gives up requests, and passes TPDUs as they are."""

IDLE = "idle"
"""Feature of a user client that takes `session_idle`."""

PCSC, SHARE, RESUME, SEAL = "pcsc", "share", "resume", "seal"
"""
Features of a card client that knows the PC/SC verbs, serves several sessions on a card, and keeps
a session while it has no server.
"""

KNOWN = frozenset((BATCH, CANCEL, RAW_TPDU, READ_AHEAD, PCSC, SHARE, RESUME, SEAL))
"""Features of a card client of which anything follows here."""

MAX_HOLDERS = 16
"""Sessions that share one card."""

NO_CARD = frozenset((ReaderState.EMPTY, ReaderState.UNAVAILABLE))
"""States of a reader in which users are shown no card."""

DIRECT = frozenset((ReaderState.READY, ReaderState.MUTE, ReaderState.EMPTY))
"""States of a reader that can be used without its card."""


class LeasePhase(Word):
    """Where a lease is between the reset of the card that begins it and the one that ends it."""

    ATTACHING = "attaching", "The card client was asked to reset the card for its user"
    HELD = "held", "Its user has the card"
    KEPT = "kept", "Its user is out of reach, and nobody else is given the card"
    WITHDRAWN = "withdrawn", "It ended before the card client had answered `attach`"
    ENDING = "ending", "The card client was asked to reset the card for the next user"
    OVER = "over", "It is struck from every list"


def proof_of(secret: str) -> bytes:
    """Return what tells a secret from others without having it."""
    return hashlib.sha256(secret.encode()).digest()


LeaseEvent = Literal["attached", "user lost", "resumed", "ended", "struck"]

LEASE_TRANSITIONS: Table[LeasePhase, LeaseEvent] = {
    LeasePhase.ATTACHING: {
        "attached": LeasePhase.HELD,
        "ended": LeasePhase.WITHDRAWN,
        "struck": LeasePhase.OVER,
    },
    LeasePhase.HELD: {
        "user lost": LeasePhase.KEPT,
        "resumed": LeasePhase.HELD,
        "ended": LeasePhase.ENDING,
        "struck": LeasePhase.OVER,
    },
    LeasePhase.KEPT: {
        "resumed": LeasePhase.HELD,
        "ended": LeasePhase.ENDING,
        "struck": LeasePhase.OVER,
    },
    LeasePhase.WITHDRAWN: {"attached": LeasePhase.ENDING, "struck": LeasePhase.OVER},
    LeasePhase.ENDING: {"struck": LeasePhase.OVER},
    LeasePhase.OVER: {},
}
"""
All that can become of a lease. It begins *attaching*, or *kept* where its card client brings it.

*Struck* is said of one whose card was reset after it, or is out of reach.
"""

SERVED = frozenset((LeasePhase.HELD, LeasePhase.KEPT))
"""Phases in which the card client serves the session."""

LEAVING = frozenset((LeasePhase.WITHDRAWN, LeasePhase.ENDING))
"""Phases in which the card is nobody's, and not free yet."""

_COUNTED_NO_MORE = LEAVING | {LeasePhase.OVER}


@dataclass(slots=True, eq=False, weakref_slot=True)
class Account:
    """
    Whose cards are counted together: a principal's, or an address's where nobody is known.

    `held` counts leases, kept ones too, and cards that are lent; `waiting` waiters and claims.
    """

    held: int = 0
    waiting: int = 0


Paged = ListCards | ListReaders | Who
"""Requests that are answered in pages."""

Listed = Paged | WatchReaders
"""Requests that wait until all readers are looked at."""


@dataclass(slots=True, eq=False)
class UserPeer:
    """
    A connected user client; `instance` is a digest of the one that it said.

    `audience` tells what it may do with which card, from its hello on.
    """

    number: int
    phase: Phase = Phase.GREETING
    name: str = "a user"
    instance: str | None = None
    principal: Principal | None = None
    account: Account | None = None
    audience: Audience | None = None
    leases: dict[str, "Lease"] = field(default_factory=dict[str, "Lease"])
    waiting: dict[int | None, "Waiter"] = field(default_factory=dict[int | None, "Waiter"])
    claims: dict[int | None, "Claim"] = field(default_factory=dict[int | None, "Claim"])
    ended: dict[str, Error] = field(default_factory=dict[str, Error])
    listing: Paged | None = None
    """What is left of a list that is being sent."""
    asked: deque[Listed] = field(default_factory=deque["Listed"])
    """Lists and watches that wait until all readers are looked at."""
    nonce: bytes = b""
    """What a proof that resumes a session must be for, so that no other connection can use it."""
    aliases: tuple[str, ...] = ()
    """What others may call it by beside its name: its principal."""
    warned: bool = False
    """Whether it takes `session_idle`."""
    first_form: bool = False
    address: str = ""
    direct: bool = True
    """Whether it is on the host of the server, for all that is known, and behind no proxy."""
    since: float = 0.0
    lent: int = 0
    """Cards that it lent to others who have not taken them yet."""
    drains: "dict[int, Drained] | None" = None
    """Hosts whose last session it waits for, by the request; None where it never did."""

    @property
    def called(self) -> tuple[str, ...]:
        """What others may call it by."""
        return (self.name, *self.aliases)

    @property
    def limited(self) -> bool:
        """Whether what it uses is counted."""
        return self.account is not None

    @property
    def engaged(self) -> int:
        """Cards that the user has, waits for, wants to go on with, or lends."""
        return len(self.leases) + len(self.waiting) + len(self.claims) + self.lent

    def lends(self, by: int) -> None:
        """Count cards that it lends, or that are taken, as cards that it has."""
        self.lent += by
        if self.account is not None:
            self.account.held += by

    def waits(self, by: int) -> None:
        """Count waiters and claims that come, or go."""
        if self.account is not None:
            self.account.waiting += by

    def remember_end(self, session: str, error: Error) -> None:
        """Keep the reason for which a session ended."""
        self.ended[session] = error
        if len(self.ended) > MAX_REMEMBERED_ENDS:
            del self.ended[next(iter(self.ended))]


@dataclass(slots=True, eq=False)
class CardPeer:
    """
    A connected card client; `claimed` is what it calls itself, `name` what it is called.

    `host` is what a policy calls it: its principal, else its name as it was before a number.
    `withheld` are its readers that it may not announce, by its own ids, as it said last. `limited`
    tells that what it uses is counted.
    """

    number: int
    phase: Phase = Phase.GREETING
    name: str = "a card client"
    claimed: str = ""
    host: str = ""
    instance: str | None = None
    principal: Principal | None = None
    first_form: bool = False
    limited: bool = False
    features: frozenset[str] = frozenset()
    slots: dict[str, "Slot"] = field(default_factory=dict[str, "Slot"])
    claims: dict[int, "Claim"] = field(default_factory=dict[int, "Claim"])
    withheld: dict[str, ReaderInfo] = field(default_factory=dict[str, ReaderInfo])
    address: str = ""
    since: float = 0.0
    sessions: int = 0
    """Leases of its slots, those that end as well."""
    drained: "Drained | None" = None
    """Why no session begins on its cards, if so."""


@dataclass(slots=True, eq=False)
class Drained:
    """
    A card host on whose cards no session begins, whether or not it is connected.

    `waits` are those who are answered when its last session has ended, by user and request.
    `told` tells that it was said that none is left.
    """

    host: str
    by: str
    why: str = ""
    told: bool = False
    waits: "dict[tuple[int, int], UserPeer]" = field(
        default_factory=dict[tuple[int, int], "UserPeer"]
    )


class Lent(NamedTuple):
    """For whom a card is kept, until when in monotonic seconds, and which card it is."""

    to: str
    by: UserPeer
    until: float
    insertion: int


Peer = UserPeer | CardPeer


class Needs(NamedTuple):
    """What the card client of any card must be able to do for who takes it."""

    share: Share
    raw_tpdu: bool
    protocols: bool


Ticket = tuple[float, int]


@dataclass(slots=True, eq=False)
class Waiter:
    """
    One select that is not granted yet, or whose card is being reset.

    `until` is when the wait is over, in monotonic seconds. `ticket` is the place among all: when
    the wait began, and a number that no other has. `position` is what the user was last told, and
    `told_at` when. `audience` is that of the user.
    """

    user: UserPeer
    message: SelectCard
    selection: Selection
    until: float
    ticket: Ticket = (0.0, 0)
    position: int = 0
    told_at: float = -math.inf
    audience: Audience | None = None
    reservation: int | None = None
    """Number of the reservation whose token it has."""


@dataclass(slots=True, eq=False)
class Claim:
    """
    A user wants to go on with a session; `number` is the id under which a card client is asked.

    `peer` is that card client; without one the claim waits until one comes. `session` is the name
    under which the session is looked for: another one than `message` has, which no session has,
    where that is of another principal.
    """

    number: int
    user: UserPeer
    message: Resume
    session: str
    peer: CardPeer | None = None


@dataclass(slots=True, eq=False)
class InFlight:
    """
    The one request of a session that is not answered yet; it must be by `due`, monotonic seconds.

    `cancel` is the id of a request to cancel it that is not answered yet either. `share` is what
    the lease goes back to if the request to share the card otherwise fails. With `goodbye` the user
    gives the card back once it is answered.
    """

    id: int | None
    message: Message
    due: float
    cancel: int | None = None
    share: Share | None = None
    goodbye: Detach | None = None


@dataclass(slots=True, eq=False)
class Lease:
    """
    A card that is a user's; `used` is when it was last used, in monotonic seconds.

    `user` is the connection over which it is used, None when its holder has none. `holder` names
    the user, `instance` is the run of the program that asked for the card, and `last_user` the
    number of its last connection, 0 if that is not known. `asked` is how it asked, None of a lease
    that came with its card client. `keep_s` is how long the lease outlives the connection, 0 where
    it does not, and `kept_until` when that is over, of one that is kept. `code` is why the lease
    is ended. `proof` is of the secret that resumes it, None where that was not seen.

    `disposition` is what the user wants done with the card at the end. `share` is with whom the
    user wants to share it.

    `commands` were passed to the card client; one that is asked for again after a loss counts
    again. `owner` is a digest of the principal whose it is, empty of one without; `principal` is
    who that is, None also of one that is only known by its digest. `rights` are what the user may
    do with the card, as decided last; everything as long as that is not known.

    `why` is the sentence for `code`, where others than the server decided. `sealed` is None where
    that is not known. `guests` are those who alone may share the card, None where whoever may
    share it does; all leases of a card have the same.
    """

    session: str
    slot: "Slot"
    user: UserPeer | None
    holder: str
    asked: Waiter | None
    since: float
    used: float
    instance: str | None = None
    last_user: int = 0
    keep_s: float = 0.0
    phase: LeasePhase = LeasePhase.ATTACHING
    disposition: Disposition = Disposition.RESET
    share: Share = Share.EXCLUSIVE
    in_flight: InFlight | None = None
    kept_until: float = math.inf
    code: ErrorCode | None = None
    proof: bytes | None = None
    account: Account | None = None
    commands: int = 0
    owner: str = ""
    principal: Principal | None = None
    rights: frozenset[Verb] = ALL
    why: str | None = None
    sealed: bool | None = None
    was_last: bool = False
    """Whether its user may ask what became of a last request that was not passed on."""
    guests: set[str] | None = None
    reservation: int | None = None
    """Number of the reservation with whose token it was taken."""
    knew: int = 0
    """Number of the last reservation that there was when it began; 0 where that is not known."""

    def loses_to(self, reservation: int) -> bool:
        """Return whether it ends when the time of a reservation of its card begins."""
        if self.reservation == reservation:
            return False
        return self.reservation is not None or self.knew >= reservation

    def may_be_of(self, message: Resume) -> bool:
        """Return whether a `resume` is of the session, or may be, for all that is known."""
        if self.proof is None or message.proof is not None:
            return True
        return hmac.compare_digest(self.proof, proof_of(message.secret))

    def turn(self, event: LeaseEvent) -> None:
        """Go on to the phase that an event leads to; it must have its place in this one."""
        self.phase = follow(LEASE_TRANSITIONS, self.phase, event)
        if self.phase in _COUNTED_NO_MORE:
            self.count_for(None)

    def count_for(self, account: Account | None) -> None:
        """Count as one of an account's from now on, and of no other's."""
        if self.account is not None:
            self.account.held -= 1
        self.account = account
        if account is not None:
            account.held += 1


@dataclass(slots=True, eq=False)
class Slot:
    """
    A reader of a card client; `number` is its place in lists and never used again.

    `reader` is its id, which no other reader has, and `ids` all by which it is found. Its card
    client knows it by that in `info`. `names` are those of its card, or of the reader where there
    is none, in their normal form; `keys` are those under which it is filed. `judged` are the facts
    by which a policy was asked last. `tags` are all that users are shown, and `comment` what one
    noted; a policy looks at those tags alone that no user has set.

    `leases` has more than one only where all of them share, by session and the oldest first.
    """

    number: int
    peer: CardPeer
    info: ReaderInfo
    reader: str = ""
    ids: tuple[str, ...] = ()
    names: tuple[Key, ...] = ()
    keys: tuple[Key, ...] = ()
    leases: dict[str, Lease] = field(default_factory=dict[str, Lease])
    lent: Lent | None = None
    judged: Facts | None = None
    tags: dict[str, str] = field(default_factory=dict[str, str])
    comment: str | None = None
    reserved: int | None = None
    """Number of the reservation whose time it is."""
    used: bool = False
    """Whether a user had the card that is in it, or is about to."""
    waiting: int = 0
    """How many waited for it when they were counted last, those who would have any left out."""
    of_host: Mapping[str, str] = field(default_factory=dict[str, str])
    of_card: Mapping[str, str] = field(default_factory=dict[str, str])
    _facts: Facts | None = None
    _is_filed: bool = False

    def __post_init__(self) -> None:
        """Call the reader as its card client does, until it has a name here."""
        self.reader, self.ids = self.info.reader, (self.info.reader,)

    def renamed(self, names: tuple[Key, ...]) -> None:
        """Note what the reader and its card are called now."""
        self.names, self._is_filed = names, False

    @property
    def facts(self) -> Facts:
        """What a policy looks at; the same object as long as it is equal."""
        if not self._is_filed or self._facts is None:
            facts = in_reader(self.info, self.names, self.peer.host, self.of_host, self.of_card)
            self._facts = self._facts if facts == self._facts else facts
            self._is_filed = True
        assert self._facts is not None
        return self._facts

    @property
    def holders(self) -> list[Lease]:
        """Those who have the card or are about to; not those whose lease is ending."""
        return [each for each in self.leases.values() if each.phase not in LEAVING]

    @property
    def has_card(self) -> bool:
        """Whether users are shown a card here."""
        return self.info.state not in NO_CARD

    @property
    def state(self) -> CardState:
        """What the card is doing."""
        if self.leases:
            return CardState.ASSOCIATED if self.holders else CardState.RESETTING
        return _STATES.get(self.info.state, CardState.IN_USE)

    @property
    def lent_to(self) -> str | None:
        """For whom the card is kept that is in the reader, if for anybody."""
        lent = self.lent
        return lent.to if lent is not None and lent.insertion == self.info.insertion else None

    @property
    def guests(self) -> set[str] | None:
        """Who alone may share the card, None where whoever may share it does."""
        return next((g for e in self.leases.values() if (g := e.guests) is not None), None)

    @property
    def favoured(self) -> Collection[str]:
        """What those are called who wait for nobody."""
        lent = self.lent_to
        return (lent,) if lent is not None else self.guests or ()

    def favours(self, user: UserPeer | None) -> bool:
        """Return whether a user waits for nobody who wants the card as well."""
        favoured = self.favoured
        return user is not None and any(name in favoured for name in user.called)

    def free_for(
        self, share: Share, user: UserPeer | None = None, reservation: int | None = None
    ) -> bool:
        """
        Return whether the card can be given to a user now; without one, to whoever comes.

        `reservation` is the number of that whose token the user has.

        A card in use is free for one more who shares it, if all who have it do and one of them is
        there. Once its last holder leaves, it is free for nobody until it is reset.
        """
        if self.peer.drained is not None:
            return False
        if not self._is_for(user, reservation):
            return False
        if not self.leases:
            ready = self.info.state is ReaderState.READY
            return self.info.state in DIRECT if share is Share.DIRECT else ready
        shared = all(each.share is Share.SHARED for each in self.leases.values())
        return share is Share.SHARED and shared and self._attended and self._has_room

    def _is_for(self, user: UserPeer | None, reservation: int | None) -> bool:
        """Return whether a user is none of those for whom others are in the way."""
        if self.reserved is not None and self.reserved == reservation:
            return True
        if self.reserved is not None and not any(
            each.reservation == self.reserved for each in self.holders
        ):
            return False  # else who took it with the token decides who shares it
        kept = self.lent_to is not None or self.guests is not None or self.reserved is not None
        return not kept or self.favours(user)

    @property
    def _has_room(self) -> bool:
        return bool(self.holders) and len(self.leases) < MAX_HOLDERS

    @property
    def _attended(self) -> bool:
        """
        Return whether somebody who has the card is there to be joined.

        Who is about to join others that are out of reach does not count: that may fail, and would
        leave whoever comes next with a card as those left it.
        """
        phases = {lease.phase for lease in self.leases.values()}
        return LeasePhase.HELD in phases or LeasePhase.KEPT not in phases

    @property
    def settling(self) -> bool:
        """Whether the card is about to be free: it is being reset or identified."""
        return self.state in {CardState.RESETTING, CardState.IDENTIFYING}

    def identities(self) -> Identities:
        """Return the identities as the first form names them."""
        info = self.info
        return Identities(
            atr=str(info.atr or ""), eid=info.eids[0] if info.eids else None, iccid=info.iccid
        )


class Pending(NamedTuple):
    """A change that the shell is asked to keep: who wants it, and of which reader."""

    user: UserPeer
    request: SetTags | SetComment
    slot: Slot
    change: Change


_STATES = {
    **dict.fromkeys(
        (ReaderState.IDENTIFYING, ReaderState.EMPTY, ReaderState.UNAVAILABLE),
        CardState.IDENTIFYING,
    ),
    ReaderState.READY: CardState.READY,
    ReaderState.MUTE: CardState.MUTE,
    ReaderState.IN_USE: CardState.IN_USE,
}
