# SPDX-License-Identifier: Apache-2.0
"""
A relay of the shape in which this job is done first: one coroutine a connection, everything parsed.

On `websockets` as it comes, with permessage-deflate where the client offers it: each message is
parsed from JSON, the other end is looked up, and a message is made anew from the fields.
"""

import asyncio
import json
import ssl
import sys
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

Message = dict[str, Any]

cards: dict[str, ServerConnection] = {}
partners: dict[ServerConnection, ServerConnection] = {}


async def say(socket: ServerConnection, message: Message) -> None:
    await socket.send(json.dumps(message))


async def pass_on(socket: ServerConnection, message: Message) -> None:
    partner = partners.get(socket)
    if partner is None:
        await say(socket, {"msg_type": "error", "message": "there is nobody"})
    elif message["msg_type"] == "c_apdu":
        await say(partner, {"msg_type": "c_apdu", "command": message["command"]})
    else:
        answer = {"msg_type": "r_apdu", "response": message["response"], "sw": message["sw"]}
        await say(partner, answer)


async def converse(socket: ServerConnection) -> None:
    """Carry one client from its hello to its end."""
    try:
        async for text in socket:
            message: Message = json.loads(text)
            match message["msg_type"]:
                case "hello":
                    if message["client_type"] == "card":
                        cards[message["identities"]["ICCID"]] = socket
                    await say(socket, {"msg_type": "hello_ack", "identities": {}})
                case "select_card":
                    card = cards[message["ICCID"]]
                    partners[socket], partners[card] = card, socket
                    await say(socket, {"msg_type": "select_card_ack", "identities": {}})
                case "c_apdu" | "r_apdu":
                    await pass_on(socket, message)
    finally:
        partner = partners.pop(socket, None)
        if partner is not None:
            partners.pop(partner, None)


async def main(cert: str, key: str) -> None:
    """Listen on a free port, say which, and relay for ever."""
    context = None
    if cert != "-":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(cert, key)
    async with serve(converse, "127.0.0.1", 0, ssl=context) as server:
        [socket] = server.sockets
        sys.stdout.write(f"Ready: {socket.getsockname()[1]}\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
