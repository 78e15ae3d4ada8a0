# SPDX-License-Identifier: Apache-2.0
"""A server that says what a test tells it to, in plain JSON, on a free port of loopback."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from fnmatch import fnmatch
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.threads import in_a_thread
from wsrc.errors import WsrcError
from wsrc.protocol.messages import CardInfo, ListCards
from wsrc.selection import KINDS, Filter

LIMIT_S = 60.0

HELLO_ACK: dict[str, Any] = {
    "msg_type": "hello_ack",
    "version": 1,
    "features": [],
    "server": "scripted",
}


class Peer:
    """The server's end of one connection; messages are dictionaries."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket

    async def hear(self, msg_type: str | None = None) -> dict[str, Any]:
        """Return the next message, which must be of this type."""
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
    script: Script,
    *,
    context: ssl.SSLContext | None = None,
    greet: bool = True,
    subprotocol: str | None = None,
) -> AsyncIterator[str]:
    """
    Serve with a script for each connection and give the URL; a script's failure is raised.

    With `greet`, hello is answered before the script begins; `subprotocol` is chosen, if any.
    After the script the connection stays until the client closes it.
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

    chosen = None if subprotocol is None else [Subprotocol(subprotocol)]
    async with serve(handle, "127.0.0.1", 0, ssl=context, subprotocols=chosen) as server:
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


def reader_of(number: int, card: dict[str, Any]) -> dict[str, Any]:
    """Describe the reader of a card as a server does."""
    ids = card["identities"]
    known = {name: card[name] for name in ("host", "reader", "protocol", "label") if name in card}
    slot = {"number": number, "name": card["reader_name"], "state": "present", "insertion": 1}
    return known | slot | {"card_state": card["state"], "atr": ids["ATR"], "iccid": ids["ICCID"]}


async def give_card(peer: Peer, session: str = "s1", number: int = 1) -> None:
    await peer.give(await peer.hear("select_card"), session, card(number))


async def take_back(peer: Peer) -> None:
    request = await peer.hear("detach")
    with suppress(ConnectionClosed):  # the client does not wait for it where it closes next
        await peer.say("detach_ack", id=request["id"], session=request["session"])


async def fails(doing: Any) -> WsrcError:
    """Return what a call raises, for calls that are made side by side."""
    try:
        await doing
    except WsrcError as exc:
        return exc
    raise AssertionError("it did not fail")


@contextmanager
def in_thread(script: Script, *, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve as `scripted` does, in a thread, for clients that block; yield the URL."""
    with in_a_thread(scripted(script, context=context)) as (url, _):
        yield url


def card_host(
    cards: list[dict[str, Any]], answers: dict[str, tuple[str, str]] | Callable[[str], str]
) -> Script:
    """
    Return a script that lets a user list and select cards and talk to them.

    `answers` has data and status word by command, and any other command gives 6D00; or it returns
    the response to a command, with its status word.
    """

    def run(command: str) -> dict[str, str]:
        if callable(answers):
            whole = answers(command)
            return {"response": whole[:-4], "sw": whole[-4:].upper()}
        response, sw = answers.get(command, ("", "6D00"))
        return {"response": response, "sw": sw}

    async def serve_user(peer: Peer) -> None:
        while True:
            try:
                await _serve_request(peer, await peer.hear(), cards, run)
            except ConnectionClosed:  # a client may close before it is answered
                return

    return serve_user


async def _serve_request(
    peer: Peer,
    request: dict[str, Any],
    cards: list[dict[str, Any]],
    run: Callable[[str], dict[str, str]],
) -> None:
    ids = {key: request[key] for key in ("id", "session") if key in request}
    match request["msg_type"]:
        case "list_cards":
            await peer.say("list_cards_ack", **ids, cards=_matching(cards, request))
        case "select_card":
            await _select(peer, request, _matching(cards, request))
        case "c_apdu":
            await peer.say("r_apdu", **ids, **run(request["command"]))
        case "batch":
            await peer.say("batch_resp", **ids, **_run_batch(request["steps"], run))
        case "reset_req":
            await peer.say("reset_resp", **ids, atr="3b00")
        case "watch_readers":
            readers = [reader_of(n, each) for n, each in enumerate(_matching(cards, request), 1)]
            await peer.say("watch_readers_ack", **ids, instance="run", seq=0, readers=readers)
        case "detach":
            with suppress(ConnectionClosed):  # as in `take_back`
                await peer.say("detach_ack", **ids)


async def _select(peer: Peer, request: dict[str, Any], found: list[dict[str, Any]]) -> None:
    if not found:
        await peer.refuse(request, "no_such_card")
    elif len(found) > 1:
        await peer.refuse(request, "ambiguous", candidates=found)
    elif "lease" in found[0]:
        await peer.refuse(request, "card_busy", lease=found[0]["lease"])
    else:
        await peer.give(request, "s1", found[0])


def _matching(cards: list[dict[str, Any]], request: dict[str, Any]) -> list[dict[str, Any]]:
    names = {kind: request[kind] for kind in (*KINDS, "any") if kind in request}
    wanted = Filter(ListCards(**names))
    return [each for each in cards if wanted.matches(msgspec.convert(each, CardInfo))]


def _run_batch(steps: list[dict[str, Any]], run: Callable[[str], dict[str, str]]) -> dict[str, Any]:
    results: list[dict[str, str]] = []
    for number, step in enumerate(steps):
        results.append(run(step["command"]))
        patterns = [pattern.replace("x", "?") for pattern in step.get("expect", ["*"])]
        if not any(fnmatch(results[-1]["sw"].lower(), pattern) for pattern in patterns):
            return {"results": results, "stopped": number}
    return {"results": results}
