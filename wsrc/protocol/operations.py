# SPDX-License-Identifier: Apache-2.0
"""Messages of those who run a server, and of users who make way for one another."""

from typing import Annotated

import msgspec

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol.fields import (
    Holder,
    HostName,
    MorePages,
    Pages,
    ShareMode,
    Unanswered,
    Whole,
    means,
)
from wsrc.protocol.parts import CardInfo, ClientType, InSession, Message, Selecting
from wsrc.words import OpenWord

Why = Annotated[str, means("Why, for those who are told; what cannot be printed is left out")]
Called = Annotated[
    str,
    means("A principal, or a name as users are shown it; case counts"),
]
PeerNumber = Annotated[
    Whole, means("Number of the connection, which no other has had since the server was started")
]
ServerRun = Annotated[
    str, means("The run of the server, which alone knows the connection by its number")
]
LeftSessions = Annotated[Whole, means("Sessions that are left on the cards of the host")]
WaitForEnd = Annotated[
    float,
    means("Seconds for which the answer waits until no session is left; 0 is not to wait"),
]


class HolderState(OpenWord):
    """How a holder has a card."""

    ATTACHING = "attaching", "The card is being reset for them"
    HELD = "held", "They have it"
    KEPT = "kept", "They are out of reach, and it is kept for them"


class HolderInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One who has a card, as `who_ack` and `revoke_ack` have it."""

    holder: Holder
    since: Annotated[str, means("When the lease began, RFC 3339 in UTC")]
    idle_s: Annotated[float, means("Seconds since it was used last; 0 while a command is open")]
    state: Annotated[HolderState, means("How they have it")]
    until: Annotated[
        str | None,
        means("When it ends unless used before, RFC 3339 in UTC; absent where that has no limit"),
    ] = None
    share: ShareMode = Share.EXCLUSIVE
    sealed: Annotated[
        bool | None, means("Whether the session is sealed; absent where that is not known")
    ] = None
    session: Annotated[
        str | None,
        means("First 8 characters of its name, as logs have it; to who may revoke alone"),
    ] = None


class WaiterInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One who waits for a card."""

    name: Holder
    since: Annotated[str, means("Since when they wait, RFC 3339 in UTC")]
    share: ShareMode = Share.EXCLUSIVE


class CardUse(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A card, or a reader that is used without one, and who has it and waits for it."""

    card: Annotated[CardInfo, means("The card, without `lease` and `others`")]
    holders: Annotated[tuple[HolderInfo, ...], means("Who has it, the oldest first")] = ()
    waiting: Annotated[Whole, means("How many wait for it")] = 0
    waiters: Annotated[
        tuple[WaiterInfo, ...],
        means("The first 16 of them in their order; to who may revoke, else none"),
    ] = ()
    lent: Annotated[str | None, means("To whom it is lent, who has not taken it yet")] = None


class Who(Selecting, frozen=True, tag="who", kw_only=True):
    """Ask who has the cards that match, and who waits for them; `*` stands for any text."""

    free: Annotated[bool, means("Only cards that nobody has")] = False
    busy: Annotated[bool, means("Only cards that somebody has")] = False
    holder: Annotated[
        str | None, means("Only cards of this principal or name; `*` stands for any text")
    ] = None
    after: Annotated[Whole, means("`next` of the page before; 0 is the beginning")] = 0
    pages: Pages = 1


class WhoAck(Message, frozen=True, tag="who_ack", kw_only=True):
    """Some or all of these cards, in pages as those of `list_cards_ack`."""

    cards: Annotated[tuple[CardUse, ...], means("At most 500, in the order of `list_cards_ack`")]
    next: Annotated[Whole | None, means("Go on: ask again with `after` set to this")] = None
    more: MorePages = False
    unanswered: Unanswered = ()


class Revoke(Selecting, frozen=True, tag="revoke", kw_only=True):
    """Take one card from those who have it; it is reset, and goes on to who waits for it."""

    holder: Annotated[
        str | None, means("Only from this principal or name; `*` stands for any text")
    ] = None
    why: Why = ""


class RevokeAck(Message, frozen=True, tag="revoke_ack", kw_only=True):
    """The sessions have ended, and the card is being reset."""

    holders: Annotated[tuple[HolderInfo, ...], means("Who had it; none where nobody did")]


class Allow(InSession, frozen=True, tag="allow", kw_only=True):
    """
    Let somebody share the card of a session, and nobody who was not let.

    It is open to them once the session has the share `shared`, by `reconnect`.
    """

    who: Called


class AllowAck(InSession, frozen=True, tag="allow_ack", kw_only=True):
    """They may share the card from now on, as far as the policy of the server lets them."""


class Lend(InSession, frozen=True, tag="lend", kw_only=True):
    """End a session, and let one user have the card next, before all who wait for it."""

    who: Called


class LendAck(InSession, frozen=True, tag="lend_ack", kw_only=True):
    """The session is over; the card is reset, and kept for the other."""

    until: Annotated[str, means("Until when it is kept for them, RFC 3339 in UTC")]


class SessionIdle(InSession, frozen=True, tag="session_idle", kw_only=True):
    """A session ends soon; to a user with the feature `idle` alone."""

    until: Annotated[str, means("When it ends, RFC 3339 in UTC")]
    in_s: Annotated[float, means("In how many seconds that is")]
    message: Annotated[str, means("A sentence for a person; it may change")]
    code: Annotated[
        ErrorCode,
        means("Why: `lease_expired` unless it is used till then, `reserved` in any case"),
    ] = ErrorCode.LEASE_EXPIRED


Undone = Annotated[
    tuple[str, ...],
    means("Servers of a cluster that did not do it: they did not answer in time, or refused"),
]


class PeerInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One connection of a server."""

    number: PeerNumber
    role: Annotated[ClientType, means("What it is to the server")]
    name: Annotated[str, means("What others are shown as its name")]
    since: Annotated[str, means("When it was opened, RFC 3339 in UTC")]
    principal: Annotated[str | None, means("Who it is, where the server knows that")] = None
    address: Annotated[str | None, means("Where it comes from")] = None
    first_form: Annotated[bool, means("It speaks the first form")] = False
    sessions: Annotated[Whole, means("Sessions that it has, or that are on its cards")] = 0
    waiting: Annotated[Whole, means("Of a user: cards that it waits for")] = 0
    readers: Annotated[Whole, means("Of a card client: readers that it announced")] = 0
    draining: Annotated[bool, means("Of a card client: it is drained")] = False
    node: Annotated[
        str | None, means("Of several servers, the other one that it is connected to")
    ] = None


class BanInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Somebody who is not let in."""

    who: Annotated[str, means("A principal, or an address")]
    until: Annotated[str, means("Until when, RFC 3339 in UTC")]
    by: Annotated[str, means("Name of the user who said so")]
    why: Annotated[str | None, means("Why")] = None
    unanswered: Undone = ()


class DrainedHost(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A card host on whose cards no session begins."""

    host: Annotated[str, means("Its name as users see it")]
    by: Annotated[str, means("Name of the user who said so")]
    why: Annotated[str | None, means("Why")] = None


class ListPeers(Message, frozen=True, tag="list_peers", kw_only=True):
    """Ask for the connections of the server."""

    after: Annotated[Whole, means("`next` of the page before; 0 is the beginning")] = 0


class ListPeersAck(Message, frozen=True, tag="list_peers_ack", kw_only=True):
    """Some or all connections that have said hello, the oldest first."""

    peers: Annotated[tuple[PeerInfo, ...], means("At most 500")]
    instance: ServerRun
    next: Annotated[Whole | None, means("Go on: ask again with `after` set to this")] = None
    unanswered: Unanswered = ()
    drained: Annotated[
        tuple[DrainedHost, ...],
        means("Of the first page: all hosts that are drained, at most 1000, connected or not"),
    ] = ()


class Kick(Message, frozen=True, tag="kick", kw_only=True):
    """Close a connection with 1008; the client may come back, and resumes what it had."""

    peer: PeerNumber
    instance: Annotated[
        str | None,
        means("`instance` of `list_peers_ack`; in another run the number is of somebody else"),
    ] = None
    end: Annotated[bool, means("End its sessions first, or those on its cards")] = False
    why: Why = ""


class KickAck(Message, frozen=True, tag="kick_ack", kw_only=True):
    """The connection is closed."""

    name: Annotated[str, means("What others were shown as its name")]
    sessions: Annotated[Whole, means("Sessions that it had")]


class Ban(Message, frozen=True, tag="ban", kw_only=True):
    """Let a principal or an address in no more for a time; sessions and connections of it end."""

    who: Annotated[
        str,
        means("A principal, or an IP address, of which one of IPv6 counts as its 64-bit network"),
    ]
    for_s: Annotated[float, means("Seconds, at most 31 536 000")]
    why: Why = ""


class BanAck(Message, frozen=True, tag="ban_ack", kw_only=True):
    """It is not let in from now on; the server knows that until it is started again."""

    ban: Annotated[BanInfo, means("The ban")]
    closed: Annotated[Whole, means("Connections that were closed")]


class Unban(Message, frozen=True, tag="unban", kw_only=True):
    """Let somebody in again."""

    who: Annotated[str, means("As in `ban`")]


class UnbanAck(Message, frozen=True, tag="unban_ack", kw_only=True):
    """They are let in."""

    unanswered: Undone = ()


class ListBans(Message, frozen=True, tag="list_bans", kw_only=True):
    """Ask who is not let in."""


class ListBansAck(Message, frozen=True, tag="list_bans_ack", kw_only=True):
    """Everybody who is not let in for now."""

    bans: Annotated[tuple[BanInfo, ...], means("At most 1000 of each server, the oldest first")]
    unanswered: Undone = ()


class Drain(Message, frozen=True, tag="drain", kw_only=True):
    """Begin no session with the cards of a host any more; those that there are go on."""

    host: HostName
    wait_s: WaitForEnd = 0.0
    why: Why = ""


class DrainAck(Message, frozen=True, tag="drain_ack", kw_only=True):
    """The host is drained, also when it connects again, until `undrain`."""

    sessions: LeftSessions


class Undrain(Message, frozen=True, tag="undrain", kw_only=True):
    """Let the cards of a host be had again."""

    host: HostName


class UndrainAck(Message, frozen=True, tag="undrain_ack", kw_only=True):
    """They can be had."""


class Stop(Message, frozen=True, tag="stop", kw_only=True):
    """End the server, as SIGTERM does: commands in flight are answered first."""

    why: Why = ""


class StopAck(Message, frozen=True, tag="stop_ack", kw_only=True):
    """The server is stopping."""


Operator = ListPeers | Kick | Ban | Unban | ListBans | Drain | Undrain | Stop
"""Requests of those who run the server."""
