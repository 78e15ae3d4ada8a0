# SPDX-License-Identifier: Apache-2.0
"""A client that watches readers in JSON-RPC: what it asks for by itself."""

from typing import Any

import msgspec

from tests.support.scripted_server import Peer, card, scripted
from tests.support.wire import begin, ended, wired
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.user_client.aio import Client

READER = {"number": 1, "reader": "r@bench", "name": "Reader 1", "host": "bench", "state": "empty"}
VIEW = msgspec.convert(READER, m.ReaderView)


async def test_a_list_that_is_too_long_to_tell_is_asked_for() -> None:
    async def script(peer: Peer) -> None:
        watch = await peer.hear("watch_readers")
        assert watch["form"] == "json_rpc"
        marks = {"instance": "run", "seq": 0}
        await peer.say("watch_readers_ack", id=watch["id"], readers=[], **marks)
        text = '{"jsonrpc":"2.0","event":"Pcsc.Readers.ListChange","params":{}}'
        await peer.say_text(text)
        await peer.say("reader_mark", seq=1)
        asked = await peer.hear("list_readers")
        await peer.say("list_readers_ack", id=asked["id"], readers=[READER], **marks)

    async with scripted(script) as url, Client(url) as client:
        notifications = client.watch_reader_notifications()
        told = [await anext(notifications) for _ in range(2)]
        await notifications.aclose()
    names = [each.params.names for each in told if isinstance(each, m.ListChange)]
    assert names == [(), ("Reader 1",)]


async def test_what_a_cut_left_without_its_mark_is_told_once() -> None:
    watches: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        watch = await peer.hear("watch_readers")
        watches.append(watch)
        again = len(watches) > 1
        there = {"seq": 4} if again else {"seq": 4, "readers": []}
        await peer.say("watch_readers_ack", id=watch["id"], instance="run", **there)
        await peer.say_text(encode(m.state_change(VIEW)).decode())
        if not again:
            peer.abort()
            return
        await peer.say("reader_mark", seq=5)
        await peer.say_text(encode(m.list_change([VIEW])).decode())
        await peer.say("reader_mark", seq=6)

    async with scripted(script) as url, Client(url) as client:
        notifications = client.watch_reader_notifications()
        told = [await anext(notifications) for _ in range(3)]
        await notifications.aclose()
    assert told == [m.list_change([]), m.state_change(VIEW), m.list_change([VIEW])]
    marks = [(watch.get("instance"), watch.get("since")) for watch in watches]
    assert marks == [(None, None), ("run", 4)]


async def test_what_is_told_after_a_watch_is_dropped() -> None:
    async with wired() as (wire, client, peer):
        await peer.say("card_event", change="changed", card=card())
        await peer.say("reader_mark", seq=1)
        listing = begin(client.list_cards())
        asked = await peer.hear("list_cards")
        await peer.say("list_cards_ack", id=asked["id"], cards=[card()])
        assert [each.reader for each in await ended(listing)] == ["reader-1"]
        assert wire.silent
