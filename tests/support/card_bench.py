# SPDX-License-Identifier: Apache-2.0
"""A simulated reader whose card can be made to hold a command, and its slot agent."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from wsrc.card.slot import Share
from wsrc.card_client.evidence import Evidence
from wsrc.card_client.replies import Replies
from wsrc.card_client.slot_agent import SlotAgent
from wsrc.card_client.worker import ReaderThread
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.readers.base import CardProtocol, Connection, Direct, ResetKind, Slot, Status
from wsrc.readers.simulated import SimulatedReader, SimulatedSource
from wsrc.readers.simulation import Card, default_cards
from wsrc.settings.load import CardClientSettings

LIMIT_S = 60.0
SECRET = "5e" * 16
HOLD = Octets.fromhex("00a4000c023f00")
"""SELECT of the MF: the command that the gate holds while it is shut."""
PIN = Octets.fromhex("0020000108 31323334ffffffff")
ASK_PIN = Octets.fromhex("00200001")

M = TypeVar("M", bound=m.Message)
B = TypeVar("B", bound="Bench")


class Gate:
    """Holds commands on their way to the card; `commands` are those that reached it."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.held = threading.Event()
        self._open = threading.Event()
        self._open.set()

    def shut(self) -> None:
        self.held.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def count(self, command: bytes) -> int:
        """Say how often the card was given a command."""
        return self.commands.count(command)

    def passes(self, command: bytes) -> None:
        if command == HOLD and not self._open.is_set():
            self.held.set()
            assert self._open.wait(LIMIT_S)
        self.commands.append(command)


class GatedConnection:
    """A card behind a gate."""

    def __init__(self, connection: Connection, gate: Gate) -> None:
        self._connection = connection
        self._gate = gate
        self.event_count = connection.event_count
        self.harmless_controls = connection.harmless_controls
        self.status: Callable[[], Status] = connection.status
        self.control: Callable[[int, bytes], bytes] = connection.control
        self.get_attribute: Callable[[str], bytes] = connection.get_attribute
        self.set_attribute: Callable[[str, bytes], None] = connection.set_attribute

    @property
    def atr(self) -> bytes:
        return self._connection.atr

    @property
    def protocol(self) -> CardProtocol:
        return self._connection.protocol

    def transmit(self, octets: bytes) -> bytes:
        self._gate.passes(octets)
        return self._connection.transmit(octets)

    def reset(self, kind: ResetKind, protocols: Sequence[CardProtocol] = ()) -> bytes:
        return self._connection.reset(kind, protocols)

    def close(self, *, eject: bool = False) -> None:
        self._connection.close(eject=eject)


class GatedReader:
    """A reader whose cards are behind a gate."""

    def __init__(self, reader: SimulatedReader, gate: Gate) -> None:
        self.name = reader.name
        self.stable_id, self.position = reader.stable_id, reader.position
        self._reader = reader
        self._gate = gate
        self.connect_direct: Callable[[], Direct] = reader.connect_direct
        self.close = reader.close

    def connect(
        self, protocols: Sequence[CardProtocol] = (), *, share: Share = Share.EXCLUSIVE
    ) -> Connection:
        return GatedConnection(self._reader.connect(protocols, share=share), self._gate)


class GatedSource:
    """Simulated readers, all behind one gate."""

    def __init__(self, cards: Sequence[Card]) -> None:
        self.gate = Gate()
        self.readers = SimulatedSource(cards)
        self.watch = self.readers.watch
        self.stop = self.readers.stop

    def prompt(self, name: str) -> bool:
        """Have the gate hold the thread of the reader, and not the loop."""
        del name
        return False

    def open(self, name: str) -> GatedReader:
        return GatedReader(self.readers.open(name), self.gate)


def attach(session: str = "s1", **fields: object) -> m.Attach:
    """Ask for a session that is kept, unless told otherwise."""
    asked = {"secret": SECRET, "keep_s": 600.0, "holder": "user@desk", "insertion": 1} | fields
    return m.Attach(session=session, reader="id", instance="u", **asked)  # type: ignore[arg-type]


def command(
    seq: int | None, octets: bytes = ASK_PIN, *, number: int = 1, session: str = "s1"
) -> m.CApdu:
    return m.CApdu(id=number, session=session, seq=seq, command=Octets(octets))


def resume(seq: int, session: str = "s1", secret: str = SECRET) -> m.Resume:
    return m.Resume(id=99, session=session, secret=secret, seq=seq)


class Bench:
    """A slot agent that serves one simulated reader, and what it said to the server."""

    def __init__(self, settings: CardClientSettings, evidence: Evidence | None = None) -> None:
        self.card = default_cards()[0]
        self.source = GatedSource([self.card])
        self.gate = self.source.gate
        (self.name,) = self.source.readers.names
        self.said: list[m.Message] = []
        self.agent = SlotAgent(
            settings,
            self.name,
            lambda *_: "id",
            ReaderThread(self.name, lambda: self.source.open(self.name)),
            Replies(self._send),
            evidence=evidence,
        )
        self._heard = asyncio.Event()

    def _send(self, message: m.Message) -> None:
        self.said.append(message)
        self._heard.set()

    def saw(self, slots: list[Slot]) -> None:
        for slot in slots:
            self.agent.slot_changed(slot)

    async def hear(self, kind: type[M]) -> M:
        """Take the next message of a kind; what was said before it is dropped, but reports."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                while self.said:
                    message = self.said.pop(0)
                    if isinstance(message, kind):
                        return message
                    assert isinstance(message, m.ReaderReport), message
                self._heard.clear()
                await self._heard.wait()

    async def hear_any(self, kind: type[M]) -> M:
        """Take the next message of a kind, whatever was said before it."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                while self.said:
                    message = self.said.pop(0)
                    if isinstance(message, kind):
                        return message
                self._heard.clear()
                await self._heard.wait()

    async def ask(self, message: m.Message, kind: type[M]) -> M:
        self.agent.request(message)
        return await self.hear(kind)

    async def ready(self) -> None:
        while (await self.hear(m.ReaderReport)).reader.state is not m.ReaderState.READY:
            pass

    async def hold(self, request: m.Forwarded) -> None:
        """Have a request run that is held on its way to the card."""
        self.gate.shut()
        self.agent.request(request)
        assert await asyncio.to_thread(self.gate.held.wait, LIMIT_S)

    async def settled(self) -> None:
        """Wait until the agent has done all that it was asked."""
        done = asyncio.Event()
        self.agent.soon(done.set)
        async with asyncio.timeout(LIMIT_S):
            await done.wait()


@asynccontextmanager
async def benched(**chosen: Any) -> AsyncIterator[Bench]:
    """Serve a reader with an identified card."""
    async with running(Bench(CardClientSettings(name="bench", command_s=10.0, **chosen))) as bench:
        yield bench


@asynccontextmanager
async def running(bench: B) -> AsyncIterator[B]:
    """Run a bench, whose card is identified first."""
    loop = asyncio.get_running_loop()

    def report(slots: list[Slot]) -> None:
        loop.call_soon_threadsafe(bench.saw, slots)

    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(bench.agent.run())
        watching = tasks.create_task(asyncio.to_thread(bench.source.watch, report))
        try:
            await bench.ready()
            yield bench
        finally:
            bench.gate.open()
            bench.source.stop()
            await watching
            serving.cancel()


def shared(session: str, **fields: object) -> m.Attach:
    return attach(session, share=Share.SHARED, **fields)
