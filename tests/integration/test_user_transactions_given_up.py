# SPDX-License-Identifier: Apache-2.0
"""A transaction whose block is cancelled while the card runs a command."""

import asyncio
import signal
import subprocess
import sys
import threading

import pytest

from tests.support.scripted_server import LIMIT_S, Peer, Script, give_card, in_thread, scripted
from wsrc.card.slot import Disposition
from wsrc.user_client.aio import Card, Client
from wsrc.user_client.core import transacting

READ = bytes.fromhex("00b0000000")


async def begin(peer: Peer) -> None:
    await give_card(peer)
    request = await peer.hear("begin_transaction")
    await peer.say("begin_transaction_ack", id=request["id"], session="s1")


async def end(peer: Peer, disposition: str) -> None:
    request = await peer.hear("end_transaction")
    assert request["disposition"] == disposition
    await peer.say("end_transaction_ack", id=request["id"], session="s1")


async def take_back(peer: Peer, disposition: str) -> None:
    request = await peer.hear("detach")
    assert request.get("disposition", "reset") == disposition
    await peer.say("detach_ack", id=request["id"], session=request["session"])


def interrupted(heard: asyncio.Event | threading.Event) -> Script:
    """Give a server whose user gives up a command in a transaction, and goes on with another."""

    async def script(peer: Peer) -> None:
        await begin(peer)
        command = await peer.hear("c_apdu")
        heard.set()
        await peer.hear("cancel")
        await peer.answer(command, "01", "9000")
        await end(peer, "reset")
        await peer.answer(await peer.hear("c_apdu"), "02", "9000")
        await take_back(peer, "leave")

    return script


async def read_in_transaction(mine: Card) -> None:
    async with mine.transaction(disposition=Disposition.RESET):
        await mine.transmit(READ)


async def cancel_reading(mine: Card, heard: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read_in_transaction(mine))
        await heard.wait()
        reading.cancel()
    assert reading.cancelled()


async def test_it_ends_after_the_command_as_its_block_was_to_leave_the_card() -> None:
    heard = asyncio.Event()
    async with scripted(interrupted(heard)) as url, Client(url) as client:
        mine = await client.select(any="x")
        await cancel_reading(mine, heard)
        assert (await mine.transmit(READ)).data == b"\2"
        await mine.detach(disposition=Disposition.LEAVE)


async def test_it_ends_before_the_next_command_where_the_card_takes_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transacting, "UNDO_S", 0.01)
    heard, given_up = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await begin(peer)
        command = await peer.hear("c_apdu")
        heard.set()
        await peer.hear("cancel")
        await given_up.wait()
        await peer.answer(command, "01", "9000")
        await end(peer, "reset")
        await peer.answer(await peer.hear("c_apdu"), "02", "9000")
        await take_back(peer, "leave")

    async with scripted(script) as url, Client(url) as client, asyncio.timeout(LIMIT_S):
        mine = await client.select(any="x")
        await cancel_reading(mine, heard)
        given_up.set()
        assert (await mine.transmit(READ)).data == b"\2"
        await mine.detach(disposition=Disposition.LEAVE)


async def test_it_ends_with_the_session_which_then_leaves_the_card_as_the_block_was_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transacting, "UNDO_S", 0.01)
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await begin(peer)
        await peer.hear("c_apdu")
        heard.set()
        await peer.hear("cancel")
        await take_back(peer, "reset")

    async with scripted(script) as url, Client(url) as client, asyncio.timeout(LIMIT_S):
        mine = await client.select(any="x")
        await cancel_reading(mine, heard)
        await mine.detach(disposition=Disposition.LEAVE)


INTERRUPTED = """
import sys
from wsrc.card.slot import Disposition
from wsrc.user_client.blocking import Client
with Client(sys.argv[1]) as client:
    card = client.select(any="x")
    try:
        with card.transaction(disposition=Disposition.RESET):
            card.transmit(bytes.fromhex("00b0000000"))
    except KeyboardInterrupt:
        print(card.transmit(bytes.fromhex("00b0000001")))
    card.detach(disposition=Disposition.LEAVE)
"""


def test_an_interrupt_ends_it_and_leaves_the_card_usable() -> None:
    heard = threading.Event()
    with in_thread(interrupted(heard)) as url:
        program = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert heard.wait(LIMIT_S)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=LIMIT_S)
    assert (out.strip(), err, program.returncode) == ("02 9000", "", 0)
