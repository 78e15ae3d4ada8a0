# SPDX-License-Identifier: Apache-2.0
"""
Cards that are somewhere else, for programs that use asyncio.

    async with Client("wss://cards.example:4220") as client:
        async with client.select(iccid="8949...") as card:
            response = await card.transmit(bytes.fromhex("00a40004023f00"))

`wsrc.blocking` has the same names for programs that do not.
"""

import secrets
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import msgspec

from wsrc.card.apdu import Response
from wsrc.card.slot import CardProtocol, CardStatus, Disposition, Initialization, ResetKind, Share
from wsrc.errors import ConnectionLostError, LocalProtocolError, RemoteProtocolError
from wsrc.net.tls import context_for
from wsrc.protocol import messages as m
from wsrc.protocol.messages import CardEvent, CardInfo, Step, Waiting
from wsrc.user_client.card import BatchResult, Card, Status
from wsrc.user_client.core.connection import Connection, Server
from wsrc.user_client.core.requests import bounded_wait
from wsrc.user_client.core.transacting import CardSession
from wsrc.user_client.core.watches import ReaderCalls
from wsrc.user_client.core.watching import CardFeed
from wsrc.user_client.naming import Filters

__all__ = [
    "BatchResult",
    "Card",
    "CardEvent",
    "CardInfo",
    "CardStatus",
    "Client",
    "Disposition",
    "Filters",
    "Initialization",
    "ResetKind",
    "Response",
    "Selecting",
    "Share",
    "Status",
    "Step",
    "Waiting",
]

SELECT_EXTRA_S = 60.0
"""How much longer than `wait_s` a card may take to become ours: it is reset first."""


class Client(ReaderCalls):
    """
    A connection to a server, from `async with` to its end; every card is given back then.

    One task enters and leaves it; any number may use it in between.

    Args:
        url: `wss://HOST:PORT`, or `ws://` where the server serves without TLS.
        ca: PEM file of the CA that signed the server's certificate; else those of the system.
        name: What others are shown as the holder of a card.
        timeout_s: How long an answer may take.
        connect_s: How long the connection and the greeting may take, each.
        ping_s: How often the server is asked whether it is there.
        keep_s: How long a lost connection is made again, and cards are kept meanwhile: requests
            take longer then, and nothing is run twice. 0 ends with the connection.
    """

    def __init__(  # noqa: PLR0913 - the settings of a user, each by its name
        self,
        url: str,
        *,
        ca: str | Path | None = None,
        name: str | None = None,
        timeout_s: float = 180.0,
        connect_s: float = 10.0,
        ping_s: float = 10.0,
        keep_s: float = 30.0,
    ) -> None:
        self.server = ""
        context = context_for(url, Path(ca) if ca is not None else None)
        server = Server(url=url, tls=context, connect_s=connect_s, ping_s=ping_s, keep_s=keep_s)
        super().__init__(Connection(server), timeout_s)
        self._keep_s = keep_s
        self._hello = m.Hello(
            client_type=m.ClientType.USER,
            version=m.VERSION,
            features=(),
            name=name,
            instance=uuid.uuid4().hex,
        )

    async def __aenter__(self) -> Self:
        """
        Connect and greet.

        Raises:
            ConnectionLostError: If the server is not reached; the sentence says why.
            RefusedError: If it speaks the first form of the protocol only, or refuses us.
        """
        ack = await self._connection.open(self._hello)
        self.server = ack.server or ""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connection.close()

    def check(self) -> None:
        """
        Raise the reason for which nothing can be asked any more.

        Raises:
            ConnectionLostError: If the connection is lost, and is not made again.
        """
        self._connection.requests.check()

    async def list_cards(self, **filters: Unpack[Filters]) -> list[CardInfo]:
        """
        Return the cards that all filters match.

        Raises:
            ConnectionLostError: If the connection is lost or the server does not answer in time.
        """
        return await self._list(filters)

    def select(  # noqa: PLR0913 - keywords, each a choice of the user's
        self,
        *,
        wait_s: float = 0.0,
        raw_tpdu: bool = False,
        look_ahead: bool = False,
        share: Share = Share.EXCLUSIVE,
        protocols: Sequence[CardProtocol] = (),
        on_waiting: Callable[[Waiting], None] | None = None,
        **which: Unpack[Filters],
    ) -> "Selecting":
        """
        Make one card ours, freshly reset: `await` it, or use it with `async with`.

        Args:
            wait_s: How long to wait for a card that is busy or absent; the server has a limit.
                It is at least 30 s, or `keep_s` if less, once the connection was lost meanwhile.
            raw_tpdu: Pass T=0 blocks as they are: responses are not fetched, Le not corrected.
            look_ahead: With raw TPDUs, have GET RESPONSE sent ahead where its class is certain.
            share: With whom; `SHARED` joins others who share it, without a reset. `DIRECT` takes
                the reader alone, which is selected by `reader` and may be empty.
            protocols: Those that the card may be used with; none means any.
            on_waiting: Called with each place in the queue that the server tells.
            which: What the card must be; exactly one card must match.

        Raises:
            LocalProtocolError: If `wait_s` is less than 0, or no number.
            NoSuchCardError: If no card matches.
            RefusedError: If the card has none of the protocols.
            AmbiguousCardError: If several do.
            CardBusyError: If another user holds the card, still after `wait_s`.
            CardError: If the card or the reader fails.
            ConnectionLostError: If the connection is lost or the server does not answer in time.
        """
        # Longer than the aim: what may go wrong with each of the choices is told.
        request = m.SelectCard(
            wait_s=bounded_wait(wait_s),
            raw_tpdu=raw_tpdu,
            look_ahead=look_ahead,
            share=share,
            protocols=tuple(protocols),
            **which,
        )
        return Selecting(self, self._to_keep(request), on_waiting)

    async def watch(
        self, *, again: bool = True, **filters: Unpack[Filters]
    ) -> AsyncGenerator[CardEvent, None]:
        """
        Yield what happens to the cards, beginning with an `added` for each that is there.

        When a lost connection was made again, what changed meanwhile is given; without `again`
        the watch ends with the connection. A client has one watch at a time.

        Raises:
            LocalProtocolError: If the client watches already.
            ConnectionLostError: If the connection is lost.
        """
        connection = self._connection
        if connection.feed is not None:
            raise LocalProtocolError("This client watches already; use another for another watch.")
        connection.feed = feed = CardFeed()
        try:
            while True:
                try:
                    await connection.requests.ask(m.Watch(**filters), self._timeout_s)
                    await self._list(filters, feed)
                    feed.listed()
                    while True:
                        yield await feed.next()
                except ConnectionLostError:
                    if not (again and self._goes_on(feed)):
                        raise
                    feed.begin_again()
        finally:
            connection.feed = None

    async def take(
        self, request: m.SelectCard, on_waiting: Callable[[Waiting], None] | None
    ) -> "Card":
        """Make the card of a request ours; `select` is the way to say this."""
        requests, sessions = self._connection.requests, list[CardSession]()

        def hear(message: m.Message) -> None:
            if isinstance(message, m.SelectCardAck) and message.session is not None:
                sessions.append(CardSession(requests, request, message))
            elif on_waiting is not None and isinstance(message, m.Waiting):
                on_waiting(message)

        limit_s = request.wait_s + SELECT_EXTRA_S
        try:
            ack = await requests.ask(request, limit_s, hear=hear, late=self._give_back)
        except BaseException:
            for session in sessions:
                session.forget("Nobody waits for it any more.")
            raise
        assert isinstance(ack, m.SelectCardAck)
        if not sessions:
            raise RemoteProtocolError("The server gave a card without a session.")
        return Card(
            sessions[0],
            _info(ack),
            raw_tpdu=request.raw_tpdu,
            timeout_s=self._timeout_s,
            protocols=request.protocols,
        )

    def _to_keep(self, request: m.SelectCard) -> m.SelectCard:
        """Have the session of a request outlive its connection, where that is wanted."""
        if not self._keep_s:
            return request
        secret = secrets.token_hex(32)
        return msgspec.structs.replace(request, secret=secret, keep_s=self._keep_s)

    def _give_back(self, ack: m.Message) -> None:
        """Detach a card that came after its asker gave up."""
        if isinstance(ack, m.SelectCardAck) and ack.session is not None:
            self._connection.requests.tell(m.Detach(session=ack.session))

    async def _list(self, filters: Filters, feed: CardFeed | None = None) -> list[CardInfo]:
        cards: list[CardInfo] = []
        after: int | None = 0
        while after is not None:
            page = await self._connection.requests.ask(
                m.ListCards(after=after, **filters),
                self._timeout_s,
                hear=feed.hear if feed is not None else None,
            )
            assert isinstance(page, m.ListCardsAck)
            cards += page.cards
            if page.next is not None and page.next <= after:
                raise RemoteProtocolError("The server's list of cards goes in a circle.")
            after = page.next
        return cards


class Selecting:
    """A card about to be ours: `await` gives it, `async with` also gives it back."""

    def __init__(
        self,
        client: Client,
        request: m.SelectCard,
        on_waiting: Callable[[Waiting], None] | None,
    ) -> None:
        self._client = client
        self._request = request
        self._on_waiting = on_waiting
        self._card: Card | None = None

    def __await__(self) -> Generator[Any, None, "Card"]:
        return self._client.take(self._request, self._on_waiting).__await__()

    async def __aenter__(self) -> "Card":
        self._card = await self
        return self._card

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._card is not None
        await self._card.detach()


def _info(ack: m.SelectCardAck) -> CardInfo:
    if ack.card is not None:
        return ack.card
    return CardInfo(remote_addr=("", 0), identities=ack.identities, state=m.CardState.ASSOCIATED)
