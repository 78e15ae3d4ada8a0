# SPDX-License-Identifier: Apache-2.0
"""A watch goes on through a lost connection and tells nothing twice."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tests.support.certificates import Certificates
from tests.support.proxy import Proxy, proxy_to
from tests.support.world import LIMIT_S, World, running
from wsrc.card.slot import SlotState
from wsrc.errors import ConnectionLostError
from wsrc.protocol.messages import Change, ListChange, StateChange
from wsrc.readers.simulation import default_cards
from wsrc.user_client.aio import Client
from wsrc.user_client.core.feeds import ReaderChange, ReaderMark, ReaderSnapshot


def through(proxy: Proxy, world: World) -> Client:
    return Client(f"wss://localhost:{proxy.port}/user", ca=world.ca, keep_s=LIMIT_S)


@pytest.fixture
async def world(certificates: Certificates) -> AsyncGenerator[World]:
    async with running(certificates) as made:
        yield made


async def test_a_watch_of_cards_goes_on(world: World) -> None:
    host = await world.host(default_cards()[:2])
    first, second = host.source.names
    async with proxy_to(world.app.user_port) as proxy, through(proxy, world) as client:
        events = client.watch()
        async with asyncio.timeout(LIMIT_S):
            there = [await anext(events), await anext(events)]
            proxy.cut()
            host.source.remove(first)
            gone = await anext(events)
            host.source.remove(second)
            last = await anext(events)
        await events.aclose()
    assert {event.change for event in there} == {Change.ADDED}
    assert [event.change for event in (gone, last)] == [Change.REMOVED, Change.REMOVED]
    assert {event.card.reader for event in (gone, last)} == {e.card.reader for e in there}


async def test_a_watch_of_readers_goes_on(world: World) -> None:
    host = await world.host(default_cards()[:1])
    [name] = host.source.names
    async with proxy_to(world.app.user_port) as proxy, through(proxy, world) as client:
        news = client.watch_readers()
        async with asyncio.timeout(LIMIT_S):
            before = await anext(news)
            proxy.cut()
            host.source.remove(name)
            out = await anext(news)
        await news.aclose()
    assert isinstance(before, ReaderSnapshot)
    assert isinstance(out, ReaderChange)
    assert out.reader.state is SlotState.EMPTY
    assert out.mark == ReaderMark(before.mark.instance, before.mark.seq + 1)


async def test_notifications_go_on(world: World) -> None:
    host = await world.host(default_cards()[:1])
    [name] = host.source.names
    async with proxy_to(world.app.user_port) as proxy, through(proxy, world) as client:
        notifications = client.watch_reader_notifications()
        async with asyncio.timeout(LIMIT_S):
            before = [await anext(notifications), await anext(notifications)]
            proxy.cut()
            host.source.remove(name)
            out = await anext(notifications)
            host.source.unplug(name)
            gone = await anext(notifications)
        await notifications.aclose()
    assert [type(each) for each in before] == [ListChange, StateChange]
    assert isinstance(out, StateChange)
    assert (out.params.name, out.params.status) == (name, "empty")
    assert isinstance(gone, ListChange)
    assert gone.params.names == ()


async def test_a_watch_that_is_not_to_go_on_ends_with_the_connection(world: World) -> None:
    async with proxy_to(world.app.user_port) as proxy, through(proxy, world) as client:
        notifications = client.watch_reader_notifications(again=False)
        async with asyncio.timeout(LIMIT_S):
            assert isinstance(await anext(notifications), ListChange)
            proxy.cut()
            with pytest.raises(ConnectionLostError):
                await anext(notifications)


async def test_a_watch_hears_of_what_another_server_has(certificates: Certificates) -> None:
    """A server that starts again knows no mark of the one before it: a snapshot is told."""
    async with running(certificates) as former:
        port = former.app.user_port
        await former.host(default_cards()[:1])
        async with former.client(keep_s=LIMIT_S) as client:
            news = client.watch_readers()
            async with asyncio.timeout(LIMIT_S):
                before = await anext(news)
            await former.app.stop()
            async with running(certificates, user_port=port) as world:
                await world.host(default_cards()[:1])
                async with asyncio.timeout(LIMIT_S):
                    after = await anext(news)
            await news.aclose()
    assert isinstance(before, ReaderSnapshot)
    assert isinstance(after, ReaderSnapshot)
    assert after.mark.instance != before.mark.instance
