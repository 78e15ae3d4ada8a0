# SPDX-License-Identifier: Apache-2.0
"""Simulated readers of this process as a source of the pcscd socket: no server in between."""

import asyncio
import threading
from collections.abc import Callable, Sequence

from wsrc.bridges.pcscd.source import Seen
from wsrc.card.slot import CardProtocol, ResetKind
from wsrc.errors import WsrcError
from wsrc.readers.base import Slot, SlotState
from wsrc.readers.simulated import SimulatedSource
from wsrc.readers.simulated_connection import SimulatedConnection, SimulatedDirect


class LocalCards:
    """
    The readers of a simulated source.

    Commands run in the event loop, so cards must not be slow.
    """

    reachable = True

    def __init__(self, source: SimulatedSource) -> None:
        self._source = source

    async def run(self, report: Callable[[Sequence[Seen]], None]) -> None:
        loop = asyncio.get_running_loop()

        def tell(slots: list[Slot]) -> None:
            loop.call_soon_threadsafe(report, [_seen(slot) for slot in slots])

        thread = threading.Thread(target=self._source.watch, args=(tell,), name="source")
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            self._source.stop()
            thread.join(10)

    def open(self, name: bytes, *, direct: bool = False) -> "LocalSession | LocalReader":
        reader = self._source.open(name.decode())
        return LocalReader(reader.connect_direct()) if direct else LocalSession(reader.connect())


class LocalReader:
    """A simulated reader that is ours; everything is answered at once."""

    atr = b""
    protocol: CardProtocol | None = None

    def __init__(self, held: SimulatedDirect) -> None:
        self.control = held.control
        self.get_attribute = held.get_attribute
        self.set_attribute = held.set_attribute
        self.close: Callable[[], None] = held.close

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """Never: what becomes of the reader is seen."""

    def transmit(self, octets: bytes) -> bytes:
        raise AssertionError("a card was asked through its reader alone")

    def reset(self, kind: ResetKind) -> bytes:
        raise AssertionError("a card was reset through its reader alone")


class LocalSession:
    """A simulated card that is ours; everything is answered at once."""

    def __init__(self, connection: SimulatedConnection) -> None:
        self._connection = connection
        self.control = connection.control
        self.get_attribute = connection.get_attribute
        self.set_attribute = connection.set_attribute
        self.transmit: Callable[[bytes], bytes] = connection.transmit

    @property
    def atr(self) -> bytes:
        return self._connection.atr

    @property
    def protocol(self) -> CardProtocol:
        return self._connection.protocol

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """Never: what becomes of the card is seen."""

    def reset(self, kind: ResetKind) -> bytes:
        return self._connection.reset(kind)

    def close(self) -> None:
        self._connection.close()


def _seen(slot: Slot) -> Seen:
    return Seen(
        slot.name.encode(),
        present=slot.state is not SlotState.EMPTY,
        mute=slot.state is SlotState.MUTE,
        atr=slot.atr,
        event_count=slot.event_count,
    )
