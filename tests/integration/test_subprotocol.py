# SPDX-License-Identifier: Apache-2.0
"""The name of the protocol for WebSocket, and what clients make of a server's limits."""

from collections.abc import Sequence
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve as serve_websocket
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from tests.support.scripted_server import HELLO_ACK, LIMIT_S, Peer, card, scripted
from wsrc import aio
from wsrc.errors import ConnectionLostError, LocalProtocolError, RefusedError
from wsrc.net.dial import Backoff, dial
from wsrc.net.greeting import greet
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import SUBPROTOCOL
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings

PLAIN = ServerSettings(user_port=0, card_port=0, no_tls=True)
HELLO = m.Hello(client_type=m.ClientType.USER, version=m.VERSION)


async def chosen_of(offered: Sequence[str] | None) -> str | None:
    """Connect to a server with these subprotocols, and return the one that it chooses."""
    names = None if offered is None else [Subprotocol(name) for name in offered]
    async with (
        serve(PLAIN) as app,
        connect(f"ws://127.0.0.1:{app.user_port}", subprotocols=names) as socket,
    ):
        return socket.subprotocol


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, None),
        ([SUBPROTOCOL], SUBPROTOCOL),
        (["wsrc.v9", SUBPROTOCOL, "chat"], SUBPROTOCOL),
    ],
)
async def test_e34_the_server_chooses_its_subprotocol_where_one_is_offered(
    offered: Sequence[str] | None, chosen: str | None
) -> None:
    assert await chosen_of(offered) == chosen


async def test_e34_a_client_that_speaks_another_protocol_only_is_refused_in_a_sentence() -> None:
    with pytest.raises(InvalidStatus) as refused:
        await chosen_of(["chat", "wsrc.v9"])
    response = refused.value.response
    assert response.status_code == 400
    assert response.body == b"The WebSocket subprotocol here is wsrc.v1; offer it, or none.\n"


async def test_e34_our_clients_offer_the_subprotocol_and_take_it() -> None:
    async with (
        serve(PLAIN) as app,
        dial(f"ws://127.0.0.1:{app.user_port}", None, connect_s=LIMIT_S, ping_s=LIMIT_S) as link,
    ):
        ack = await greet(link, HELLO, LIMIT_S, "relay")
    assert ack.limits is not None


async def test_e34_a_server_that_speaks_another_protocol_is_no_wsrc_server() -> None:
    async def stay(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve_websocket(
        stay,
        "127.0.0.1",
        0,
        subprotocols=[Subprotocol("chat")],
        select_subprotocol=lambda *_: Subprotocol("chat"),
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(ConnectionLostError, match="no WSRC server: it speaks 'chat'"):
            async with dial(f"ws://localhost:{port}", None, connect_s=LIMIT_S, ping_s=LIMIT_S):
                pass


async def with_limits(limits: dict[str, Any], doing: Any) -> list[dict[str, Any]]:
    """Have a user client do something at a server with these limits; return what it was asked."""
    heard: list[dict[str, Any]] = []

    async def serve_user(peer: Peer) -> None:
        await peer.hear("hello")
        await peer.say(**HELLO_ACK, limits=limits)
        select = await peer.hear("select_card")
        heard.append(select)
        await peer.give(select, "s1", card())
        while heard[-1]["msg_type"] != "detach":
            heard.append(await peer.hear())
        await peer.say("detach_ack", id=heard[-1]["id"], session="s1")

    async with (
        scripted(serve_user, greet=False) as url,
        aio.Client(url, name="ida") as client,
        client.select(any="x", wait_s=1e9) as held,
    ):
        await doing(held)
    return heard


async def test_e34_the_library_sends_nothing_that_the_server_would_not_take() -> None:
    async def too_much(held: aio.Card) -> None:
        with pytest.raises(LocalProtocolError, match="A batch has 1 to 2 commands, not 3"):
            await held.batch([bytes(4)] * 3)
        with pytest.raises(LocalProtocolError, match="it may have 500"):
            await held.transmit(bytes([0, 0xD6, 0, 0, 255, *bytes(255)]))

    limits = {"message_octets": 500, "batch_commands": 2, "wait_max_s": 7.5}
    heard = await with_limits(limits, too_much)
    assert [each["msg_type"] for each in heard] == ["select_card", "detach"]
    assert heard[0]["wait_s"] == 7.5


async def test_e34_a_server_may_take_more_than_we_do() -> None:
    """Limits are the server's own, whatever those of this version are."""

    async def much(held: aio.Card) -> None:
        with pytest.raises(LocalProtocolError, match="A batch has 1 to 300 commands, not 301"):
            await held.batch([bytes(4)] * 301)

    await with_limits({"batch_commands": 300, "new_limit": [1]}, much)


async def test_e34_a_refusal_says_when_to_come_again() -> None:
    async def full(peer: Peer) -> None:
        await peer.hear("hello")
        await peer.say("error", message="Full.", code="too_many", retry_after_s=4)

    async with (
        scripted(full, greet=False) as url,
        dial(url, None, connect_s=LIMIT_S, ping_s=LIMIT_S) as link,
    ):
        with pytest.raises(RefusedError) as refused:
            await greet(link, HELLO, LIMIT_S, "relay")
    assert refused.value.retry_after_s == 4


async def test_e34_a_busy_server_tells_a_program_when_to_ask_again() -> None:
    async def busy(peer: Peer) -> None:
        await peer.refuse(await peer.hear("select_card"), "too_many", retry_after_s=1.5)

    async with scripted(busy) as url, aio.Client(url, name="ida") as client:
        with pytest.raises(RefusedError) as refused:
            await client.select(any="x")
    assert refused.value.retry_after_s == 1.5


def test_e34_a_client_comes_again_no_sooner_than_it_is_told_up_to_its_own_limit() -> None:
    assert Backoff(0.1, 2.0).wait_s(1.5) == 1.5
    assert Backoff(0.1, 2.0).wait_s(1e9) == 2.0
    assert Backoff(0.1, 2.0).wait_s(-1.0) <= 0.1
