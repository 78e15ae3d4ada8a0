# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that can fall silent, as a network does whose cable is pulled."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Proxy:
    """Forwards octets both ways until `silent` is set; then it swallows them."""

    def __init__(self, port: int) -> None:
        self.silent = False
        self.port = 0
        self._to = port
        self._writers: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client to the far end."""
        far_reader, far_writer = await asyncio.open_connection("localhost", self._to)
        self._writers += (writer, far_writer)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, far_writer))
                tasks.create_task(self._pump(far_reader, writer))
        finally:
            for end in (writer, far_writer):
                end.close()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while octets := await reader.read(65_536):
                if not self.silent:
                    writer.write(octets)
                    await writer.drain()
        if not self.silent:
            writer.close()


@asynccontextmanager
async def proxy_to(port: int) -> AsyncGenerator[Proxy]:
    """Listen on a free port for as long as the context lasts."""
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy.carry, "localhost", 0)
    async with server:
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.cut()
