# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that can fall silent, as a network does whose cable is pulled."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

LIMIT_S = 60.0
"""How long the connections of a proxy may take to end."""


class Proxy:
    """Forwards octets both ways until `silent` is set; then it swallows them."""

    def __init__(self, port: int) -> None:
        self.silent = False
        self.port = 0
        self._to = port
        self._lines: set[Line] = set()
        self._carried: set[asyncio.Task[None]] = set()
        self._over = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client to the far end."""
        task = asyncio.current_task()
        assert task is not None
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)
        try:
            far_reader, far_writer = await self.reach()
        except OSError:
            writer.transport.abort()
            return
        line = self.line(writer, far_writer)
        if self._over:
            line.abort()
        self._lines.add(line)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(line.pump(reader, far_writer))
                tasks.create_task(line.pump(far_reader, writer))
        finally:
            self._lines.discard(line)
            line.close()

    async def reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """
        Connect to the far end.

        Raises:
            OSError: If it cannot be reached.
        """
        return await asyncio.open_connection("localhost", self._to)

    def line(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> "Line":
        """Make what carries one connection."""
        return Line(self, near, far)

    def cut(self) -> None:
        """Reset every connection."""
        for line in self._lines:
            line.abort()

    async def end(self) -> None:
        """Reset every connection for good, and wait until none is carried."""
        self._over = True
        self.cut()
        if self._carried:
            await asyncio.wait(self._carried, timeout=LIMIT_S)


class Line:
    """One connection through the proxy: from a client, `near`, to the server, `far`."""

    def __init__(self, proxy: Proxy, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.near = near
        self.far = far
        self._proxy = proxy

    @property
    def silent(self) -> bool:
        """Whether octets are swallowed."""
        return self._proxy.silent

    async def pump(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        """Carry one way until its end."""
        with contextlib.suppress(ConnectionError):
            while octets := await reader.read(65_536):
                await self.forward(octets, to)
        if not self.silent:
            to.close()

    async def forward(self, octets: bytes, to: asyncio.StreamWriter) -> None:
        """Carry some octets."""
        if not self.silent:
            to.write(octets)
            await to.drain()

    def close(self) -> None:
        """End both connections when what was forwarded is sent."""
        for end in (self.near, self.far):
            end.close()

    def abort(self) -> None:
        """End both connections at once."""
        for end in (self.near, self.far):
            end.transport.abort()


P = TypeVar("P", bound=Proxy)


@asynccontextmanager
async def listening(proxy: P) -> AsyncGenerator[P]:
    """Listen on a free port for as long as the context lasts."""
    server = await asyncio.start_server(proxy.carry, "localhost", 0)
    async with server:
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            await proxy.end()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncGenerator[Proxy]:
    """Listen on a free port and forward to another for as long as the context lasts."""
    async with listening(Proxy(port)) as proxy:
        yield proxy
