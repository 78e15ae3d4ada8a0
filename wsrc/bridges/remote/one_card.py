# SPDX-License-Identifier: Apache-2.0
"""
One reader that has one of many cards: any that is free, or the one that a reservation is for.

A program finds it by a name that stays, and the ATR that it is shown is that of the card which it
is given: the card is picked when it is shown, and taken when a program connects to it. It stays in
the reader as long as nobody else has it; then another is there, as if somebody had exchanged them.

Who waits has a reader that is empty while no card is free. It stands in the queue of the server
meanwhile, and shows the card that it is given there, which is ours already.
"""

import asyncio
import functools
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.cards import RemoteCards, Report
from wsrc.bridges.remote.names import name_of
from wsrc.bridges.remote.session import RemoteSession
from wsrc.bridges.remote.shelf import Place
from wsrc.card.slot import Pick
from wsrc.errors import ErrorCode, NoSuchCardError, RefusedError, WsrcError
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


UNUSED_S: Final = 30.0
"""How long a card that was waited for is kept for a program that connects to it."""

REST_S: Final = 60.0
"""How long nobody waits after a card was given that no program connected to."""


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
        wait_s: How long to stand in the queue of the server for a card while none is free; 0 is
            not to. Nobody does again before a program had a card.
    """

    def __init__(
        self,
        make_client: Callable[[], Client],
        which: Filters,
        say: Callable[[str], None],
        booked: Booked | None = None,
        wait_s: float = 0.0,
    ) -> None:
        self._which: Filters = which if booked is None else reserved(booked.info)
        wanted = [self._which] if self._which and not (booked and booked.info.any) else []
        super().__init__(make_client, wanted, say)
        self._booked = booked
        self._own = Filter(ListCards(**self._which)) if booked is not None else None
        self._place: Place | None = None
        self._shown = Seen(name_of(_called(which, booked)))
        self._opening = 0
        self._wait_s = wait_s
        self._waits = wait_s > 0
        self._none_free = asyncio.Event()
        self._given: RemoteSession | None = None
        """The card that was waited for, until a program connects to it."""
        self._used = asyncio.Event()
        self._in_queue = False
        self._raw_tpdu = True

    @property
    def waits(self) -> bool:
        """Whether we stand in the queue of the server while no card is free."""
        return self._waits

    @property
    def places(self) -> Sequence[Place]:
        """The reader of the card that is shown; none where there is no card."""
        return [self._place] if self._place is not None else []

    async def run(self, report: Report) -> None:
        """Report the reader whenever it changed, and connect again for ever."""
        self._report = report
        self._tell()
        if not self._wait_s:
            await super().run(report)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._wait_in_turn(), name="queue")
            await super().run(report)

    async def open(
        self, name: bytes, *, direct: bool = False, raw_tpdu: bool = True, wish: object = None
    ) -> RemoteSession:
        """
        Make the card that is shown ours, or another that matches; see `CardSource.open`.

        `name` and `wish` are those of the reader, whatever they are.
        """
        del name, wish
        given = await self._take_given(raw_tpdu=raw_tpdu)
        if given is not None:
            return given
        self._choose()
        place = self._place
        if place is None:
            raise NoSuchCardError("No card is there that matches.")
        self._opening += 1
        try:
            session = await self._open(place, direct=direct, raw_tpdu=raw_tpdu)
            self._place = session.place
            self._waits = self._wait_s > 0
        finally:
            self._opening -= 1
            self._tell()
        return session

    async def _open(self, place: Place, *, direct: bool, raw_tpdu: bool) -> RemoteSession:
        shown, wish = place.seen.name, self._wish()
        if self._booked is not None:
            return await super().open(shown, direct=direct, raw_tpdu=raw_tpdu, wish=wish)
        try:
            return await super().open(shown, direct=direct, raw_tpdu=raw_tpdu)
        except RefusedError as exc:
            if direct or exc.code not in _ELSEWHERE:
                raise
        return await super().open(shown, raw_tpdu=raw_tpdu, wish=wish)

    def _wish(self) -> dict[str, Any]:
        """Return what selects any of the cards that may be in the reader."""
        if self._booked is not None:
            return {"reservation": self._booked.token}
        return {"pick": Pick.ANY, **self._which}

    async def _take_given(self, *, raw_tpdu: bool) -> RemoteSession | None:
        """Return the card that was waited for, if a program can have it as it asks for it."""
        given, self._given, before = self._given, None, self._raw_tpdu
        self._raw_tpdu = raw_tpdu
        if given is None:
            return None
        self._used.set()
        if raw_tpdu == before:
            return given
        await given.close()  # the next that is waited for speaks as this program does
        return None

    async def _wait_in_turn(self) -> None:
        """Stand in the queue of the server whenever no card is free, as long as somebody waits."""
        await self._begun.wait()
        while True:
            self._tell()
            await self._none_free.wait()
            self._none_free.clear()
            client = self._client
            if client is None or not self.reachable or not self._waits or self._place is not None:
                continue
            try:
                await self._stand_in_queue(client)
            except WsrcError as exc:
                if self.reachable:
                    self._say(str(exc))
                    self._waits = False
            else:
                await self._await_use()

    async def _stand_in_queue(self, client: Client) -> None:
        """
        Have a card of the server in our turn, and show it.

        Raises:
            WsrcError: If none is given.
        """
        self._say("No card is free; the reader is empty until one is given.")
        wish, raw = self._wish(), self._raw_tpdu
        self._in_queue = True
        try:
            card = await client.select(wait_s=self._wait_s, raw_tpdu=raw, look_ahead=raw, **wish)
        finally:
            self._in_queue = False
        there = self._shelf.at((card.info.host or "", card.info.reader or ""))
        if there is None:
            await card.detach(wait=False)
            raise NoSuchCardError("Its reader is not known yet.")
        there.hold(card)
        there.taken(card.info.lease)
        self._used.clear()
        over = functools.partial(self._over, there, card)
        self._place, self._given = there, RemoteSession(card, there, over)
        self._given.when_over(self._given_over)
        self._tell()

    def _given_over(self, _: WsrcError) -> None:
        self._given = None
        self._used.set()

    async def _await_use(self) -> None:
        """Give a card back to which no program connects, and wait for none for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(UNUSED_S):
                await self._used.wait()
        given, self._given = self._given, None
        if given is not None:
            self._say("No program connected to the card, which is given back.")
            await given.close()
            self._tell()
            await asyncio.sleep(REST_S)

    def _tell(self) -> None:
        self._choose()
        self._report([self._seen()])

    def _choose(self) -> None:
        """Show another card where the one that is shown cannot be had, and that one can."""
        place, there = self._place, self._shelf.places
        if self._in_queue:  # what becomes free is given in the order of the queue
            return
        if self._opening or (place in there and (place.held or self._suits(place))):
            return
        own = [each for each in there if self._own is not None and self._own.matches(each.card)]
        present = [each for each in own or there if each.seen.present]
        free = [each for each in there if self._is_free(each)]
        if self._waits and not free:
            self._place = None
            self._none_free.set()
        elif self._booked is None and free:
            self._place = secrets.choice(free)
        elif self._booked is not None and self._booked.info.any and free:
            self._place = next(filter(self._suits, own), free[0])
        elif self._booked is not None:
            self._place = next(iter(own), None)
        elif place not in there or not place.seen.present:
            self._place = next(iter(present), place)

    def _suits(self, place: Place) -> bool:
        """Return whether a card is one to connect to."""
        if self._booked is not None and not self._waits:
            return place.seen.present or place.returning
        return self._is_free(place)

    def _is_free(self, place: Place) -> bool:
        """Return whether a card can be had, as far as is known; a reserved one by its token."""
        seen, card = place.seen, place.card
        own = self._own is not None and self._own.matches(card)
        there = seen.present and not seen.mute and not seen.others
        kept = card.draining or (card.reserved and not own)
        return place.returning or (there and card.state is not CardState.IN_USE and not kept)

    def _seen(self) -> Seen:
        """Return how the reader is, counting cards that were exchanged."""
        before, place = self._shown, self._place
        if place is None:
            if before.present or before.unavailable:
                self._counted = None
                count = before.event_count + before.present
                self._shown = Seen(before.name, event_count=count)
            return self._shown
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


def _called(which: Filters, booked: Booked | None) -> str:
    """Return what the reader is called, which no card that comes and goes changes."""
    if booked is not None:
        return f"reservation {booked.info.number}"
    tags = [f"{key}={value}" for key, value in (which.get("tags") or {}).items()]
    names = [value for value in which.values() if isinstance(value, str)]
    return " ".join(["any", *names, *tags])
