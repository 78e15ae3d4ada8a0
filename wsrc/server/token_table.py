# SPDX-License-Identifier: Apache-2.0
"""
The tokens of a server that runs: in memory, and as they are kept within a second.

No handshake with a known token waits for a disk or for NATS. What is kept is looked at, and when
tokens were used is written, by one thread of its own.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TypeVar

from wsrc.errors import ConfigError
from wsrc.server.state import Stored, Tokens
from wsrc.server.token_store import hash_of

_log = logging.getLogger(__name__)

LOOK_S = 0.5
"""How often it is looked whether another program changed the tokens, in seconds."""

SOON_S = 0.05
"""How long it takes until that is looked at because an unknown token was shown, in seconds."""

WRITE_S = 60.0
"""How often it is written when tokens were used, in seconds."""

_LOCK_S = 1.0

R = TypeVar("R")


class TokenTable:
    """
    All tokens of a server.

    Args:
        open_: Opens them, within so many seconds that they may be locked.
        changed: Called with the tokens that have come and those that have gone.
    """

    def __init__(
        self,
        open_: Callable[[float], Tokens],
        changed: Callable[[Sequence[Stored], Sequence[Stored]], None],
    ) -> None:
        self._open = open_
        self._changed = changed
        self._store: Tokens | None = None
        self._by_hash: dict[bytes, Stored] = {}
        self._by_number: dict[int, Stored] = {}
        self._used: dict[int, float] = {}
        self._thread = ThreadPoolExecutor(1, "tokens")
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._next: asyncio.Future[None] | None = None
        """Done when the tokens were looked at; who asks meanwhile needs the look after that."""
        self._told: dict[str, str] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._by_number

    @property
    def all(self) -> tuple[Stored, ...]:
        """All tokens, by number."""
        return tuple(self._by_number.values())

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """
        Read the tokens, and keep them as they are on disk.

        Raises:
            ConfigError: As `Tokens`.
        """
        self._store = await self._do(partial(self._open, _LOCK_S))
        await self._read(self._store)
        self._task = tasks.create_task(self._keep(self._store), name="tokens")

    async def stop(self) -> None:
        """Write when tokens were used, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        store = self._store
        if store is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * _LOCK_S):
                    await self._write(store)
                    await self._do(store.close)
        self._thread.shutdown(wait=False)

    def find(self, token: str, now: float) -> Stored | None:
        """Return what is known of a token that a peer has sent at this time."""
        found = self._by_hash.get(hash_of(token))
        if found is not None:
            self._used[found.number] = now
        return found

    async def find_anew(self, token: str, now: float) -> Stored | None:
        """Return what is known of a token, also of one that was made a moment ago."""
        found = self.find(token, now)
        if found is None and self._task is not None and not self._task.done():
            if self._next is None:
                self._next = asyncio.get_running_loop().create_future()
            self._wanted.set()
            await asyncio.wait([self._next], timeout=_LOCK_S)
            found = self.find(token, now)
        return found

    async def _do(self, what: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, what)

    async def _keep(self, store: Tokens) -> None:
        loop = asyncio.get_running_loop()
        write_at = loop.time() + WRITE_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wanted.wait()
                    await asyncio.sleep(SOON_S)
            await self._look(store)
            if loop.time() >= write_at:
                write_at = loop.time() + WRITE_S
                await self._write(store)

    async def _look(self, store: Tokens) -> None:
        """Look what is on disk, and tell those who wait for that."""
        before = self._by_number
        waiting, self._next = self._next, None
        self._wanted.clear()
        try:
            await self._read(store)
        except ConfigError as exc:
            self._tell("read", exc)
        else:
            self._told.pop("read", None)
            self._compare(before)
        finally:
            if waiting is not None:
                waiting.set_result(None)

    async def _read(self, store: Tokens) -> None:
        """Read the tokens if they may have changed."""

        def read() -> list[Stored] | None:
            return store.all() if store.changed() else None

        found = await self._do(read)
        if found is None:
            return
        self._by_hash = {each.hash: each for each in found}
        self._by_number = {each.number: each for each in found}

    def _compare(self, before: dict[int, Stored]) -> None:
        now = self._by_number
        came = [now[number] for number in now.keys() - before.keys()]
        gone = [before[number] for number in before.keys() - now.keys()]
        if came or gone:
            self._changed(came, gone)

    async def _write(self, store: Tokens) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await self._do(lambda: store.used(used))
        except ConfigError as exc:
            self._used = used | self._used
            self._tell("written", exc)
        else:
            self._told.pop("written", None)

    def _tell(self, what: str, exc: ConfigError) -> None:
        """Say once why tokens cannot be read, or written when they were used."""
        why = str(exc)
        if why != self._told.get(what):
            self._told[what] = why
            _log.warning("Tokens cannot be %s, and stay in force as they are: %s", what, why)
