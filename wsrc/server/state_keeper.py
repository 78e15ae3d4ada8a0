# SPDX-License-Identifier: Apache-2.0
"""
What a server keeps, while it runs: nobody waits for the disk but who wants something kept.

One thread reads and writes; what came while it wrote is written together. There is no file before
something is to be kept.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from wsrc.errors import ConfigError
from wsrc.relay.effects import Book, Keep, Uphold
from wsrc.relay.kept import Change, Kept
from wsrc.relay.reservations import Booking
from wsrc.relay.standing import Standing
from wsrc.server.state_store import StateStore, is_there

_log = logging.getLogger(__name__)

MOST: Final = 1_000
"""Changes that wait for the thread; the relay lets no more be open."""

LOCK_S: Final = 2.0
"""How long a change waits for another program that has the file locked."""

STOP_S: Final = 5.0
"""How long the end of a server waits for what is to be kept."""

NOT_WRITTEN: Final = "The server could not write it, and its log says why. Ask its operator."

R = TypeVar("R")

Asked = Keep | Book | Uphold

Told = Callable[[int, Kept | None, str], None]

Booked = Callable[[int, str], None]


class Recalled(NamedTuple):
    """What runs before kept: notes by identity, reservations, their greatest number, orders."""

    notes: Mapping[str, Kept]
    bookings: tuple[Booking, ...] = ()
    last: int = 0
    orders: tuple[Standing, ...] = ()


class StateKeeper:
    """
    The state of a server that runs; used by one event loop.

    Args:
        folder: Of the state.
        told: Called with the number of each change, and what is kept then, or None and a reason.
        booked: Called with the number of each reservation that is written or struck, which is
            not 0, and the reason why that was not done, empty if it was.
        upheld: Likewise of each order.
    """

    def __init__(self, folder: Path, told: Told, booked: Booked, upheld: Booked) -> None:
        self._folder = folder
        self._told = told
        self._booked = booked
        self._upheld = upheld
        self._store: StateStore | None = None
        self._thread = ThreadPoolExecutor(1, "state")
        self._changes: asyncio.Queue[Asked] = asyncio.Queue(MOST)
        self._task: asyncio.Task[None] | None = None

    async def start(self, tasks: asyncio.TaskGroup) -> Recalled:
        """
        Return what was kept by the runs before, and begin to keep.

        Raises:
            ConfigError: As StateStore, where there is a file.
        """
        kept = Recalled({})
        if is_there(self._folder):
            kept = await self._do(self._recall)
        self._task = tasks.create_task(self._keep_on(), name="state")
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
        store = self._store
        if store is not None:
            self._thread.submit(store.close)
        self._thread.shutdown(wait=False)

    def keep(self, change: Asked) -> None:
        """Keep a change, soon."""
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
            noted = {
                each.number: (each.identity, each.change)
                for each in changes
                if isinstance(each, Keep)
            }
            booked = [each for each in changes if isinstance(each, Book)]
            upheld = [each for each in changes if isinstance(each, Uphold)]
            done: Mapping[int, Kept | str] = {}
            why = ""
            try:
                done = await self._do(partial(self._write, noted, booked, upheld))
            except ConfigError as exc:
                _log.warning("What users note and reserve and operators order is not kept: %s", exc)
                why = NOT_WRITTEN
            for each in changes:
                self._tell(each, done.get(each.number, why) if isinstance(each, Keep) else why)
                self._changes.task_done()

    def _tell(self, change: Asked, result: Kept | str) -> None:
        why = "" if isinstance(result, Kept) else result
        if isinstance(change, Keep):
            self._told(change.number, result if isinstance(result, Kept) else None, why)
        elif change.number:
            tell = self._booked if isinstance(change, Book) else self._upheld
            tell(change.number, why)

    def _write(
        self,
        noted: Mapping[int, tuple[str, Change]],
        booked: Sequence[Book],
        upheld: Sequence[Uphold],
    ) -> Mapping[int, Kept | str]:
        store = self._opened()
        if booked:
            store.book(booked)
        if upheld:
            store.uphold(upheld)
        return store.note(noted) if noted else {}

    def _recall(self) -> Recalled:
        store = self._opened()
        return Recalled(store.notes(), *store.bookings(), store.orders())

    def _opened(self) -> StateStore:
        if self._store is None:
            self._store = StateStore(self._folder, LOCK_S)
        return self._store

    async def _do(self, what: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, what)
