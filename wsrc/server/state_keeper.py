# SPDX-License-Identifier: Apache-2.0
"""
What a server keeps, while it runs: nobody waits for the disk but who wants something kept.

One thread reads and writes; what came while it wrote is written together. Where several servers
share it, what another has changed is told once nothing of ours waits for the same card.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from wsrc.errors import ConfigError
from wsrc.relay.effects import Book, Keep, Uphold
from wsrc.relay.kept import Kept
from wsrc.relay.recalled import Recalled
from wsrc.relay.reservations import Booking
from wsrc.server.state import NOT_WRITTEN, State
from wsrc.server.state_store import StateStore, is_there

_log = logging.getLogger(__name__)

MOST: Final = 1_000
"""Changes that wait for the thread; the relay lets no more be open."""

LOCK_S: Final = 2.0
"""How long a change waits for another program that has the file locked."""

STOP_S: Final = 5.0
"""How long the end of a server waits for what is to be kept."""

R = TypeVar("R")

Asked = Keep | Book | Uphold

Told = Callable[[int, Kept | None, str], None]

Booked = Callable[[int, str], None]

Foreign = Callable[[str, Kept | tuple[Booking, ...]], None]


class Opens(NamedTuple):
    """
    Where the state is.

    `open` returns it, within so many seconds that it may be locked; `is_there` whether anything
    may be in it, without which nothing is opened before something is to be kept. `folder` has what
    operators order, which is never shared.
    """

    open: Callable[[float], State]
    is_there: Callable[[], bool]
    folder: Path


class StateKeeper:
    """
    The state of a server that runs; used by one event loop.

    Args:
        opens: Where the state is.
        told: Called with the number of each change, and what is kept then, or None and a reason.
        booked: Called with the number of each reservation that is written or struck, which is
            not 0, and the reason why that was not done, empty if it was.
        upheld: Likewise of each order.
        foreign: Called with the identity of a card and all that is kept of it, where another
            server may have changed that.
    """

    def __init__(
        self, opens: Opens, told: Told, booked: Booked, upheld: Booked, foreign: Foreign
    ) -> None:
        self._opens = opens
        self._told = told
        self._booked = booked
        self._upheld = upheld
        self._foreign = foreign
        self._open: Counter[tuple[str, bool]] = Counter()
        self._heard: dict[tuple[str, bool], Kept | tuple[Booking, ...]] = {}
        self._loop = asyncio.get_running_loop()
        self._is_recalled = False
        self._store: State | None = None
        self._orders: StateStore | None = None
        self._thread = ThreadPoolExecutor(1, "state")
        self._changes: asyncio.Queue[Asked] = asyncio.Queue(MOST)
        self._task: asyncio.Task[None] | None = None

    async def start(self, tasks: asyncio.TaskGroup) -> Recalled:
        """
        Return what was kept by the runs before, and begin to keep.

        Raises:
            ConfigError: As `State`, where there is one.
        """
        kept = Recalled({})
        if self._opens.is_there():
            kept = await self._do(self._recall)
        self._task = tasks.create_task(self._keep_on(), name="state")
        self._loop.call_soon(self._recalled)
        return kept

    async def stop(self) -> None:
        """Keep what is to be kept yet, and end."""
        if self._task is not None:
            try:
                async with asyncio.timeout(STOP_S):
                    await self._changes.join()
            except TimeoutError:
                lost = self._changes.qsize()
                _log.warning("%d changes of notes, reservations and orders are not kept", lost)
            self._task.cancel()
            await asyncio.wait([self._task])
        stores, self._store, self._orders = (self._store, self._orders), None, None
        for store in stores:
            if store is not None:
                self._thread.submit(store.close)
        self._thread.shutdown(wait=False)

    def keep(self, change: Asked) -> None:
        """Keep a change, soon."""
        if not isinstance(change, Uphold):
            self._open[_what(change)] += 1
        try:
            self._changes.put_nowait(change)
        except asyncio.QueueFull:
            why = "Too much is to be kept at once; try again."
            asyncio.get_running_loop().call_soon(self._tell, change, why)

    async def _keep_on(self) -> None:
        while True:
            changes = [await self._changes.get()]
            while not self._changes.empty():
                changes.append(self._changes.get_nowait())
            await self._keep_all([each for each in changes if isinstance(each, Uphold)])
            await self._keep_all([each for each in changes if not isinstance(each, Uphold)])

    async def _keep_all(self, changes: Sequence[Asked]) -> None:
        """Write changes together, and tell what became of each."""
        done: Mapping[int, Kept | str] = {}
        why = ""
        try:
            done = await self._do(partial(self._write, changes))
        except ConfigError as exc:
            _log.warning("What users note and reserve and operators order is not kept: %s", exc)
            why = NOT_WRITTEN
        for each in changes:
            self._tell(each, done.get(each.number, why))
            self._changes.task_done()

    def _tell(self, change: Asked, result: Kept | str) -> None:
        why = "" if isinstance(result, Kept) else result
        if isinstance(change, Uphold):
            if change.number:
                self._upheld(change.number, why)
            return
        if isinstance(change, Keep):
            self._told(change.number, result if isinstance(result, Kept) else None, why)
        elif change.number:
            self._booked(change.number, why)
        what = _what(change)
        self._open[what] -= 1
        if not self._open[what]:
            del self._open[what]
            heard = self._heard.pop(what, None)
            if heard is not None:
                self._foreign(what[0], heard)

    def _hear(self, identity: str, kept: Kept | tuple[Booking, ...]) -> None:
        """Take what is kept of a card; while ours of it is not kept yet, that waits."""
        what = identity, isinstance(kept, Kept)
        if what in self._open or not self._is_recalled:
            self._heard[what] = kept
        else:
            self._foreign(identity, kept)

    def _recalled(self) -> None:
        """Tell what was heard before the caller knew what was kept."""
        self._is_recalled = True
        heard, self._heard = self._heard, {}
        for (identity, _), kept in heard.items():
            self._hear(identity, kept)

    def _told_by_thread(self, identity: str, kept: Kept | tuple[Booking, ...]) -> None:
        with suppress(RuntimeError):  # the loop is over
            self._loop.call_soon_threadsafe(self._hear, identity, kept)

    def _write(self, changes: Sequence[Asked]) -> Mapping[int, Kept | str]:
        """Return by their numbers what is kept then, or why a change was not made."""
        noted = {
            each.number: (each.identity, each.change) for each in changes if isinstance(each, Keep)
        }
        booked = [each for each in changes if isinstance(each, Book)]
        upheld = [each for each in changes if isinstance(each, Uphold)]
        done: dict[int, Kept | str] = {}
        if upheld:
            self._ordered().uphold(upheld)
        if booked:
            done.update(self._opened().book(booked))
        if noted:
            done.update(self._opened().note(noted))
        return done

    def _recall(self) -> Recalled:
        store = self._opened()
        orders = self._ordered().orders() if is_there(self._opens.folder) else ()
        return Recalled(store.notes(), *store.bookings(), store.numbering, orders)

    def _ordered(self) -> StateStore:
        if self._orders is None:
            self._orders = StateStore(self._opens.folder, LOCK_S)
        return self._orders

    def _opened(self) -> State:
        if self._store is None:
            self._store = self._opens.open(LOCK_S)
            self._store.follow(self._told_by_thread)
        return self._store

    async def _do(self, what: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, what)


def _what(change: Keep | Book) -> tuple[str, bool]:
    """Return which card a change is of, and whether of what users noted."""
    if isinstance(change, Keep):
        return change.identity, True
    return change.booking.identity, False
