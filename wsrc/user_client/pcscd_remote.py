# SPDX-License-Identifier: Apache-2.0
"""Cards of a server as readers of the pcscd socket: watched, taken, and looked for again."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from wsrc import messages as m
from wsrc.errors import (
    ConnectionLostError,
    NoSuchCardError,
    ReaderUnavailableError,
    RefusedError,
    RemoteProtocolError,
    WsrcError,
)
from wsrc.messages import CardInfo, CardState, Change
from wsrc.net.dial import Backoff
from wsrc.octets import from_wire
from wsrc.relay.selection import Filter
from wsrc.slot import CardProtocol, ResetKind
from wsrc.user_client.aio import Card, Client
from wsrc.user_client.naming import Filters
from wsrc.user_client.pcscd_names import reader_name
from wsrc.user_client.pcscd_source import Seen

RECONNECT_MIN_S, RECONNECT_MAX_S = 0.1, 10.0
"""Waits between attempts to reach the server."""

READY_S = 10.0
"""How long the cards that are there at the beginning may take to be shown."""

MAX_EMPTY = 64
"""Readers that stay without a card; the oldest ones go first."""

Report = Callable[[Sequence[Seen]], None]


class RemoteCards:
    """
    The cards of a server that match, whatever becomes of the connection.

    Args:
        make_client: Gives a client that is not connected.
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
        self._trouble: WsrcError | None = None
        self._begun = asyncio.Event()
        self._raises = False

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
        backoff = Backoff(RECONNECT_MIN_S, RECONNECT_MAX_S)
        while True:
            try:
                async with self._make_client() as client:
                    self._reached(client)
                    backoff.succeeded()
                    await self._follow(client, report)
            except (ConnectionLostError, RemoteProtocolError, RefusedError) as exc:
                self._lost(exc)
            finally:
                self._client = None
                self._shelf.clear()
            report(())
            await asyncio.sleep(backoff.wait_s())

    def open(self, name: bytes) -> "Awaitable[RemoteSession]":
        """Make the card of a reader ours; see `CardSource.open`."""
        return self._open(name)

    async def _open(self, name: bytes) -> "RemoteSession":
        client, card = self._client, self._shelf.card(name)
        if client is None:
            raise ConnectionLostError("There is no connection to the server.")
        if card is None:
            raise NoSuchCardError("The card of this reader is not there any more.")
        taken = await client.select(raw_tpdu=True, **_exactly(card))
        return RemoteSession(taken)

    def _reached(self, client: Client) -> None:
        self._client = client
        if self._trouble is not None:
            self._say("The server is there again.")
        self._trouble = None

    def _lost(self, exc: WsrcError) -> None:
        if self._trouble is None and not self._raises:
            self._say(f"{exc} The cards are gone until the server is there again.")
        self._trouble = exc
        self._begun.set()

    async def _follow(self, client: Client, report: Report) -> None:
        which = self._wanted[0] if len(self._wanted) == 1 else Filters()
        filters = [Filter(m.Watch(**each)) for each in self._wanted]
        timer = asyncio.get_running_loop().call_later(READY_S, self._begun.set)
        try:
            listed = [c for c in await client.list_cards(**which) if _matches(filters, c)]
            self._check_begun(listed)
            async for event in client.watch(**which):
                gone = event.change is Change.REMOVED
                if (gone or _matches(filters, event.card)) and self._shelf.hear(event):
                    report(self._shelf.seen())
                self._check_begun(listed)
        finally:
            timer.cancel()

    def _check_begun(self, listed: Sequence[CardInfo]) -> None:
        if not self._begun.is_set() and all(self._shelf.holds(card) for card in listed):
            self._begun.set()


def _matches(filters: Sequence[Filter], card: CardInfo) -> bool:
    return not filters or any(each.matches(card) for each in filters)


class Shelf:
    """
    Readers by the cards that were in them.

    A reader stays, empty, when its card is taken out, until another card is in its place; a card
    that comes back is in the reader of its name, wherever it is put in.
    """

    def __init__(self) -> None:
        self._places: list[_Place] = []

    def clear(self) -> None:
        """Forget all readers."""
        self._places.clear()

    def seen(self) -> list[Seen]:
        """Give all readers."""
        return [place.seen for place in self._places]

    def card(self, name: bytes) -> CardInfo | None:
        """Give the card that is in the reader of a name now."""
        return next((p.card for p in self._places if p.seen.name == name and p.seen.present), None)

    def holds(self, card: CardInfo) -> bool:
        """Tell whether a card is in a reader."""
        return self._at(_where(card)) is not None

    def hear(self, event: m.CardEvent) -> bool:
        """Take what happened to a card; tell whether a reader changed."""
        card = event.card
        there = self._at(_where(card))
        if event.change is Change.REMOVED or card.state is CardState.IDENTIFYING:
            if there is not None:
                there.take_out()
            return there is not None
        if there is not None:
            return there.put_in(card)
        return self._into_empty(card)

    def _at(self, where: tuple[str, str]) -> "_Place | None":
        """Give the reader that stands for this one of a card host, with a card in it."""
        return next((p for p in self._places if p.seen.present and _where(p.card) == where), None)

    def _into_empty(self, card: CardInfo) -> bool:
        """Put a card into the reader where it was last, else into a new one."""
        empty = [p for p in self._places if not p.seen.present]
        known = next((p for p in empty if _who(p.card) == _who(card)), None)
        for place in empty[:-MAX_EMPTY] + [p for p in empty if _where(p.card) == _where(card)]:
            if place is not known and place in self._places:
                self._places.remove(place)
        if known is not None:
            return known.put_in(card)
        taken = {place.seen.name for place in self._places}
        self._places.append(_Place(card, reader_name(card, taken)))
        return True


class _Place:
    """One reader; its name stays when what is known of the card becomes more or less."""

    def __init__(self, card: CardInfo, name: bytes) -> None:
        self.card = card
        self.seen = Seen(name)
        self.put_in(card)

    def put_in(self, card: CardInfo) -> bool:
        """Note that the card is there; tell whether that is news."""
        before, self.card = self.seen, card
        self.seen = Seen(
            before.name,
            present=True,
            mute=card.state is CardState.MUTE,
            atr=from_wire(card.identities.atr),
            protocol=card.protocol,
            event_count=before.event_count + (not before.present),
        )
        return self.seen != before

    def take_out(self) -> None:
        """Note that the card is not there."""
        self.seen = Seen(self.seen.name, event_count=self.seen.event_count + 1)


class RemoteSession:
    """A card of a server that is ours."""

    def __init__(self, card: Card) -> None:
        self._card = card

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

    async def close(self) -> None:
        """Give the card back."""
        try:
            await self._card.detach()
        except WsrcError:
            return  # it is not ours in any case


def _who(card: CardInfo) -> Any:
    """Give what a card is known by; one that has no number is known by where it is."""
    ids = card.identities
    return (card.eids[0] if card.eids else ids.eid) or ids.iccid or _where(card)


def _where(card: CardInfo) -> tuple[str, str]:
    return card.host or card.remote_addr[0], card.reader or ""


def _exactly(card: CardInfo) -> Filters:
    """Select this card, in its reader."""
    if card.reader is None and not card.identities.iccid:
        raise ReaderUnavailableError("The card has no name by which it could be selected.")
    which: Filters = {}
    if card.reader is not None:
        which["reader"] = card.reader
    if card.identities.iccid is not None:
        which["iccid"] = card.identities.iccid
    return which
