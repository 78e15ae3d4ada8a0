# SPDX-License-Identifier: Apache-2.0
"""What the runs of a server before this one have kept."""

from collections.abc import Mapping
from typing import NamedTuple

from wsrc.relay.kept import Kept
from wsrc.relay.reservations import ALONE, Booking, Numbering
from wsrc.relay.standing import Standing


class Recalled(NamedTuple):
    """
    What outlives a run.

    Attributes:
        notes: What users noted of cards, by their identities.
        bookings: Reservations.
        last: The greatest number that a reservation ever had.
        numbering: Which numbers this server gives to reservations.
        orders: Bans and drained hosts.
    """

    notes: Mapping[str, Kept]
    bookings: tuple[Booking, ...] = ()
    last: int = 0
    numbering: Numbering = ALONE
    orders: tuple[Standing, ...] = ()
