# SPDX-License-Identifier: Apache-2.0
"""
A relay that passes octets on and does nothing else: the floor for a relay on this event loop.

A client says `card N` or `user N` in a line and is answered `ok` when its partner is there.
"""

import asyncio
import ssl
import sys
from typing import cast

import uvloop


class End(asyncio.Protocol):
    """One client, and the other end of its line once that is there."""

    waiting: dict[tuple[bytes, bytes], "End"] = {}  # noqa: RUF012 - one for all, on purpose

    def __init__(self) -> None:
        self._other: End | None = None
        self._transport: asyncio.Transport | None = None
        self._key = (b"", b"")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            assert self._other._transport is not None
            self._other._transport.write(data)
            return
        role, number = data.split()
        self._key = (role, number)
        partner = self.waiting.pop((b"user" if role == b"card" else b"card", number), None)
        if partner is None:
            self.waiting[self._key] = self
        else:
            self._other, partner._other = partner, self
        if role == b"card" or partner is not None:
            self.say(b"ok\n")
        if role == b"card" and partner is not None:
            partner.say(b"ok\n")

    def say(self, octets: bytes) -> None:
        assert self._transport is not None
        self._transport.write(octets)

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting.pop(self._key, None)
        if self._other is not None and self._other._transport is not None:
            self._other._transport.close()
        self._other = None


async def main(cert: str, key: str) -> None:
    """Listen on a free port, say which, and relay for ever."""
    context = None
    if cert != "-":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(cert, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(End, "127.0.0.1", 0, ssl=context, backlog=4096)
    sys.stdout.write(f"Ready: {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:3]))
