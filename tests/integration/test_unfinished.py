# SPDX-License-Identifier: Apache-2.0
"""What peers send and do not finish counts in the budget of all, with each kind of loop."""

import asyncio
import logging
from contextlib import AsyncExitStack, suppress

import pytest

from tests.support.raw_peer import (
    LAST,
    LOOPS,
    TEXT,
    UPGRADE,
    LoopFactory,
    frame,
    raw_peer,
    run,
    text,
)
from tests.support.world import until
from wsrc.server import room
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings

PLAIN = ServerSettings(user_port=0, card_port=0, no_tls=True)


@LOOPS
@pytest.mark.parametrize("octets", [1_000_000, 4_000])
def test_b17_messages_that_are_not_finished_count_as_well(
    loop_factory: LoopFactory, monkeypatch: pytest.MonkeyPatch, octets: int
) -> None:
    """Each of many peers begins a message and does not end it; another one goes on unharmed."""
    budget = 8 << 20
    monkeypatch.setattr(room, "MAX_UNREAD_OCTETS", budget)

    async def main() -> None:
        async with serve(PLAIN) as app, AsyncExitStack() as stack:
            unread, most = app._peers._unread, 0
            innocent = await stack.enter_async_context(raw_peer(app.user_port))
            innocent.write(frame(b'{"msg_type": "list_cards",', TEXT))
            flood = [await stack.enter_async_context(raw_peer(app.user_port)) for _ in range(12)]
            piece = frame(b"[" * octets, 0)
            for peer in flood:
                peer.write(frame(b'{"x": ', TEXT))
                for _ in range(1_000_000 // octets):
                    peer.write(piece)
                with suppress(ConnectionError):
                    await peer.drain()

            def settled() -> bool:
                nonlocal most
                most = max(most, unread.octets)
                return len(app._peers) < 13 and unread.octets > budget - 2_000_000

            await until(settled)
            assert most <= budget
            innocent.write(frame(b' "id": 1}', LAST))
            assert (await innocent.hear("list_cards_ack"))["id"] == 1
            assert len(app._peers) >= 8
            for peer in flood:
                peer.abort()
            await until(lambda: len(app._peers) == 1)
            await until(lambda: unread.octets == 0)
            assert unread._sizes == {}

    run(loop_factory, main())


@LOOPS
def test_b17_what_waits_for_its_turn_counts_as_well(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app, raw_peer(app.user_port) as user:
            unread, most = app._peers._unread, 0
            for number in range(1, 31):
                user.say("list_cards", id=number, x="y" * 30_000)
            for number in range(1, 31):
                most = max(most, unread.octets)
                assert (await user.hear("list_cards_ack"))["id"] == number
            assert 30_000 < most < 1_000_000
            await until(lambda: unread.octets == 0)

    run(loop_factory, main())


@LOOPS
def test_b17_frames_before_the_answer_to_the_handshake_are_refused(
    loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app:
            reader, writer = await asyncio.open_connection("127.0.0.1", app.user_port)
            writer.write(UPGRADE + frame(text("list_cards", id=1)))
            assert b" 400 " in await reader.readline()
            writer.close()

    run(loop_factory, main())
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []
