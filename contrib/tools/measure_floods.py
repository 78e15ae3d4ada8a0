# SPDX-License-Identifier: Apache-2.0
"""
Measure what a session feels while other peers flood its server.

The server and whoever floods it are processes of their own. Before each flood the same session is
measured in peace, and the ratio is what counts. All of it is on loopback, and each flood is short.
Who floods has the processor time that the others leave, as if it were a machine of its own.

Two figures are printed: the 99th percentile of a command, by the clock; and of the turns of the
server's loop, by its processor time: in 99 of 100 moments the turn that an event has to wait for
is no longer than that. The latter does not depend on what else the machine is doing.
"""

import argparse
import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parents[2]))

from wsrc.certs.folder import Folder, Issued
from wsrc.certs.making import Kind
from wsrc.net.dial import dial
from wsrc.net.greeting import greet
from wsrc.net.tls import client_context
from wsrc.net.websocket import Link
from wsrc.octets import Octets
from wsrc.process.garbage import kept_small
from wsrc.protocol import messages as m
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings

Figures = tuple[float, float, float, float, float, float]

FLOOD_S, WARM_S, EVERY_S = 4.0, 0.5, 0.02
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
SELECT = Octets.fromhex("00a40004023f00")


def frame(payload: bytes, opcode: int = 0x81) -> bytes:
    """Return a frame as a client sends it."""
    size = len(payload)
    head = bytes([opcode, 0x80 | size]) if size < 126 else bytes([opcode, 0xFE, *size.to_bytes(2)])
    return head + bytes(4) + payload


def said(msg_type: str, **fields: Any) -> bytes:
    """Return a frame with a message."""
    return frame(json.dumps({"msg_type": msg_type, **fields}).encode())


def report(reader: str) -> bytes:
    """Return a report of a card client that changes each time."""
    info = {"reader": reader, "name": reader, "state": "ready", "insertion": 1, "label": reader}
    return said("reader_state", reader=info)


PIECES = frame(b"x", 0x01) + frame(b"y", 0x00) * 100_000
FLOODS: dict[str, tuple[str, int, Callable[[int], bytes], bool]] = {
    "pings": ("user", 4, lambda _: frame(b"", 0x89) * 5_000, True),
    "lists": ("user", 20, lambda n: said("list_cards", id=n) * 1_000, True),
    "claims": (
        "user",
        8,
        lambda n: said("resume", id=n, session=f"s{n}", secret="x") * 1_000,  # noqa: S106 - it is none
        True,
    ),
    "reports": ("card", 4, lambda n: b"".join(report(f"r{n}-{k}") for k in range(500)), True),
    "fragments": ("user", 4, lambda _: PIECES, True),
    "unread watchers": ("user", 500, lambda n: said("watch", id=n) * 200, False),
}
"""Kind of client, connections, what each sends again and again, and whether it reads."""


async def flood(kind: str, user_port: int, card_port: int) -> None:
    """Flood a server for a while, with the processor time that the others leave."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(19)
    print("begun", flush=True)
    async with asyncio.timeout(FLOOD_S), asyncio.TaskGroup() as tasks:
        if kind == "TLS handshakes":
            hello = client_hello()
            for _ in range(50):
                tasks.create_task(begin_tls_for_ever(user_port, hello))
            return
        if kind in {"connections", "handshakes"}:
            for _ in range(50):
                tasks.create_task(connect_for_ever(user_port, hang_up=kind == "handshakes"))
            return
        role, count, octets, reads = FLOODS[kind]
        port = user_port if role == "user" else card_port
        for number in range(count):
            tasks.create_task(one(port, role, octets, number, reads=reads))


async def connect_for_ever(port: int, *, hang_up: bool) -> None:
    """Connect again and again, upgrade and go, or stay silent."""
    kept: list[asyncio.StreamWriter] = []
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if hang_up:
                writer.write(UPGRADE)
                await reader.readuntil(b"\r\n\r\n")
                writer.transport.abort()
            elif len(kept) < 60:
                kept.append(writer)
            else:
                await asyncio.sleep(1.0)
        except (OSError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.01)


def client_hello() -> bytes:
    """Return what a client begins TLS with; the same octets do each time."""
    sent = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return sent.read()


async def begin_tls_for_ever(port: int, hello: bytes) -> None:
    """Have the server do its part of TLS again and again, and hang up."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(hello)
            await reader.read(1)
            writer.transport.abort()
        except OSError:
            await asyncio.sleep(0.01)


async def one(
    port: int, role: str, octets: Callable[[int], bytes], number: int, *, reads: bool
) -> None:
    """Flood over one connection, and over another when that is closed."""
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(UPGRADE)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b" 101 " in answer, answer
            writer.write(said("hello", client_type=role, version=1, name=f"f{number}"))
            sent = 0
            async with asyncio.TaskGroup() as tasks:
                if reads:
                    tasks.create_task(swallow(reader))
                while True:
                    sent += 1
                    writer.write(octets(number * 1_000_000 + sent))
                    await writer.drain()
        except* (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()


async def swallow(reader: asyncio.StreamReader) -> None:
    """Read all that comes."""
    while await reader.read(1 << 20):
        pass
    raise ConnectionError


class Server:
    """A server process, with TLS if there is a context for it; made by `server`."""

    def __init__(
        self,
        process: "subprocess.Popen[str]",
        user_port: int,
        card_port: int,
        context: ssl.SSLContext | None,
    ) -> None:
        self.user_port, self.card_port = user_port, card_port
        self.context = context
        self._process = process

    def turns(self) -> tuple[float, float]:
        """Return the 99th percentile and the longest of the turns since the last call, in ms."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        common, longest = self._process.stdout.readline().split()
        return float(common), float(longest)


@contextlib.contextmanager
def server(*, tls: bool) -> Iterator[Server]:
    """Run a server."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Folder(Path(directory))
        folder.init()
        made = folder.issue(Kind.SERVER, ["localhost", "127.0.0.1"]) if tls else None
        context = client_context(folder.ca) if made is not None else None
        with _server(made) as (process, user_port, card_port):
            yield Server(process, user_port, card_port, context)


@contextlib.contextmanager
def _server(made: Issued | None) -> "Iterator[tuple[subprocess.Popen[str], int, int]]":
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", *([made.path, made.key] if made else [])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        user_port, card_port = map(int, process.stdout.readline().split())
        yield process, user_port, card_port
    finally:
        process.kill()
        process.wait()


async def serve_and_count(files: Sequence[Path]) -> None:
    """Be a server whose turns are measured; each line of standard input asks for the figures."""
    turns: list[float] = []

    before = 0.0

    async def count() -> None:
        nonlocal before
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            turns.append((now - before) * 1000)
            before = now

    def report() -> None:
        nonlocal before
        sys.stdin.readline()
        turns.sort()
        left, common = sum(turns) * 0.01, 0.0
        for common in reversed(turns):
            left -= common
            if left <= 0:
                break
        print(common, max(turns, default=0.0), flush=True)
        turns.clear()
        before = time.thread_time()

    asyncio.get_running_loop().add_reader(sys.stdin, report)
    cert, key = files or (None, None)
    settings = ServerSettings(
        user_port=0, card_port=0, no_tls=not files, tls_cert=cert, tls_key=key
    )
    async with serve(settings) as app, kept_small(lambda: app.ended, app.room.connections):
        print(app.user_port, app.card_port, flush=True)
        await count()


@contextlib.asynccontextmanager
async def link_of(
    port: int, role: m.ClientType, context: ssl.SSLContext | None, **fields: Any
) -> AsyncGenerator[Link]:
    """Connect and say hello."""
    url = f"{'ws' if context is None else 'wss'}://127.0.0.1:{port}/"
    async with dial(url, context, connect_s=10.0, ping_s=60.0) as link:
        hello = m.Hello(client_type=role, version=m.VERSION, name="innocent", **fields)
        await greet(link, hello, 10.0, "the server")
        yield link


async def answer(link: Link) -> None:
    """Be a card client whose card answers at once."""
    while True:
        message, _ = await link.receive()
        match message:
            case m.Attach(session=session):
                link.send(m.AttachAck(session=session, atr=Octets.fromhex("3b00")))
            case m.CApdu(id=id_, session=session):
                link.send(m.RApdu(id=id_, session=session, response=Octets(), sw="9000"))
            case _:
                pass


async def heard(link: Link, kind: type[m.Message]) -> m.Message:
    """Return the next message of a kind."""
    while not isinstance((message := (await link.receive())[0]), kind):
        pass
    return message


async def feel(link: Link, session: str, seconds: float) -> float:
    """Return the 99th percentile of a command, in milliseconds."""
    took: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        link.send(m.CApdu(id=len(took) + 10, session=session, command=SELECT))
        await heard(link, m.RApdu)
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(EVERY_S)
    took.sort()
    return took[len(took) * 99 // 100]


async def measure(kind: str) -> Figures:
    """Return the latency of a command before a flood and during it, and how long turns were."""
    info = m.ReaderInfo(reader="mine", name="mine", state=m.ReaderState.READY, insertion=1)
    with server(tls="TLS" in kind) as running:
        context = running.context
        async with (
            link_of(running.card_port, m.ClientType.CARD, context, readers=(info,)) as card,
            link_of(running.user_port, m.ClientType.USER, context) as user,
            asyncio.TaskGroup() as tasks,
        ):
            answering = tasks.create_task(answer(card))
            user.send(m.SelectCard(id=1, reader="mine"))
            granted = await heard(user, m.SelectCardAck)
            assert isinstance(granted, m.SelectCardAck)
            session = granted.session or ""
            await feel(user, session, WARM_S)
            running.turns()
            before = await feel(user, session, FLOOD_S)
            in_peace, longest_in_peace = running.turns()
            flooding = await asyncio.create_subprocess_exec(
                sys.executable, __file__, "--flood", kind,
                str(running.user_port), str(running.card_port),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            assert flooding.stdout is not None
            await flooding.stdout.readline()
            running.turns()
            during = await feel(user, session, FLOOD_S - 1.0)
            turn, longest = running.turns()
            await flooding.wait()
            answering.cancel()
    return before, during, in_peace, turn, longest_in_peace, longest


def told(kind: str, rounds: Sequence[Figures]) -> str:
    """Return a line with the median of each figure, and of the ratio of each round."""
    before, during, in_peace, turn, longest_in_peace, longest = map(
        median, zip(*rounds, strict=True)
    )
    slower = median(figures[3] / figures[2] for figures in rounds)
    return (
        f"{kind:16} command {before:6.1f} ms, then {during:6.1f} ms; "
        f"turn {in_peace:5.2f} ms, then {turn:6.2f} ms (x {slower:.1f}); "
        f"longest {longest_in_peace:5.1f} ms, then {longest:6.1f} ms"
    )


def main() -> None:
    """Measure each flood, or be one."""
    kinds = [*FLOODS, "connections", "handshakes", "TLS handshakes"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=kinds)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--serve", nargs="*", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--flood", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_and_count(arguments.serve))
    elif arguments.flood:
        with contextlib.suppress(TimeoutError):
            kind, user_port, card_port = arguments.flood
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(flood(kind, int(user_port), int(card_port)))
    else:
        rounds: dict[str, list[Figures]] = {kind: [] for kind in arguments.kinds}
        for _ in range(arguments.rounds):
            for kind, figures in rounds.items():
                figures.append(asyncio.run(measure(kind)))
        for kind, figures in rounds.items():
            print(told(kind, figures))


if __name__ == "__main__":
    main()
