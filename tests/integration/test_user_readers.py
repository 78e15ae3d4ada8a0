# SPDX-License-Identifier: Apache-2.0
"""A client that watches readers in JSON-RPC: what it asks for by itself."""

from tests.integration.scripted_server import Peer, scripted
from wsrc import messages as m
from wsrc.user_client.aio import Client

READER = {"number": 1, "reader": "r@bench", "name": "Reader 1", "host": "bench", "state": "empty"}


async def test_a_list_that_is_too_long_to_tell_is_asked_for() -> None:
    async def script(peer: Peer) -> None:
        watch = await peer.hear("watch_readers")
        assert watch["form"] == "json_rpc"
        marks = {"instance": "run", "seq": 0}
        await peer.say("watch_readers_ack", id=watch["id"], readers=[], **marks)
        text = '{"jsonrpc":"2.0","event":"Pcsc.Readers.ListChange","params":{}}'
        await peer.say_text(text)
        asked = await peer.hear("list_readers")
        await peer.say("list_readers_ack", id=asked["id"], readers=[READER], **marks)

    async with scripted(script) as url, Client(url) as client:
        notifications = client.watch_reader_notifications()
        told = [await anext(notifications) for _ in range(2)]
        await notifications.aclose()
    names = [each.params.names for each in told if isinstance(each, m.ListChange)]
    assert names == [(), ("Reader 1",)]
