# SPDX-License-Identifier: Apache-2.0
"""wsrc.server: what one peer does, and what the others see of it, with each kind of loop."""

import asyncio
import base64
import hashlib
import json
import logging
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from aiohttp.http import WS_KEY

from tests.support.raw_peer import (
    LAST,
    LIMIT_S,
    LOOPS,
    PING,
    PONG,
    TEXT,
    LoopFactory,
    RawPeer,
    frame,
    raw_peer,
    run,
    text,
)
from tests.support.world import until
from wsrc.net import dial as dial_module, outbox
from wsrc.net.websocket import Link
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.conversation import CloseCode
from wsrc.server.app import App, serve
from wsrc.settings.load import ServerSettings

SHORT_S = 0.2
"""A limit that a test waits for."""

FLOOD = 5_000
"""Frames that come at once."""

PLAIN = ServerSettings(user_port=0, card_port=0, no_tls=True)


@LOOPS
def test_b13_a_wait_that_is_over_at_once_cuts_nobody_off(
    loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app, raw_peer(app.user_port) as user:
            hurried = text("select_card", id=1, any="x", wait_s=0.0001)
            async with raw_peer(app.user_port) as other:
                user.write(frame(hurried) + frame(text("list_cards", id=2)))
                waiting = await user.hear("waiting")
                answers = [await user.hear(), await user.hear()]
                assert waiting["id"] == 1
                assert sorted(each["id"] for each in answers) == [1, 2]
                assert {each["msg_type"] for each in answers} == {"list_cards_ack", "error"}
                other.say("list_cards", id=3)
                assert (await other.hear("list_cards_ack"))["id"] == 3

    run(loop_factory, main())
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


@asynccontextmanager
async def deaf_peers(app: App, count: int = 1) -> AsyncGenerator[list[tuple[RawPeer, Link]]]:
    """Connect users that read nothing more; give each with the server's link to it."""
    async with AsyncExitStack() as stack:
        pairs: list[tuple[RawPeer, Link]] = []
        for _ in range(count):
            there = set(app._peers._links)
            peer = await stack.enter_async_context(raw_peer(app.user_port, buffer=4096))
            (number,) = set(app._peers._links) - there
            pairs.append((peer, app._peers._links[number]))
        yield pairs


async def answers_pings_until_gone(peer: RawPeer, app: App) -> None:
    """Write pongs, but read nothing, until the server has no such peer."""
    with suppress(ConnectionError):
        while len(app._peers):
            peer.write(frame(b"", LAST | PONG))
            await peer.drain()
            await asyncio.sleep(0.01)


@LOOPS
def test_b15_a_peer_that_reads_nothing_loses_its_connection(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FLUSH_S", SHORT_S)

    async def main() -> None:
        async with serve(PLAIN) as app, deaf_peers(app) as [(peer, link)]:
            while not link.closing:
                link.forward(bytes(MAX_MESSAGE_OCTETS))
            await answers_pings_until_gone(peer, app)
            assert len(app._peers) == 0

    run(loop_factory, main())


@LOOPS
def test_b15_a_peer_that_reads_nothing_does_not_keep_the_server_from_its_end(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FLUSH_S", SHORT_S)

    async def main() -> None:
        async with serve(PLAIN) as app, deaf_peers(app) as [(peer, link)]:
            for _ in range(8):
                link.forward(bytes(MAX_MESSAGE_OCTETS))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(answers_pings_until_gone(peer, app))
                await app.stop()
            assert len(app._peers) == 0
            assert all(runner.server is None for runner in app._runners)

    run(loop_factory, main())


@LOOPS
def test_b15_a_client_ends_though_its_server_reads_nothing(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FLUSH_S", SHORT_S)
    monkeypatch.setattr(dial_module, "FLUSH_S", SHORT_S)

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)
        assert key is not None
        accept = base64.b64encode(hashlib.sha1(key[1] + WS_KEY).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        await over.wait()
        writer.close()

    over = asyncio.Event()

    async def main() -> None:
        async with await asyncio.start_server(deaf, "127.0.0.1", 0, limit=1024) as server:
            port = server.sockets[0].getsockname()[1]
            url = f"ws://127.0.0.1:{port}/"
            async with dial_module.dial(url, None, connect_s=5.0, ping_s=60.0) as link:
                for _ in range(12):
                    link.forward(bytes(MAX_MESSAGE_OCTETS))
            over.set()

    run(loop_factory, main())


@LOOPS
def test_b17_all_unread_queues_have_a_budget_and_the_longest_goes_first(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FLUSH_S", SHORT_S)

    async def main() -> None:
        async with serve(PLAIN) as app, deaf_peers(app, 12) as pairs:
            unread = app._peers._unread
            long, short = [link for _, link in pairs[:9]], [link for _, link in pairs[9:]]
            for link in short:
                link.forward(bytes(100_000))
            most = 0
            for _ in range(14):
                for link in long:
                    link.forward(bytes(MAX_MESSAGE_OCTETS))
                    most = max(most, unread.octets)
                    assert unread.octets <= outbox.MAX_UNREAD_OCTETS
            assert most > outbox.MAX_UNREAD_OCTETS - 2 * MAX_MESSAGE_OCTETS
            assert 0 < sum(link.closing for link in long) < len(long)
            assert not any(link.closing for link in short)
            for link in long:
                link.close(CloseCode.DONE, "")
            for peer, _ in pairs:
                peer.abort()
            await until(lambda: not len(app._peers))
            assert unread.octets == 0
            assert unread._sizes == {}

    run(loop_factory, main())


@LOOPS
def test_b16_what_a_peer_has_sent_is_not_dealt_with_in_one_turn(loop_factory: LoopFactory) -> None:
    """Between a flood's first frame and its last, many turns of the loop go by."""

    async def main() -> None:
        async with serve(PLAIN) as app, raw_peer(app.user_port) as user:
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            async with asyncio.TaskGroup() as tasks:
                counting = tasks.create_task(count())
                user.write(frame(b"", LAST | PING) * FLOOD)
                user.say("list_cards", id=1)
                pongs = 0
                while (answer := await user.frame())[0] == PONG:
                    pongs += 1
                assert json.loads(answer[1])["id"] == 1
                counting.cancel()
            assert pongs == FLOOD
            assert turns > FLOOD / 500

    run(loop_factory, main())


@LOOPS
def test_b16_a_message_in_pieces_of_an_octet_is_taken_in_slices(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app, raw_peer(app.user_port) as user:
            (connection,) = list(app._door.connections) if app._door else []
            whole = text("list_cards", id=1, x="y" * 50_000)
            pieces = [frame(whole[:1], TEXT)]
            pieces += [frame(whole[n : n + 1], 0) for n in range(1, len(whole) - 1)]
            pieces.append(frame(whole[-1:], LAST))
            user.write(b"".join(pieces))
            assert (await user.hear("list_cards_ack"))["id"] == 1
            assert connection._rest == []

    run(loop_factory, main())


async def test_b18_who_connects_waits_while_there_is_no_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with asyncio.timeout(LIMIT_S), serve(PLAIN) as app:
        door = app._door
        assert door is not None
        door._most = 5
        silent = [await asyncio.open_connection("127.0.0.1", app.user_port) for _ in range(8)]
        await until(lambda: len(door.connections) == 5)
        await until(lambda: "No connection is accepted for now" in caplog.text)
        for _, writer in silent:
            writer.close()
        async with raw_peer(app.user_port) as user:
            user.say("list_cards", id=1)
            assert (await user.hear("list_cards_ack"))["id"] == 1
    assert caplog.text.count("No connection is accepted") == 1


async def test_b18_a_server_that_runs_out_of_memory_amid_an_event_ends() -> None:
    """What it knows may be half changed; so it tells its peers to come back to the next one."""
    info = {"reader": "r1", "name": "r1", "state": "ready", "insertion": 1, "atr": "3b00"}

    def no_memory() -> str:
        raise MemoryError

    ended = asyncio.Event()
    async with asyncio.timeout(LIMIT_S), serve(PLAIN) as app:
        app.when_broken(ended.set)
        app._peers.relay._state.new_session = no_memory
        async with (
            raw_peer(app.card_port, hello="card", readers=[info]) as host,
            raw_peer(app.user_port) as innocent,
            raw_peer(app.user_port) as user,
        ):
            assert not app.broken
            user.say("select_card", id=1, any="r1")
            await ended.wait()
            assert app.broken
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(app.stop())
                for each in (host, user, innocent):
                    tasks.create_task(each.gone())
            assert innocent.close_code == CloseCode.RESTARTING
