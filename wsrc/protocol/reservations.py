# SPDX-License-Identifier: Apache-2.0
"""
Cards that are kept for a time to come, as messages; `messages` has them with all others.

Times are those of a clock on a wall, RFC 3339 in UTC. A token is a secret: it is told once.
"""

from typing import Annotated

import msgspec

from wsrc.card.slot import Pick
from wsrc.protocol.fields import Holder, Whole, means
from wsrc.protocol.parts import Message, Selecting
from wsrc.words import OpenWord

Number = Annotated[Whole, means("Number of the reservation, which no other has")]
Token = Annotated[str, means("`token` of `reserve_ack`; whoever has it has the reservation")]


class ReservationState(OpenWord):
    """Where a reservation is in its time."""

    COMING = "coming", "Its time has not begun"
    READY = "ready", "Its time has begun, and the card can be had with the token"
    HELD = "held", "Its time has begun, and somebody who had the card before has it yet"
    TAKEN = "taken", "The card was taken with the token"
    AWAY = "away", "The card is not here"
    GAVE_WAY = "gave_way", "One of a higher priority has the card; it may be given back"


class ReservationInfo(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A card that is kept for a time."""

    number: Number
    card: Annotated[
        str,
        means("Kind and value of the name under which the card is kept: `iccid`, `eid`, `reader`"),
    ]
    begins: Annotated[str, means("When its time begins")]
    ends: Annotated[str, means("When its time is over")]
    state: Annotated[ReservationState, means("Where it is in its time")]
    holder: Annotated[Holder | None, means("Who made it")] = None
    host: Annotated[str | None, means("Host of the card; absent while the card is away")] = None
    reader: Annotated[str | None, means("Name of its reader; absent likewise")] = None
    any: Annotated[bool, means("Another card that matches is given where this one is away")] = False
    wish: Annotated[
        str | None, means("What any card was asked for by, in words; for the asker and operators")
    ] = None
    own: Annotated[bool, means("Whether it is the asker's")] = False
    priority: Annotated[Whole, means("As it was asked for")] = 0


class Reserve(Selecting, frozen=True, tag="reserve", kw_only=True):
    """Have one card kept for a time; with `any`, one of those that match."""

    pick: Annotated[Pick, means("Which of the cards that match")] = Pick.ONE
    begins: Annotated[
        str | None, means("When the time begins, RFC 3339 with an offset; absent is now")
    ] = None
    for_s: Annotated[float, means("How long it lasts, in seconds, at most 31 days")]
    priority: Annotated[
        Whole,
        means(
            "0 to 9: those of a lower one give way whose time has not begun, and whose card was "
            "not taken"
        ),
    ] = 0


class ReserveAck(Message, frozen=True, tag="reserve_ack", kw_only=True):
    """The card is kept; the server knows that also when it was started again."""

    reservation: Annotated[ReservationInfo, means("The reservation")]
    token: Annotated[str, means("Secret with which `select_card` takes the card; told once")]


class ListReservations(Message, frozen=True, tag="list_reservations", kw_only=True):
    """Ask for the reservations that the asker made, and for those of cards that it may list."""

    after: Annotated[Whole, means("`next` of the page before; 0 is the beginning")] = 0
    token: Annotated[Token | None, means("Ask only for the one of this token")] = None


class ListReservationsAck(Message, frozen=True, tag="list_reservations_ack", kw_only=True):
    """Some or all of these reservations, in the order of their numbers."""

    reservations: Annotated[
        tuple[ReservationInfo, ...], means("At most 500; none of a page is not the end")
    ]
    next: Annotated[Whole | None, means("Go on: ask again with `after` set to this")] = None


class CancelReservation(Message, frozen=True, tag="cancel_reservation", kw_only=True):
    """Give up a reservation; who took the card with it keeps it as anybody does."""

    number: Annotated[Number | None, means("Which; of the asker's own, or for an operator")] = None
    token: Annotated[Token | None, means("Which, for whoever has the token")] = None


class CancelReservationAck(Message, frozen=True, tag="cancel_reservation_ack", kw_only=True):
    """The reservation is gone."""

    number: Number


Reserving = Reserve | ListReservations | CancelReservation
"""Requests about reservations."""
