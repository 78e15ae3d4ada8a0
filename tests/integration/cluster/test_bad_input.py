# SPDX-License-Identifier: Apache-2.0
"""Running servers of clusters and a real NATS, with what they should not be given."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.certificates import Certificates
from tests.support.nats import QUICK, Heard, Nats, nats_server
from tests.support.world import UICC, World, default_cards, running, until
from wsrc.cluster.names import Names
from wsrc.cluster.nats import NatsCarrier, Place
from wsrc.cluster.twins import CLAIM
from wsrc.errors import AmbiguousCardError, NoSuchCardError
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS

SELECT_MF = bytes.fromhex("00a40004023f00")


@asynccontextmanager
async def nodes(
    certificates: Certificates, nats: Nats, folder: Path, *names: str, **more: Any
) -> AsyncGenerator[list[World]]:
    """Run servers of one cluster, one after the other."""
    async with AsyncExitStack() as stack:
        worlds: list[World] = []
        for name in names:
            given = {"cluster_url": (nats.url,), "node_name": name, "state_dir": folder / name}
            worlds.append(await stack.enter_async_context(running(certificates, **given, **more)))
        yield worlds


async def test_two_clusters_on_one_nats_know_nothing_of_each_other(
    certificates: Certificates, tmp_path: Path
) -> None:
    """Though their nodes, their hosts and their cards are called the same."""
    with nats_server(tmp_path / "nats") as nats:
        async with (
            nodes(certificates, nats, tmp_path / "1", "a", "b", cluster="one") as one,
            nodes(certificates, nats, tmp_path / "2", "a", "b", cluster="two") as two,
        ):
            await one[1].host(default_cards()[:1])
            async with two[0].client() as client:
                with pytest.raises(NoSuchCardError):
                    await client.select(iccid=UICC)
                assert await client.list_cards() == []
            await two[1].host(default_cards()[:1])
            for worlds in (one, two):
                async with worlds[0].client() as client:
                    async with await client.select(iccid=UICC) as card:
                        assert (await card.transmit(SELECT_MF)).sw
                    assert len(await client.list_cards()) == 1


async def test_a_batch_as_long_as_a_message_may_be_goes_over_nats(
    certificates: Certificates, tmp_path: Path
) -> None:
    """NATS takes no message that long: it is sent in parts."""
    with nats_server(tmp_path / "nats", "max_payload: 589824") as nats:
        async with nodes(certificates, nats, tmp_path, "a", "b") as (users, cards):
            cards.seal = users.seal = "off"
            await cards.host(default_cards()[:1])
            async with users.client() as client, await client.select(iccid=UICC) as card:
                count, octets = 255, 1_950
                long = bytes.fromhex("80c2000000") + octets.to_bytes(2) + os.urandom(octets)
                assert 589_824 < 2 * count * len(long) < MAX_MESSAGE_OCTETS
                result = await card.batch([*[long] * count, SELECT_MF])
                assert len(result.results) == count + 1


async def test_what_a_stranger_publishes_changes_nothing(
    certificates: Certificates, tmp_path: Path
) -> None:
    """Whoever NATS lets in and has no certificate of a node: on each subject there is."""
    with nats_server(tmp_path / "nats") as nats:
        async with nodes(certificates, nats, tmp_path, "a", "b") as (users, cards):
            await cards.host(default_cards()[:1])
            names = Names("wsrc", "stranger")
            carrier = NatsCarrier(Place((nats.url,)), "stranger", names.inbox, Heard(), QUICK)
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(carrier.run())
                await until(lambda: carrier.connected)
                async with users.client() as client, await client.select(iccid=UICC) as card:
                    for subject, octets in _forged(names):
                        carrier.publish(subject, octets)
                    await carrier.flush(5)
                    for _ in range(20):
                        assert (await card.transmit(SELECT_MF)).sw
                async with users.client() as client, await client.select(iccid=UICC) as card:
                    assert (await card.transmit(SELECT_MF)).sw
                task.cancel()
            for world in (users, cards):
                cluster = world.app._cluster
                assert cluster is not None
                assert all(cluster.node.nodes.values())
                assert set(cluster.node.nodes) <= {"a", "b"}


def _forged(names: Names) -> list[tuple[str, bytes]]:
    """Return what a stranger says: in the names of nodes, of a card, and nonsense."""
    key = "iccid", UICC
    pack = msgspec.msgpack.encode
    forged = [
        (names.here, pack((name, run, "wss://[")))
        for name in ("a", "b", "x", "")
        for run in ("0" * 16, "f" * 16, "no run")
    ]
    forged += [(names.has(key), pack((name, number))) for name in "abx" for number in range(50)]
    forged += [(names.has(key), pack((name, CLAIM))) for name in "abx"]
    forged += [(names.came(key), name.encode()) for name in "abx"]
    for to, by in ("ab", "ba", "ax", "bx"):
        road = Names("wsrc", by).road(to)
        forged += [(road, kind + os.urandom(60)) for kind in (b"s", b"k", b"h", b"a", b"p", b"r")]
    nonsense = (b"", b"\xc1", b"\xff" * 1000, os.urandom(100_000))
    return [*forged, *((subject, each) for subject, _ in forged[::7] for each in nonsense)]


async def test_the_same_card_on_two_nodes_is_ambiguous(
    certificates: Certificates, tmp_path: Path
) -> None:
    with nats_server(tmp_path / "nats") as nats:
        async with nodes(certificates, nats, tmp_path, "a", "b", "c") as worlds:
            await worlds[0].host(default_cards()[:1], "first")
            second = await worlds[1].host(default_cards()[:1], "second")
            for world in worlds:
                async with world.client() as client:

                    async def refused(client: Any = client) -> bool:
                        try:
                            async with await client.select(iccid=UICC):
                                return False
                        except AmbiguousCardError as exc:
                            return len(exc.candidates) == 2

                    await until(refused)
            second.stop.set()
            async with worlds[2].client() as client:

                async def taken() -> bool:
                    try:
                        async with await client.select(iccid=UICC) as card:
                            return bool((await card.transmit(SELECT_MF)).sw)
                    except AmbiguousCardError:
                        return False

                await until(taken)
