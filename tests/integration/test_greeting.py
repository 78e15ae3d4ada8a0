# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.greeting: what a server may answer to hello."""

import json
from typing import Any

import pytest

from tests.support.scripted_server import HELLO_ACK, LIMIT_S, Peer, scripted
from wsrc.errors import ConnectionLostError, ErrorCode, RefusedError, RemoteProtocolError
from wsrc.net.dial import dial
from wsrc.net.greeting import greet
from wsrc.protocol import messages as m

HELLO = m.Hello(client_type=m.ClientType.USER, version=m.VERSION, name="somebody")


async def greeted(text: str | None, limit_s: float = LIMIT_S) -> m.HelloAck:
    """Greet a server that answers with this text; with none it closes the connection."""

    async def answer(peer: Peer) -> None:
        heard = await peer.hear("hello")
        assert heard["name"] == "somebody"
        if text is None:
            await peer.close(1013, "Come back later.")
        elif text:
            await peer.say_text(text)

    async with (
        scripted(answer, greet=False) as url,
        dial(url, None, connect_s=LIMIT_S, ping_s=LIMIT_S) as link,
    ):
        return await greet(link, HELLO, limit_s, "relay.example")


async def test_the_answer_is_given() -> None:
    assert (await greeted(json.dumps(HELLO_ACK))).server == "scripted"


@pytest.mark.parametrize(
    ("answer", "code", "match"),
    [
        ({"msg_type": "hello_ack"}, ErrorCode.NOT_SUPPORTED, "relay.example.* first form"),
        ({"msg_type": "error", "message": "Full.", "code": "too_many"}, ErrorCode.TOO_MANY, "Full"),
        ({"msg_type": "error", "message": "No."}, ErrorCode.INTERNAL, "No"),
    ],
)
async def test_a_refusal_has_its_code(answer: dict[str, Any], code: ErrorCode, match: str) -> None:
    with pytest.raises(RefusedError, match=match) as refused:
        await greeted(json.dumps(answer))
    assert refused.value.code is code


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"msg_type": "detach_ack", "session": "s1"}', "detach_ack"),
        ('{"msg_type": "hello_ack", "version": "one"}', "hello_ack.* is wrong"),
        ('{"msg_type": "welcome"}', "relay.example does not speak WSRC"),
        ("hello?", "JSON"),
    ],
)
async def test_another_answer_breaks_the_protocol(text: str, match: str) -> None:
    with pytest.raises(RemoteProtocolError, match=match):
        await greeted(text)


@pytest.mark.parametrize(
    ("text", "limit_s", "match"),
    [("", 0.01, "did not answer hello within 0.01 s.* for user"), (None, LIMIT_S, "Come back")],
)
async def test_no_answer_is_a_lost_connection(text: str | None, limit_s: float, match: str) -> None:
    with pytest.raises(ConnectionLostError, match=match):
        await greeted(text, limit_s)
