# SPDX-License-Identifier: Apache-2.0
"""Cards of a server as readers of the pcscd socket: watched, taken, and looked for again."""

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable, Sequence

from wsrc.bridges.pcscd.source import OUT_OF_REACH, Seen
from wsrc.bridges.remote.shelf import Place, Shelf
from wsrc.card.slot import CardProtocol, ResetKind, Share
from wsrc.errors import (
    CardBusyError,
    ConnectionLostError,
    NoSuchCardError,
    ReaderUnavailableError,
    RefusedError,
    RemoteProtocolError,
    WsrcError,
)
from wsrc.net.dial import Backoff
from wsrc.protocol import messages as m
from wsrc.protocol.messages import CardInfo, Change
from wsrc.selection import Filter
from wsrc.settings.load import UserSettings
from wsrc.user_client.aio import Card, Client
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


def clients(settings: UserSettings) -> Callable[[], Client]:
    """Return what makes one client after another, each of which takes the place of the last."""
    return functools.partial(Client.from_settings, settings, instance=uuid.uuid4().hex)


class RemoteCards:
    """
    The cards of a server that match, whatever becomes of the connection.

    Args:
        make_client: Gives a client that is not connected; see `clients`.
        wanted: The cards that match any of these are shown.
        say: Told in a sentence when the server is lost, and found again.
    """

    def __init__(
        self,
        make_client: Callable[[], Client],
        wanted: Sequence[Filters],
        say: Callable[[str], None],
    ) -> None:
        self._make_client = make_client
        self._wanted = wanted
        self._say = say
        self._client: Client | None = None
        self._shelf = Shelf()
        self._report: Report = lambda _: None
        self._trouble: WsrcError | None = None
        self._away = False
        self._begun = asyncio.Event()
        self._raises = False

    @property
    def reachable(self) -> bool:
        """Whether there is a connection to the server."""
        return self._client is not None and self._trouble is None

    async def begun(self) -> None:
        """
        Wait until the cards that are there at the beginning are shown.

        Raises:
            WsrcError: If the server cannot be reached or refuses us.
        """
        self._raises = True
        await self._begun.wait()
        self._raises = False
        if self._trouble is not None:
            raise self._trouble

    async def run(self, report: Report) -> None:
        """Report all readers whenever one changed, and connect again for ever."""
        self._report = report
        backoff = Backoff(RECONNECT_MIN_S, RECONNECT_MAX_S)
        while True:
            try:
                async with self._make_client() as client:
                    self._client = client
                    backoff.succeeded()
                    while True:
                        await self._follow_once(client)
            except (ConnectionLostError, RemoteProtocolError, RefusedError) as exc:
                self._lost(exc)
            finally:
                self._client = None
                self._shelf.out_of_reach()
            self._tell()
            await asyncio.sleep(backoff.wait_s())

    def open(self, name: bytes, *, direct: bool = False) -> "Awaitable[RemoteSession]":
        """Make the card of a reader ours, or the reader; see `CardSource.open`."""
        return self._open(name, direct=direct)

    async def _open(self, name: bytes, *, direct: bool) -> "RemoteSession":
        client, place = self._client, self._shelf.find(name)
        if client is None:
            raise ConnectionLostError("There is no connection to the server.")
        if place is None or not (direct or place.seen.present):
            raise NoSuchCardError("The card of this reader is not there any more.")
        place.take()
        lease = None
        try:
            card = await self._select(client, place, direct=direct)
            lease = card.info.lease
            place.hold(card)
        finally:
            place.taken(lease)
            self._tell()
        return RemoteSession(card, place, functools.partial(self._over, place, card))

    @staticmethod
    async def _select(client: Client, place: Place, *, direct: bool) -> Card:
        """Take a card; or its reader alone, which may not be free yet after we gave it back."""
        share = Share.DIRECT if direct else Share.EXCLUSIVE
        which = exactly(place.card, empty=not place.seen.present)
        if not which:
            raise ReaderUnavailableError("The card has no name by which it could be selected.")
        now = asyncio.get_running_loop().time
        while True:
            try:
                return await client.select(raw_tpdu=True, look_ahead=True, share=share, **which)
            except CardBusyError as exc:
                if not direct or exc.holder or now() >= place.given_back + SETTLE_S:
                    raise
            await asyncio.sleep(AGAIN_S)

    def _over(self, place: Place, card: Card, why: WsrcError) -> None:
        """Note, before programs are told, what became of a reader that was ours."""
        place.release(card)
        if why.code in OUT_OF_REACH:
            place.lose()
        self._tell()

    async def _follow_once(self, client: Client) -> None:
        """Follow until a connection is lost; raise why if the client makes no other."""
        try:
            await self._follow(client)
        except ConnectionLostError as exc:
            client.check()
            self._cut(exc)
            self._shelf.doubt()

    def _tell(self) -> None:
        self._report(self._shelf.seen())

    def _reached(self) -> None:
        if self._trouble is not None:
            self._say("The server is there again.")
        self._trouble, self._away = None, False

    def _cut(self, exc: WsrcError) -> None:
        """Say that the connection is lost, for now."""
        if self._trouble is None:
            self._say(f"{exc} It is being made again; the cards are kept meanwhile.")
        self._trouble = exc

    def _lost(self, exc: WsrcError) -> None:
        """Say that there is no connection until another client has one."""
        if not self._away and not self._raises:
            self._say(f"{exc} The cards are out of reach until the server is there again.")
        self._trouble, self._away = exc, True
        self._begun.set()

    async def _follow(self, client: Client) -> None:
        timer = asyncio.get_running_loop().call_later(READY_S, self._begun.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_readers(client), name="readers")
                await self._follow_cards(client, tasks)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            timer.cancel()

    async def _follow_cards(self, client: Client, tasks: asyncio.TaskGroup) -> None:
        which = self._wanted[0] if len(self._wanted) == 1 else Filters()
        filters = [Filter(m.Watch(**each)) for each in self._wanted]
        listed = [c for c in await client.list_cards(**which) if _matches(filters, c)]
        self._reached()
        if self._shelf.expect(listed):
            self._tell()
        self._check_begun(listed)
        if not listed:
            self._look_again_at_doubtful(client, tasks)
        async for event in client.watch(again=False, **which):
            gone = event.change is Change.REMOVED
            if (gone or _matches(filters, event.card)) and self._shelf.hear(event):
                self._tell()
            self._look_again_at_doubtful(client, tasks)
            self._check_begun(listed)

    def _look_again_at_doubtful(self, client: Client, tasks: asyncio.TaskGroup) -> None:
        for place in self._shelf.doubtful():
            tasks.create_task(self._look_again(client, place), name="doubt")

    async def _follow_readers(self, client: Client) -> None:
        try:
            async for news in client.watch_readers(again=False):
                if self._shelf.hear_reader(news):
                    self._tell()
        except RefusedError:
            if self._shelf.blind():
                self._tell()

    async def _look_again(self, client: Client, place: Place) -> None:
        """
        Take a card out whose reader is not said to have changed.

        What the server had to say of the reader came before it answers.
        """
        await client.list_cards(reader=place.where[1])
        if place.leaving:
            place.take_out()
            self._tell()

    def _check_begun(self, listed: Sequence[CardInfo]) -> None:
        if not self._begun.is_set() and all(self._shelf.holds(card) for card in listed):
            self._begun.set()


def _matches(filters: Sequence[Filter], card: CardInfo) -> bool:
    return not filters or any(each.matches(card) for each in filters)


class RemoteSession:
    """A card of a server that is ours."""

    def __init__(self, card: Card, place: Place, over: Callable[[WsrcError], None]) -> None:
        self._card = card
        self._place = place
        self._over = over

    @property
    def atr(self) -> bytes:
        """ATR of the latest reset."""
        return self._card.atr

    @property
    def protocol(self) -> CardProtocol | None:
        """Protocol in force."""
        return self._card.protocol

    async def transmit(self, octets: bytes) -> bytes:
        """Send a TPDU (T=0) or an APDU (T=1) and give what the card answers."""
        return (await self._card.transmit(octets)).encode()

    async def reset(self, kind: ResetKind) -> bytes:
        """Reset the card and give its ATR."""
        return await self._card.reset(kind)

    async def control(self, number: int, octets: bytes) -> bytes:
        """Ask something of the reader itself."""
        return await self._card.control(number, octets)

    async def get_attribute(self, name: str) -> bytes:
        """Return an attribute of the reader."""
        return await self._card.get_attribute(name)

    async def set_attribute(self, name: str, value: bytes) -> None:
        """Set an attribute of the reader."""
        await self._card.set_attribute(name, value)

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """Have `tell` called when the card stops being ours."""

        def over(why: WsrcError) -> None:
            self._over(why)
            tell(why)

        self._card.when_over(over)

    async def close(self) -> None:
        """Give the card back."""
        try:
            await self._card.detach()
        except WsrcError:
            return  # it is not ours in any case
        finally:
            self._place.release(self._card)
            self._place.given_back = asyncio.get_running_loop().time()
