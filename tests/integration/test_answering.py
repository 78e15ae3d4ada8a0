# SPDX-License-Identifier: Apache-2.0
"""What is left of a server that has ended, in a process that goes on."""

import gc
import weakref

import pytest
from aiohttp import ClientSession

from tests.support.raw_peer import raw_peer
from wsrc.server.app import App, serve
from wsrc.settings.load import ServerSettings


async def says_hello(app: App) -> None:
    """Become a user."""
    async with raw_peer(app.user_port):
        pass


async def asks(app: App) -> None:
    """Ask over HTTP: what there is, what is checked first, and what is not there."""
    async with ClientSession(f"http://127.0.0.1:{app.http_port}") as session:
        for path, status in (("/healthz", 200), ("/api/v1/cards", 200), ("/nothing", 404)):
            async with session.get(path) as answer:
                assert answer.status == status
        async with session.head("/healthz") as answer:
            assert answer.status == 200
        async with session.head("/api/v1/cards") as answer:
            assert answer.status == 405


@pytest.mark.parametrize("client", [says_hello, asks])
async def test_a_server_that_has_ended_is_forgotten_with_all_that_it_knew(client: object) -> None:
    assert callable(client)
    async with serve(ServerSettings(user_port=0, card_port=0, http_port=0, no_tls=True)) as app:
        await client(app)
        left = [weakref.ref(app), weakref.ref(app._peers.relay), weakref.ref(app._site)]
    del app
    gc.collect()
    assert [each() for each in left] == [None, None, None]
