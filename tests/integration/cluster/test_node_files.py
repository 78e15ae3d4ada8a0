# SPDX-License-Identifier: Apache-2.0
"""Certificates of running nodes that are renewed, revoked, or of a CA that is gone."""

import logging
import shutil
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.nats import nats_server, until_logged
from tests.support.pki import Pki
from tests.support.ports import free_port
from tests.support.world import UICC, World, default_cards, running, until
from wsrc.certs.making import Kind
from wsrc.errors import ConfigError
from wsrc.server.node_files import NodeFiles
from wsrc.settings.load import ServerSettings

SELECT_MF = bytes.fromhex("00a40004023f00")
READ = "The certificates and keys of the cluster were read anew"


class Two(NamedTuple):
    """Two servers with certificates of one CA, which is in a file of each, and a card with b."""

    pki: Pki
    cas: dict[str, Path]
    users: World
    cards: World


@asynccontextmanager
async def two(folder: Path, *, straight: bool) -> AsyncGenerator[Two]:
    pki = Pki(folder / "pki")
    async with AsyncExitStack() as stack:
        nats = stack.enter_context(nats_server(folder / "nats"))
        worlds: list[World] = []
        cas = {name: folder / f"{name}-ca.pem" for name in "ab"}
        for name in "ab":
            shutil.copy(pki.folder.ca, cas[name])
            made = pki.folder.issue(Kind.NODE, [name])
            given: dict[str, Any] = {
                "cluster_url": (nats.url,),
                "node_name": name,
                "cluster_ca": cas[name],
                "cluster_cert": made.path,
                "cluster_key": made.key,
                "tls_crl": pki.folder.crl,
                "state_dir": folder / name,
            }
            if straight:
                port = free_port()
                given |= {"user_port": port, "node_url": f"wss://localhost:{port}"}
            worlds.append(await stack.enter_async_context(running(pki.server, **given)))
        await worlds[1].host(default_cards()[:1])
        yield Two(pki, cas, *worlds)


def is_up(world: World) -> bool:
    """Return whether a server has a road to the other."""
    cluster = world.app._cluster
    assert cluster is not None
    return any(cluster.node.nodes.values())


@pytest.mark.parametrize("straight", [False, True], ids=["nats", "straight"])
async def test_a_node_that_is_revoked_loses_its_road_and_is_not_let_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, straight: bool
) -> None:
    caplog.set_level(logging.INFO)
    async with two(tmp_path, straight=straight) as both:
        if straight:
            await until_logged(caplog, "Server b is reached without NATS")
        async with both.users.client() as client:
            card = await client.select(iccid=UICC, wait_s=10)
            assert (await card.transmit(SELECT_MF)).sw
        both.pki.folder.revoke("b")
        await until_logged(caplog, "b of the cluster is lost: it shows a certificate that was rev")
        await until_logged(caplog, "a of the cluster is lost: it ended the road: this node shows")
        await until_logged(caplog, "no road to a server of the cluster: b shows a certificate tha")
        assert not is_up(both.users)
        assert not is_up(both.cards)


@pytest.mark.parametrize("straight", [False, True], ids=["nats", "straight"])
async def test_certificates_that_are_renewed_are_shown_at_once_and_cost_no_road(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, *, straight: bool
) -> None:
    caplog.set_level(logging.INFO)
    async with two(tmp_path, straight=straight) as both:
        async with both.users.client() as client:
            card = await client.select(iccid=UICC, wait_s=10)
            before = _shown_by_b(both.users)
            both.pki.folder.renew("b", new_key=True)
            await until_logged(caplog, READ)
            await until(lambda: _shown_by_b(both.users) != before)
            assert (await card.transmit(SELECT_MF)).sw
        assert "is lost" not in caplog.text


def _shown_by_b(world: World) -> tuple[bytes, ...]:
    cluster = world.app._cluster
    assert cluster is not None
    agreed = cluster.node._roads._neighbours["b"]._agreed
    assert agreed is not None
    return agreed.chain


async def test_a_ca_that_is_taken_away_ends_the_roads_of_its_nodes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with two(tmp_path, straight=False) as both:
        assert is_up(both.users)
        shutil.copy(Pki(tmp_path / "other").folder.ca, both.cas["a"])
        await until_logged(caplog, "b of the cluster is lost: it shows a certificate that is not g")


def files_of(pki: Pki, days: float = 90, **more: Any) -> NodeFiles:
    """Return the files of a node with a certificate of a CA."""
    made, server = pki.folder.issue(Kind.NODE, ["a"], days), pki.server
    files = {"cluster_ca": pki.folder.ca, "cluster_cert": made.path, "cluster_key": made.key}
    files |= {"tls_cert": server.cert, "tls_key": server.key}
    url = ("tls://localhost",)
    return NodeFiles(ServerSettings(node_name="a", cluster_url=url, **files | more))


def test_a_list_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    with pytest.raises(ConfigError, match=r"^tls_crl: .*ca\.pem cannot be used"):
        files_of(pki, tls_crl=pki.folder.ca)


def test_lists_of_other_cas_are_none_of_the_nodes(tmp_path: Path) -> None:
    """One file has the lists of clients and of nodes; nodes need none."""
    credentials = files_of(Pki(tmp_path / "one"), tls_crl=Pki(tmp_path / "two").folder.crl)
    found = credentials.credentials()
    assert found is not None
    assert found.nodes._revoked == frozenset()


def test_a_certificate_of_a_node_that_soon_ends_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files_of(Pki(tmp_path), days=20).files.warn()
    assert "a.pem expires on " in caplog.text
