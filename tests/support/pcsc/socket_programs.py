# SPDX-License-Identifier: Apache-2.0
"""Programs at our socket, with the whole system behind it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from tests.support.pcsc.programs.wire_client import SUCCESS, Line, Reader
from wsrc.bridges.pcscd.server import serving
from wsrc.bridges.remote.cards import RemoteCards
from wsrc.readers.simulation import Card, Faults, make_card, parse_description
from wsrc.user_client.aio import Client
from wsrc.user_client.naming import Filters

T = TypeVar("T")
MF = bytes.fromhex("00a40004023f00")
VERIFY = bytes.fromhex("0020000108 31323334ffffffff")
ASK_PIN = bytes.fromhex("00200001")
RESET, UNAVAILABLE = 0x80100068, 0x80100017
VIOLATION, DATA_LOST, UNKNOWN_READER = 0x8010000B, 0x8010002F, 0x80100009
OUT_OF_REACH = 1
"""State of a reader that pcscd can say nothing of."""


class Programs:
    """Programs at our socket; each is a connection that is used in a thread."""

    def __init__(self, path: Path, shown: RemoteCards, clients: list[Client]) -> None:
        self.path = path
        self.shown = shown
        self._clients = clients
        self._stack = contextlib.ExitStack()

    async def line(self, minor: int = 4) -> Line:
        return await self.do(lambda: self._stack.enter_context(Line(self.path, minor)).establish())

    async def do(self, doing: Callable[[], T]) -> T:
        return await asyncio.to_thread(doing)

    async def card(self, line: Line, number: int = 0) -> int:
        """Connect to a reader."""
        readers = await self.readers(line)
        code, card, _ = await self.do(lambda: line.connect(readers[number].name))
        assert code == SUCCESS, hex(code)
        return card

    async def readers(self, line: Line) -> list[Reader]:
        """Return the readers by their names, whichever card was identified first."""
        return sorted(await self.do(line.readers), key=lambda reader: reader.name)

    async def transmit(self, line: Line, card: int, command: bytes) -> str:
        code, _, answer = await self.do(lambda: line.transmit(card, command))
        return answer.hex() if code == SUCCESS else hex(code)

    async def shows(self, line: Line, true: Callable[[list[Reader]], bool]) -> list[Reader]:
        return await self.do(lambda: line.wait_for(true))

    @property
    def asked(self) -> int:
        """How many requests went to the server over the connection that there is now."""
        return self._clients[-1]._connection.requests._last_id

    def cut(self) -> None:
        """Cut the connection to the server."""
        link = self._clients[-1]._connection._link
        assert link is not None
        link.close(1001, "cut")

    def close(self) -> None:
        self._stack.close()


@asynccontextmanager
async def programs_of(
    make: Callable[[], Client], path: Path, wanted: Sequence[Filters] = (Filters(),)
) -> AsyncIterator[Programs]:
    clients: list[Client] = []

    def client() -> Client:
        clients.append(make())
        return clients[-1]

    shown = RemoteCards(client, wanted, lambda _: None)
    async with serving(path, shown):
        programs = Programs(path, shown, clients)
        try:
            yield programs
        finally:
            programs.close()


def slow_card(delay_s: float) -> Card:
    card = make_card(parse_description('kind = "uicc"\n', "card"))
    card.faults = Faults(delay_s=delay_s, only="0020")
    return card


def transmit_body(card: int, command: bytes) -> bytes:
    return b"".join(n.to_bytes(4, "little") for n in (card, 1, 16, len(command), 1, 16, 65548, 0))
