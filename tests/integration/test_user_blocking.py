# SPDX-License-Identifier: Apache-2.0
"""The blocking client: several threads, interrupts, forks, and an end without goodbye."""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.scripted_server import (
    LIMIT_S,
    Peer,
    card,
    card_host,
    give_card,
    in_thread,
    take_back,
)
from wsrc.blocking import Client, ResetKind
from wsrc.errors import ConnectionLostError, NoSuchCardError
from wsrc.protocol.messages import Change

READ = bytes.fromhex("00b0000000")
HOST = card_host([card(1), card(2, label="blue")], {READ.hex(): ("0102", "9000")})


def test_lists_selects_transmits_and_gives_back() -> None:
    with in_thread(HOST) as url, Client(url) as client:
        assert client.server == "scripted"
        assert len(client.list_cards()) == 2
        with client.select(label="blue") as mine:
            assert (mine.atr.hex(), mine.protocol, mine.session) == ("3b9f96801f", "T0", "s1")
            assert mine.info.label == "blue"
            assert mine.transmit(READ) == (b"\1\2", 0x9000)
            assert mine.batch([READ, READ]).results == (((b"\1\2", 0x9000),) * 2)
            assert mine.reset(ResetKind.WARM).hex() == mine.atr.hex() == "3b00"
        with pytest.raises(NoSuchCardError):
            client.select(label="red")


def test_watches_until_the_caller_has_enough() -> None:
    with in_thread(HOST) as url, Client(url) as client:
        events = client.watch()
        first, second = next(events), next(events)
        assert (first.change, second.change) == (Change.ADDED, Change.ADDED)
        events.close()
        assert next(client.watch()).card.reader == "reader-1"


def test_threads_share_a_client() -> None:
    with in_thread(HOST) as url, Client(url) as client:
        mine = client.select(label="blue")
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(mine.transmit, [READ] * 40))
    assert answers == [(b"\1\2", 0x9000)] * 40


def test_a_client_is_usable_between_enter_and_exit_only() -> None:
    with in_thread(HOST) as url:
        client = Client(url)
        with pytest.raises(ConnectionLostError, match="not open"):
            client.list_cards()
        with client:
            mine = client.select(label="blue")
        client.close()
        with pytest.raises(ConnectionLostError, match="not open"):
            client.list_cards()
        with pytest.raises(ConnectionLostError, match="not open"):
            mine.transmit(READ)


def test_closing_ends_the_wait_of_another_thread() -> None:
    heard = threading.Event()

    async def script(peer: Peer) -> None:
        await peer.hear("list_cards")
        heard.set()

    with in_thread(script) as url, ThreadPoolExecutor(1) as pool:
        with Client(url) as client:
            listing = pool.submit(client.list_cards)
            assert heard.wait(LIMIT_S)
        assert isinstance(listing.exception(LIMIT_S), ConnectionLostError)


def test_a_server_that_is_not_there_is_told_at_enter() -> None:
    with in_thread(HOST) as url:
        pass
    threads = set(threading.enumerate())
    with pytest.raises(ConnectionLostError, match="nothing listens there"):
        Client(url).__enter__()
    assert set(threading.enumerate()) <= threads


INTERRUPTED = """
import sys
from wsrc.user_client.blocking import Client
with Client(sys.argv[1]) as client:
    card = client.select(any="x")
    try:
        card.transmit(bytes.fromhex("00b0000000"))
    except KeyboardInterrupt:
        print(card.transmit(bytes.fromhex("00b0000001")))
    card.detach()
"""


def test_an_interrupt_cancels_the_command_and_leaves_the_client_usable() -> None:
    heard = threading.Event()

    async def script(peer: Peer) -> None:
        await give_card(peer)
        first = await peer.hear("c_apdu")
        heard.set()
        assert (await peer.hear("cancel"))["target"] == first["id"]
        await peer.answer(first, "01", "9000")
        await peer.answer(await peer.hear("c_apdu"), "02", "9000")
        await take_back(peer)

    with in_thread(script) as url:
        program = start(INTERRUPTED, url)
        assert heard.wait(LIMIT_S)
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=LIMIT_S)
    assert (out.strip(), err, program.returncode) == ("02 9000", "", 0)


FORKED = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of fork, since Python 3.12
from wsrc.errors import ConnectionLostError
from wsrc.user_client.blocking import Client
client = Client(sys.argv[1]).__enter__()
child = os.fork()
if child == 0:
    try:
        client.list_cards()
    except ConnectionLostError as exc:
        print(exc, flush=True)
    with Client(sys.argv[1]) as other:
        print(len(other.list_cards()), flush=True)
    sys.exit(0)
_, status = os.waitpid(child, 0)
print(status, len(client.list_cards()), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_needs_a_client_of_its_own_and_a_program_may_end_without_goodbye() -> None:
    with in_thread(HOST) as url:
        program = start(FORKED, url)
        out, err = program.communicate(timeout=LIMIT_S)
    refused, of_child, of_parent = out.splitlines()
    assert "before a fork" in refused
    assert (of_child, of_parent, err, program.returncode) == ("2", "0 2", "", 0)


def start(program: str, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
