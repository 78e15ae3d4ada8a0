# SPDX-License-Identifier: Apache-2.0
"""The metrics of a card client: what they say, to whom, and what no request can do."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.certificates import Certificates
from tests.support.world import LIMIT_S, UICC, running, until
from wsrc.card_client.metrics import MOST, NAMES, exposed
from wsrc.errors import ConfigError


async def asked(port: int, text: str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n") -> str:
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(text.encode("latin-1"))
    async with asyncio.timeout(LIMIT_S):
        answer = (await reader.read()).decode()
    writer.close()
    return answer


def values(answer: str) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families(answer.partition("\r\n\r\n")[2])
    return {
        (sample.name, sample.labels.get("state", "")): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("wsrc_")
    }


async def test_metrics_tell_of_readers_sessions_and_the_server(certificates: Certificates) -> None:
    async with running(certificates) as world:
        host = await world.host()
        async with exposed(host.agent, 0) as port:
            before = values(await asked(port))
            assert {name for name, _ in before} == set(NAMES)
            assert before["wsrc_host_readers", "ready"] == 2
            assert before["wsrc_host_connected", ""] == 1
            assert before["wsrc_host_connections_total", ""] == 1
            user = await world.user()
            card = await user.select(iccid=UICC)
            await card.transmit(bytes.fromhex("00a4000c023f00"))
            after = values(await asked(port))
            assert after["wsrc_host_held", ""] == 1
            assert after["wsrc_host_requests_total", ""] == 1
            await world.app.stop()
            await until(lambda: not host.agent.is_connected)
            assert values(await asked(port))["wsrc_host_connected", ""] == 0


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("GET /healthz HTTP/1.1\r\nHost: [::1]:9\r\n\r\n", "200"),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"),
        ("GET /metrics HTTP/1.1\r\n\r\n", "421"),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\nOrigin: http://x\r\n\r\n", "421"),
        ("\xff\r\n\r\n", "421"),
        ("x" * 20_000, ""),
    ],
)
async def test_other_requests_are_refused(
    certificates: Certificates, text: str, status: str
) -> None:
    async with running(certificates) as world:
        host = await world.host()
        async with exposed(host.agent, 0) as port:
            try:
                answer = await asked(port, text)
            except ConnectionError:
                answer = ""
            assert answer.partition(" ")[2][:3] == status


async def test_connections_that_ask_nothing_are_bounded(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrc.card_client.metrics.ASK_S", 1.0)
    async with running(certificates) as world:
        host = await world.host()
        async with exposed(host.agent, 0) as port, asyncio.timeout(LIMIT_S):
            idle = [await asyncio.open_connection("localhost", port) for _ in range(MOST)]
            reader, writer = await asyncio.open_connection("localhost", port)
            assert await reader.read() == b""
            for each, _ in idle:
                assert await each.read() == b""
            for each in (writer, *(w for _, w in idle)):
                each.close()
            assert (await asked(port)).startswith("HTTP/1.1 200 ")


async def test_a_port_that_is_taken_is_a_sentence(certificates: Certificates) -> None:
    async with running(certificates) as world:
        host = await world.host()
        with pytest.raises(ConfigError, match=r"metrics_port: port .* cannot be had"):
            async with exposed(host.agent, 0) as port, exposed(host.agent, port):
                pass
