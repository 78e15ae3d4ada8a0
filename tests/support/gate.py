# SPDX-License-Identifier: Apache-2.0
"""A proxy that can be shut, as though the server were not there, and opened again."""

import asyncio

from tests.support.proxy import Proxy


class Gate(Proxy):
    """Lets nobody through while it is shut."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._shut = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client to the far end, or refuse it."""
        if self._shut:
            writer.transport.abort()
        else:
            await super().carry(reader, writer)

    def shut(self) -> None:
        """Reset every connection, and let through no other."""
        self._shut = True
        self.cut()

    def open(self) -> None:
        """Let everyone through."""
        self._shut = False
