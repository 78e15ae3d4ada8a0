# SPDX-License-Identifier: Apache-2.0
"""
The cards that a selection matches, known at every moment without asking, and the way to take one.

Bridges to programs that poll stand on this: the roster has a thread and a connection of its own,
hears of changes, and connects again after a loss. While a connection is made again, cards are as
they were last; so, for a while, are those whose hosts are not back yet at a restarted server.
One that is ours stays for as long as it is, whatever the server says.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from wsrc.card.slot import Disposition
from wsrc.errors import ConnectionLostError, RefusedError, WsrcError
from wsrc.net.dial import Backoff
from wsrc.protocol import messages as m
from wsrc.protocol.messages import CardInfo, Change
from wsrc.user_client import aio
from wsrc.user_client.blocking import Card
from wsrc.user_client.core.requests import RETURN_S
from wsrc.user_client.core.watching import CardFeed
from wsrc.user_client.naming import CardKey, Filters, exactly, key_of
from wsrc.user_client.portal import JOIN_S, wait_for

FIRST_RETRY_S, LAST_RETRY_S = 0.2, 5.0
"""How long to wait before connecting again; it doubles each time."""

TLS_REST_S = 0.1
"""How long a loop goes on after a connection was closed: the end of TLS takes a round trip."""

T = TypeVar("T")


class FollowingClient(aio.Client):
    """A client that tells when it knows all cards, and what happens to them from then on."""

    async def follow(self, which: Filters) -> tuple[list[CardInfo], CardFeed]:
        """
        Return the cards that there are, and a feed of what happens to them after.

        Raises:
            ConnectionLostError: If the connection is lost or the server does not answer in time.
        """
        self._connection.feed = feed = CardFeed()
        await self._connection.requests.ask(m.Watch(**which), self._timeout_s)
        return await self._list(which, feed), feed

    async def run_of_server(self) -> str | None:
        """Return the name of this run of the server, None if it has none."""
        try:
            return (await self._ask_list(0)).instance
        except RefusedError:
            return None


class Roster:
    """
    The cards that `which` matches now; any thread may use it.

    Args:
        connect: Makes a client that is not open yet.
        which: What the cards must be; `*` stands for any text.
        note: Called with a sentence when the server is lost and when it is back.
    """

    def __init__(
        self,
        connect: Callable[[], FollowingClient],
        which: Filters,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._connect = connect
        self._which = which
        self._note = note
        self._changed = threading.Condition()
        self._cards: dict[CardKey, CardInfo] = {}
        self._told: dict[CardKey, CardInfo] = {}
        self._ours: dict[CardKey, tuple[CardInfo, aio.Card]] = {}
        self._awaited: set[CardKey] = set()
        """Cards that the server knew before it was restarted: they may be on their way back."""

        self._run_of_server: str | None = None

        self._version = 0
        self._fault: WsrcError | None = None
        self._closed = False
        self._ready = threading.Event()
        self._listeners: list[Callable[[], None]] = []
        self._client: FollowingClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="wsrc-roster", daemon=True)

    def open(self) -> None:
        """
        Connect, and wait until the cards are known.

        Raises:
            WsrcError: If the first connection fails; the roster is closed then.
        """
        self._thread.start()
        self._ready.wait()
        if self._fault is not None and self._client is None:
            fault = self._fault
            self.close()
            raise fault

    def close(self) -> None:
        """End the connection: all cards are given back; it may be called again."""
        with self._changed:
            self._closed = True
        loop, main = self._loop, self._main
        if loop is not None and main is not None and self._thread.is_alive():
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(main.cancel)
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    @property
    def cards(self) -> list[CardInfo]:
        """The cards that there are, in a stable order; none while the server is away."""
        with self._changed:
            return [self._cards[key] for key in sorted(self._cards, key=str)]

    @property
    def version(self) -> int:
        """A number that grows with each change."""
        with self._changed:
            return self._version

    @property
    def fault(self) -> WsrcError | None:
        """Why the server is away; None while it is there."""
        with self._changed:
            return self._fault

    def find(self, key: CardKey) -> CardInfo | None:
        """Return the card at a place."""
        with self._changed:
            return self._cards.get(key)

    def wait(self, version: int, timeout_s: float | None) -> bool:
        """Wait until `version` is old; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._version != version or self._closed, timeout_s
            )

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change, in the thread of the roster; it must not block."""
        self._listeners.append(listener)

    def take(self, card: CardInfo, *, raw_tpdu: bool = False, wait_s: float = 0.0) -> Card:
        """Make a card ours; raises as `aio.Client.select`."""
        client = self._client
        if client is None:
            raise self._fault or ConnectionLostError("The connection to the server is closed.")
        which = exactly(card) or Filters(atr=card.identities.atr)

        async def select() -> aio.Card:
            return_s = RETURN_S if key_of(card) in self._awaited else 0.0
            taken = await client.select(
                wait_s=max(wait_s, return_s), raw_tpdu=raw_tpdu, look_ahead=raw_tpdu, **which
            )
            self._ours[key_of(card)] = card, taken
            taken.when_over(lambda _: self._let_go(taken))
            return taken

        return _Taken(self.call(select()), self.call, self._let_go)

    def call(self, doing: Coroutine[Any, Any, T]) -> T:
        """
        Do something in the thread of the roster and wait for its end.

        Raises:
            ConnectionLostError: If the roster is closed.
        """
        if self._loop is None or self._closed:
            doing.close()
            raise ConnectionLostError("The connection to the server is closed.")
        try:
            return wait_for(asyncio.run_coroutine_threadsafe(doing, self._loop))
        except RuntimeError as exc:
            doing.close()
            raise ConnectionLostError("The connection to the server is closed.") from exc

    def _run(self) -> None:
        try:
            asyncio.run(self._be_connected())
        finally:
            self._ours.clear()
            self._update({}, ConnectionLostError("The connection to the server is closed."))
            self._ready.set()

    async def _be_connected(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.create_task(self._keep_connected())  # noqa: TID251 - waited for here
        await asyncio.wait([self._main])
        if not self._main.cancelled():
            self._main.result()
        await asyncio.sleep(TLS_REST_S)

    async def _keep_connected(self) -> None:
        waits = Backoff(FIRST_RETRY_S, LAST_RETRY_S)
        while not self._closed:
            try:
                async with self._connect() as client:
                    waits.succeeded()
                    while True:
                        await self._follow_once(client)
            except WsrcError as exc:
                self._lost(exc)
            await asyncio.sleep(waits.wait_s())

    async def _follow_once(self, client: FollowingClient) -> None:
        """Follow until a connection is lost; raise why if the client makes no other."""
        try:
            await self._follow(client)
        except ConnectionLostError as exc:
            client.check()
            if self._ready.is_set():
                self._note(f"{exc} It is being made again; the cards are kept meanwhile.")

    async def _follow(self, client: FollowingClient) -> None:
        there, feed = await client.follow(self._which)
        self._client = client
        if self._ready.is_set():
            self._note(f"Connected to {client.server or 'the server'} again.")
        listed = {key_of(card): card for card in there}
        run = await client.run_of_server()
        missing = self._told.keys() - listed.keys()
        self._awaited = missing if run != self._run_of_server else missing & self._awaited
        self._run_of_server = run
        timer = asyncio.get_running_loop().call_later(RETURN_S, self._await_no_more)
        awaited = {key: card for key, card in self._told.items() if key in self._awaited}
        self._update(awaited | listed, None)
        self._ready.set()
        try:
            while True:
                event = await feed.next()
                cards, key = dict(self._told), key_of(event.card)
                cards.pop(key, None)
                self._awaited.discard(key)
                if event.change is not Change.REMOVED:
                    cards[key] = event.card
                self._update(cards, None)
        finally:
            timer.cancel()

    def _await_no_more(self) -> None:
        """Let those cards go that are not back yet: their hosts had time enough."""
        gone, self._awaited = self._awaited, set()
        self._update({key: card for key, card in self._told.items() if key not in gone}, None)

    def _lost(self, why: WsrcError) -> None:
        first = self._fault is None
        self._client = None
        self._update({}, why)
        if first and self._ready.is_set():
            self._note(str(why))
        self._ready.set()

    def _let_go(self, card: aio.Card) -> None:
        """Note that a card is not ours any more: it is there if the server says so."""
        self._ours = {key: ours for key, ours in self._ours.items() if ours[1] is not card}
        self._update(self._told, self._fault)

    def _update(self, told: dict[CardKey, CardInfo], fault: WsrcError | None) -> None:
        cards = {key: info for key, (info, _) in self._ours.items()} | told
        with self._changed:
            self._fault, self._told = fault, told
            if cards == self._cards and not self._closed:
                return
            self._cards = cards
            self._version += 1
            self._changed.notify_all()
        for listener in self._listeners:
            listener()


class _Taken(Card):
    """A card of a roster, which is told when it is given back."""

    def __init__(
        self,
        card: aio.Card,
        call: Callable[[Coroutine[Any, Any, Any]], Any],
        let_go: Callable[[aio.Card], None],
    ) -> None:
        super().__init__(card, call)
        self._taken = card
        self._let_go = let_go

    def detach(self, *, disposition: Disposition = Disposition.RESET) -> None:
        """Give the card back."""

        async def detach() -> None:
            try:
                await self._taken.detach(disposition=disposition)
            finally:
                self._let_go(self._taken)

        self._call(detach())
