# SPDX-License-Identifier: Apache-2.0
"""A peer of the server that writes its own WebSocket frames, right ones and wrong ones."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

LIMIT_S = 60.0
"""How long anything here may take before the test fails."""

TEXT, PING, PONG, CLOSE = 1, 9, 10, 8
LAST = 0x80

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)

LOOPS = pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
"""Runs a test with each of the loops that the server may have."""

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(loop_factory: LoopFactory, main: Coroutine[Any, Any, None]) -> None:
    """Run a test to its end in a loop of this kind, for no longer than a test may take."""

    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await main

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(limited())


def frame(payload: bytes, opcode: int = LAST | TEXT) -> bytes:
    """Return a frame as a client sends it, with a mask that changes nothing."""
    size = len(payload)
    if size < 126:
        head = bytes([opcode, 0x80 | size])
    elif size < 1 << 16:
        head = bytes([opcode, 0xFE]) + size.to_bytes(2)
    else:
        head = bytes([opcode, 0xFF]) + size.to_bytes(8)
    return head + bytes(4) + payload


def unmasked(octets: bytes) -> bytes:
    """Return a frame without its mask."""
    at = 2 + {126: 2, 127: 8}.get(octets[1] & 0x7F, 0)
    return bytes([octets[0], octets[1] & 0x7F]) + octets[2:at] + octets[at + 4 :]


def framed(size: int, *, masked: bool, opcode: int = LAST | TEXT) -> bytes:
    """Return a frame with a payload that looks like heads of frames."""
    octets = frame((b"\x81\x00" * size)[:size], opcode)
    return octets if masked else unmasked(octets)


def text(msg_type: str, **fields: Any) -> bytes:
    """Return a message as JSON."""
    return json.dumps({"msg_type": msg_type, **fields}).encode()


class RawPeer:
    """
    One connection to the server.

    `close_code` is what the server closed it with, `upgrade` the head with which it began.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.close_code: int | None = None
        self.upgrade = b""
        self._closing = False
        self._reader = reader
        self._writer = writer

    def write(self, octets: bytes) -> None:
        """Send octets as they are."""
        self._writer.write(octets)

    def say(self, msg_type: str, **fields: Any) -> None:
        """Send a message."""
        self.write(frame(text(msg_type, **fields)))

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Send a closing frame; without a code it is empty."""
        self._closing = True
        payload = b"" if code is None else code.to_bytes(2) + reason.encode()
        self.write(frame(payload, LAST | CLOSE))

    async def drain(self) -> None:
        """Wait until the server has taken most of what was written."""
        await self._writer.drain()

    async def frame(self) -> tuple[int, bytes]:
        """Return the opcode and the payload of the next frame."""
        head = await self._reader.readexactly(2)
        size = head[1]
        if size > 125:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
        payload = await self._reader.readexactly(size)
        if head[0] & 15 == CLOSE:
            self.close_code = int.from_bytes(payload[:2])
        return head[0] & 15, payload

    async def hear(self, msg_type: str | None = None) -> dict[str, Any]:
        """Return the next message, of this type if one is given; others are passed over."""
        while True:
            opcode, payload = await self.frame()
            assert opcode != CLOSE, payload
            if opcode == TEXT:
                message: dict[str, Any] = json.loads(payload)
                if msg_type in {None, message["msg_type"]}:
                    return message

    async def told_to_close(self) -> int:
        """Wait for the closing frame and return its code; what comes before is passed over."""
        while (await self.frame())[0] != CLOSE:
            pass
        assert self.close_code is not None
        return self.close_code

    async def gone(self) -> None:
        """
        Wait until the server ends the connection; what it says until then is passed over.

        Its closing frame is answered, which is what a server waits for.
        """
        try:
            while True:
                opcode, _ = await self.frame()
                if opcode == CLOSE and not self._closing:
                    self.close(self.close_code)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    def abort(self) -> None:
        """End the connection without a word."""
        self._writer.transport.abort()


@asynccontextmanager
async def raw_peer(
    port: int,
    *,
    hello: str | None = "user",
    buffer: int | None = None,
    tls: ssl.SSLContext | None = None,
    source: str = "127.0.0.1",
    headers: bytes = b"",
    host: bytes = b"localhost",
    **fields: Any,
) -> AsyncGenerator[RawPeer]:
    """
    Connect, and say hello as this kind of client if one is given.

    `buffer` is how many octets the peer takes that it has not read, `source` where it comes from,
    `headers` what it says beside the usual, `host` whom it wants to reach.
    """
    raw = socket.socket()
    raw.bind((source, 0))
    if buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    secure = {} if tls is None else {"ssl": tls, "server_hostname": "localhost"}
    reader, writer = await asyncio.open_connection(sock=raw, limit=buffer or 1 << 16, **secure)
    peer = RawPeer(reader, writer)
    try:
        upgrade = UPGRADE.replace(b"localhost", host)
        writer.write(upgrade[:-2] + headers + upgrade[-2:])
        peer.upgrade = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in peer.upgrade
        if hello is not None:
            peer.say("hello", client_type=hello, version=1, **fields)
            await peer.hear("hello_ack")
        yield peer
    finally:
        peer.abort()
