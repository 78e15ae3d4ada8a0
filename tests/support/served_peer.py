# SPDX-License-Identifier: Apache-2.0
"""A WebSocket as the server serves it, over a socket, without what the server does with it."""

import asyncio
import re
import struct
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from tests.support.raw_peer import frame
from tests.support.world import until
from wsrc.net.endpoint import Endpoint
from wsrc.net.frames import masked
from wsrc.net.handshake import accept_of
from wsrc.protocol.conversation import Parting

LIMIT_S = 60.0
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

    def binary(self, octets: bytes) -> None:
        self.said.append("binary")

    def ping(self) -> None:
        self.said.append("ping")

    def ended(self, why: str, parting: Parting) -> None:
        self.end.set_result((why, parting is Parting.GOODBYE))


class Wire(asyncio.Protocol):
    """What stands between a transport and what is served, as the server has it."""

    def __init__(self, served: asyncio.Future[Endpoint], *, is_client: bool = False) -> None:
        self.served: Endpoint | None = None
        self.transport: asyncio.Transport | None = None
        self._made = served
        self._is_client = is_client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.served = Endpoint(self.transport, self.hold, is_client=self._is_client)
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


class Upgrading(Wire):
    """The same of a server that takes every upgrade, with an answer that may be set."""

    def __init__(self, served: asyncio.Future[Endpoint], fields: str = "") -> None:
        super().__init__(served)
        self._head = b""
        self._fields = fields

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.served is not None:
            super().data_received(data)
            return
        self._head += data
        assert self.transport is not None
        if not self._head.endswith(b"\r\n\r\n"):
            return
        key = re.search("Sec-WebSocket-Key: (.*)\r\n", self._head.decode())
        assert key is not None
        answer = "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        answer += f"Sec-WebSocket-Accept: {accept_of(key[1])}\r\n{self._fields}\r\n"
        self.transport.write(answer.encode())
        super().connection_made(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.served is not None:
            super().connection_lost(exc)


@asynccontextmanager
async def upgrading(fields: str = "") -> AsyncGenerator[tuple[str, asyncio.Future[Endpoint]]]:
    """Take one upgrade, with more header fields in the answer; yield the URL and our end of it."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Endpoint] = loop.create_future()
    async with await loop.create_server(lambda: Upgrading(made, fields), "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", made
        if made.done():
            made.result().abort()


Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def serving(speak: Speak) -> AsyncGenerator[int]:
    """Speak so on every connection; yield the port, and wait for all of them at the end."""
    open_now: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        try:
            await speak(reader, writer)
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
            open_now.discard(writer)

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await until(lambda: not open_now)


@asynccontextmanager
async def talking(
    *, is_client: bool = False
) -> AsyncGenerator[tuple[Endpoint, Heard, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Yield an end, what it hears, and the socket of its peer; `is_client` says whose end it is."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[Endpoint] = loop.create_future()
    async with (
        asyncio.timeout(LIMIT_S),
        await loop.create_server(lambda: Wire(made, is_client=is_client), "127.0.0.1", 0) as server,
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


async def next_frame(reader: asyncio.StreamReader, *, is_masked: bool = False) -> tuple[int, bytes]:
    """Return the first octet and the payload of a frame, which has a mask or none."""
    first, size = await reader.readexactly(2)
    assert (size >= 0x80) is is_masked, "the mask bit"
    size &= 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await reader.readexactly(8))
    mask = await reader.readexactly(4 if is_masked else 0)
    return first, masked(await reader.readexactly(size), mask)


def close_frame(code: int | None, reason: str = "") -> bytes:
    return frame(b"" if code is None else code.to_bytes(2) + reason.encode(), CLOSE)
