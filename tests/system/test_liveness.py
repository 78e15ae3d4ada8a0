# SPDX-License-Identifier: Apache-2.0
"""Peers that vanish without a word, and a server that restarts on purpose."""

import asyncio
import socket
from collections.abc import Awaitable

import pytest
import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed

from tests.support import first_form
from tests.support.certificates import Certificates
from tests.support.proxy import proxy_to
from tests.support.world import (
    ASK_PIN,
    LIMIT_S,
    PIN,
    UICC,
    World,
    hosting,
    running,
    uicc,
    until,
)
from wsrc.card.apdu import Response
from wsrc.errors import ConnectionLostError, SessionError, WsrcError
from wsrc.net.tls import client_context
from wsrc.readers.simulation import Faults
from wsrc.user_client.aio import Card, Client

PING_S = 0.3


async def test_a_user_that_vanished_gives_the_card_back_and_notices_it(
    certificates: Certificates,
) -> None:
    async with running(certificates, ping_s=PING_S) as world:
        await world.host()
        async with proxy_to(world.app.user_port) as proxy:
            url = f"wss://localhost:{proxy.port}/user"
            async with Client(url, ca=certificates.ca, ping_s=PING_S, keep_s=0) as client:
                card = await client.select(iccid=UICC)
                await card.transmit(PIN)
                proxy.silent = True
                await until(lambda: world.counts["peers"] == 1)
                with pytest.raises(WsrcError):
                    await until_lost(card)
        other = await world.user()
        async with other.select(iccid=UICC) as card:
            assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def until_lost(card: Card) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            await card.transmit(ASK_PIN)


async def test_a_card_client_that_vanished_is_gone_and_comes_back(
    certificates: Certificates,
) -> None:
    async with (
        running(certificates, ping_s=PING_S) as world,
        proxy_to(world.app.card_port) as proxy,
        hosting(
            f"wss://localhost:{proxy.port}/card", certificates, None, "bench", ping_s=PING_S
        ) as host,
    ):
        await host.ready(world)
        user = await world.user(keep_s=0)
        card = await user.select(iccid=UICC)
        await card.transmit(PIN)
        proxy.silent = True
        await until(lambda: world.counts["cards"] == 0)
        with pytest.raises(SessionError, match="card host bench"):
            await card.transmit(ASK_PIN)
        proxy.silent = False
        await host.ready(world)
        async with user.select(iccid=UICC) as again:
            assert (await again.transmit(ASK_PIN)).sw == 0x63C3


async def test_a_restart_lets_the_command_in_flight_finish_and_refuses_the_next(
    certificates: Certificates,
) -> None:
    async with running(certificates, drain_s=10.0) as world:
        slow = uicc(UICC)
        await world.host([slow])
        user = await world.user(keep_s=0)
        other = await world.user("second", keep_s=0)
        card = await user.select(iccid=UICC)
        slow.faults = Faults(delay_s=0.5, only="0020")
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(card.transmit(ASK_PIN))
            await until(slow.struck.is_set)
            stopping = tasks.create_task(world.app.stop())
            await until(lambda: world.app.stopping)
            with pytest.raises((WsrcError, ConnectionLostError), match="restart"):
                await other.select(iccid=UICC, wait_s=5)
        assert asked.result() == Response(b"", 0x63C3)
        assert stopping.done()
        with pytest.raises(ConnectionLostError, match="restart"):
            await card.transmit(ASK_PIN)
        with pytest.raises(ConnectionLostError, match="nothing listens"):
            await world.user("too late")


async def test_a_first_form_peer_is_closed_with_1012_and_no_other_word(
    certificates: Certificates,
) -> None:
    async with (
        running(certificates) as world,
        first_form.user(world.user_url, certificates.ca) as user,
    ):
        await world.app.stop()
        with pytest.raises(ConnectionClosed):
            await first_form.receive(user.socket)
        assert user.socket.close_code == 1012


async def test_a_card_client_returns_to_a_restarted_server_and_serves_again(
    certificates: Certificates,
) -> None:
    async with running(certificates, reconnect_in_s=0.2) as world:
        host = await world.host()
        ports = {"user_port": world.app.user_port, "card_port": world.app.card_port}
        user = await world.user(keep_s=0)
        card = await user.select(iccid=UICC)
        await card.transmit(PIN)
        await world.app.stop()
        async with running(certificates, **ports) as next_world:
            await host.ready(next_world)
            again = await next_world.user()
            async with again.select(iccid=UICC) as card:
                assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_a_thousand_cards_are_all_listed_and_each_is_found(
    world: World, certificates: Certificates
) -> None:
    hello = {"client_type": "card", "version": 1, "name": "farm"}
    readers = [
        {
            "reader": f"r{n}",
            "name": f"Reader {n}",
            "state": "ready",
            "insertion": 1,
            "atr": "3b00",
            "iccid": f"8988211{n:012d}",
        }
        for n in range(1000)
    ]
    async with first_form.connected(world.card_url, certificates.ca) as farm:
        await first_form.ask(farm, "hello", **hello, readers=readers)
        user = await world.user()
        cards = await user.list_cards()
        assert [card.reader for card in cards] == [f"r{n}" for n in range(1000)]
        assert len(await user.list_cards(iccid="8988211*99")) == 10
        async with first_form.user(world.user_url, certificates.ca) as old:
            assert len(await old.list_cards()) == 1000
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(_select(user, f"8988211{742:012d}"))
            attach = await first_form.receive(farm)
            assert attach["reader"] == "r742"
            await farm.send(
                f'{{"msg_type":"attach_ack","session":"{attach["session"]}","atr":"3b00"}}'
            )
        assert asking.result().info.reader == "r742"


async def _select(user: Client, iccid: str) -> Card:
    return await user.select(iccid=iccid)


async def test_a_batch_is_not_gone_on_with_after_its_user_is_gone(world: World) -> None:
    slow = uicc(UICC)
    await world.host([slow])
    async with world.client("vanishing") as client:
        card = await client.select(iccid=UICC)
        slow.faults = Faults(delay_s=0.2, only="0020")
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(_failure(card.batch([ASK_PIN] * 256)))
            await until(slow.struck.is_set)
            tasks.create_task(card.detach())
        assert asked.result() is not None
    other = await world.user()
    async with asyncio.timeout(LIMIT_S), other.select(iccid=UICC) as card:
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def _failure(doing: Awaitable[object]) -> WsrcError | None:
    try:
        await doing
    except WsrcError as exc:
        return exc
    return None


async def test_a_peer_that_was_about_to_connect_is_told_of_the_restart(
    certificates: Certificates,
) -> None:
    async with running(certificates) as world, asyncio.timeout(LIMIT_S):
        line = socket.create_connection(("localhost", world.app.user_port))
        await until(lambda: world.handshakes == 1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(world.app.stop())
            await until(lambda: world.app.stopping)
            context = client_context(certificates.ca)
            async with websockets.asyncio.client.connect(
                world.user_url, sock=line, ssl=context
            ) as raw:
                with pytest.raises(ConnectionClosed) as closed:
                    await raw.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
