# SPDX-License-Identifier: Apache-2.0
"""What a user client says to a server, and to whom it gives the answers."""

import asyncio
from typing import Any

import pytest

from tests.support.scripted_server import Peer, card, fails, give_card, scripted, take_back
from wsrc.card.slot import ResetKind
from wsrc.errors import (
    BadApduError,
    CardNotPresentError,
    ConnectionLostError,
    LocalProtocolError,
    OutcomeUnknownError,
    SessionLostError,
)
from wsrc.octets import Octets
from wsrc.protocol.messages import Change, Step, Waiting
from wsrc.user_client.aio import Client

GET_STATUS = bytes.fromhex("80f2000000")
READ = bytes.fromhex("00b0000000")


async def test_greets_with_version_name_and_instance() -> None:
    heard: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        heard.append(await peer.hear("hello"))
        await peer.say("hello_ack", version=1, features=[], server="cards.example")

    async with scripted(script, greet=False) as url, Client(url, name="user@desk") as client:
        assert client.server == "cards.example"
    (hello,) = heard
    assert (hello["client_type"], hello["version"], hello["name"]) == ("user", 1, "user@desk")
    assert len(hello["instance"]) == 32


async def test_lists_every_page() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.hear("list_cards")
        assert request["iccid"] == "8986*"
        await peer.say("list_cards_ack", id=request["id"], cards=[card(1)], next=7)
        request = await peer.hear("list_cards")
        assert (request["after"], request["iccid"]) == (7, "8986*")
        await peer.say("list_cards_ack", id=request["id"], cards=[card(2)])

    async with scripted(script) as url, Client(url) as client:
        cards = await client.list_cards(iccid="8986*")
    assert [each.reader for each in cards] == ["reader-1", "reader-2"]


async def test_selects_transmits_resets_and_gives_back() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.hear("select_card")
        assert (request["iccid"], request["wait_s"]) == ("89860000000000000001", 1.5)
        await peer.give(request, "s1", card())
        await peer.answer(await peer.hear("c_apdu"), "0102", "9000")
        reset = await peer.hear("reset_req")
        assert reset["kind"] == "warm"
        ids = {"id": reset["id"], "session": "s1"}
        await peer.say("reset_resp", **ids, atr="3b00", protocol="T1")
        await take_back(peer)

    async with scripted(script) as url, Client(url) as client:
        async with client.select(iccid="89860000000000000001", wait_s=1.5) as mine:
            assert (mine.atr.hex(), mine.protocol, mine.session) == ("3b9f96801f", "T0", "s1")
            assert await mine.transmit(READ) == (b"\1\2", 0x9000)
            assert await mine.reset(ResetKind.WARM) == bytes.fromhex("3b00")
            assert (mine.atr.hex(), mine.protocol) == ("3b00", "T1")
        with pytest.raises(SessionLostError, match="given back"):
            await mine.transmit(READ)


async def test_answers_out_of_order_reach_their_cards() -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer, "s1", 1)
        await give_card(peer, "s2", 2)
        commands = [await peer.hear("c_apdu") for _ in range(2)]
        for command in reversed(commands):
            await peer.answer(command, command["session"].encode().hex(), "9000")

    async with scripted(script) as url, Client(url) as client:
        one = await client.select(reader="reader-1")
        two = await client.select(reader="reader-2")
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(one.transmit(READ))
            second = tasks.create_task(two.transmit(READ))
    assert (first.result().data, second.result().data) == (b"s1", b"s2")


async def test_a_second_command_for_one_card_waits_for_the_first() -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        first = await peer.hear("c_apdu")
        listing = await peer.hear("list_cards")
        await peer.say("list_cards_ack", id=listing["id"], cards=[])
        await peer.answer(first, "01", "9000")
        await peer.answer(await peer.hear("c_apdu"), "02", "9000")

    async with scripted(script) as url, Client(url) as client:
        mine = await client.select(any="x")
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(mine.transmit(READ))
            second = tasks.create_task(mine.transmit(READ))
            tasks.create_task(client.list_cards())
    assert (first.result().data, second.result().data) == (b"\1", b"\2")


async def test_a_bad_command_makes_no_round_trip() -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        await take_back(peer)

    async with scripted(script) as url, Client(url) as client, client.select(any="x") as mine:
        with pytest.raises(BadApduError):
            await mine.transmit(bytes.fromhex("00a40004ff3f00"))
        with pytest.raises(BadApduError):
            await mine.batch([READ, b"\0"])
        with pytest.raises(LocalProtocolError):
            await mine.batch([])
        with pytest.raises(LocalProtocolError):
            await mine.batch([READ] * 257)


async def test_raw_tpdus_are_not_read_as_apdus() -> None:
    tpdu = bytes.fromhex("00a40004ff3f00")

    async def script(peer: Peer) -> None:
        request = await peer.hear("select_card")
        assert request["raw_tpdu"] is True
        await peer.give(request, "s1", card())
        command = await peer.hear("c_apdu")
        assert command["command"] == tpdu.hex()
        await peer.answer(command, "", "6700")

    async with scripted(script) as url, Client(url) as client:
        mine = await client.select(any="x", raw_tpdu=True)
        assert (await mine.transmit(tpdu)).sw == 0x6700


async def test_a_batch_tells_results_where_it_stopped_and_why() -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        batch = await peer.hear("batch")
        assert batch["steps"] == [
            {"command": "80f2000000", "expect": ["90xx"]},
            {"command": "00b0000000"},
        ]
        ids = {"id": batch["id"], "session": "s1"}
        results = [{"response": "01", "sw": "6A82"}]
        await peer.say("batch_resp", **ids, results=results, stopped=0)
        batch = await peer.hear("batch")
        gone = {"msg_type": "error", "code": "card_not_present", "message": "It is gone."}
        ids = {"id": batch["id"], "session": "s1"}
        await peer.say("batch_resp", **ids, results=results, error=gone)

    async with scripted(script) as url, Client(url) as client:
        mine = await client.select(any="x")
        steps = [Step(command=Octets(GET_STATUS), expect=("90xx",)), READ]
        assert await mine.batch(steps) == (((b"\1", 0x6A82),), 0, None)
        result = await mine.batch(steps)
    assert isinstance(result.error, CardNotPresentError)
    assert result.error.outcome == "unknown"


async def test_cancelling_a_command_says_so_and_the_next_gets_its_own_answer() -> None:
    started = asyncio.Event()

    async def script(peer: Peer) -> None:
        await give_card(peer)
        first = await peer.hear("c_apdu")
        started.set()
        cancel = await peer.hear("cancel")
        assert (cancel["target"], cancel["session"]) == (first["id"], "s1")
        await peer.say("cancel_ack", id=cancel["id"], cancelled=False, session="s1")
        await peer.answer(first, "01", "9000")
        second = await peer.hear("c_apdu")
        assert second["command"] == READ.hex()
        await peer.answer(second, "02", "9000")

    async with scripted(script) as url, Client(url) as client:
        mine = await client.select(any="x")
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(mine.transmit(GET_STATUS))
            await started.wait()
            first.cancel()
        assert (await mine.transmit(READ)).data == b"\2"


async def test_a_cancelled_select_gives_back_a_card_that_comes_all_the_same() -> None:
    started = asyncio.Event()

    async def script(peer: Peer) -> None:
        request = await peer.hear("select_card")
        started.set()
        assert (await peer.hear("cancel"))["target"] == request["id"]
        listing = await peer.hear("list_cards")
        await peer.give(request, "s1", card())
        assert (await peer.hear("detach"))["session"] == "s1"
        await peer.say("list_cards_ack", id=listing["id"], cards=[])

    async with scripted(script) as url, Client(url) as client:
        async with asyncio.TaskGroup() as tasks:

            async def select() -> None:
                await client.select(any="x", wait_s=60)

            task = tasks.create_task(select())
            await started.wait()
            task.cancel()
        await client.list_cards()


async def test_waiting_tells_the_place_and_the_holder() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.hear("select_card")
        lease = {"holder": "ida@lab", "since": "2026-01-01T00:00:00Z"}
        await peer.say("waiting", id=request["id"], position=2, lease=lease)
        await peer.say("waiting", id=request["id"], position=1, lease=lease)
        await peer.give(request, "s1", card())

    told: list[Waiting] = []
    async with scripted(script) as url, Client(url) as client:
        await client.select(any="x", wait_s=5, on_waiting=told.append)
    assert [(w.position, w.lease and w.lease.holder) for w in told] == [
        (2, "ida@lab"),
        (1, "ida@lab"),
    ]


async def test_giving_back_a_card_in_mid_command_ends_the_wait() -> None:
    started = asyncio.Event()

    async def script(peer: Peer) -> None:
        await give_card(peer)
        await peer.hear("c_apdu")
        started.set()
        await take_back(peer)

    async with scripted(script) as url, Client(url) as client:
        mine = await client.select(any="x")
        async with asyncio.TaskGroup() as tasks:
            command = tasks.create_task(fails(mine.transmit(READ)))
            await started.wait()
            await mine.detach()
    assert isinstance(command.result(), OutcomeUnknownError)


async def test_a_watch_begins_with_what_is_there_and_tells_nothing_twice() -> None:
    async def script(peer: Peer) -> None:
        watch = await peer.hear("watch_readers")
        assert watch["label"] == "mine*"
        seen = {"instance": "run", "seq": 4}
        first = {"readers": [reader(1)], "next": 1}
        await peer.say("watch_readers_ack", id=watch["id"], **seen, **first)
        listing = await peer.hear("list_readers")
        assert (listing["after"], listing["label"]) == (1, "mine*")
        await peer.say("reader_event", seq=6, change="added", reader=reader(3))
        await peer.say("reader_event", seq=7, change="removed", reader=reader(4))
        await peer.say("reader_event", seq=9, change="changed", reader=reader(1, "associated"))
        page = {"readers": [reader(2, label="yours"), reader(3)]}
        await peer.say("list_readers_ack", id=listing["id"], instance="run", seq=9, **page)
        await peer.say("reader_event", seq=10, change="changed", reader=reader(1, "ready"))
        await peer.say("reader_event", seq=11, change="removed", reader=reader(3))
        await peer.close(1000)

    async with scripted(script) as url, Client(url, keep_s=0) as client:
        events = client.watch(label="mine*")
        seen = [await anext(events) for _ in range(4)]
        with pytest.raises(ConnectionLostError):
            await anext(events)
    assert [(event.change, event.card.reader, event.card.state) for event in seen] == [
        (Change.ADDED, "reader-1", "associated"),
        (Change.ADDED, "reader-3", "ready"),
        (Change.CHANGED, "reader-1", "ready"),
        (Change.REMOVED, "reader-3", "ready"),
    ]


def reader(number: int, state: str = "ready", label: str = "mine") -> dict[str, Any]:
    name = f"reader-{number}"
    slot = {"number": number, "reader": name, "name": name, "host": "bench", "state": "present"}
    return slot | {"insertion": 1, "card_state": state, "label": label}
