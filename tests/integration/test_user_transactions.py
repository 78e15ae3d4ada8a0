# SPDX-License-Identifier: Apache-2.0
"""A transaction that begins although its asker gave up does not stay open."""

import asyncio

import pytest

from tests.support.scripted_server import Peer, give_card, scripted, take_back
from wsrc.errors import ConnectionLostError
from wsrc.protocol import messages as m
from wsrc.user_client.aio import Client

READ = bytes.fromhex("00b0000000")


async def began_too_late(peer: Peer, started: asyncio.Event) -> None:
    """Let a transaction begin when nobody wants it any more, and hear that it ends."""
    begin = await peer.hear("begin_transaction")
    started.set()
    cancel = await peer.hear("cancel")
    assert cancel["target"] == begin["id"]
    await peer.say("begin_transaction_ack", id=begin["id"], session="s1")
    await peer.say("cancel_ack", id=cancel["id"], session="s1", cancelled=False)
    end = await peer.hear("end_transaction")
    await peer.say("end_transaction_ack", id=end["id"], session="s1")


async def test_it_is_ended_at_once_and_the_next_command_waits_for_that() -> None:
    started = asyncio.Event()

    async def script(peer: Peer) -> None:
        await give_card(peer)
        await began_too_late(peer, started)
        await peer.answer(await peer.hear("c_apdu"), "02", "9000")
        await take_back(peer)

    async with scripted(script) as url, Client(url) as client, client.select(any="x") as mine:
        async with asyncio.TaskGroup() as tasks:
            begin = tasks.create_task(mine.begin())
            await started.wait()
            begin.cancel()
        assert begin.cancelled()
        assert (await mine.transmit(READ)).data == b"\2"


async def test_it_is_ended_where_the_answer_crosses_the_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        begin = await peer.hear("begin_transaction")
        await peer.say("begin_transaction_ack", id=begin["id"], session="s1")
        end = await peer.hear("end_transaction")
        await peer.say("end_transaction_ack", id=end["id"], session="s1")
        await take_back(peer)

    async with scripted(script) as url, Client(url) as client, client.select(any="x") as mine:
        requests = mine._session._requests
        deliver = requests.deliver
        async with asyncio.TaskGroup() as tasks:
            begin = tasks.create_task(mine.begin())

            def deliver_and_cancel(message: m.Message) -> None:
                deliver(message)
                begin.cancel()

            monkeypatch.setattr(requests, "deliver", deliver_and_cancel)
        assert begin.cancelled()


async def test_it_is_ended_before_the_next_command_where_it_took_too_long() -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        await began_too_late(peer, asyncio.Event())
        await peer.answer(await peer.hear("c_apdu"), "02", "9000")
        await take_back(peer)

    async with (
        scripted(script) as url,
        Client(url, timeout_s=0.2) as client,
        client.select(any="x") as mine,
    ):
        with pytest.raises(ConnectionLostError):
            await mine.begin()
        mine._timeout_s = 20.0
        assert (await mine.transmit(READ)).data == b"\2"


async def test_one_that_did_not_begin_is_not_ended() -> None:
    started = asyncio.Event()

    async def script(peer: Peer) -> None:
        await give_card(peer)
        begin = await peer.hear("begin_transaction")
        started.set()
        cancel = await peer.hear("cancel")
        await peer.say("cancel_ack", id=cancel["id"], session="s1", cancelled=True)
        await peer.refuse(begin, "cancelled", session="s1", outcome="not_executed")
        await peer.answer(await peer.hear("c_apdu"), "02", "9000")
        await take_back(peer)

    async with scripted(script) as url, Client(url) as client, client.select(any="x") as mine:
        async with asyncio.TaskGroup() as tasks:
            begin = tasks.create_task(mine.begin())
            await started.wait()
            begin.cancel()
        assert (await mine.transmit(READ)).data == b"\2"
