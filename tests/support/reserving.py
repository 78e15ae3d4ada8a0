# SPDX-License-Identifier: Apache-2.0
"""Two cards, of one host, and users who reserve them."""

from datetime import UTC, datetime
from typing import Any

from tests.support.relay_clients import Peer
from tests.support.relay_world import World, reader
from wsrc.protocol import messages as m
from wsrc.relay.reservations import digest_of, shown_of

ONE, TWO = "8988211000000430010", "8988211000000430028"


def at(utc: float) -> str:
    return datetime.fromtimestamp(utc, UTC).isoformat()


def bench(**limits: float) -> World:
    """Make a world in whose time it is as many seconds since 1970 as have passed."""
    world = World(**limits)
    world.card(reader("r1", ONE), reader("r2", TWO))
    return world


def reserve(user: Peer, begins: float | None = None, for_s: float = 100.0, **which: Any) -> str:
    """Reserve a card; return the token."""
    which = which or {"iccid": ONE}
    when = None if begins is None else at(begins)
    ack = user.ask(m.Reserve(id=90, begins=when, for_s=for_s, **which), m.ReserveAck)
    return ack.token


def listed(user: Peer) -> tuple[m.ReservationInfo, ...]:
    found = user.ask(m.ListReservations(id=91), m.ListReservationsAck).reservations
    return tuple(sorted(found, key=lambda each: each.begins))


def number_of(token: str) -> int:
    return shown_of(digest_of(token))
