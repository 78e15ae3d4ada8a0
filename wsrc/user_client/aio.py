# SPDX-License-Identifier: Apache-2.0
"""
Cards that are somewhere else, for programs that use asyncio.

    async with Client("wss://cards.example:4220") as client:
        async with client.select(iccid="8949...") as card:
            response = await card.transmit(bytes.fromhex("00a40004023f00"))

`wsrc.user_client.blocking` has the same names for programs that do not.
"""

import functools
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, Unpack

import msgspec

from wsrc import messages as m
from wsrc.apdu import Response, parse_command
from wsrc.errors import (
    BadHexError,
    LocalProtocolError,
    OutcomeUnknownError,
    RemoteProtocolError,
    WsrcError,
)
from wsrc.messages import CardEvent, CardInfo, Step, Waiting
from wsrc.net.tls import context_for
from wsrc.octets import Octets, from_wire
from wsrc.slot import CardProtocol, ResetKind
from wsrc.user_client.connection import Connection
from wsrc.user_client.faults import from_error
from wsrc.user_client.look_ahead import LookAhead
from wsrc.user_client.naming import Filters
from wsrc.user_client.reader_calls import ReaderCalls
from wsrc.user_client.requests import Session, bounded_wait
from wsrc.user_client.watching import CardFeed

__all__ = [
    "BatchResult",
    "Card",
    "CardEvent",
    "CardInfo",
    "Client",
    "Filters",
    "ResetKind",
    "Response",
    "Selecting",
    "Step",
    "Waiting",
]

SELECT_EXTRA_S = 60.0
"""How much longer than `wait_s` a card may take to become ours: it is reset first."""

DETACH_S = 10.0
"""How long the server may take to confirm that a card was given back."""


class BatchResult(NamedTuple):
    """
    What a batch came to.

    `results` has one response for each command that was answered. `stopped` is the index of the
    command whose status word was not as expected. `error` says why the command after the last
    result was not answered.
    """

    results: tuple[Response, ...]
    stopped: int | None = None
    error: WsrcError | None = None


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
    ) -> None:
        self.server = ""
        context = context_for(url, Path(ca) if ca is not None else None)
        connection = Connection(url, context, connect_s=connect_s, ping_s=ping_s)
        super().__init__(connection, timeout_s)
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

    async def list_cards(self, **filters: Unpack[Filters]) -> list[CardInfo]:
        """
        Give the cards that all filters match.

        Raises:
            ConnectionLostError: If the connection is lost or the server does not answer in time.
        """
        return await self._list(filters)

    def select(
        self,
        *,
        wait_s: float = 0.0,
        raw_tpdu: bool = False,
        on_waiting: Callable[[Waiting], None] | None = None,
        **which: Unpack[Filters],
    ) -> "Selecting":
        """
        Make one card ours, freshly reset: `await` it, or use it with `async with`.

        Args:
            wait_s: How long to wait for a card that is busy or absent; the server has a limit.
            raw_tpdu: Pass T=0 blocks as they are: responses are not fetched, Le not corrected.
            on_waiting: Called with each place in the queue that the server tells.
            which: What the card must be; exactly one card must match.

        Raises:
            LocalProtocolError: If `wait_s` is less than 0, or no number.
            NoSuchCardError: If no card matches.
            AmbiguousCardError: If several do.
            CardBusyError: If another user holds the card, still after `wait_s`.
            CardError: If the card or the reader fails.
            ConnectionLostError: If the connection is lost or the server does not answer in time.
        """
        request = m.SelectCard(wait_s=bounded_wait(wait_s), raw_tpdu=raw_tpdu, **which)
        return Selecting(self, request, on_waiting)

    async def watch(self, **filters: Unpack[Filters]) -> AsyncGenerator[CardEvent, None]:
        """
        Give what happens to the cards, beginning with an `added` for each that is there.

        A client has one watch at a time.

        Raises:
            LocalProtocolError: If the client watches already.
            ConnectionLostError: If the connection is lost.
        """
        connection = self._connection
        if connection.feed is not None:
            raise LocalProtocolError("This client watches already; use another for another watch.")
        connection.feed = feed = CardFeed()
        try:
            await connection.requests.ask(m.Watch(**filters), self._timeout_s)
            await self._list(filters, feed)
            while True:
                yield await feed.next()
        finally:
            connection.feed = None

    async def take(
        self, request: m.SelectCard, on_waiting: Callable[[Waiting], None] | None
    ) -> "Card":
        """Make the card of a request ours; `select` is the way to say this."""

        def hear(message: m.Message) -> None:
            if on_waiting is not None and isinstance(message, m.Waiting):
                on_waiting(message)

        requests = self._connection.requests
        limit_s = request.wait_s + SELECT_EXTRA_S
        ack = await requests.ask(request, limit_s, hear=hear, late=self._give_back)
        assert isinstance(ack, m.SelectCardAck)
        if ack.session is None:
            raise RemoteProtocolError("The server gave a card without a session.")
        session = Session(requests, ack.session)
        return Card(session, _info(ack), raw_tpdu=request.raw_tpdu, timeout_s=self._timeout_s)

    def _give_back(self, ack: m.Message) -> None:
        """Detach a card that came after its asker gave up."""
        if isinstance(ack, m.SelectCardAck) and ack.session is not None:
            self._connection.requests.tell(m.Detach(session=ack.session))
            self._connection.requests.forget(ack.session)

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


class Card:
    """
    A card that is ours until `detach`, the end of `async with`, or the end of the connection.

    Requests go to the card one at a time; a second waits for the first. A caller that is
    cancelled gives up its command if the card has not begun it; the next command waits until
    that is known. Every method raises:

    * SessionLostError, if the card stopped being ours before: select it again;
    * NotExecutedError, if the command provably never reached the card;
    * OutcomeUnknownError, if it may have run;
    * CardError, if the card or the reader failed, with its `outcome`;
    * ConnectionLostError, if the connection was lost before.
    """

    def __init__(
        self, session: Session, info: CardInfo, *, raw_tpdu: bool, timeout_s: float
    ) -> None:
        self.info = info
        self.atr: bytes = bytes(from_wire(info.identities.atr))
        self._session = session
        self._raw_tpdu = raw_tpdu
        self._timeout_s = timeout_s
        self._ahead = LookAhead()

    @property
    def session(self) -> str:
        """Name of the session; a secret between us and the server."""
        return self._session.name

    @property
    def protocol(self) -> CardProtocol | None:
        """Transmission protocol, where the card host told it."""
        return self.info.protocol

    async def transmit(self, command: bytes) -> Response:
        """
        Send one command APDU and give the response, whatever its status word.

        With `raw_tpdu` this is one TPDU; a GET RESPONSE right after the 61xx that announced it
        costs no round trip.

        Raises:
            BadApduError: If it is no command APDU (ISO/IEC 7816-3 clause 12.1); nothing was sent.
        """
        asked = m.CApdu(command=self._checked(command))
        known = functools.partial(self._fetched, asked.command)
        answer = await self._session.ask(asked, self._timeout_s, known)
        assert isinstance(answer, m.RApdu)
        if answer.ahead is not None:
            self._ahead.put(command[0], *_response(answer.ahead.response, answer.ahead.sw))
        return _response(answer.response, answer.sw)

    def _fetched(self, command: Octets) -> m.RApdu | None:
        """Give the answer to a GET RESPONSE that the card host has sent already."""
        octets = self._ahead.answer(command)
        if octets is None:
            return None
        return m.RApdu(response=Octets(octets[:-2]), sw=octets[-2:].hex())

    async def batch(self, steps: Sequence[Step | bytes]) -> BatchResult:
        """
        Run 1 to 256 commands one after the other in one round trip.

        Raises:
            BadApduError: If one is no command APDU; nothing was sent.
            LocalProtocolError: If there are too few or too many; nothing was sent.
        """
        if not 1 <= len(steps) <= m.MAX_BATCH:
            raise LocalProtocolError(f"A batch has 1 to {m.MAX_BATCH} commands, not {len(steps)}.")
        self._ahead.drop()
        batch = m.Batch(session="", steps=tuple(map(self._step, steps)))
        answer = await self._session.ask(batch, 2 * self._timeout_s)
        assert isinstance(answer, m.BatchResp)
        error = answer.error
        return BatchResult(
            tuple(_response(each.response, each.sw) for each in answer.results),
            answer.stopped,
            None if error is None else from_error(error, command=True),
        )

    async def reset(self, kind: ResetKind = ResetKind.COLD) -> bytes:
        """Reset the card and give its new ATR."""
        self._ahead.drop()
        answer = await self._ask(m.ResetReq(kind=kind))
        assert isinstance(answer, m.ResetResp)
        if answer.atr is not None:
            self.atr = bytes(answer.atr)
        if answer.protocol is not None:
            self.info = msgspec.structs.replace(self.info, protocol=answer.protocol)
        return self.atr

    async def detach(self) -> None:
        """Give the card back; it is reset for the next user. A card that is gone is no error."""
        await self._session.detach(min(DETACH_S, self._timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.detach()

    async def _ask(self, request: m.Message) -> m.Message:
        return await self._session.ask(request, self._timeout_s)

    def _checked(self, command: bytes) -> Octets:
        if not self._raw_tpdu:
            parse_command(command)
        return Octets(command)

    def _step(self, step: Step | bytes) -> Step:
        command, expect = (step.command, step.expect) if isinstance(step, Step) else (step, ())
        return Step(command=self._checked(command), expect=expect)


def _info(ack: m.SelectCardAck) -> CardInfo:
    if ack.card is not None:
        return ack.card
    return CardInfo(remote_addr=("", 0), identities=ack.identities, state=m.CardState.ASSOCIATED)


def _response(data: bytes, sw: str) -> Response:
    try:
        octets = from_wire(sw)
    except BadHexError as exc:
        raise OutcomeUnknownError("The answer has a status word that is not hexadecimal.") from exc
    if len(octets) != 2:
        raise OutcomeUnknownError("The answer has a status word that has not four digits.")
    return Response(bytes(data), int.from_bytes(octets))
