# SPDX-License-Identifier: Apache-2.0
"""Who is refused again and again fills neither log (issue 13, 4)."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.support.raw_peer import LOOPS, LoopFactory, run
from wsrc.audit.throttle import BURST, Throttle
from wsrc.errors import NoSuchCardError
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings
from wsrc.user_client.aio import Client

PLAIN: dict[str, Any] = {"user_port": 0, "card_port": 0, "no_tls": True}
MANY = 200


@pytest.fixture(autouse=True)
def _no_line_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a flood be one however slowly it comes: what is used up of a throttle stays so."""
    monkeypatch.setattr(Throttle.__init__, "__defaults__", (0.0, BURST))


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    texts = [text for path in folder.glob("*.jsonl") for text in path.read_text().splitlines()]
    return [each for text in texts if (each := json.loads(text))["event"] == kind]


@LOOPS
def test_13_refused_cards_and_connections_are_told_in_part_and_counted(
    loop_factory: LoopFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with serve(ServerSettings(**PLAIN, audit_dir=tmp_path)) as app:
            async with Client(f"ws://localhost:{app.user_port}", name="eve") as client:
                for _ in range(MANY):
                    with pytest.raises(NoSuchCardError):
                        async with client.select(iccid="8988211000000430010"):
                            pass
            for _ in range(MANY):
                reader, writer = await asyncio.open_connection("localhost", app.user_port)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await reader.readline()).split()[1] == b"426"
                writer.close()

    run(loop_factory, main())
    for kind in ("denied", "refused"):
        told = lines(tmp_path, kind)
        assert 100 <= len(told) < MANY
        assert len(told) + sum(line.get("unrecorded", 0) for line in told) == MANY
    said = [text for text in caplog.messages if text.startswith("eve was refused the card with")]
    assert 100 <= len(said) < MANY
    assert lines(tmp_path, "refused")[0]["why"].startswith("HTTP status 426")


def test_13_what_a_noisy_address_causes_hides_no_line_of_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def refused(port: int, address: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"426"
        writer.close()

    async def main() -> None:
        async with serve(ServerSettings(**PLAIN, host="127.0.0.1", audit_dir=tmp_path)) as app:
            for _ in range(MANY):
                await refused(app.user_port, "127.0.0.1")
            for _ in range(3):
                await refused(app.user_port, "127.0.0.2")

    asyncio.run(main())
    told = [line["address"] for line in lines(tmp_path, "refused")]
    assert told.count("127.0.0.1") < MANY
    assert told.count("127.0.0.2") == 3
    said = [text for text in caplog.messages if "A connection from" in text]
    assert sum("from 127.0.0.2 is refused" in text for text in said) >= 1
