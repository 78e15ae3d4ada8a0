# SPDX-License-Identifier: Apache-2.0
"""Metrics of a card client, for programs of its own host: a small HTTP server on loopback."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from wsrc import __version__
from wsrc.card_client.agent import Agent
from wsrc.errors import ConfigError
from wsrc.protocol.parts import ReaderState
from wsrc.settings.hosts import host_in, is_loopback

MOST: Final = 16
"""Connections at a time; one more is closed at once."""

ASK_S, MAX_HEAD_OCTETS = 5.0, 16 << 10
"""How long a request may take to come, in seconds, and how long it may be."""

NAMES: Final[Mapping[str, str]] = {
    "wsrc_host_info": "1, with the version of the card client",
    "wsrc_host_readers": "Readers by what they and their cards are doing (label `state`)",
    "wsrc_host_held": "Readers that a session has",
    "wsrc_host_connected": "1 while there is a server, else 0",
    "wsrc_host_connections_total": "How often a server was found",
    "wsrc_host_requests_total": "Requests of sessions that came; a batch is one",
}
"""Every metric of ours."""


class _Answer(NamedTuple):
    status: str
    kind: str
    body: bytes


class _Collector:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; called at each scrape."""
        agent, text = self._agent, NAMES
        infos = agent.infos
        yield InfoMetricFamily("wsrc_host", text["wsrc_host_info"], {"version": __version__})
        name = "wsrc_host_readers"
        readers, states = (
            GaugeMetricFamily(name, text[name], labels=["state"]),
            Counter(str(info.state) for info in infos),
        )
        for state in ReaderState:
            readers.add_metric([str(state)], states[str(state)])
        yield readers
        for name, value in (
            ("wsrc_host_held", agent.held),
            ("wsrc_host_connected", agent.is_connected),
        ):
            yield GaugeMetricFamily(name, text[name], float(value))
        for name, value in (
            ("wsrc_host_connections_total", agent.connections),
            ("wsrc_host_requests_total", agent.requests),
        ):
            yield CounterMetricFamily(name, text[name], value)


class Exposition:
    """
    Answers GET /metrics and GET /healthz; each connection has one request.

    Args:
        agent: What is told of.
    """

    def __init__(self, agent: Agent) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(agent))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, or none that is none."""
        self._open += 1
        try:
            if self._open <= MOST:
                async with asyncio.timeout(ASK_S):
                    await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        answer = self._answer(head)
        lines = (
            f"HTTP/1.1 {answer.status}",
            f"Content-Type: {answer.kind}",
            f"Content-Length: {len(answer.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        )
        writer.write("\r\n".join((*lines, "", "")).encode() + answer.body)
        await writer.drain()

    def _answer(self, head: str) -> _Answer:
        first, *rest = head.split("\r\n")
        method, _, target = first.partition(" ")
        pairs = (line.partition(":") for line in rest)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if not is_loopback(host_in(headers.get("host", ""))) or "origin" in headers:
            return _text("421 Misdirected Request", "This is for programs of this host.\n")
        if method not in {"GET", "HEAD"}:
            return _text("405 Method Not Allowed", "There is GET alone.\n")
        path = target.partition(" ")[0].partition("?")[0]
        if path == "/healthz":
            return _text("200 OK", "ok\n")
        if path != "/metrics":
            return _text("404 Not Found", "There are /metrics and /healthz.\n")
        return _Answer("200 OK", CONTENT_TYPE_LATEST, generate_latest(self._registry))


def _text(status: str, text: str) -> _Answer:
    return _Answer(status, "text/plain; charset=utf-8", text.encode())


@asynccontextmanager
async def exposed(agent: Agent, port: int) -> AsyncGenerator[int]:
    """
    Serve metrics on loopback as long as the context lasts; yield the port.

    Raises:
        ConfigError: If the port cannot be had.
    """
    exposition = Exposition(agent)
    try:
        server = await asyncio.start_server(
            exposition.serve, "localhost", port, limit=MAX_HEAD_OCTETS
        )
    except OSError as exc:
        raise ConfigError("metrics_port", f"port {port} cannot be had: {exc.strerror}") from exc
    async with server:
        yield int(server.sockets[0].getsockname()[1])
