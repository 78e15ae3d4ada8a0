# SPDX-License-Identifier: Apache-2.0
"""What a hostile, clumsy or unlucky peer does, and what must not come of it."""

import asyncio
import json
import logging
import socket
import ssl
import struct

import pytest
import websockets.asyncio.client

from tests.support.certificates import Certificates
from tests.support.world import LIMIT_S, UICC, World, running, until
from wsrc.errors import ConfigError, RefusedError
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import Card, Faults, make_card, parse_description
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings

OPEN = {"allow_plaintext_on_network": True, "allow_anyone_on_network": True}
OTHER = "8988211999000000019"
GONE_AT_ONCE = 50
BIG_FILE = """
[[file]]
path = "2f50"
size_octets = 60000
"""


@pytest.fixture(params=["off", "required"])
def seal(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def uicc(iccid: str, more: str = "") -> Card:
    return make_card(parse_description(f'kind = "uicc"\niccid = "{iccid}"\n{more}', "test"))


async def test_a_reader_that_flaps_does_not_keep_another_from_its_requests(world: World) -> None:
    slow = uicc(UICC)
    host = await world.host([slow, uicc(OTHER)])
    flapping = host.source.names[1]
    user = await world.user()
    card = await user.select(iccid=UICC)
    assert (await card.transmit(bytes.fromhex("00a4000c022fe2"))).sw == 0x9000
    slow.faults = Faults(delay_s=0.2, only="00b0")
    flaps = 0
    answered = asyncio.Event()

    async def flap() -> None:
        nonlocal flaps
        while not answered.is_set():
            host.source.remove(flapping)
            await asyncio.sleep(0.005)
            host.source.insert(flapping)
            await asyncio.sleep(0.005)
            flaps += 1

    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(flap())
        await until(lambda: flaps > 3)
        for _ in range(3):
            before = flaps
            answer = await card.transmit(bytes.fromhex("00b0000001"))
            assert (answer.data, answer.sw) == (b"\x98", 0x9000)
            assert flaps > before
        answered.set()
    await card.detach()
    slow.faults = Faults()

    async def ready() -> bool:
        return await world.state_of(iccid=UICC) is CardState.READY

    await until(ready)


async def test_a_batch_with_long_responses_does_not_cut_off_its_card_host(world: World) -> None:
    await world.host([uicc(UICC, 'protocol = "T1"\n' + BIG_FILE)])
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        for step in ("00a4000c023f00", "00a4000c022f50"):
            assert (await card.transmit(bytes.fromhex(step))).sw == 0x9000
        one = await card.transmit(bytes.fromhex("00b00000000000"))
        assert len(one.data) > 50000
        result = await card.batch([bytes.fromhex("00b00000000000")] * 20)
        assert 1 < len(result.results) < 20
        assert all(response.sw == 0x9000 for response in result.results)
        assert isinstance(result.error, RefusedError)
        assert "the rest was not sent" in str(result.error)
        assert (await card.transmit(bytes.fromhex("00b0000001"))).sw == 0x9000


async def test_a_peer_that_pings_and_resets_is_gone_without_a_traceback(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(certificates, no_tls=True) as world:
        loop = asyncio.get_running_loop()
        raw = socket.create_connection(("localhost", world.app.user_port))
        raw.setblocking(False)
        with raw:
            await loop.sock_sendall(raw, UPGRADE)
            await loop.sock_recv(raw, 4096)
            await until(lambda: world.counts["peers"] == 1)
            raw.send(b"\x89\x80\x00\x00\x00\x00" * 1000)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: world.counts["peers"] == 0)
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


UPGRADE = (
    b"GET /user HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def test_a_failed_upgrade_does_not_outlive_the_time_to_say_hello(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(certificates, no_tls=True, hello_s=0.3) as world, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("localhost", world.app.user_port)
        wrong = UPGRADE.replace(b"AAAA==", b"==")
        for _ in range(2):
            writer.write(wrong)
            assert b" 400 " in await reader.readline()
            await reader.readuntil(b"\r\n\r\n")
            await reader.read(4096)
        assert await reader.read() == b""
        writer.close()
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_a_card_host_with_long_texts_does_not_keep_users_from_the_list(
    world: World, certificates: Certificates
) -> None:
    context = ssl.create_default_context(cafile=str(certificates.ca))
    readers = [
        {
            "reader": f"{n:>04}" + "\N{PILE OF POO}" * 250,
            "name": "\N{PILE OF POO}" * 256,
            "label": "\N{PILE OF POO}" * 256,
            "state": "ready",
            "eids": ["\N{PILE OF POO}" * 256] * 16,
            "insertion": 1,
        }
        for n in range(600)
    ]
    hello = {"msg_type": "hello", "client_type": "card", "version": 1, "name": "farm"}
    async with websockets.asyncio.client.connect(world.card_url, ssl=context) as farm:
        await farm.send(json.dumps(hello))
        await farm.recv()
        for reader in readers:
            report = {"msg_type": "reader_state", "reader": reader}
            await farm.send(json.dumps(report, ensure_ascii=False))
        await until(lambda: world.counts["cards"] == len(readers))
        assert len(await world.cards()) == len(readers)


@pytest.mark.parametrize("host", ["a..b", "x\udcff"])
async def test_a_host_that_is_no_name_is_refused_in_words(host: str) -> None:
    settings = ServerSettings(
        host=host,
        user_port=0,
        card_port=0,
        no_tls=True,
        **OPEN,  # type: ignore[arg-type]
    )
    with pytest.raises(ConfigError, match="is no name of a host"):
        async with serve(settings):
            pass


async def test_a_peer_that_is_gone_before_it_is_answered_is_no_fault_of_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked = (
        b"GET /user HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    settings = ServerSettings(user_port=0, card_port=0, no_tls=True)
    async with serve(settings) as app:
        for _ in range(GONE_AT_ONCE):
            with socket.create_connection(("127.0.0.1", app.user_port)) as stranger:
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stranger.sendall(asked)
        reader, writer = await asyncio.open_connection("127.0.0.1", app.user_port)
        writer.write(asked)
        assert (await reader.readline()).startswith(b"HTTP/1.1 101")
        writer.close()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
