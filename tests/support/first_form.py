# SPDX-License-Identifier: Apache-2.0
"""
Peers of the first form of the protocol, on a plain WebSocket library.

Written from the description of that form alone; nothing of WSRC is used here.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

LIMIT_S = 60.0

Json = dict[str, Any]


@asynccontextmanager
async def connected(url: str, ca: Path) -> AsyncGenerator[ClientConnection]:
    context = ssl.create_default_context(cafile=ca)
    async with connect(url, ssl=context) as socket:
        yield socket


async def receive(socket: ClientConnection) -> Json:
    async with asyncio.timeout(LIMIT_S):
        text = await socket.recv()
    assert isinstance(text, str)
    message = json.loads(text)
    assert isinstance(message, dict)
    return message


async def ask(socket: ClientConnection, msg_type: str, **fields: Any) -> Json:
    """Send a message and take the next one as its answer, as such clients do."""
    await socket.send(json.dumps({"msg_type": msg_type, **fields}))
    return await receive(socket)


async def closed_with(socket: ClientConnection) -> tuple[int, str]:
    """Wait until the server has closed the connection; give its code and reason."""
    async with asyncio.timeout(LIMIT_S):
        with contextlib.suppress(ConnectionClosed):
            async for _ in socket:
                pass
        await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


class User:
    """A user client: hello, select, then commands, one at a time."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def hello(self) -> None:
        assert await ask(self.socket, "hello", client_type="user") == {"msg_type": "hello_ack"}

    async def list_cards(self) -> list[Json]:
        answer = await ask(self.socket, "list_cards")
        assert answer["msg_type"] == "list_cards_ack"
        cards = answer["cards"]
        assert isinstance(cards, list)
        return cards

    async def select(self, id_type: str, id_str: str) -> Json:
        return await ask(self.socket, "select_card", id_type=id_type, id_str=id_str)

    async def apdu(self, command: str) -> tuple[str, str]:
        answer = await ask(self.socket, "c_apdu", command=command)
        assert answer["msg_type"] == "r_apdu", answer
        return answer["response"], answer["sw"]

    async def reset(self) -> Json:
        answer = await ask(self.socket, "reset_req")
        assert answer["msg_type"] == "reset_resp", answer
        return answer


@asynccontextmanager
async def user(url: str, ca: Path) -> AsyncGenerator[User]:
    """Connect a user client that has said hello."""
    async with connected(url, ca) as socket:
        client = User(socket)
        await client.hello()
        yield client


class CardClient:
    """
    A card client: one card, questioned one command at a time.

    Args:
        socket: The connection.
        transmit: Gives data and status word for a command APDU.
        reset: Resets the card and gives its ATR.
    """

    def __init__(
        self,
        socket: ClientConnection,
        transmit: Callable[[bytes], bytes],
        reset: Callable[[], bytes],
    ) -> None:
        self.socket = socket
        self.states: list[str] = []
        self.asked: list[str] = []
        self.silent = False
        self.failing = False
        self._transmit = transmit
        self._reset = reset

    async def hello(self) -> None:
        atr = self._reset().hex()
        assert await ask(self.socket, "hello", client_type="card", atr=atr) == {
            "msg_type": "hello_ack"
        }

    async def serve(self) -> None:
        """Answer until the connection ends."""
        with contextlib.suppress(ConnectionClosed):
            async for text in self.socket:
                message = json.loads(text)
                self.asked.append(message["msg_type"])
                answer = None if self.silent else self._answer(message)
                if answer is not None:
                    await self.socket.send(json.dumps(answer))

    def _answer(self, message: Json) -> Json | None:
        if self.failing:
            return {"msg_type": "error", "message": "the reader is on fire"}
        match message["msg_type"]:
            case "c_apdu":
                assert set(message) == {"msg_type", "command"}, message
                octets = self._transmit(bytes.fromhex(message["command"]))
                data, sw = octets[:-2].hex(), octets[-2:].hex()
                return {"msg_type": "r_apdu", "response": data, "sw": sw}
            case "reset_req":
                return {"msg_type": "reset_resp", "atr": self._reset().hex()}
            case "state_notification":
                self.states.append(message["new_state"])
                return None
            case other:
                return {"msg_type": "error", "message": f"{other} is not known"}


@asynccontextmanager
async def card_client(
    url: str, ca: Path, transmit: Callable[[bytes], bytes], reset: Callable[[], bytes]
) -> AsyncGenerator[CardClient]:
    """Connect a card client and have it serve its card."""
    async with connected(url, ca) as socket:
        client = CardClient(socket, transmit, reset)
        await client.hello()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(client.serve())
            yield client
            await socket.close()
            async with asyncio.timeout(LIMIT_S):
                await asyncio.wait([task])
