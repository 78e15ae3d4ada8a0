# SPDX-License-Identifier: Apache-2.0
"""Cards of a server as readers in front of local programs: watched, taken, looked for again."""

import asyncio
import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wsrc.bridges.pcscd.source import OUT_OF_REACH, Seen
from wsrc.bridges.remote.session import RemoteSession
from wsrc.bridges.remote.shelf import Place, Shelf
from wsrc.card.slot import Share
from wsrc.errors import (
    CardBusyError,
    ConnectionLostError,
    ErrorCode,
    NoSuchCardError,
    ReaderUnavailableError,
    RefusedError,
    RemoteProtocolError,
    WsrcError,
)
from wsrc.net.dial import Backoff
from wsrc.net.tls_files import ClientTls
from wsrc.protocol import messages as m
from wsrc.selection import Filter
from wsrc.settings.load import UserSettings
from wsrc.user_client.aio import Card, Client, Sharing
from wsrc.user_client.core.feeds import ReaderChange, ReaderFeed, ReaderMark, ReaderSnapshot
from wsrc.user_client.core.requests import RETURN_S
from wsrc.user_client.core.watches import following
from wsrc.user_client.naming import Filters, exactly

RECONNECT_MIN_S, RECONNECT_MAX_S = 0.1, 10.0
"""Waits between attempts to reach the server."""

READY_S = 10.0
"""How long the cards that are there at the beginning may take to be shown."""

SETTLE_S = 5.0
"""How long a reader that we gave back, and take again alone, may take to be free."""

AGAIN_S = 0.02
"""How often that is asked for."""

Report = Callable[[Sequence[Seen]], None]


def clients(settings: UserSettings, tls: ClientTls | None = None) -> Callable[[], Client]:
    """Return what makes clients that replace one another; `tls` may be somebody else's as well."""
    return functools.partial(Sharing, settings, uuid.uuid4().hex, tls or ClientTls(settings))


class RemoteCards:
    """
    The cards of a server that match, whatever becomes of the connection.

    While a connection is retried, cards are as they were. A card whose host is not back yet at
    a server that was started again is out of reach, and `returning` for a while: who opens it
    waits for it.

    Args:
        make_client: Returns a client that is not connected; see `clients`.
        wanted: The cards that match any of these are shown; all, if there are none.
        say: Called with a sentence when the server is lost, and found again.
    """

    def __init__(
        self,
        make_client: Callable[[], Client],
        wanted: Sequence[Filters],
        say: Callable[[str], None],
    ) -> None:
        self._make_client = make_client
        self._say = say
        self._client: Client | None = None
        self._shelf = Shelf([Filter(m.ListCards(**each)) for each in wanted])
        self._report: Report = lambda _: None
        self.trouble: WsrcError | None = None
        """Why there is no connection; None while there is one."""
        self._away = False
        self._awaited: set[int] | None = None
        """Cards that were there at the beginning and are not known yet, by reader."""
        self._met = asyncio.Event()
        self._begun = asyncio.Event()
        self._raises = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def reachable(self) -> bool:
        """Whether there is a connection to the server."""
        return self._client is not None and self.trouble is None

    @property
    def waits(self) -> bool:
        """Whether we stand in the queue of the server while no card is free."""
        return False

    @property
    def places(self) -> Sequence[Place]:
        """All readers, with what is known of their cards."""
        return self._shelf.places

    async def met(self) -> None:
        """
        Wait until the server takes us, before it is known which cards it has; follow by `begun`.

        Raises:
            WsrcError: If it cannot be reached, or is known by now to refuse us.
        """
        self._raises = True
        await self._met.wait()
        if self.trouble is not None:
            raise self.trouble

    async def begun(self) -> None:
        """
        Wait until the cards that are there at the beginning are shown.

        Raises:
            WsrcError: If the server cannot be reached or refuses us.
        """
        self._raises = True
        await self._begun.wait()
        self._raises = False
        if self.trouble is not None:
            raise self.trouble

    async def looked(self) -> None:
        """Wait as `begun` does, also for the first failure to reach the server."""
        await self._begun.wait()

    async def run(self, report: Report) -> None:
        """Report all readers whenever one changed, and connect again for ever."""
        self._report = report
        backoff = Backoff(RECONNECT_MIN_S, RECONNECT_MAX_S)
        while True:
            try:
                async with self._make_client() as client:
                    self._client = client
                    self._met.set()
                    await self._follow(client, backoff)
            except (ConnectionLostError, RemoteProtocolError, RefusedError) as exc:
                self._lost(exc)
            finally:
                self._client = None
                self._shelf.out_of_reach()
            self._tell()
            await asyncio.sleep(backoff.wait_s())

    async def open(
        self,
        name: bytes,
        *,
        direct: bool = False,
        raw_tpdu: bool = True,
        wish: Mapping[str, Any] | None = None,
    ) -> RemoteSession:
        """
        Make the card of a reader ours, or the reader; see `CardSource.open`.

        Without `raw_tpdu` responses of T=0 are fetched and Le is corrected at the card's host.
        `wish` selects the card in place of its names, and may select that of another reader; see
        `aio.Client.select`.
        """
        client, place = self._client, self._shelf.find(name)
        if client is None:
            raise ConnectionLostError("There is no connection to the server.")
        if place is None or not (direct or place.seen.present or place.returning):
            raise NoSuchCardError("The card of this reader is not there any more.")
        place.take()
        lease, whole_only = None, False
        try:
            share = Share.DIRECT if direct else Share.EXCLUSIVE
            try:
                card = await self._select(client, place, share, wish, raw_tpdu=raw_tpdu)
            except WsrcError as exc:
                if not raw_tpdu or exc.code is not ErrorCode.NOT_SUPPORTED:
                    raise
                whole_only = True  # the host is of the first form
                card = await self._select(client, place, share, wish, raw_tpdu=False)
            if wish is not None:
                place = await self._moved(place, card)
            lease = card.info.lease
            place.hold(card)
        finally:
            place.taken(lease)
            self._tell()
        over = functools.partial(self._over, place, card)
        return RemoteSession(card, place, over, whole_only=whole_only)

    async def _moved(self, place: Place, card: Card) -> Place:
        """Return the reader of a card that was wished for, in place of the one that was asked."""
        info = card.info
        there = self._shelf.at((info.host or "", info.reader or ""))
        if there is place:
            return place
        place.taken(None)
        if there is None:
            await card.detach(wait=False)
            raise ReaderUnavailableError("The reader of the card is not known yet; try again.")
        there.take()
        return there

    @staticmethod
    async def _select(
        client: Client,
        place: Place,
        share: Share,
        wish: Mapping[str, Any] | None,
        *,
        raw_tpdu: bool,
    ) -> Card:
        """Take a card; or its reader alone, which may not be free yet after we gave it back."""
        direct, wait_s = share is Share.DIRECT, RETURN_S if place.returning else 0.0
        empty = not (place.seen.present or place.returning)
        which: dict[str, Any] = {**(exactly(place.card, empty=empty) if wish is None else wish)}
        if not which:
            raise ReaderUnavailableError("The card has no name by which it could be selected.")
        now = asyncio.get_running_loop().time
        while True:
            try:
                return await client.select(
                    wait_s=wait_s, raw_tpdu=raw_tpdu, look_ahead=raw_tpdu, share=share, **which
                )
            except CardBusyError as exc:
                if not direct or exc.holder or now() >= place.given_back + SETTLE_S:
                    raise
            await asyncio.sleep(AGAIN_S)

    def _over(self, place: Place, card: Card, why: WsrcError) -> None:
        """
        Note, before programs are told, what became of a reader that was ours.

        Why a session is over may be told after what became of its card, which is newer then.
        """
        known = place.leaving or place.came_back
        place.release(card)
        if why.code in OUT_OF_REACH and not known:
            place.lose()
        self._tell()

    def _tell(self) -> None:
        self._report(self._shelf.seen())

    def _reached(self) -> None:
        if self.trouble is not None:
            self._say("The server is there again.")
        self.trouble, self._away = None, False

    def _cut(self, exc: WsrcError) -> None:
        """Report that the connection is lost, for now."""
        if self.trouble is None:
            self._say(f"{exc} Reconnecting; the cards are kept meanwhile.")
        self.trouble = exc

    def _lost(self, exc: WsrcError) -> None:
        """Report that there is no connection until another client has one."""
        if not self._away and not self._raises:
            self._say(f"{exc} The cards are out of reach until the server is there again.")
        self.trouble, self._away = exc, True
        self._met.set()
        self._begun.set()

    async def _follow(self, client: Client, backoff: Backoff) -> None:
        """Follow on one connection after another; raise why if the client makes no other."""
        timer = asyncio.get_running_loop().call_later(READY_S, self._begun.set)
        mark: ReaderMark | None = None
        try:
            while True:
                try:
                    async with following(client, mark) as feed:
                        backoff.succeeded()
                        self._reached()
                        while True:
                            mark = await self._hear(feed)
                except ConnectionLostError as exc:
                    client.check()
                    self._cut(exc)
        finally:
            timer.cancel()
            self._stop_awaiting()

    async def _hear(self, feed: ReaderFeed) -> ReaderMark:
        """Take the next news, and return up to where readers are known by it."""
        news = await feed.next()
        assert isinstance(news, ReaderSnapshot | ReaderChange)
        if self._shelf.hear(news):
            self._tell()
        if isinstance(news, ReaderSnapshot):
            self._stop_awaiting()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(RETURN_S, self._await_no_more)
        if self._awaited is None:
            self._awaited = set(self._shelf.unknown)
        self._awaited &= self._shelf.unknown
        if not self._awaited:
            self._begun.set()
        return news.mark

    def _await_no_more(self) -> None:
        self._shelf.await_no_more()
        self._tell()

    def _stop_awaiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
