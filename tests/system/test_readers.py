# SPDX-License-Identifier: Apache-2.0
"""Readers and cards come and go at a card host; who watches is told, in either form."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import pytest
from click.testing import CliRunner

from tests.support.world import LIMIT_S, UICC, World, until
from wsrc.card.slot import Share, SlotState
from wsrc.command_line.program import program
from wsrc.errors import ConnectionLostError, LocalProtocolError, ReaderInUseError
from wsrc.protocol.messages import CardState, Change, ListChange, StateChange
from wsrc.readers.simulation import Card, default_cards
from wsrc.readers.simulation.card import Faults
from wsrc.user_client.aio import Client
from wsrc.user_client.blocking import Client as BlockingClient
from wsrc.user_client.core.feeds import ReaderChange, ReaderMark, ReaderNews, ReaderSnapshot


@asynccontextmanager
async def watching(
    client: Client, since: ReaderMark | None = None
) -> AsyncIterator[AsyncGenerator[ReaderNews, None]]:
    news = client.watch_readers(since)
    try:
        yield news
    finally:
        await news.aclose()


async def changes(news: AsyncGenerator[ReaderNews, None], count: int) -> list[ReaderChange]:
    async with asyncio.timeout(LIMIT_S):
        heard = [await anext(news) for _ in range(count)]
    found = [each for each in heard if isinstance(each, ReaderChange)]
    assert len(found) == count, heard
    return found


async def snapshot(news: AsyncGenerator[ReaderNews, None]) -> ReaderSnapshot:
    async with asyncio.timeout(LIMIT_S):
        first = await anext(news)
    assert isinstance(first, ReaderSnapshot)
    return first


def a_card() -> Card:
    return default_cards()[0]


async def test_empty_readers_are_listed_as_well(world: World) -> None:
    host = await world.host()
    name = host.source.names[0]
    host.source.remove(name)
    user = await world.user()
    await until(lambda: _is_empty(user, name))
    listed = await user.list_readers()
    states = {view.name: view.state for view in listed.readers}
    assert states == dict.fromkeys(host.source.names, SlotState.PRESENT) | {name: SlotState.EMPTY}
    assert {view.host for view in listed.readers} == {"bench"}


async def _is_empty(user: Client, name: str) -> bool:
    views = (await user.list_readers()).readers
    return any(view.name == name and view.state is SlotState.EMPTY for view in views)


async def test_readers_and_cards_come_and_go(world: World) -> None:
    host = await world.host([a_card()])
    [name] = host.source.names
    user = await world.user()
    async with watching(user) as news:
        there = await snapshot(news)
        assert [(view.name, view.state) for view in there.readers] == [(name, SlotState.PRESENT)]
        host.source.remove(name)
        [out] = await changes(news, 1)
        assert (out.change, out.reader.state, out.reader.atr) == (
            Change.CHANGED,
            SlotState.EMPTY,
            None,
        )
        host.source.insert(name, a_card())
        [back] = await changes(news, 1)
        assert back.reader.state is SlotState.PRESENT
        assert back.reader.insertion > out.reader.insertion
        while back.reader.card_state is not CardState.READY:
            [back] = await changes(news, 1)
        assert (back.reader.iccid, back.reader.label) == (UICC, None)
        host.source.unplug(name)
        [gone] = await changes(news, 1)
        assert (gone.change, gone.reader.name) == (Change.REMOVED, name)
        host.source.plug(name=name)
        [again] = await changes(news, 1)
        assert again.change is Change.ADDED


async def test_a_lease_is_seen_by_who_watches(world: World) -> None:
    await world.host([a_card()])
    user, other = await world.user(), await world.user("second")
    async with watching(user) as news:
        await snapshot(news)
        async with other.select(iccid=UICC):
            [taken] = await changes(news, 1)
            assert (taken.reader.in_use, taken.reader.exclusive) == (True, True)
        [freed] = await changes(news, 1)
        assert not freed.reader.in_use


@pytest.mark.parametrize("share", [Share.EXCLUSIVE, Share.SHARED])
async def test_the_use_of_another_program_of_the_host_is_told(world: World, share: Share) -> None:
    host = await world.host([a_card()])
    [name] = host.source.names
    user = await world.user()
    alone = share is Share.EXCLUSIVE
    async with watching(user) as news:
        await snapshot(news)
        host.source.hold(name, share)
        [taken] = await changes(news, 1)
        assert (taken.reader.in_use, taken.reader.exclusive) == (True, alone)
        [card] = await world.cards(iccid=UICC)
        assert card.state is (CardState.IN_USE if alone else CardState.READY)
        with pytest.raises(ReaderInUseError, match="Another program on bench uses"):
            await user.select(iccid=UICC)
        await until(lambda: is_in_use(world))
        host.source.release(name)
        await host.ready(world)
        async with user.select(iccid=UICC) as mine:
            assert mine.info.identities.iccid == UICC


async def test_a_card_that_comes_in_use_is_identified_when_it_is_free(world: World) -> None:
    host = await world.host([a_card()])
    [name] = host.source.names
    card = host.source.remove(name)
    host.source.hold(name)
    host.source.insert(name, card)
    await until(lambda: is_in_use(world))
    [shown] = await world.cards()
    assert shown.identities.iccid is None
    host.source.release(name)
    await host.ready(world)
    assert await world.state_of(iccid=UICC) is CardState.READY


async def is_in_use(world: World) -> bool:
    return [card.state for card in await world.cards()] == [CardState.IN_USE]


async def test_who_lost_the_connection_goes_on_where_it_stopped(world: World) -> None:
    host = await world.host([a_card()])
    [name] = host.source.names
    async with world.client() as first, watching(first) as news:
        mark = (await snapshot(news)).mark
    host.source.remove(name)
    user = await world.user()
    await until(lambda: _is_empty(user, name))
    async with watching(user, mark) as news:
        [missed] = await changes(news, 1)
        assert missed.mark == ReaderMark(mark.instance, mark.seq + 1)
        assert missed.reader.state is SlotState.EMPTY
        with pytest.raises(LocalProtocolError):
            await anext(user.watch_readers())
    async with watching(user, ReaderMark("another run", mark.seq)) as news:
        assert (await snapshot(news)).mark == missed.mark


async def test_the_end_of_the_server_ends_a_watch(world: World) -> None:
    client = await world.user(keep_s=0)
    async with watching(client) as news:
        await snapshot(news)
        await world.app.stop()
        with pytest.raises(ConnectionLostError):
            await changes(news, 1)


async def test_in_json_rpc(world: World) -> None:
    host = await world.host([a_card()])
    [name] = host.source.names
    user = await world.user()
    notifications = user.watch_reader_notifications()
    async with asyncio.timeout(LIMIT_S):
        first = [await anext(notifications), await anext(notifications)]
        host.source.remove(name)
        out = await anext(notifications)
        host.source.unplug(name)
        gone = await anext(notifications)
    await notifications.aclose()
    assert isinstance(first[0], ListChange)
    assert first[0].params.names == (name,)
    assert isinstance(first[1], StateChange)
    assert (first[1].params.name, first[1].params.status) == (name, "present")
    assert first[1].params.atr == first[1].params.atr.upper() if first[1].params.atr else False
    assert isinstance(out, StateChange)
    assert (out.params.status, out.params.atr, out.params.present) == ("empty", None, False)
    assert isinstance(gone, ListChange)
    assert gone.params.names == ()


async def test_a_reader_is_told_before_its_card_is_identified(world: World) -> None:
    """A card that takes its time to answer is there from the first moment, and gone at once."""
    card = a_card()
    host = await world.host([a_card()])
    [name] = host.source.names
    user = await world.user()
    async with watching(user) as news:
        await snapshot(news)
        host.source.remove(name)
        await changes(news, 1)
        card.faults = Faults(delay_s=2 * LIMIT_S)
        host.source.insert(name, card)
        [there] = await changes(news, 1)
        assert there.reader.state is SlotState.PRESENT
        host.source.remove(name)
        [out] = await changes(news, 1)
        assert out.reader.state is SlotState.EMPTY


async def test_without_asyncio_it_is_the_same(world: World) -> None:
    host = await world.host([a_card()])
    [name] = host.source.names

    def use() -> list[object]:
        with BlockingClient(world.user_url, ca=world._certificates.ca) as client:
            listed = client.list_readers()
            news = client.watch_readers(listed.mark)
            host.source.remove(name)
            change = next(news)
            news.close()  # type: ignore[attr-defined]  # it is a generator
            notifications = client.watch_reader_notifications()
            return [listed, change, next(notifications)]

    listed, change, notification = await asyncio.to_thread(use)
    assert isinstance(listed, ReaderSnapshot)
    assert isinstance(change, ReaderChange)
    assert change.reader.state is SlotState.EMPTY
    assert isinstance(notification, ListChange)


def connection(world: World) -> list[str]:
    return ["--server-url", world.user_url, "--tls-ca", str(world._certificates.ca)]


async def printed(world: World, *options: str) -> str:
    arguments = ["readers", *options, *connection(world)]
    result = await asyncio.to_thread(CliRunner().invoke, program, arguments)
    assert result.exit_code == (2 if len(options) > 1 else 0), result.output
    return result.output


async def test_the_command_shows_readers(world: World) -> None:
    assert "No reader is there." in await printed(world)
    host = await world.host([a_card()], labels={UICC: "blue"})
    [name] = host.source.names
    table = (await printed(world)).splitlines()
    assert table[0].split() == ["Host", "Reader", "Name", "Status", "ATR", "Label"]
    assert table[1].startswith("bench")
    assert table[1].endswith("blue")
    document = json.loads(await printed(world, "--json"))
    [shown] = document["readers"]
    assert (shown["reader_name"], shown["status"], shown["label"]) == (name, "present", "blue")
    assert document["seq"] > 0
    lines = [json.loads(line) for line in (await printed(world, "--json-rpc")).splitlines()]
    assert [line["event"] for line in lines] == [
        "Pcsc.Readers.ListChange",
        "Pcsc.Reader.StateChange",
    ]
    assert "not both" in await printed(world, "--json", "--json-rpc")
    assert name in await printed(world, "--tag=card=uicc")
    assert "No reader is there." in await printed(world, "--tag=card=euicc")
    assert "select none" in await printed(world, "--watch", "--json-rpc", "--tag=card=uicc")


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        ((), "there ", "changed "),
        (("--json",), '"readers": [{', '"change": "changed"'),
        (("--json-rpc",), '"Pcsc.Readers.ListChange"', '"Pcsc.Reader.StateChange"'),
    ],
)
async def test_the_command_goes_on_with_what_happens(
    world: World, options: tuple[str, ...], first: str, second: str
) -> None:
    host = await world.host([a_card()])
    [name] = host.source.names
    arguments = ["readers", "--watch", *options, *connection(world)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "wsrc.command_line.program",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            assert first in (await process.stdout.readline()).decode()
            host.source.remove(name)
            while second not in (line := (await process.stdout.readline()).decode()):
                assert line
    finally:
        process.kill()
        async with asyncio.timeout(LIMIT_S):
            await process.communicate()
