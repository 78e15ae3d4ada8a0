# SPDX-License-Identifier: Apache-2.0
"""A WebSocket as the server serves it, over a socket, without what the server does with it."""

import asyncio
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

from tests.support.raw_peer import frame
from wsrc.net.served import Served

LIMIT_S = 20.0
CLOSE, PING, PONG = 0x88, 0x89, 0x8A


class Heard:
    """A speaker that notes what it is told; `room` is how many frames it looks at."""

    def __init__(self) -> None:
        self.said: list[bytes | str] = []
        self.room = 1_000_000
        self.end: asyncio.Future[tuple[str, bool]] = asyncio.get_running_loop().create_future()

    def may_speak(self) -> bool:
        self.room -= 1
        return self.room >= 0

    def text(self, text: bytes) -> None:
        self.said.append(text)

    def binary(self) -> None:
        self.said.append("binary")

    def ping(self) -> None:
        self.said.append("ping")

    def ended(self, why: str, *, goodbye: bool) -> None:
        self.end.set_result((why, goodbye))


class Wire(asyncio.Protocol):
    """What stands between a transport and what is served, as the server has it."""

    def __init__(self, served: asyncio.Future[Served]) -> None:
        self.served: Served | None = None
        self.transport: asyncio.Transport | None = None
        self._made = served

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.served = Served(self.transport, self.hold)
        self._made.set_result(self.served)

    def hold(self, held: bool) -> None:
        assert self.transport is not None
        if not self.transport.is_closing():
            (self.transport.pause_reading if held else self.transport.resume_reading)()

    def data_received(self, data: bytes) -> None:
        assert self.served is not None
        self.served.feed(data)

    def pause_writing(self) -> None:
        assert self.served is not None
        self.served.pause_writing()

    def resume_writing(self) -> None:
        assert self.served is not None
        self.served.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        assert self.served is not None
        self.served.lost()


@asynccontextmanager
async def talking() -> AsyncGenerator[
    tuple[Served, Heard, asyncio.StreamReader, asyncio.StreamWriter]
]:
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Served] = loop.create_future()
    async with (
        asyncio.timeout(LIMIT_S),
        await loop.create_server(lambda: Wire(made), "127.0.0.1", 0) as server,
    ):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        served = await made
        heard = Heard()
        served.listen(heard)
        try:
            yield served, heard, reader, writer
        finally:
            writer.close()
            served.abort()


async def next_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the first octet and the payload of a frame, which has no mask."""
    first, size = await reader.readexactly(2)
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    assert size < 1 << 30, "no mask bit"
    return first, await reader.readexactly(size)


def close_frame(code: int | None, reason: str = "") -> bytes:
    return frame(b"" if code is None else code.to_bytes(2) + reason.encode(), CLOSE)
