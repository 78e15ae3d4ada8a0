# SPDX-License-Identifier: Apache-2.0
"""A server that says what a test tells it to, in plain JSON, on a free port of loopback."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from wsrc.errors import WsrcError

LIMIT_S = 10.0

HELLO_ACK = {"msg_type": "hello_ack", "version": 1, "features": [], "server": "scripted"}


class Peer:
    """The server's end of one connection; messages are dictionaries."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket

    async def hear(self, msg_type: str | None = None) -> dict[str, Any]:
        """Give the next message, which must be of this type."""
        async with asyncio.timeout(LIMIT_S):
            message: dict[str, Any] = json.loads(await self._socket.recv())
        assert msg_type in {None, message["msg_type"]}, message
        return message

    async def say(self, msg_type: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"msg_type": msg_type, **fields}))

    async def say_text(self, text: str) -> None:
        await self._socket.send(text)

    async def refuse(self, request: dict[str, Any], code: str, **fields: Any) -> None:
        fields = {"message": f"No: {code}.", **fields}
        await self.say("error", id=request["id"], code=code, **fields)

    async def answer(self, command: dict[str, Any], response: str, sw: str) -> None:
        """Answer a c_apdu."""
        ids = {"id": command["id"], "session": command["session"]}
        await self.say("r_apdu", **ids, response=response, sw=sw)

    async def give(self, request: dict[str, Any], session: str, card: dict[str, Any]) -> None:
        """Answer a select_card."""
        identities = card["identities"]
        ids = {"id": request["id"], "session": session}
        await self.say("select_card_ack", **ids, identities=identities, card=card)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)

    def abort(self) -> None:
        """Break the connection without a goodbye."""
        self._socket.transport.abort()

    async def closed(self) -> None:
        """Wait until the client is gone; what it says until then is passed over."""
        async with asyncio.timeout(LIMIT_S):
            try:
                while True:
                    await self._socket.recv()
            except ConnectionClosed:
                pass


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def scripted(
    script: Script, *, context: ssl.SSLContext | None = None, greet: bool = True
) -> AsyncIterator[str]:
    """
    Serve with a script for each connection and give the URL; a script's failure is raised.

    With `greet`, hello is answered before the script begins. After the script the connection
    stays until the client closes it.
    """
    failures: list[BaseException] = []

    async def handle(socket: ServerConnection) -> None:
        peer = Peer(socket)
        try:
            if greet:
                await peer.hear("hello")
                await peer.say(**HELLO_ACK)
            await script(peer)
            await peer.closed()
        except ConnectionClosed as exc:
            failures.append(exc)
        except (AssertionError, KeyError, TimeoutError) as exc:
            failures.append(exc)
            await peer.close(1011, "The script failed.")

    async with serve(handle, "127.0.0.1", 0, ssl=context) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"{'wss' if context else 'ws'}://localhost:{port}"
    for failure in failures:
        raise failure


def card(number: int = 1, **fields: Any) -> dict[str, Any]:
    """Describe a card as a server does."""
    iccid = f"898600000000000000{number:02}"
    return {
        "remote_addr": ["bench", 0],
        "identities": {"ATR": "3b9f96801f", "ICCID": iccid},
        "state": "ready",
        "host": "bench",
        "reader": f"reader-{number}",
        "reader_name": f"Reader {number}",
        "protocol": "T0",
        **fields,
    }


async def give_card(peer: Peer, session: str = "s1", number: int = 1) -> None:
    await peer.give(await peer.hear("select_card"), session, card(number))


async def take_back(peer: Peer) -> None:
    request = await peer.hear("detach")
    await peer.say("detach_ack", id=request["id"], session=request["session"])


async def fails(doing: Any) -> WsrcError:
    """Give what a call raises, for calls that are made side by side."""
    try:
        await doing
    except WsrcError as exc:
        return exc
    raise AssertionError("it did not fail")
