# SPDX-License-Identifier: Apache-2.0
"""The part of `aio.Client` that has cards kept for a time to come."""

from datetime import datetime
from typing import NamedTuple, Unpack

from wsrc.card.slot import Pick
from wsrc.errors import ErrorCode, LocalProtocolError, RefusedError
from wsrc.protocol import messages as m
from wsrc.protocol.messages import ReservationInfo
from wsrc.user_client.core import arguments
from wsrc.user_client.core.watches import ReaderCalls
from wsrc.user_client.naming import Filters


class Reserved(NamedTuple):
    """A reservation that was made, and its token, which is told once."""

    reservation: ReservationInfo
    token: str


class ReservationCalls(ReaderCalls):
    """What a client can ask about reservations."""

    async def reserve(
        self,
        for_s: float,
        *,
        begins: datetime | None = None,
        pick: Pick = Pick.ONE,
        priority: int = 0,
        **which: Unpack[Filters],
    ) -> Reserved:
        """
        Have one card kept for a time; `select` with the token takes it then, also after a restart.

        Args:
            for_s: How long, in seconds, at most 31 days.
            begins: When, with its zone; None is now. At most 366 days ahead.
            pick: `ANY`: of all that match, one that is not reserved then.
            priority: 0 to 9: reservations of a lower one give way whose time has not begun.
            which: What the card must be; exactly one must match, unless any will do.

        Raises:
            NoSuchCardError: If no card matches.
            AmbiguousCardError: If several do.
            RefusedError: If the card is reserved then, the time is in the past, we may not, we have
                as many as we may, or the server cannot write.
            ConnectionLostError: If the connection is lost: what was reserved then is given up.
        """
        request = m.Reserve(
            for_s=arguments.number(for_s, "for_s"),
            begins=None if begins is None else arguments.moment(begins, "begins"),
            pick=arguments.member(pick, Pick, "pick"),
            priority=arguments.whole(priority, "priority"),
            **arguments.filters(which),
        )
        ack = await self._about_reservations(request)
        assert isinstance(ack, m.ReserveAck)
        return Reserved(ack.reservation, ack.token)

    async def reservations(self, *, token: str | None = None) -> list[ReservationInfo]:
        """
        Return our reservations, and those of cards that we may list, in the order of their times.

        Args:
            token: Return the one of this token alone; none if it is none of ours.

        Raises:
            RefusedError: If the server does not know of reservations.
            ConnectionLostError: If the connection is lost or the server does not answer in time.
        """
        found: list[ReservationInfo] = []
        after: int | None = 0
        secret = None if token is None else arguments.text(token, "token")
        while after is not None:
            asked = m.ListReservations(after=after, token=secret)
            ack = await self._about_reservations(asked)
            assert isinstance(ack, m.ListReservationsAck)
            found.extend(ack.reservations)
            after = ack.next
        return sorted(found, key=lambda each: each.begins)

    async def cancel_reservation(
        self, number: int | None = None, *, token: str | None = None
    ) -> int:
        """
        Give up a reservation of ours by its number, or any by its token; return its number.

        Raises:
            RefusedError: If there is none, it is not ours, or the server cannot write.
            ConnectionLostError: If the connection is lost: it may be given up or not.
        """
        if (number is None) == (token is None):
            raise LocalProtocolError("A reservation is given up by its number or by its token.")
        request = m.CancelReservation(
            number=None if number is None else arguments.whole(number, "number"),
            token=None if token is None else arguments.text(token, "token"),
        )
        ack = await self._about_reservations(request)
        assert isinstance(ack, m.CancelReservationAck)
        return ack.number

    async def _about_reservations(self, request: m.Reserving) -> m.Message:
        if "reservations" not in (await self._connection.greeted()).features:
            why = "The server is of a version that does not know 'reservations'."
            raise RefusedError(ErrorCode.NOT_SUPPORTED, why)
        return await self._connection.requests.ask(request, self._timeout_s)
