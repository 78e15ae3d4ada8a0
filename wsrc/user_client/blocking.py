# SPDX-License-Identifier: Apache-2.0
"""
Cards that are somewhere else, for programs that do not use asyncio.

    with Client("wss://cards.example:4220") as client:
        with client.select(iccid="8949...") as card:
            response = card.transmit(bytes.fromhex("00a40004023f00"))

The names and errors are those of `wsrc.aio`, which does the work in a thread of each
client's own. Any threads may use a client. An interrupt (Ctrl-C) cancels what is waited for.
"""

import asyncio
import atexit
import concurrent.futures
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from wsrc.card.apdu import Response
from wsrc.card.slot import CardProtocol, CardStatus, Disposition, Initialization, ResetKind, Share
from wsrc.errors import ConnectionLostError, WsrcError
from wsrc.protocol.messages import CardEvent, CardInfo, Step, Waiting
from wsrc.user_client import aio
from wsrc.user_client.aio import BatchResult, Status
from wsrc.user_client.core.reader_feed import Notification, ReaderMark, ReaderNews, ReaderSnapshot
from wsrc.user_client.naming import Filters
from wsrc.user_client.portal import JOIN_S, Portal

__all__ = [
    "BatchResult",
    "Card",
    "CardStatus",
    "Client",
    "Disposition",
    "Initialization",
    "ResetKind",
    "Response",
    "Share",
    "Status",
    "Step",
]

T = TypeVar("T")


class Client:
    """A connection to a server, from `with` to its end; see `aio.Client`."""

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
        self._client = aio.Client(
            url,
            ca=ca,
            name=name,
            timeout_s=timeout_s,
            connect_s=connect_s,
            ping_s=ping_s,
            keep_s=keep_s,
        )
        self._portal: Portal | None = None
        self._held: concurrent.futures.Future[None] | None = None
        self._closing = asyncio.Event()

    @property
    def server(self) -> str:
        """Name of the server."""
        return self._client.server

    def __enter__(self) -> Self:
        """Connect and greet; raises as `aio.Client.__aenter__`."""
        self._portal = Portal()
        opened: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._held = self._portal.submit(self._hold(opened))
        self._held.add_done_callback(lambda held: _pass_on(held, opened))
        try:
            opened.result()
        except BaseException:
            self._held.cancel()
            self.close()
            raise
        atexit.register(self.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back every card and close the connection; it may be called again."""
        portal, self._portal = self._portal, None
        held = self._held
        atexit.unregister(self.close)
        if portal is None or held is None or not portal.usable:
            return
        try:
            portal.call(self._let_go())
            with suppress(concurrent.futures.CancelledError, TimeoutError, WsrcError):
                held.result(JOIN_S)
        finally:
            portal.stop()

    def list_cards(self, **filters: Unpack[Filters]) -> list[CardInfo]:
        """See `aio.Client.list_cards`."""
        return self._call(self._client.list_cards(**filters))

    def select(  # noqa: PLR0913 - as in `aio`
        self,
        *,
        wait_s: float = 0.0,
        raw_tpdu: bool = False,
        look_ahead: bool = False,
        share: Share = Share.EXCLUSIVE,
        protocols: Sequence[CardProtocol] = (),
        on_waiting: Callable[[Waiting], None] | None = None,
        **which: Unpack[Filters],
    ) -> "Card":
        """
        Make one card ours, freshly reset; use it with `with`, or call its `detach`.

        `on_waiting` is called in the thread of the client; the rest is as `aio.Client.select`.
        """

        async def select() -> aio.Card:
            return await self._client.select(
                wait_s=wait_s,
                raw_tpdu=raw_tpdu,
                look_ahead=look_ahead,
                share=share,
                protocols=protocols,
                on_waiting=on_waiting,
                **which,
            )

        return Card(self._call(select()), self._call)

    def watch(self, **filters: Unpack[Filters]) -> Iterator[CardEvent]:
        """See `aio.Client.watch`."""
        yield from self._follow(self._client.watch(**filters))

    def list_readers(self) -> ReaderSnapshot:
        """See `aio.Client.list_readers`."""
        return self._call(self._client.list_readers())

    def watch_readers(self, since: ReaderMark | None = None) -> Iterator[ReaderNews]:
        """See `aio.Client.watch_readers`."""
        yield from self._follow(self._client.watch_readers(since))

    def watch_reader_notifications(self) -> Iterator[Notification]:
        """See `aio.Client.watch_reader_notifications`."""
        yield from self._follow(self._client.watch_reader_notifications())

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
            raise ConnectionLostError("The client is not open; use it inside of `with`.")
        return self._portal.call(doing)

    async def _hold(self, opened: "concurrent.futures.Future[None]") -> None:
        async with self._client:
            opened.set_result(None)
            await self._closing.wait()

    async def _let_go(self) -> None:
        self._closing.set()


class Card:
    """A card that is ours; see `aio.Card` for what each method gives and raises."""

    def __init__(self, card: aio.Card, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
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
    def session(self) -> str:
        """Name of the session; a secret between us and the server."""
        return self._card.session

    def transmit(self, command: bytes) -> Response:
        """Send one command APDU and give the response, whatever its status word."""
        response: Response = self._call(self._card.transmit(command))
        return response

    def batch(self, steps: Sequence[Step | bytes]) -> BatchResult:
        """Run 1 to 256 commands one after the other in one round trip."""
        result: BatchResult = self._call(self._card.batch(steps))
        return result

    def reset(self, kind: ResetKind = ResetKind.COLD) -> bytes:
        """Reset the card and give its new ATR."""
        atr: bytes = self._call(self._card.reset(kind))
        return atr

    def begin(self) -> None:
        """Begin a transaction: those who share the card wait until it ends."""
        self._call(self._card.begin())

    def end(self, *, disposition: Disposition = Disposition.LEAVE) -> None:
        """End the transaction that was begun last."""
        self._call(self._card.end(disposition=disposition))

    @contextmanager
    def transaction(
        self, *, disposition: Disposition = Disposition.LEAVE
    ) -> Generator[None, None, None]:
        """Have the card alone in the block; an interrupt leaves it as `aio.Card.abandon` says."""
        self.begin()
        try:
            yield
        except Exception:
            with suppress(WsrcError):
                self.end(disposition=disposition)
            raise
        except BaseException:
            with suppress(WsrcError):
                self._call(self._card.abandon(disposition=disposition))
            raise
        self.end(disposition=disposition)

    def status(self) -> Status:
        """Return what the card host's PC/SC says of the card."""
        status: Status = self._call(self._card.status())
        return status

    def control(self, number: int, octets: bytes = b"") -> bytes:
        """Ask something of the reader itself and give its answer."""
        answer: bytes = self._call(self._card.control(number, octets))
        return answer

    def get_attribute(self, name: str) -> bytes:
        """Return an attribute of the reader."""
        value: bytes = self._call(self._card.get_attribute(name))
        return value

    def set_attribute(self, name: str, value: bytes) -> None:
        """Set an attribute of the reader."""
        self._call(self._card.set_attribute(name, value))

    def reconnect(
        self,
        *,
        share: Share | None = None,
        initialization: Initialization = Initialization.LEAVE,
        protocols: Sequence[CardProtocol] = (),
    ) -> bytes:
        """Agree on a protocol anew, after a reset if one is asked for, and give the ATR."""
        atr: bytes = self._call(
            self._card.reconnect(share=share, initialization=initialization, protocols=protocols)
        )
        return atr

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """Have `tell` called, in the thread of the client, with why the card stopped being ours."""

        async def hear() -> None:
            self._card.when_over(tell)

        self._call(hear())

    def detach(self, *, disposition: Disposition = Disposition.RESET) -> None:
        """Give the card back; it is reset for the next user."""
        self._call(self._card.detach(disposition=disposition))

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


def _pass_on(
    held: "concurrent.futures.Future[None]", opened: "concurrent.futures.Future[None]"
) -> None:
    """Tell whoever waits for the opening that it failed."""
    if opened.done():
        return
    if held.cancelled():
        opened.cancel()
    else:
        opened.set_exception(held.exception() or ConnectionLostError("The client was closed."))
