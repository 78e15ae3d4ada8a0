# SPDX-License-Identifier: Apache-2.0
"""
The same cards behind two services: a real pcscd with vpcd, and our socket.

A side has readers with a card each, which can be taken out and put in again, and an environment
in which programs find them.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from tests.support.certificates import Certificates
from tests.support.pcsc.bench import SOCKET_VARIABLE, Bench, reader_states, wait_until
from tests.support.pcsc.local_cards import LocalCards
from tests.support.pcsc.vpcd_card import VpcdCard
from tests.support.world import running
from wsrc.bridges.pcscd.server import serving
from wsrc.bridges.remote.cards import RemoteCards
from wsrc.readers.simulated import SimulatedSource
from wsrc.readers.simulation import Card
from wsrc.user_client.naming import Filters

LIMIT_S = 60.0
_ABSENT, _PRESENT = 2, 4

Serving = Callable[[Path], AbstractAsyncContextManager[SimulatedSource]]


class Side(Protocol):
    """One service and its readers."""

    name: str
    socket_path: Path

    @property
    def environment(self) -> dict[str, str]: ...

    @property
    def readers(self) -> list[str]: ...

    def remove(self, number: int = 0) -> None: ...

    def insert(self, number: int = 0) -> None: ...


class _Common:
    name: str
    socket_path: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("WSRC_")}
        return kept | {SOCKET_VARIABLE: str(self.socket_path)}

    @property
    def readers(self) -> list[str]:
        return list(reader_states(self.socket_path))

    def wait(self, number: int, bit: int) -> None:
        """Wait until the service shows the state of a reader."""

        def is_so() -> bool:
            states = list(reader_states(self.socket_path).values())
            return len(states) > number and bool(states[number] & bit)

        wait_until(is_so, LIMIT_S, f"reader {number} of {self.name} is in state {bit}")


class RealSide(_Common):
    """A private pcscd; its two readers have one card each, or none."""

    def __init__(self, bench: Bench, cards: Sequence[Card]) -> None:
        self.name = "pcscd"
        self.socket_path = bench.socket_path
        self._bench = bench
        self._cards = list(cards)
        self._inside: dict[int, tuple[VpcdCard, threading.Thread]] = {}

    def insert(self, number: int = 0) -> None:
        self.insert_at_once(number)
        self.wait(number, _PRESENT)

    def insert_at_once(self, number: int = 0) -> None:
        """Put a card in and do not wait until it is seen."""
        card = self._cards[number]
        card.insert()
        line = VpcdCard(card, port=self._bench.slot(number).port)
        thread = threading.Thread(target=line.run, name="card")
        thread.start()
        self._inside[number] = line, thread

    def remove(self, number: int = 0) -> None:
        self.remove_at_once(number)
        self.wait(number, _ABSENT)

    def remove_at_once(self, number: int = 0) -> None:
        """Take a card out and do not wait until that is seen."""
        line, thread = self._inside.pop(number)
        line.stop()
        thread.join(10)

    def close(self) -> None:
        for number in list(self._inside):
            self.remove_at_once(number)


class OurSide(_Common):
    """Our socket, and simulated readers behind it, in a thread with an event loop."""

    source: SimulatedSource

    def __init__(self, name: str, path: Path, serve: Serving) -> None:
        self.name = name
        self.socket_path = path
        self._serve = serve
        self._started = threading.Event()
        self._trouble: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name=f"socket {name}")

    def start(self) -> None:
        """Begin to serve, and wait until programs can connect."""
        self._thread.start()
        assert self._started.wait(LIMIT_S), "our socket does not come up"
        if self._trouble is not None:
            raise self._trouble

    def stop(self) -> None:
        """End it; fail if anything went wrong in it meanwhile."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "our socket does not end"
        if self._trouble is not None:
            raise self._trouble

    def _work(self) -> None:
        try:
            asyncio.run(self._until_stopped())
        except BaseException as exc:  # noqa: BLE001 - told to the test
            self._trouble = exc
        finally:
            self._started.set()

    async def _until_stopped(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with self._serve(self.socket_path) as self.source:
            self._names = self.source.names
            self._started.set()
            await self._stop.wait()

    def insert(self, number: int = 0) -> None:
        self.insert_at_once(number)
        self.wait(number, _PRESENT)

    def insert_at_once(self, number: int = 0) -> None:
        """Put the card in again and do not wait until it is seen."""
        self.source.insert(self._names[number])

    def remove(self, number: int = 0) -> None:
        self.remove_at_once(number)
        self.wait(number, _ABSENT)

    def remove_at_once(self, number: int = 0) -> None:
        """Take a card out and do not wait until that is seen."""
        self.source.remove(self._names[number])


@contextlib.contextmanager
def real(cards: Sequence[Card]) -> Iterator[RealSide]:
    """Put cards into a pcscd of our own."""
    with Bench(pairs=1) as bench:
        side = RealSide(bench, cards)
        try:
            for number in range(len(cards)):
                side.insert(number)
            yield side
        finally:
            side.close()


@contextlib.contextmanager
def local(cards: Sequence[Card]) -> Iterator[OurSide]:
    """Put cards behind our socket, in this process."""

    @asynccontextmanager
    async def serve(path: Path) -> AsyncIterator[SimulatedSource]:
        source = SimulatedSource(cards)
        async with serving(path, LocalCards(source)):
            yield source

    with _ours("local", serve) as side:
        yield side


@contextlib.contextmanager
def remote(
    cards: Sequence[Card], certificates: Certificates, *, read_ahead: bool = False
) -> Iterator[OurSide]:
    """Put cards into a card client, and our socket on the other side of a server."""

    @asynccontextmanager
    async def serve(path: Path) -> AsyncIterator[SimulatedSource]:
        async with running(certificates) as world:
            host = await world.host(cards, read_ahead_s=LIMIT_S)
            client = functools.partial(world.client, read_ahead=read_ahead)
            shown = RemoteCards(client, [Filters()], lambda _: None)
            async with serving(path, shown):
                await shown.begun()
                yield host.source

    with _ours("remote", serve) as side:
        yield side


@contextlib.contextmanager
def _ours(name: str, serve: Serving) -> Iterator[OurSide]:
    folder = Path(tempfile.mkdtemp(prefix="wsrc-socket-"))
    side = OurSide(name, folder / "pcscd.comm", serve)
    side.start()
    try:
        wait_until(lambda: len(side.readers) == len(side.source.names), LIMIT_S, "all are shown")
        yield side
    finally:
        side.stop()
        shutil.rmtree(folder, ignore_errors=True)
