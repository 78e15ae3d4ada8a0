# SPDX-License-Identifier: Apache-2.0
"""
One reader that has one of many cards: any that is free, or the one that a reservation is for.

A program finds it by a name that stays, and the ATR that it is shown is that of the card which it
is given: the card is picked when it is shown, and taken when a program connects to it. It stays in
the reader as long as nobody else has it; then another is there, as if somebody had exchanged them.
"""

import secrets
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.cards import RemoteCards, Report
from wsrc.bridges.remote.names import name_of
from wsrc.bridges.remote.session import RemoteSession
from wsrc.bridges.remote.shelf import Place
from wsrc.card.slot import Pick
from wsrc.errors import ErrorCode, NoSuchCardError, RefusedError
from wsrc.protocol.messages import CardState, ListCards, ReservationInfo
from wsrc.selection import Filter
from wsrc.settings.load import UserSettings
from wsrc.user_client import blocking
from wsrc.user_client.aio import Client
from wsrc.user_client.naming import Filters, reserved

_ELSEWHERE = frozenset(
    (
        ErrorCode.CARD_BUSY,
        ErrorCode.RESERVED,
        ErrorCode.NO_SUCH_CARD,
        ErrorCode.DRAINING,
        ErrorCode.READER_IN_USE,
        ErrorCode.CARD_UNRESPONSIVE,
        ErrorCode.FORBIDDEN,
    )
)
"""Why a card is not given where another that matches may be."""


class Booked(NamedTuple):
    """The token of a reservation, and what its server says of it."""

    token: str
    info: ReservationInfo


def booked_by(settings: UserSettings, token: str) -> Booked:
    """
    Ask the server which card a token is for.

    Raises:
        RefusedError: If there is no reservation of ours that has it.
        WsrcError: If the server is not reached, or refuses us.
    """
    with blocking.Client.from_settings(settings) as client:
        found = client.reservations(token=token)
    if not found:
        why = "No reservation has this token. `wsrc reservations` shows which there are."
        raise RefusedError(ErrorCode.NO_SUCH_RESERVATION, why)
    return Booked(token, found[0])


class OneCard(RemoteCards):
    """
    One reader.

    Args:
        make_client: As of `RemoteCards`.
        which: Of the cards that match one is shown, exact, without `*`; with a reservation all are
            looked at.
        say: As of `RemoteCards`.
        booked: The reservation whose card it is, if it is that of one.
    """

    def __init__(
        self,
        make_client: Callable[[], Client],
        which: Filters,
        say: Callable[[str], None],
        booked: Booked | None = None,
    ) -> None:
        self._which: Filters = which if booked is None else reserved(booked.info)
        wanted = [self._which] if self._which and not (booked and booked.info.any) else []
        super().__init__(make_client, wanted, say)
        self._booked = booked
        self._own = Filter(ListCards(**self._which)) if booked is not None else None
        self._place: Place | None = None
        self._shown = Seen(name_of(_called(which, booked)))
        self._opening = 0

    @property
    def places(self) -> Sequence[Place]:
        """The reader of the card that is shown; none where there is no card."""
        return [self._place] if self._place is not None else []

    async def run(self, report: Report) -> None:
        """Report the reader whenever it changed, and connect again for ever."""
        self._report = report
        self._tell()
        await super().run(report)

    async def open(
        self, name: bytes, *, direct: bool = False, raw_tpdu: bool = True, wish: object = None
    ) -> RemoteSession:
        """
        Make the card that is shown ours, or another that matches; see `CardSource.open`.

        `name` and `wish` are those of the reader, whatever they are.
        """
        del name, wish
        self._choose()
        place = self._place
        if place is None:
            raise NoSuchCardError("No card is there that matches.")
        self._opening += 1
        try:
            session = await self._open(place, direct=direct, raw_tpdu=raw_tpdu)
            self._place = session.place
        finally:
            self._opening -= 1
            self._tell()
        return session

    async def _open(self, place: Place, *, direct: bool, raw_tpdu: bool) -> RemoteSession:
        shown, wish = place.seen.name, dict[str, object]()
        if self._booked is not None:
            wish = {"reservation": self._booked.token}
            return await super().open(shown, direct=direct, raw_tpdu=raw_tpdu, wish=wish)
        try:
            return await super().open(shown, direct=direct, raw_tpdu=raw_tpdu)
        except RefusedError as exc:
            if direct or exc.code not in _ELSEWHERE:
                raise
        wish = {"pick": Pick.ANY, **self._which}
        return await super().open(shown, raw_tpdu=raw_tpdu, wish=wish)

    def _tell(self) -> None:
        self._choose()
        self._report([self._seen()])

    def _choose(self) -> None:
        """Show another card where the one that is shown cannot be had, and that one can."""
        place, there = self._place, self._shelf.places
        if self._opening or (place in there and (place.held or self._suits(place))):
            return
        own = [each for each in there if self._own is not None and self._own.matches(each.card)]
        present = [each for each in own or there if each.seen.present]
        free = [each for each in there if _is_free(each)]
        if self._booked is None and free:
            self._place = secrets.choice(free)
        elif self._booked is not None and self._booked.info.any and free:
            self._place = next(filter(self._suits, own), free[0])
        elif self._booked is not None:
            self._place = next(iter(own), None)
        elif place not in there or not place.seen.present:
            self._place = next(iter(present), place)

    def _suits(self, place: Place) -> bool:
        """Return whether a card is one to connect to."""
        if self._booked is not None:
            return place.seen.present or place.returning
        return _is_free(place)

    def _seen(self) -> Seen:
        """Return how the reader is, counting cards that were exchanged."""
        before, place = self._shown, self._place
        if place is None:
            return before
        now = place.seen
        count = before.event_count + self._changes(place)
        others = 0 if self._booked is not None else now.others
        self._shown = msgspec.structs.replace(
            now, name=before.name, event_count=count, others=others
        )
        return self._shown

    _counted: tuple[Place, int] | None = None
    """The card that was shown last, and how often its reader had changed by then."""

    def _changes(self, place: Place) -> int:
        last, self._counted = self._counted, (place, place.seen.event_count)
        if last is not None and last[0] is place:
            return place.seen.event_count - last[1]
        return int(self._shown.present) + int(place.seen.present)


def _is_free(place: Place) -> bool:
    """Return whether a card can be had, as far as is known."""
    seen, card = place.seen, place.card
    there = seen.present and not seen.mute and not seen.others
    return place.returning or (there and card.state is not CardState.IN_USE and not card.draining)


def _called(which: Filters, booked: Booked | None) -> str:
    """Return what the reader is called, which no card that comes and goes changes."""
    if booked is not None:
        return f"reservation {booked.info.number}"
    tags = [f"{key}={value}" for key, value in (which.get("tags") or {}).items()]
    names = [value for value in which.values() if isinstance(value, str)]
    return " ".join(["any", *names, *tags])
