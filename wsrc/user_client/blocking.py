# SPDX-License-Identifier: Apache-2.0
"""
Cards that are somewhere else, for programs that do not use asyncio.

    with Client("wss://cards.example:4220") as client:
        with client.select(iccid="8949...") as card:
            response = card.transmit(bytes.fromhex("00a40004023f00"))

The names and errors are those of `wsrc.aio`, which does the work in a thread of each client's
own, and so are the contracts: each method refers to its twin. Any threads may use a client. An
interrupt (Ctrl-C) cancels what is waited for. What a client calls back (`on_waiting`,
`when_over`) runs in its thread and must not use the client.
"""

import asyncio
import atexit
import threading
from collections.abc import (
    AsyncGenerator,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from wsrc.card.apdu import Response
from wsrc.card.slot import CardProtocol, Disposition, Initialization, Pick, ResetKind, Share
from wsrc.errors import ConnectionLostError, LocalProtocolError, WsrcError
from wsrc.octets import BytesLike
from wsrc.protocol.messages import CardInfo, ReaderView, Step, Waiting
from wsrc.settings.load import UserSettings
from wsrc.user_client import aio
from wsrc.user_client.blocking_operating import Call, OperatorCalls
from wsrc.user_client.card import BatchLimits, BatchResult, IdleWarning, Status
from wsrc.user_client.core import arguments
from wsrc.user_client.core.feeds import (
    CardEvent,
    Notification,
    ReaderMark,
    ReaderNews,
    ReaderSnapshot,
)
from wsrc.user_client.core.seals import SealedWith
from wsrc.user_client.naming import Filters
from wsrc.user_client.portal import JOIN_S, Portal

if TYPE_CHECKING:
    from wsrc.trace.recorder import Recorder

# Longer than the aim: all methods of `aio` are here once more, side by side.

__all__ = ["Card", "Client", "Selecting"]

T = TypeVar("T")


class Client(OperatorCalls):
    """A connection to a server, from `with` or `open` to its end; see `aio.Client`."""

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
        self._begin(
            aio.Client(
                url,
                ca=ca,
                cert=cert,
                key=key,
                token_file=token_file,
                name=name,
                timeout_s=timeout_s,
                connect_s=connect_s,
                ping_s=ping_s,
                keep_s=keep_s,
                read_ahead=read_ahead,
                seal=seal,
                card_ca=card_ca,
                card_crl=card_crl,
                card_hosts=card_hosts,
                known_hosts=known_hosts,
                pad_octets=pad_octets,
                trace_file=trace_file,
                trace_gsmtap=trace_gsmtap,
                trace_secrets=trace_secrets,
            )
        )

    @classmethod
    def from_settings(cls, settings: UserSettings, *, instance: str | None = None) -> Self:
        """See `aio.Client.from_settings`."""
        client = cls.__new__(cls)
        cls._begin(client, aio.Client.from_settings(settings, instance=instance))
        return client

    def prepare(self) -> None:
        """See `aio.Client.prepare`."""
        self._client.prepare()

    def _begin(self, client: aio.Client) -> None:
        self._client = client
        self._portal: Portal | None = None
        self._thread: int | None = None
        self._opening = threading.Lock()

    @property
    def server(self) -> str:
        """See `aio.Client.server`."""
        return self._client.server

    def open(self) -> Self:
        """
        See `aio.Client.open`.

        A client that was opened before a fork begins anew in the child. One that is open when
        the interpreter ends is closed then.
        """
        return self._open(self._client.open)

    def greeted(self) -> str:
        """See `aio.Client.greeted`."""
        return self._call(self._client.greeted())

    def _open(self, begin: Callable[[], Coroutine[Any, Any, Any]]) -> Self:
        with self._opening:
            portal = self._portal
            if portal is None or not portal.usable:
                self._portal = portal = Portal()
                self._thread = portal.call(_own_thread())
            try:
                portal.call(begin())
            except BaseException:
                self.close()
                raise
        atexit.register(self.close)
        return self

    def close(self) -> None:
        """See `aio.Client.close`; what another thread waits for ends with a ConnectionLostError."""
        portal, self._portal = self._portal, None
        atexit.unregister(self.close)
        if portal is None or not portal.usable:
            return
        try:
            with suppress(TimeoutError, WsrcError):
                portal.call(self._give_back())
        finally:
            portal.stop()

    def __enter__(self) -> Self:
        """As `open`; see `aio.Client.__aenter__`."""
        return self._open(self._client.__aenter__)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def check(self) -> None:
        """See `aio.Client.check`."""
        self._client.check()

    def list_cards(self, **filters: Unpack[Filters]) -> list[CardInfo]:
        """See `aio.Client.list_cards`."""
        return self._call(self._client.list_cards(**filters))

    def select(  # noqa: PLR0913 - as in `aio`
        self,
        *,
        wait_s: float = 0.0,
        raw_tpdu: bool = False,
        look_ahead: bool = False,
        read_ahead: bool | None = None,
        share: Share = Share.EXCLUSIVE,
        protocols: Sequence[CardProtocol] = (),
        pick: Pick = Pick.ONE,
        on_waiting: Callable[[Waiting], None] | None = None,
        first: BytesLike | Sequence[Step | BytesLike] | None = None,
        **which: Unpack[Filters],
    ) -> "Selecting":
        """
        See `aio.Client.select`; the card is ours at once, and `with` gives it back at its end.

        `on_waiting` is called in the thread of the client.
        """

        async def select() -> aio.Card:
            return await self._client.select(
                wait_s=wait_s,
                raw_tpdu=raw_tpdu,
                look_ahead=look_ahead,
                read_ahead=read_ahead,
                share=share,
                protocols=protocols,
                pick=pick,
                on_waiting=on_waiting,
                first=first,
                **which,
            )

        return Card(self._call(select()), self._call)

    def watch(
        self, *, again: bool = True, **filters: Unpack[Filters]
    ) -> Generator[CardEvent, None, None]:
        """See `aio.Client.watch`."""
        yield from self._follow(self._client.watch(again=again, **filters))

    def list_readers(self, **filters: Unpack[Filters]) -> ReaderSnapshot:
        """See `aio.Client.list_readers`."""
        return self._call(self._client.list_readers(**filters))

    def set_tags(
        self,
        values: Mapping[str, str],
        *,
        unset: Sequence[str] = (),
        **which: Unpack[Filters],
    ) -> ReaderView:
        """See `aio.Client.set_tags`."""
        return self._call(self._client.set_tags(values, unset=unset, **which))

    def set_comment(self, comment: str, **which: Unpack[Filters]) -> ReaderView:
        """See `aio.Client.set_comment`."""
        return self._call(self._client.set_comment(comment, **which))

    def watch_readers(
        self,
        since: ReaderMark | None = None,
        *,
        again: bool = True,
        **filters: Unpack[Filters],
    ) -> Generator[ReaderNews, None, None]:
        """See `aio.Client.watch_readers`."""
        yield from self._follow(self._client.watch_readers(since, again=again, **filters))

    def watch_reader_notifications(
        self, *, again: bool = True
    ) -> Generator[Notification, None, None]:
        """See `aio.Client.watch_reader_notifications`."""
        yield from self._follow(self._client.watch_reader_notifications(again=again))

    def _follow(self, events: AsyncGenerator[T, None]) -> Iterator[T]:
        async def following() -> T:
            return await anext(events)

        try:
            while True:
                yield self._call(following())
        finally:
            with suppress(ConnectionLostError):
                self._call(events.aclose())

    def _call(self, doing: Coroutine[Any, Any, T]) -> T:
        if self._portal is None:
            doing.close()
            raise ConnectionLostError(aio.NOT_OPEN)
        if threading.get_ident() == self._thread:
            doing.close()
            raise LocalProtocolError(
                "A callback of a client must not use the client: it runs in the thread that "
                "receives the answers. Use the client from another thread."
            )
        return self._portal.call(doing)

    async def _give_back(self) -> None:
        async with asyncio.timeout(JOIN_S):
            await self._client.close()


class Recorded(Client):
    """A client as `Client.from_settings` returns it, whose exchanges with cards are recorded."""

    def __init__(self, settings: UserSettings, recorder: "Recorder") -> None:
        client = aio.Client.from_settings(settings)
        client.recorder = recorder
        self._begin(client)


async def _own_thread() -> int:
    return threading.get_ident()


class Card:
    """A card that is ours; see `aio.Card`."""

    def __init__(self, card: aio.Card, call: Call) -> None:
        self._card = card
        self._call = call

    @property
    def info(self) -> CardInfo:
        """The card as the server describes it."""
        return self._card.info

    @property
    def atr(self) -> bytes:
        """The ATR of the latest reset."""
        return self._card.atr

    @property
    def protocol(self) -> CardProtocol | None:
        """Transmission protocol, where the card host told it."""
        return self._card.protocol

    @property
    def features(self) -> bytes | None:
        """What the reader answers to `control` 3400, None where its host did not tell."""
        return self._card.features

    @property
    def sealed(self) -> SealedWith | None:
        """Who the card host is of a session that no server can read, None of another."""
        return self._card.sealed

    @property
    def session(self) -> str:
        """Name of the session; a secret between us and the server."""
        return self._card.session

    @property
    def batch_limits(self) -> BatchLimits:
        """What a batch may have, as the server says on the connection that there is now."""
        return self._card.batch_limits

    def transmit(self, command: BytesLike, *, last: bool = False) -> Response:
        """See `aio.Card.transmit`."""
        return self._call(self._card.transmit(command, last=last))

    def batch(self, steps: Sequence[Step | BytesLike], *, last: bool = False) -> BatchResult:
        """See `aio.Card.batch`."""
        return self._call(self._card.batch(steps, last=last))

    def reset(self, kind: ResetKind = ResetKind.COLD) -> bytes:
        """See `aio.Card.reset`."""
        return self._call(self._card.reset(kind))

    def reconnect(
        self,
        *,
        share: Share | None = None,
        initialization: Initialization = Initialization.LEAVE,
        protocols: Sequence[CardProtocol] = (),
    ) -> bytes:
        """See `aio.Card.reconnect`."""
        return self._call(
            self._card.reconnect(share=share, initialization=initialization, protocols=protocols)
        )

    def begin(self) -> None:
        """See `aio.Card.begin`."""
        self._call(self._card.begin())

    def end(self, *, disposition: Disposition = Disposition.LEAVE) -> None:
        """See `aio.Card.end`."""
        self._call(self._card.end(disposition=disposition))

    def abandon(self, *, disposition: Disposition = Disposition.LEAVE) -> None:
        """See `aio.Card.abandon`."""
        self._call(self._card.abandon(disposition=disposition))

    @contextmanager
    def transaction(
        self, *, disposition: Disposition = Disposition.LEAVE
    ) -> Generator[None, None, None]:
        """See `aio.Card.transaction`; an interrupt counts as a cancellation does there."""
        disposition = arguments.member(disposition, Disposition, "disposition")
        self.begin()
        try:
            yield
        except Exception:
            with suppress(WsrcError):
                self.end(disposition=disposition)
            raise
        except BaseException:
            with suppress(WsrcError):
                self.abandon(disposition=disposition)
            raise
        self.end(disposition=disposition)

    def status(self) -> Status:
        """See `aio.Card.status`."""
        return self._call(self._card.status())

    def control(self, number: int, octets: BytesLike = b"") -> bytes:
        """See `aio.Card.control`."""
        return self._call(self._card.control(number, octets))

    def get_attribute(self, name: str) -> bytes:
        """See `aio.Card.get_attribute`."""
        return self._call(self._card.get_attribute(name))

    def set_attribute(self, name: str, value: BytesLike) -> None:
        """See `aio.Card.set_attribute`."""
        self._call(self._card.set_attribute(name, value))

    def allow(self, who: str) -> None:
        """See `aio.Card.allow`."""
        self._call(self._card.allow(who))

    def lend(self, who: str) -> str:
        """See `aio.Card.lend`."""
        return self._call(self._card.lend(who))

    def when_idle(self, tell: Callable[[IdleWarning], None]) -> None:
        """See `aio.Card.when_idle`; `tell` is called in the thread of the client."""

        async def hear() -> None:
            self._card.when_idle(tell)

        self._call(hear())

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """See `aio.Card.when_over`; `tell` is called in the thread of the client."""

        async def hear() -> None:
            self._card.when_over(tell)

        self._call(hear())

    def detach(self, *, disposition: Disposition = Disposition.RESET, wait: bool = True) -> None:
        """See `aio.Card.detach`."""
        self._call(self._card.detach(disposition=disposition, wait=wait))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(ConnectionLostError):
            self.detach()


Selecting = Card
"""What `Client.select` returns; there is nothing to await."""
