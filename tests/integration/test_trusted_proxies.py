# SPDX-License-Identifier: Apache-2.0
"""A server behind a proxy that it trusts: limits and evidence are of the client's address."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from tests.support.raw_peer import LIMIT_S, UPGRADE
from tests.support.world import until
from wsrc.server.app import App, serve
from wsrc.settings.load import ServerSettings


@asynccontextmanager
async def served(*trusted: str) -> AsyncGenerator["Asking"]:
    settings = ServerSettings(
        user_port=0,
        card_port=0,
        no_tls=True,
        host="127.0.0.1",
        trusted_proxies=trusted,
        max_connections_per_address=1,
    )
    async with asyncio.timeout(LIMIT_S), serve(settings) as app:
        asking = Asking(app)
        try:
            yield asking
        finally:
            for writer in asking.writers:
                writer.close()


class Asking:
    """Connections that ask for a WebSocket, as a proxy passes them on."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.writers: list[asyncio.StreamWriter] = []

    async def status(self, *headers: str) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.app.user_port)
        self.writers.append(writer)
        more = "".join(f"{header}\r\n" for header in headers).encode()
        writer.write(UPGRADE[:-2] + more + b"\r\n")
        return int((await reader.readuntil(b"\r\n")).split()[1])


async def test_limits_and_evidence_are_of_the_client(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with served("127.0.0.0/8") as asking:
        assert await asking.status("X-Forwarded-For: 203.0.113.9") == 101
        assert await asking.status("X-Forwarded-For: 203.0.113.9") == 429
        assert await asking.status("X-Forwarded-For: 198.51.100.1, 203.0.113.9") == 429
        assert await asking.status("Forwarded: for=203.0.113.10;proto=https") == 101
        assert await asking.status("X-Forwarded-For: 203.0.113.11", "Forwarded: for=1.2.3.4") == 400
        assert await asking.status() == 101
        asking.writers[0].close()
        await until(lambda: asking.app.counts["peers"] == 2)
        assert await asking.status("X-Forwarded-For: 203.0.113.9") == 101
    said = [record.getMessage() for record in caplog.records]
    assert any("connected from 203.0.113.9" in line for line in said)
    assert any("from 203.0.113.9" in line and "refused" in line for line in said) or any(
        "203.0.113.9" in line and "max_connections_per_address" in line for line in said
    )


async def test_whoever_is_no_trusted_proxy_is_where_its_connection_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with served("10.0.0.0/8") as asking:
        assert await asking.status("X-Forwarded-For: 203.0.113.9") == 101
    assert "203.0.113.9" not in caplog.text
