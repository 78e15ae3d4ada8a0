# SPDX-License-Identifier: Apache-2.0
"""Clients that are opened and closed without `with`: in notebooks, by several tasks or threads."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.scripted_server import (
    LIMIT_S,
    Peer,
    Script,
    card,
    card_host,
    in_thread,
    reader_of,
    scripted,
)
from wsrc import aio, blocking
from wsrc.errors import ConnectionLostError, LocalProtocolError, WsrcError
from wsrc.settings.hosts import user_at_host
from wsrc.settings.load import UserSettings

HOST = card_host([card(1, label="blue")], {})
READ = bytes.fromhex("00b0000000")


def counting(greeted: list[int]) -> Script:
    """Return a card host that counts its connections."""

    async def serve(peer: Peer) -> None:
        greeted.append(1)
        await HOST(peer)

    return serve


async def test_a_client_that_is_not_open_says_so_at_once() -> None:
    async with scripted(HOST) as url:
        client = aio.Client(url)
        for doing in (client.list_cards(), client.list_readers(), client.select(any="x")):
            with pytest.raises(ConnectionLostError, match="not open"):
                await doing
        with pytest.raises(ConnectionLostError, match="not open"):
            await anext(client.watch())
        with pytest.raises(ConnectionLostError, match="not open"):
            client.check()
        await client.close()


async def test_open_and_close_may_be_called_again() -> None:
    greeted: list[int] = []
    async with scripted(counting(greeted)) as url:
        client = aio.Client(url)
        assert await client.open() is await client.open() is client
        assert (len(greeted), client.server) == (1, "scripted")
        mine = await client.select(label="blue")
        await client.close()
        await client.close()
        with pytest.raises(ConnectionLostError, match="not open"):
            await client.list_cards()
        async with client:
            assert len(await client.list_cards()) == 1
            with pytest.raises(ConnectionLostError):
                await mine.transmit(READ)
            await client.open()
        assert len(greeted) == 2


async def test_another_task_may_close_what_a_task_opened_that_ended() -> None:
    async with scripted(HOST) as url:
        client = aio.Client(url)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.open())
        assert len(await client.list_cards()) == 1
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(refused(anext(client.watch_readers())))
            await asyncio.sleep(0)
            tasks.create_task(client.close())
        assert isinstance(waiting.result(), ConnectionLostError)


async def refused(doing: Any) -> WsrcError | None:
    try:
        await doing
    except WsrcError as exc:
        return exc
    return None


async def test_an_open_that_is_given_up_leaves_nothing() -> None:
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        heard.set()

    async with scripted(script, greet=False) as url:
        client = aio.Client(url)
        async with asyncio.TaskGroup() as tasks:
            opening = tasks.create_task(client.open())
            await heard.wait()
            opening.cancel()
        assert opening.cancelled()
        with pytest.raises(ConnectionLostError):
            client.check()
        assert [t for t in asyncio.all_tasks() if t.get_name() == "connection"] == []


async def test_closing_ends_an_open_that_waits() -> None:
    heard = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        heard.set()

    async with scripted(script, greet=False) as url:
        client = aio.Client(url)
        async with asyncio.TaskGroup() as tasks:
            opening = tasks.create_task(refused(client.open()))
            await heard.wait()
            await client.close()
        assert "is closed" in str(opening.result())


async def test_a_client_that_lost_its_connection_for_good_is_opened_anew() -> None:
    greeted: list[int] = []

    async def script(peer: Peer) -> None:
        greeted.append(1)
        if len(greeted) == 1:
            peer.abort()
        else:
            await HOST(peer)

    async with scripted(script) as url:
        client = await aio.Client(url, keep_s=0).open()
        assert isinstance(await refused(client.list_cards()), ConnectionLostError)
        await client.open()
        assert len(await client.list_cards()) == 1
        await client.close()
    assert len(greeted) == 2


def test_a_client_is_of_one_event_loop_and_begins_anew_in_another() -> None:
    with in_thread(HOST) as url:
        client = aio.Client(url)

        async def use() -> int:
            await client.open()
            found = await client.list_cards()
            await client.close()
            return len(found)

        assert [asyncio.run(use()) for _ in range(2)] == [1, 1]


async def test_what_a_callback_raises_ends_the_connection_and_is_raised_by_close() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.hear("select_card")
        await peer.say("waiting", id=request["id"], position=1)
        with pytest.raises(ConnectionClosed):
            await peer.hear()

    def on_waiting(_told: aio.Waiting) -> None:
        raise ZeroDivisionError

    async with scripted(script) as url:
        client = await aio.Client(url).open()
        with pytest.raises(ConnectionLostError):
            await client.select(any="x", on_waiting=on_waiting)
        with pytest.raises(ZeroDivisionError):
            await client.close()
        await client.close()


@pytest.mark.parametrize("given", [None, "ida@lab"])
async def test_36_others_are_shown_user_and_host_unless_told_otherwise(given: str | None) -> None:
    names: list[str] = []

    async def script(peer: Peer) -> None:
        names.append((await peer.hear("hello"))["name"])
        await peer.say("hello_ack", version=1, features=[], server="scripted")

    async with scripted(script, greet=False) as url:
        async with aio.Client(url, name=given):
            pass
        settings = UserSettings(server_url=url, **({"name": given} if given else {}))
        async with aio.Client.from_settings(settings):
            pass
        await asyncio.to_thread(lambda: blocking.Client(url, name=given).open().close())
    assert names == [given or user_at_host()] * 3


async def test_clients_of_one_run_have_its_name() -> None:
    instances: list[str] = []

    async def script(peer: Peer) -> None:
        instances.append((await peer.hear("hello"))["instance"])
        await peer.say("hello_ack", version=1, features=[], server="scripted")

    async with scripted(script, greet=False) as url:
        settings = UserSettings(server_url=url)
        for _ in range(2):
            async with aio.Client.from_settings(settings, instance="run 7"):
                pass
            async with aio.Client.from_settings(settings):
                pass
    assert instances[::2] == ["run 7", "run 7"]
    assert len(set(instances)) == 3


# Without asyncio


def test_blocking_open_and_close_may_be_called_again() -> None:
    greeted: list[int] = []
    with in_thread(counting(greeted)) as url:
        threads = set(threading.enumerate())
        client = blocking.Client(url)
        assert client.open() is client.open() is client
        assert len(client.list_cards()) == 1
        client.close()
        client.close()
        assert set(threading.enumerate()) <= threads
        with pytest.raises(ConnectionLostError, match="not open"):
            client.list_cards()
        with client:
            client.open()
            client.check()
        with client.open():
            assert len(client.list_cards()) == 1
    assert len(greeted) == 3


def test_threads_that_open_at_once_share_one_connection() -> None:
    greeted: list[int] = []
    with in_thread(counting(greeted)) as url, ThreadPoolExecutor(8) as pool:
        client = blocking.Client(url)
        assert set(pool.map(lambda _: client.open(), range(8))) == {client}
        client.close()
    assert len(greeted) == 1


def test_blocking_client_that_lost_its_connection_for_good_is_opened_anew() -> None:
    greeted: list[int] = []

    async def script(peer: Peer) -> None:
        greeted.append(1)
        if len(greeted) == 1:
            await peer.hear("list_cards")
            peer.abort()
        else:
            await HOST(peer)

    with in_thread(script) as url:
        client = blocking.Client(url, keep_s=0).open()
        with pytest.raises(ConnectionLostError):
            client.list_cards()
        assert len(client.open().list_cards()) == 1
        client.close()


def test_a_callback_may_not_ask_what_only_its_own_thread_could_answer() -> None:
    told: list[Exception | None] = []

    async def script(peer: Peer) -> None:
        request = await peer.hear("select_card")
        await peer.say("waiting", id=request["id"], position=1)
        await peer.give(request, "s1", card())
        with pytest.raises(ConnectionClosed):
            await peer.hear("c_apdu")

    with in_thread(script) as url, blocking.Client(url) as client:

        def on_waiting(_told: blocking.Waiting) -> None:
            try:
                client.list_cards()
            except WsrcError as exc:
                told.append(exc)

        client.select(any="x", on_waiting=on_waiting)
    assert [type(exc) for exc in told] == [LocalProtocolError]


async def test_36_a_blocking_client_works_where_an_event_loop_runs_as_in_a_notebook() -> None:
    with in_thread(HOST) as url:
        client = blocking.Client(url).open()
        with client.select(label="blue") as mine:
            assert mine.info.label == "blue"
        client.close()


def test_a_card_that_was_abandoned_and_watches_that_end_with_a_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.give(await peer.hear("select_card"), "s1", card())
        for kind in ("begin_transaction", "end_transaction"):
            request = await peer.hear(kind)
            await peer.say(f"{kind}_ack", id=request["id"], session="s1", seq=request["seq"])
        request = await peer.hear("watch_readers")
        there = {"instance": "run", "seq": 0, "readers": [reader_of(1, card())]}
        await peer.say("watch_readers_ack", id=request["id"], **there)
        peer.abort()

    with in_thread(script) as url, blocking.Client(url, keep_s=0) as client:
        mine = client.select(any="x")
        mine.begin()
        mine.abandon()
        watch = client.watch(again=False)
        assert next(watch).card.reader == "reader-1"
        with pytest.raises(ConnectionLostError):
            next(watch)


FORKED = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork, since Python 3.12
from wsrc.blocking import Client
client = Client(sys.argv[1]).open()
child = os.fork()
if child == 0:
    print(len(client.open().list_cards()), flush=True)
    client.close()
    sys.exit(0)
_, status = os.waitpid(child, 0)
print(status, len(client.list_cards()), flush=True)
"""

LEFT_OPEN = """
import sys
from wsrc.blocking import Client
client = Client(sys.argv[1]).open()
card = client.select(any="x")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_may_open_the_client_that_it_has_from_its_parent() -> None:
    with in_thread(HOST) as url:
        assert run(FORKED, url) == ("1\n0 1\n", "", 0)


def test_a_client_that_is_left_open_says_goodbye_when_the_interpreter_ends() -> None:
    closed: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.give(await peer.hear("select_card"), "s1", card())
        with pytest.raises(ConnectionClosed) as caught:
            await peer.hear()
        assert caught.value.rcvd is not None
        closed.append(caught.value.rcvd.code)

    with in_thread(script) as url:
        assert run(LEFT_OPEN, url) == ("", "", 0)
    assert closed == [1000]


def run(program: str, url: str) -> tuple[str, str, int]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, url],
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_S,
        check=False,
    )
    return done.stdout, done.stderr, done.returncode
