# SPDX-License-Identifier: Apache-2.0
"""
Cards that are somewhere else, for programs that do not use asyncio.

    with Client("wss://cards.example:4220") as client:
        with client.select(iccid="8949...") as card:
            response = card.transmit(bytes.fromhex("00a40004023f00"))

The names and errors are those of `wsrc.aio`, which does the work in a thread of each client's
own, and so are the contracts: a method that says less refers to its twin. Any threads may use a
client. An interrupt (Ctrl-C) cancels what is waited for. What a client calls back (`on_waiting`,
`when_over`) runs in its thread and must not use the client.
"""

import asyncio
import atexit
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from wsrc.card.slot import CardProtocol, Disposition
from wsrc.errors import ConnectionLostError, LocalProtocolError, WsrcError
from wsrc.protocol.messages import CardInfo
from wsrc.settings.load import UserSettings
from wsrc.user_client import aio, operating
from wsrc.user_client.card import BatchLimits, IdleWarning
from wsrc.user_client.core import arguments
from wsrc.user_client.core.seals import SealedWith
from wsrc.user_client.portal import JOIN_S, Portal
from wsrc.user_client.twins import Blocking, Call, as_in, follows, waits

if TYPE_CHECKING:
    from wsrc.trace.recorder import Recorder

__all__ = ["Admin", "Card", "Client", "Selecting"]

T = TypeVar("T")


class Client(Blocking):
    """A connection to a server, from `with` or `open` to its end; see `aio.Client`."""

    _twin: aio.Client

    @as_in(aio.Client.__init__)
    def __init__(self, *args: Any, **settings: Any) -> None:
        self._begin(aio.Client(*args, **settings))

    @classmethod
    def from_settings(cls, settings: UserSettings, *, instance: str | None = None) -> Self:
        """See `aio.Client.from_settings`."""
        client = cls.__new__(cls)
        cls._begin(client, aio.Client.from_settings(settings, instance=instance))
        return client

    def prepare(self) -> None:
        """See `aio.Client.prepare`."""
        self._twin.prepare()

    def _begin(self, client: aio.Client) -> None:
        self._twin = client
        self._portal: Portal | None = None
        self._thread: int | None = None
        self._opening = threading.Lock()

    @property
    def server(self) -> str:
        """See `aio.Client.server`."""
        return self._twin.server

    def open(self) -> Self:
        """
        See `aio.Client.open`.

        A client that was opened before a fork begins anew in the child. One that is open when
        the interpreter ends is closed then.
        """
        return self._open(self._twin.open)

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
        return self._open(self._twin.__aenter__)

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> None:
        """See `aio.Client.check`."""
        self._twin.check()

    @as_in(aio.Client.select)
    def select(self, **choices: Any) -> "Selecting":
        """
        See `aio.Client.select`; the card is ours at once, and `with` gives it back at its end.

        `on_waiting` is called in the thread of the client.
        """

        async def select() -> aio.Card:
            return await self._twin.select(**choices)

        return Card(self._call(select()), self._call)

    greeted = waits(aio.Client.greeted)
    list_cards = waits(aio.Client.list_cards)
    watch = follows(aio.Client.watch)
    list_readers = waits(aio.Client.list_readers)
    watch_readers = follows(aio.Client.watch_readers)
    watch_reader_notifications = follows(aio.Client.watch_reader_notifications)
    set_tags = waits(aio.Client.set_tags)
    set_comment = waits(aio.Client.set_comment)
    who = waits(aio.Client.who)
    revoke = waits(aio.Client.revoke)
    reserve = waits(aio.Client.reserve)
    reservations = waits(aio.Client.reservations)
    cancel_reservation = waits(aio.Client.cancel_reservation)

    @property
    def admin(self) -> "Admin":
        """What the operator of a server can do."""
        return Admin(self._twin, self._call)

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
            await self._twin.close()


class Recorded(Client):
    """A client as `Client.from_settings` returns it, whose exchanges with cards are recorded."""

    def __init__(self, settings: UserSettings, recorder: "Recorder") -> None:
        client = aio.Client.from_settings(settings)
        client.recorder = recorder
        self._begin(client)


async def _own_thread() -> int:
    return threading.get_ident()


class Card(Blocking):
    """A card that is ours; see `aio.Card`."""

    _twin: aio.Card

    def __init__(self, card: aio.Card, call: Call) -> None:
        self._twin = card
        self._wait = call

    def _call(self, doing: Coroutine[Any, Any, T]) -> T:
        return self._wait(doing)

    @property
    def info(self) -> CardInfo:
        """The card as the server describes it."""
        return self._twin.info

    @property
    def atr(self) -> bytes:
        """The ATR of the latest reset."""
        return self._twin.atr

    @property
    def protocol(self) -> CardProtocol | None:
        """Transmission protocol, where the card host told it."""
        return self._twin.protocol

    @property
    def features(self) -> bytes | None:
        """What the reader answers to `control` 3400, None where its host did not tell."""
        return self._twin.features

    @property
    def sealed(self) -> SealedWith | None:
        """Who the card host is of a session that no server can read, None of another."""
        return self._twin.sealed

    @property
    def session(self) -> str:
        """Name of the session; a secret between us and the server."""
        return self._twin.session

    @property
    def batch_limits(self) -> BatchLimits:
        """What a batch may have, as the server says on the connection that there is now."""
        return self._twin.batch_limits

    transmit = waits(aio.Card.transmit)
    batch = waits(aio.Card.batch)
    reset = waits(aio.Card.reset)
    reconnect = waits(aio.Card.reconnect)
    begin = waits(aio.Card.begin)
    end = waits(aio.Card.end)
    abandon = waits(aio.Card.abandon)
    status = waits(aio.Card.status)
    control = waits(aio.Card.control)
    get_attribute = waits(aio.Card.get_attribute)
    set_attribute = waits(aio.Card.set_attribute)
    allow = waits(aio.Card.allow)
    lend = waits(aio.Card.lend)
    detach = waits(aio.Card.detach)

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

    def when_idle(self, tell: Callable[[IdleWarning], None]) -> None:
        """See `aio.Card.when_idle`; `tell` is called in the thread of the client."""

        async def hear() -> None:
            self._twin.when_idle(tell)

        self._call(hear())

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """See `aio.Card.when_over`; `tell` is called in the thread of the client."""

        async def hear() -> None:
            self._twin.when_over(tell)

        self._call(hear())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ConnectionLostError):
            self.detach()


class Admin(Blocking):
    """What the operator of a server can do; see `aio.Admin`."""

    def __init__(self, client: aio.Client, call: Call) -> None:
        self._client = client
        self._wait = call

    @property
    def _twin(self) -> operating.Admin:
        return self._client.admin

    def _call(self, doing: Coroutine[Any, Any, T]) -> T:
        return self._wait(doing)

    peers = waits(operating.Admin.peers)
    kick = waits(operating.Admin.kick)
    ban = waits(operating.Admin.ban)
    unban = waits(operating.Admin.unban)
    bans = waits(operating.Admin.bans)
    drain = waits(operating.Admin.drain)
    undrain = waits(operating.Admin.undrain)
    stop = waits(operating.Admin.stop)


Selecting = Card
"""What `Client.select` returns; there is nothing to await."""
