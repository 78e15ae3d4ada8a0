# SPDX-License-Identifier: Apache-2.0
"""
Cards that are somewhere else, for programs that use asyncio.

    async with Client("wss://cards.example:4220") as client:
        async with client.select(iccid="8949...") as card:
            response = await card.transmit(bytes.fromhex("00a40004023f00"))

`wsrc.blocking` has the same names for programs that do not.
"""

import asyncio
import functools
import secrets
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, Unpack

import msgspec

from wsrc.card.slot import CardProtocol, Pick, Share
from wsrc.errors import RefusedError, RemoteProtocolError, WsrcError
from wsrc.net.tls_files import ClientTls
from wsrc.octets import BytesLike
from wsrc.protocol import codec, messages as m
from wsrc.protocol.messages import CardInfo, Step, Waiting
from wsrc.selection import Filter
from wsrc.settings.held import HeldSettings
from wsrc.settings.load import UserSettings, from_arguments
from wsrc.user_client.card import Card
from wsrc.user_client.core import arguments
from wsrc.user_client.core.connection import Connection
from wsrc.user_client.core.feeds import CardEvent, CardEvents
from wsrc.user_client.core.following import Then
from wsrc.user_client.core.listed import Listed, missing
from wsrc.user_client.core.requests import bounded_wait
from wsrc.user_client.core.seals import Granted, SealedWith, Seals
from wsrc.user_client.core.transacting import CardSession
from wsrc.user_client.naming import Filters
from wsrc.user_client.operating import OperatorCalls

if TYPE_CHECKING:
    from wsrc.trace.recorder import Recorder
    from wsrc.trace.tracer import CardTrace, Tracer
    from wsrc.user_client.core.tracing import SessionTrace

__all__ = ["Card", "Client", "Selecting"]

NOT_OPEN = "The client is not open; use it with `with`, or `open` it."
"""Why a client that was not opened, or was closed, cannot be asked."""

SELECT_EXTRA_S = 60.0
"""How much longer than `wait_s` a card may take to become ours: it is reset first."""


class _Found(NamedTuple):
    """A card that was given: its session, and what is known of it."""

    session: CardSession
    granted: Granted


# Longer than the aim: a client, how it is opened and closed, and all that it asks.


class Client(OperatorCalls):
    """
    A connection to a server, from `async with` or `open` to its end; cards are given back then.

    Any number of tasks of one event loop may use it. A method raises LocalProtocolError for an
    argument of a wrong type or with a value that is not allowed; nothing is sent then.

    Args:
        url: `wss://HOST:PORT`, or `ws://` where the server serves without TLS.
        ca: PEM file of the CA that signed the server's certificate; else those of the system.
        cert: PEM file of the certificate that says who we are, where the server asks for one.
        key: PEM file of its private key, not encrypted.
        token_file: File of the token that says who we are, which others cannot read; else that of
            `WSRC_TOKEN` in the environment, or of systemd's credentials.
        name: What others are shown as the holder of a card; else user@host.
        timeout_s: How long an answer may take.
        connect_s: How long the connection and the greeting may take, each.
        ping_s: How often the server is asked whether it is there.
        keep_s: How long a lost connection is retried, and cards are kept meanwhile: requests
            take longer then, and nothing is run twice. 0 ends with the connection.
        read_ahead: Whether `select` has cards read ahead, where it is not told.
        seal: Whether sessions are sealed, so that no server can read them: `required`,
            `preferred` where the card host can, `off`; else `preferred`, and `required` with
            `card_ca`.
        card_ca: PEM file of the CA whose card hosts are believed then; else their keys are
            remembered.
        card_crl: PEM file of the revocation list of that CA.
        card_hosts: Names in certificates of that CA that alone are believed; `*` is any text.
        known_hosts: File in which keys are remembered; else one in the folder of the user's state.
        pad_octets: Sealed texts are as long as a multiple of so many octets, 1 to 4096.
        trace_file: File to which all that sessions exchange with their cards is added, without
            PINs and keys: for Wireshark where it ends in .pcapng, else text.
        trace_gsmtap: HOST:PORT to which the same is sent as GSMTAP.
        trace_secrets: Whether nothing is left out of these.

    Raises:
        ConfigError: If one of these cannot work.
    """

    def __init__(  # noqa: PLR0913 - the settings of a user, each by its name
        self,
        url: str,
        *,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        token_file: str | Path | None = None,
        name: str | None = None,
        timeout_s: float = 180.0,
        connect_s: float = 10.0,
        ping_s: float = 10.0,
        keep_s: float = 30.0,
        read_ahead: bool = False,
        seal: str | None = None,
        card_ca: str | Path | None = None,
        card_crl: str | Path | None = None,
        card_hosts: Sequence[str] = (),
        known_hosts: str | Path | None = None,
        pad_octets: int = 1,
        trace_file: str | Path | None = None,
        trace_gsmtap: str = "",
        trace_secrets: bool = False,
    ) -> None:
        # Longer than the aim: each setting stands here twice.
        given = {
            "server_url": url,
            "tls_ca": ca,
            "tls_cert": cert,
            "tls_key": key,
            "token_file": token_file,
            "name": name,
            "timeout_s": timeout_s,
            "connect_s": connect_s,
            "ping_s": ping_s,
            "keep_s": keep_s,
            "read_ahead": read_ahead,
            "seal": seal,
            "card_ca": card_ca,
            "card_crl": card_crl,
            "card_hosts": tuple(card_hosts),
            "known_hosts": known_hosts,
            "pad_octets": pad_octets,
            "trace_file": trace_file,
            "trace_gsmtap": trace_gsmtap,
            "trace_secrets": trace_secrets,
        }
        self._begin(from_arguments(UserSettings, given), None, None)

    @classmethod
    def from_settings(cls, settings: UserSettings, *, instance: str | None = None) -> Self:
        """
        Return a client with the settings of the command `wsrc`; `wsrc.settings.load` reads them.

        Args:
            settings: Of the user.
            instance: Name of this run of a program, for clients one of which takes the place of
                another: what the server keeps for that is its own. Else none takes a place.

        Raises:
            ConfigError: If a file of TLS cannot be read.
        """
        client = cls.__new__(cls)
        cls._begin(client, settings, instance, None)
        return client

    def _begin(self, settings: UserSettings, instance: str | None, tls: ClientTls | None) -> None:
        self._settings = settings
        self._tls = tls or ClientTls(settings)
        self._seals = None if settings.seal_mode == "off" else Seals(settings)
        held = settings.held_sealed if isinstance(settings, HeldSettings) else None
        self._sealed_outside = None if held is None else SealedWith(*held)
        self._open_in: asyncio.AbstractEventLoop | None = None
        self._tracer: Tracer | None = None
        self.recorder: Recorder | None = None
        """Is told what sessions exchange with their cards."""

        self._hello = m.Hello(
            client_type=m.ClientType.USER,
            version=m.VERSION,
            features=("idle",),
            name=settings.name,
            instance=instance or uuid.uuid4().hex,
        )
        super().__init__(self._not_open(), settings.timeout_s)

    def prepare(self) -> None:
        """
        Load what it takes to seal sessions, which the first `select` does otherwise.

        A program that selects a card at once does so before it connects: no answer of the server
        comes between the greeting and the select then.

        Raises:
            ConfigError: If the file of known card hosts cannot work.
        """
        if self._seals is not None:
            self._seals.prepare()

    def _not_open(self) -> Connection:
        connection = Connection(self._settings, self._tls)
        connection.requests.lost(NOT_OPEN)
        return connection

    async def open(self) -> Self:
        """
        Connect and greet; a client that is open stays as it is.

        One that was closed, that lost its connection for good, or that was open in another event
        loop begins anew: cards that were ours are not any more.

        `async with` does not wait for the answer to the greeting where the first request can
        follow at once: what the server has against us is raised by that request, or by `greeted`.

        Raises:
            ConnectionLostError: If the server is not reached; the sentence says why.
            RefusedError: If it speaks the first form of the protocol only, or refuses us.
        """
        begun = await self._begun()
        try:
            await self.greeted()
        except BaseException:
            if begun:
                await self.close()
            raise
        return self

    async def greeted(self) -> str:
        """
        Return the name of the server, once it has answered to our greeting.

        Raises as `open`.
        """
        return (await self._connection.greeted()).server or ""

    @property
    def server(self) -> str:
        """Name of the server, while we are greeted."""
        return self._connection.server

    async def _begun(self) -> bool:
        """Connect and send the greeting, unless that was done; return whether it was not."""
        loop = asyncio.get_running_loop()
        if self._open_in is loop:
            with suppress(WsrcError):
                self.check()
                return False
            await self.close()
        self._connection = connection = Connection(self._settings, self._tls)
        self._open_in = loop
        try:
            await connection.open(self._hello)
        except BaseException:
            if self._connection is connection:
                self._open_in, self._connection = None, self._not_open()
            raise
        if self._tracer is None and (self._settings.trace_file or self._settings.trace_gsmtap):
            from wsrc.trace.tracer import tracer_of  # noqa: PLC0415 - few want one

            self._tracer = tracer_of(self._settings)
        return True

    async def close(self) -> None:
        """Give back every card and close the connection; it may be called again."""
        connection, self._connection = self._connection, self._not_open()
        self._open_in = None
        tracer, self._tracer = self._tracer, None
        try:
            await connection.close()
        finally:
            if tracer is not None:
                tracer.close()

    async def __aenter__(self) -> Self:
        """As `open`, without waiting for the greeting where it need not be waited for."""
        await self._begun()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def check(self) -> None:
        """
        Raise the reason why nothing can be asked any more.

        Raises:
            ConnectionLostError: If the connection is lost for good.
            RefusedError: If the server refused it.
        """
        self._connection.check()

    async def list_cards(self, **filters: Unpack[Filters]) -> Listed[CardInfo]:
        """
        Return the cards that all filters match.

        Raises:
            ConnectionLostError: If the connection is lost or the server does not answer in time.
        """
        request = m.ListCards(**arguments.filters(filters))
        await self._known(request)
        pages = await self._connection.requests.pages(request, self._timeout_s)
        acks = [page for page in pages if isinstance(page, m.ListCardsAck)]
        found = Listed(card for page in acks for card in page.cards)
        found.unanswered = missing(acks)
        return found

    def select(  # noqa: PLR0913 - keywords, each a choice of the user's
        self,
        *,
        wait_s: float = 0.0,
        raw_tpdu: bool = False,
        look_ahead: bool = False,
        read_ahead: bool | None = None,
        share: Share = Share.EXCLUSIVE,
        protocols: Sequence[CardProtocol] = (),
        pick: Pick = Pick.ONE,
        reservation: str | None = None,
        on_waiting: Callable[[Waiting], None] | None = None,
        first: BytesLike | Sequence[Step | BytesLike] | None = None,
        **which: Unpack[Filters],
    ) -> "Selecting":
        """
        Make one card ours, freshly reset: `await` it, or use it with `async with`.

        Args:
            wait_s: How long to wait for a card that is busy or absent; the server has a limit.
                It is at least 30 s, or `keep_s` if less, once the connection was lost meanwhile.
            raw_tpdu: Pass T=0 blocks as they are: responses are not fetched, Le not corrected.
            look_ahead: With raw TPDUs, have GET RESPONSE sent ahead where its class is certain.
            read_ahead: Have the card's host read what a program asks of a SIM or UICC next, and
                send it along, where no card shows that; with raw TPDUs GET RESPONSE as well. Of
                a card that is shared nothing is read ahead. None is as the client has it.
            share: With whom; `SHARED` joins others who share it, without a reset. `DIRECT` takes
                the reader alone, which is selected by `reader` and may be empty.
            protocols: Those that the card may be used with; none means any.
            pick: `ANY`: of all that match, the free card used least recently, or the first to be.
            reservation: Token of a reservation, in place of `which`; see `reserve`.
            on_waiting: Called with each place in the queue that the server tells.
            first: What the card is asked first, by `transmit`, or by `batch` if it is a sequence:
                it is sent along, and runs as soon as the card is ours; not in sealed sessions.
            which: What the card must be; exactly one must match, unless any will do.

        Raises:
            NoSuchCardError, AmbiguousCardError: If no card matches, or several do.
            RefusedError: If the card has none of the protocols, or is reserved for another.
            CardBusyError: If another user still holds the card after `wait_s`.
            CardError: If the card or the reader fails.
            ConnectionLostError: If the connection is lost or the server does not answer in time.
            OutcomeUnknownError: The same with `first`, which the card may have run.
        """
        # Longer than the aim: what may go wrong with each of the choices is told.
        read_ahead = self._reads_ahead(read_ahead)
        request = m.SelectCard(
            wait_s=self._bounded_wait(wait_s),
            raw_tpdu=arguments.flag(raw_tpdu, "raw_tpdu"),
            look_ahead=arguments.flag(look_ahead, "look_ahead") or (raw_tpdu and read_ahead),
            read_ahead=read_ahead,
            share=arguments.member(share, Share, "share"),
            protocols=arguments.members(protocols, CardProtocol, "protocols"),
            pick=arguments.member(pick, Pick, "pick"),
            reservation=arguments.text_or_none(reservation, "reservation"),
            **arguments.filters(which),
        )
        hear = None if on_waiting is None else arguments.function(on_waiting, "on_waiting")
        then = None if first is None else arguments.following(first, raw_tpdu=request.raw_tpdu)
        return Selecting(functools.partial(self._take, self._to_keep(request), hear, then))

    def _bounded_wait(self, wait_s: float) -> float:
        longest = self._connection.requests.limits.wait_max_s
        return bounded_wait(arguments.number(wait_s, "wait_s"), longest)

    def _reads_ahead(self, wish: bool | None) -> bool:
        return arguments.flag(self._settings.read_ahead if wish is None else wish, "read_ahead")

    async def watch(
        self, *, again: bool = True, **filters: Unpack[Filters]
    ) -> AsyncGenerator[CardEvent, None]:
        """
        Yield what happens to the cards, beginning with an `added` for each that is there.

        After a reconnection, what changed meanwhile is yielded; without `again`
        the watch ends with the connection. A client has one watch at a time.

        Raises:
            LocalProtocolError: If the client watches already.
            ConnectionLostError: If the connection is lost.
        """
        filters = arguments.filters(filters)
        which = m.ListCards(**filters)
        codec.check(which)
        events = CardEvents(Filter(which))
        async with aclosing(self.watch_readers(again=again, **filters)) as news:
            async for each in news:
                for event in events.of(each):
                    yield event

    async def _take(
        self,
        request: m.SelectCard,
        on_waiting: Callable[[Waiting], None] | None,
        first: m.Following | None,
    ) -> Card:
        await self._known(request)
        requests, found = self._connection.requests, list[_Found | RefusedError]()
        along = first if self._seals is None else None
        then = None if along is None else Then(along, requests.number())

        def hear(message: m.Message) -> None:
            if isinstance(message, m.SelectCardAck) and message.session is not None:
                found.append(self._found(request, message, then))
            elif on_waiting is not None and isinstance(message, m.Waiting):
                on_waiting(message)

        limit_s = request.wait_s + SELECT_EXTRA_S
        try:
            ack = await requests.ask(request, limit_s, hear=hear, late=self._give_back, then=then)
        except BaseException as exc:
            for each in found:
                if isinstance(each, _Found):
                    each.session.forget("Nobody waits for it any more.")
            if then is not None and then.in_doubt and isinstance(exc, WsrcError):
                raise then.doubt(exc) from exc
            raise
        assert isinstance(ack, m.SelectCardAck)
        if not found:
            raise RemoteProtocolError("The server gave a card without a session.")
        if isinstance(found[0], RefusedError):
            raise found[0]
        return self._card(request, ack, found[0])

    def _found(
        self, request: m.SelectCard, ack: m.SelectCardAck, then: Then | None
    ) -> "_Found | RefusedError":
        """Return a card that was given, or why it is not taken and was given back."""
        requests = self._connection.requests
        granted = Granted(ack.card)
        if self._seals is not None:
            try:
                granted = self._seals.granted(request, ack, lambda: requests.nonce)
            except RefusedError as exc:
                self._give_back(ack)
                return exc
        session = CardSession(requests, request, ack, granted.boxes)
        if self._tracer is not None or self.recorder is not None:
            session.trace = self._traced(ack, granted)
        if then is not None:
            session.follow(then, ack)
        return _Found(session, granted)

    def _traced(self, ack: m.SelectCardAck, granted: Granted) -> "SessionTrace":
        from wsrc.user_client.core.tracing import SessionTrace  # noqa: PLC0415 - few want one

        card = granted.card or _info(ack)
        reader = card.reader_name or card.reader or ""
        traces: list[CardTrace] = []
        if self._tracer is not None:
            traces.append(self._tracer.card(reader))
        if self.recorder is not None:
            traces.append(self.recorder.card(reader))
        return SessionTrace(traces, ack.session or "", ack.identities.atr or "")

    def _card(self, request: m.SelectCard, ack: m.SelectCardAck, found: "_Found") -> Card:
        return Card(
            found.session,
            found.granted.card or _info(ack),
            raw_tpdu=request.raw_tpdu,
            timeout_s=self._timeout_s,
            protocols=request.protocols,
            features=ack.features,
            sealed=found.granted.sealed or self._sealed_outside,
            share=request.share,
        )

    def _to_keep(self, request: m.SelectCard) -> m.SelectCard:
        """Return a request whose session outlives its connection and is sealed, as is wanted."""
        if self._settings.keep_s:
            secret = secrets.token_hex(32)
            request = msgspec.structs.replace(request, secret=secret, keep_s=self._settings.keep_s)
        return request if self._seals is None else self._seals.wish(request)

    def _give_back(self, ack: m.Message) -> None:
        """Detach a card that came after its asker gave up."""
        if isinstance(ack, m.SelectCardAck) and ack.session is not None:
            self._connection.requests.tell(m.Detach(session=ack.session))


class Selecting:
    """A card about to be ours: `await` returns it, `async with` also gives it back."""

    def __init__(self, take: Callable[[], Coroutine[Any, Any, Card]]) -> None:
        self._take = take
        self._card: Card | None = None

    def __await__(self) -> Generator[Any, None, Card]:
        return self._take().__await__()

    async def __aenter__(self) -> Card:
        self._card = await self
        return self._card

    async def __aexit__(self, *_: object) -> None:
        assert self._card is not None
        await self._card.detach()


def _info(ack: m.SelectCardAck) -> CardInfo:
    if ack.card is not None:
        return ack.card
    return CardInfo(remote_addr=("", 0), identities=ack.identities, state=m.CardState.ASSOCIATED)


class Sharing(Client):
    """A client as `Client.from_settings` returns it, with TLS that others have too."""

    def __init__(self, settings: UserSettings, instance: str, tls: ClientTls) -> None:
        self._begin(settings, instance, tls)
