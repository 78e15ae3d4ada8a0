# SPDX-License-Identifier: Apache-2.0
"""What is left of peers whose connections have ended: nothing that garbage has to be looked for."""

import asyncio
import gc
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.raw_peer import LOOPS, UPGRADE, LoopFactory, frame, run, text
from tests.support.world import until
from wsrc.net.tls import client_context
from wsrc.server.app import App, serve
from wsrc.settings.load import ServerSettings

PEERS = 50
HELLO = frame(text("hello", client_type="user", version=1))
GOODBYE = frame((1000).to_bytes(2), 0x88)


def says_goodbye(peer: socket.socket) -> None:
    """End as RFC 6455 has it."""
    peer.sendall(GOODBYE)
    while peer.recv(4096):
        pass


def breaks_off(peer: socket.socket) -> None:
    """End without a word."""


def breaks_the_protocol(peer: socket.socket) -> None:
    """End amid a message, after a frame that is none."""
    peer.sendall(frame(b"{", 0x01) + frame(b"", 0x83))
    peer.recv(4096)


def _peer(port: int, context: ssl.SSLContext | None, end: Callable[[Any], None]) -> None:
    """Connect, say hello, and end; outside of the loop, whose own garbage is not looked for."""
    with socket.create_connection(("localhost", port)) as raw:
        peer = context.wrap_socket(raw, server_hostname="localhost") if context else raw
        try:
            peer.sendall(UPGRADE)
            assert b" 101 " in peer.recv(4096)
            peer.sendall(HELLO)
            assert b"hello_ack" in peer.recv(4096)
            end(peer)
        finally:
            peer.close()


async def _all_gone(app: App, many: int) -> None:
    await until(lambda: app.ended == many)
    for _ in range(5):
        await asyncio.sleep(0)


@LOOPS
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("end", [says_goodbye, breaks_off, breaks_the_protocol])
def test_a_connection_that_ended_leaves_no_cycle(
    loop_factory: LoopFactory,
    certificates: Certificates,
    end: Callable[[Any], None],
    *,
    tls: bool,
) -> None:
    """Only the transport of asyncio itself, which refers to itself, may be left."""
    files = (
        {"tls_cert": certificates.cert, "tls_key": certificates.key} if tls else {"no_tls": True}
    )
    settings = ServerSettings(user_port=0, card_port=0, **files)  # type: ignore[arg-type]
    context = client_context(certificates.ca) if tls else None
    left: Counter[str] = Counter()

    async def main() -> None:
        async with serve(settings) as app:
            await asyncio.to_thread(_peer, app.user_port, context, end)
            await _all_gone(app, 1)
            gc.collect()
            for _ in range(PEERS):
                await asyncio.to_thread(_peer, app.user_port, context, end)
            await _all_gone(app, PEERS + 1)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left.update(type(each).__module__.partition(".")[0] for each in gc.garbage)

    gc.disable()
    try:
        run(loop_factory, main())
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not {"wsrc", "aiohttp", "uvloop", "ssl", "_ssl"} & set(left), left


@LOOPS
def test_what_serves_http_is_released_with_the_upgrade(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with serve(ServerSettings(user_port=0, card_port=0, no_tls=True)) as app:
            reader, writer = await asyncio.open_connection("localhost", app.user_port)
            writer.write(UPGRADE)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert b"connection: upgrade" in answer
            assert answer.count(b"connection:") == 1
            handlers = app._runners[0].server
            assert handlers is not None
            await until(lambda: not handlers.connections)
            writer.write(HELLO)
            await reader.readuntil(b"}")
            writer.close()

    run(loop_factory, main())
