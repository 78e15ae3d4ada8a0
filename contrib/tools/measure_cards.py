# SPDX-License-Identifier: Apache-2.0
"""
Measure what a card costs a server: memory while idle, and the CPU time of selecting one.

Two servers run side by side, one with few cards and one with many; each card has a connection of
its own over TLS. Rounds of selecting alternate between them, and the ratio is what counts.
"""

import argparse
import asyncio
import contextlib
import os
import re
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from wsrc.certs.folder import Folder, Issued
from wsrc.certs.making import Kind
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.net.websocket import Link
from wsrc.octets import Octets
from wsrc.protocol import messages as m

ROUNDS, SELECTS = 5, 1000
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Server:
    """A server process and its ports."""

    def __init__(self, made: Issued) -> None:
        files = ("--tls-cert", str(made.path), "--tls-key", str(made.key))
        code = "import sys; from wsrc.server.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", code, *files, "--user-port", "0", "--card-port", "0"]
        self.process = subprocess.Popen(
            [*command, "--log-level", "info"], stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        ready = re.search(r":(\d+)/user\D+:(\d+)/card", self.process.stderr.readline())
        assert ready is not None
        self.user_port, self.card_port = int(ready[1]), int(ready[2])
        self._drain = threading.Thread(target=self.process.stderr.read, daemon=True)
        self._drain.start()

    @property
    def cpu_s(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    @property
    def memory_octets(self) -> int:
        """Resident memory now."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def card(
    number: int, server: Server, context: ssl.SSLContext, ready: asyncio.Semaphore
) -> None:
    """Be a card client with one card, whose every session succeeds."""
    info = m.ReaderInfo(
        reader=f"reader-{number}",
        name=f"Reader {number}",
        state=m.ReaderState.READY,
        insertion=1,
        atr=Octets(b"\x3b\x00"),
        iccid=f"8988211{number:012d}",
    )
    hello = m.Hello(client_type=m.ClientType.CARD, version=m.VERSION, name="host", readers=(info,))
    async with link_to(server.card_port, context) as link:
        link.send(hello)
        await link.receive()
        ready.release()
        while True:
            message, _ = await link.receive()
            match message:
                case m.Attach(session=session):
                    link.send(m.AttachAck(session=session, atr=Octets(b"\x3b\x00")))
                case m.Detach(session=session):
                    link.send(m.DetachAck(session=session))
                case _:
                    pass


@contextlib.asynccontextmanager
async def link_to(port: int, context: ssl.SSLContext) -> AsyncGenerator[Link]:
    """Connect, with pings so rare that they cost nothing."""
    async with dial(f"wss://localhost:{port}", context, connect_s=60, ping_s=600) as link:
        yield link


async def select(link: Link, count: int, total: int) -> None:
    """Select and give back `count` cards, spread over all that there are."""
    for i in range(count):
        number = i * 7919 % total
        link.send(m.SelectCard(id=2 * i, iccid=f"8988211{number:012d}"))
        session = None
        while session is None:
            answer, _ = await link.receive()
            session = answer.session if isinstance(answer, m.SelectCardAck) else None
        link.send(m.Detach(id=2 * i + 1, session=session))
        while not isinstance(answer, m.DetachAck):
            answer, _ = await link.receive()


async def measure(counts: tuple[int, int]) -> None:
    """Print memory per card, and the CPU time of a select with few and many cards."""
    with tempfile.TemporaryDirectory() as folder:
        store = Folder(Path(folder))
        store.init()
        made = store.issue(Kind.SERVER, ["localhost"])
        context = client_context(store.ca)
        servers = [Server(made) for _ in counts]
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [
                    await connect(tasks, server, context, count)
                    for server, count in zip(servers, counts, strict=True)
                ]
                await report(servers, counts, context)
                for task in [task for some in running for task in some]:
                    task.cancel()
        finally:
            for server in servers:
                server.process.terminate()
                server.process.wait()


async def connect(
    tasks: asyncio.TaskGroup, server: Server, context: ssl.SSLContext, count: int
) -> "list[asyncio.Task[None]]":
    """Connect so many cards, a hundred at a time."""
    ready = asyncio.Semaphore(0)
    running: list[asyncio.Task[None]] = []
    before = server.memory_octets
    for start in range(0, count, 100):
        some = range(start, min(start + 100, count))
        running += [tasks.create_task(card(number, server, context, ready)) for number in some]
        for _ in some:
            await ready.acquire()
    grown = (server.memory_octets - before) / count / 1024
    print(f"{count} cards: {grown:.0f} KiB of memory for each idle card, TLS connection included")
    return running


async def report(servers: list[Server], counts: tuple[int, int], context: ssl.SSLContext) -> None:
    """Alternate rounds between the servers and print the ratio."""
    spent: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for at, (server, count) in enumerate(zip(servers, counts, strict=True)):
            async with link_to(server.user_port, context) as link:
                link.send(m.Hello(client_type=m.ClientType.USER, version=m.VERSION))
                await link.receive()
                before = server.cpu_s
                await select(link, SELECTS, count)
                spent[at].append((server.cpu_s - before) / SELECTS * 1e6)
    few, many = (statistics.median(each) for each in spent)
    print(
        f"select and detach: {few:.0f} us of CPU with {counts[0]} cards, {many:.0f} us with "
        f"{counts[1]}; ratio {many / few:.2f} (median of {ROUNDS} interleaved rounds)"
    )


def main() -> None:
    """Read the numbers of cards and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=10)
    parser.add_argument("--many", type=int, default=1000)
    given = parser.parse_args()
    asyncio.run(measure((given.few, given.many)))


if __name__ == "__main__":
    main()
