# SPDX-License-Identifier: Apache-2.0
"""Servers of a cluster that reach each other without NATS (issue 16, 3)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tests.support.certificates import Certificates
from tests.support.nats import QUICK, Heard, Nats, nats_server, until_logged
from tests.support.pki import Pki
from tests.support.ports import free_port
from tests.support.world import UICC, World, default_cards, running, until
from wsrc.certs.making import Kind
from wsrc.cluster.names import Names
from wsrc.cluster.nats import NatsCarrier, Place
from wsrc.errors import ConnectionLostError
from wsrc.net.dial import connected
from wsrc.net.endpoint import Endpoint
from wsrc.net.frames import BINARY
from wsrc.net.tls import client_context
from wsrc.net.way import Wire
from wsrc.protocol.conversation import Parting
from wsrc.server.direct import Direct
from wsrc.settings.address import Address

SELECT_MF = bytes.fromhex("00a40004023f00")


class Two(NamedTuple):
    """Two servers, a NATS between them, and a card with the second."""

    nats: Nats
    users: World
    cards: World


@asynccontextmanager
async def two(
    certificates: Certificates, folder: Path, *, straight: bool = True
) -> AsyncGenerator[Two]:
    async with AsyncExitStack() as stack:
        nats = stack.enter_context(nats_server(folder / "nats"))
        worlds: list[World] = []
        for name in "ab":
            port = free_port()
            given: dict[str, Any] = {"cluster_url": (nats.url,), "node_name": name}
            if straight:
                given |= {"user_port": port, "node_url": f"wss://localhost:{port}"}
            state = {"state_dir": folder / name}
            worlds.append(await stack.enter_async_context(running(certificates, **given, **state)))
        await worlds[1].host(default_cards()[:1])
        yield Two(nats, *worlds)


@pytest.fixture
async def both(
    certificates: Certificates,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Two]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))
    caplog.set_level(logging.INFO)
    async with two(certificates, tmp_path) as both:
        await until_logged(caplog, "Server b is reached without NATS")
        await until_logged(caplog, "Server a is reached without NATS")
        yield both


async def test_commands_go_on_without_nats(both: Two) -> None:
    async with both.users.client() as client:
        card = await client.select(iccid=UICC, wait_s=10)
        both.nats.stop()
        for _ in range(20):
            assert (await card.transmit(SELECT_MF)).sw


async def test_they_go_by_nats_when_the_connection_is_lost(
    both: Two, caplog: pytest.LogCaptureFixture
) -> None:
    async with both.users.client() as client:
        card = await client.select(iccid=UICC, wait_s=10)
        for connection in list(both.cards.connections):
            if connection.principal is None and connection.upgraded:
                connection.end()
        for _ in range(20):
            assert (await card.transmit(SELECT_MF)).sw
    assert "reached by NATS alone" in caplog.text


class _Present:
    """A peer that answers pings, so that it is not taken for one that is gone."""

    def may_speak(self) -> bool:
        return True

    def text(self, text: bytes) -> None:
        del text

    def binary(self, octets: bytes) -> None:
        del octets

    def ping(self) -> None:
        pass

    def ended(self, why: str, parting: Parting) -> None:
        del why, parting


async def _stranger(world: World, certificates: Certificates) -> tuple[Endpoint, Wire]:
    url = Address(world.user_url.replace("/user", "/node"))
    wire, _ = await connected(url, None, client_context(certificates.ca, None, None), 10, None)
    link = Endpoint(wire.transport, wire.hold, is_client=True, kind=BINARY)
    link.listen(_Present())
    wire.carry(link)
    return link, wire


async def test_a_stranger_changes_nothing(both: Two, certificates: Certificates) -> None:
    """Not even one that says that it is a node: what is not sealed by its keys is nothing."""
    async with both.users.client() as client:
        card = await client.select(iccid=UICC, wait_s=10)
        for said in (b"", b"no name", b"a", b"other"):
            link, _ = await _stranger(both.cards, certificates)
            link.say(said)
            link.forward(bytes(1000))
            link.forward(b"s" + bytes(100))
            assert (await card.transmit(SELECT_MF)).sw
            link.abort()


async def test_a_stranger_does_not_take_the_place_of_a_node(
    both: Two, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """Commands go on by the connection of the node, without NATS as well."""
    async with both.users.client() as client:
        card = await client.select(iccid=UICC, wait_s=10)
        caplog.clear()
        link, wire = await _stranger(both.cards, certificates)
        link.say(b"a")
        await until(wire.transport.is_closing)
        assert "by NATS alone" not in caplog.text
        both.nats.stop()
        for _ in range(20):
            assert (await card.transmit(SELECT_MF)).sw


async def test_one_that_can_be_no_other_node_is_sent_away(
    both: Two, certificates: Certificates
) -> None:
    for said in (b"", b"no name", b"b", b"\xff", b"x" * 100):
        link, wire = await _stranger(both.cards, certificates)
        link.say(said)
        await until(wire.transport.is_closing)
    cluster = both.cards.app._cluster
    assert cluster is not None
    assert set(cluster.node.nodes) == {"a"}


async def test_without_a_url_there_is_no_such_path(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with two(certificates, tmp_path, straight=False) as both:
        with pytest.raises(ConnectionLostError, match="404"):
            await _stranger(both.cards, certificates)
        async with both.users.client() as client:

            async def listed() -> bool:
                return bool(await client.list_cards())

            await until(listed)


async def test_a_url_that_anybody_publishes_is_not_dialled(both: Two) -> None:
    """Where a node is, it says in its own road."""
    async with asyncio.TaskGroup() as tasks:
        called = asyncio.Event()

        def call(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            called.set()
            writer.close()

        trap = await asyncio.start_server(call, "localhost", 0)
        port = trap.sockets[0].getsockname()[1]
        names = Names("wsrc", "stranger")
        carrier = NatsCarrier(Place((both.nats.url,)), "stranger", names.inbox, Heard(), QUICK)
        running_ = tasks.create_task(carrier.run())
        await until(lambda: carrier.connected)
        for name, world in (("a", both.users), ("b", both.cards)):
            cluster = world.app._cluster
            assert cluster is not None
            here = (name, cluster.node._roads._run, f"wss://localhost:{port}")
            for _ in range(3):
                carrier.publish(names.here, msgspec.msgpack.encode(here))
        await carrier.flush(5)
        async with both.users.client() as client:
            card = await client.select(iccid=UICC, wait_s=10)
            for _ in range(20):
                assert (await card.transmit(SELECT_MF)).sw
        assert not called.is_set()
        running_.cancel()
        trap.close()


@pytest.mark.parametrize(
    "url", ["", "wss://[", "http://localhost", "ws://192.0.2.1:1", "wss://a b", "wss://a:1/\r\n"]
)
async def test_a_node_that_says_nonsense_of_where_it_is_is_not_dialled(
    certificates: Certificates, url: str
) -> None:
    async with asyncio.TaskGroup() as tasks:
        nothing: Any = lambda *_: None  # noqa: E731 - nobody is called
        direct = Direct(Names("wsrc", "a"), certificates.ca, nothing, nothing)
        direct.start(tasks)
        direct.reach("b", url)
        assert not direct._dialling


async def test_a_node_whose_certificate_has_another_name_is_reached_by_nats_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answers at the URL must have a certificate for it."""
    caplog.set_level(logging.INFO)
    pki = Pki(tmp_path / "pki")
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.folder.ca))
    made = pki.folder.issue(Kind.SERVER, ["relay.example"])
    other = Certificates(pki.folder.ca, made.path, made.key)
    async with AsyncExitStack() as stack:
        nats = stack.enter_context(nats_server(tmp_path / "nats"))
        for name in "ab":
            port = free_port()
            given = {"cluster_url": (nats.url,), "node_name": name, "state_dir": tmp_path / name}
            given |= {"user_port": port, "node_url": f"wss://localhost:{port}"}
            await stack.enter_async_context(running(other, **given))
        await until_logged(caplog, "ertificate")
        assert "Server b is reached without NATS" not in caplog.text
        assert "localhost" in caplog.text.split("ertificate")[1]
