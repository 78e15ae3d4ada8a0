# SPDX-License-Identifier: Apache-2.0
"""What those who run a farm of cards ask for and are given over HTTP, as JSON."""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from wsrc.card.slot import Pick
from wsrc.octets import Octets
from wsrc.protocol.fields import Unanswered, means
from wsrc.protocol.operations import DrainedHost, HolderInfo, PeerInfo, WaiterInfo
from wsrc.protocol.reservations import ReservationInfo
from wsrc.server.http.values import Asked, Card, Count, Next, Selecting, Selector, Time, Value

Reason = Annotated[
    str, Meta(max_length=1000, description="Why, for those who are told; it may be cut")
]
Host = Annotated[str, Meta(min_length=1, max_length=256, description="Name of the card host")]
PerMinute = Annotated[tuple[Count, ...], means("One for each whole minute, the oldest first")]


class Use(Value, frozen=True, kw_only=True):
    """A card, or a reader that is used without one, who has it, and who waits for it."""

    card: Card
    holders: Annotated[tuple[HolderInfo, ...], means("Who has it, the oldest first")] = ()
    waiting: Annotated[Count, means("How many wait for it")] = 0
    waiters: Annotated[
        tuple[WaiterInfo, ...],
        means("The first 16 of them in their order; to who may take the card back, else none"),
    ] = ()
    lent: Annotated[str | None, means("To whom it is lent, who has not taken it yet")] = None


class Uses(Value, frozen=True, kw_only=True):
    """Who has some or all of the cards that the asker may see."""

    uses: tuple[Use, ...]
    next: Next = None


class Revoke(Selecting, frozen=True, kw_only=True):
    """Which card is taken from those who have it, and why."""

    holder: Annotated[
        Selector | None, means("Only from this principal or name; `*` stands for any text")
    ] = None
    why: Reason = ""


class Revoked(Value, frozen=True, kw_only=True):
    """The sessions have ended, and the card is being reset."""

    holders: Annotated[tuple[HolderInfo, ...], means("Who had it; none where nobody did")]


class SetTags(Selecting, frozen=True, kw_only=True):
    """Tags of one card, or of one reader, to be set and to go."""

    set: Annotated[Mapping[str, str], means("Value of each tag to set, by its key")] = {}
    unset: Annotated[
        tuple[str, ...], Meta(max_length=64, description="Keys of tags that are to go")
    ] = ()


class SetComment(Selecting, frozen=True, kw_only=True):
    """What is noted of one card, or of one reader."""

    comment: Annotated[
        str, means("At most 256 printable characters in place of those before; empty for none")
    ]


class Reserve(Selecting, frozen=True, kw_only=True):
    """
    Which card is to be kept for a time; with `any`, one of those that match.

    At least one name or tag, all of which must hold; none is needed of any card.
    """

    pick: Annotated[Pick, means("Which of the cards that match")] = Pick.ONE
    begins: Annotated[Time | None, means("When the time begins; absent is now")] = None
    for_s: Annotated[float, Meta(gt=0, le=31 * 86_400, description="How long it lasts, in seconds")]
    priority: Annotated[
        int, Meta(ge=0, le=9, description="Those of a lower one give way that have not begun")
    ] = 0


class Reserved(Value, frozen=True, kw_only=True):
    """The card is kept."""

    reservation: Annotated[ReservationInfo, means("The reservation")]
    token: Annotated[str, means("Secret with which a session takes the card; told once")]


class Reservations(Value, frozen=True, kw_only=True):
    """The asker's own reservations, and those of cards that it may see, the oldest first."""

    reservations: tuple[ReservationInfo, ...]
    next: Next = None


class Drain(Asked, frozen=True, kw_only=True):
    """On the cards of which host no session is to begin any more."""

    host: Host
    why: Reason = ""


class Undrain(Asked, frozen=True, kw_only=True):
    """The cards of which host can be had again."""

    host: Host


class Drained(Value, frozen=True, kw_only=True):
    """The host is drained, until it is not any more."""

    sessions: Annotated[Count, means("Sessions that are left on its cards")]


class Peers(Value, frozen=True, kw_only=True):
    """Some or all connections of the server, the oldest first."""

    peers: tuple[PeerInfo, ...]
    next: Next = None
    unanswered: Unanswered = ()
    drained: Annotated[
        tuple[DrainedHost, ...],
        means("Of the first page: all hosts that are drained, connected or not"),
    ] = ()


class AtrMeaning(Value, frozen=True, kw_only=True):
    """What an answer to reset says (ISO/IEC 7816-3 clause 8, ETSI TS 102 221 clause 6.3)."""

    protocols: Annotated[tuple[str, ...], means("Protocols that it offers, as `T=0`")]
    historical: Annotated[Octets, means("Historical bytes")]
    uicc: Annotated[bool, means("It has interface bytes for all protocols, as every UICC")]
    euicc: Annotated[bool, means("It announces eUICC functions")]


class Me(Value, frozen=True, kw_only=True):
    """Who asks, and what they may."""

    principal: Annotated[str | None, means("Who it is; absent where nobody is asked")] = None
    operator: Annotated[bool, means("May do what is the operator's")]
    logged_in: Annotated[bool, means("Is known by a cookie of this interface")]
    version: Annotated[str, means("Version of the server")]


class LoggedIn(Value, frozen=True, kw_only=True):
    """The cookie of the answer says who asks from now on."""

    principal: Annotated[str | None, means("Who it is; absent where nobody is asked")] = None
    until: Annotated[Time, means("Until when, unless it ends before")]


class Activity(Value, frozen=True, kw_only=True):
    """How much went through the server, for each of the last minutes, 1440 at most."""

    until: Annotated[Time, means("When the last of these minutes ended")]
    commands: Annotated[PerMinute, means("Requests of sessions in each minute")]
    busy: Annotated[PerMinute, means("Sessions at the end of each minute")]
    commands_now: Annotated[Count, means("Requests since the last of these minutes")]
    busy_now: Annotated[Count, means("Sessions now")]
