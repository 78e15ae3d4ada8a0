# SPDX-License-Identifier: Apache-2.0
"""Open pages beside card clients: how much CPU one more of each costs a server."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from tests.bench import programs
from tests.bench.book import Book, interleaved
from tests.bench.programs import Candidate, Host, Server
from tests.support.world import LIMIT_S, UICC, hosting, uicc, until
from wsrc.protocol.messages import CardState
from wsrc.user_client.aio import Client

PAGES, CARDS = (800,), (200,)
"""Pages, and card clients, that are there at a time beside one of each; and none beside these."""

FEW = (5, 20)
"""The same where there is little time."""

MANY_S, FEW_S = 40.0, 3.0
"""Seconds in which nothing happens."""

SESSIONS = 40
COMMANDS = 50
"""Commands of a session: as many as a tool asks that reads a handful of files."""

_ASK = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
_EVENT, _WHOLE, _COMMAND = b"event: reader\n", b'"more":false', bytes.fromhex("00a4000c023f00")


_SERVER = Candidate(
    "wsrc", "wsrc", lambda host, tls: programs.wsrc_server(host, tls, "--http-port", "0"), {}
)


class Took(NamedTuple):
    """CPU that a server took in seconds, and how many events it told each page."""

    idle_s: float
    work_s: float
    events: int


class Page:
    """The stream of events of a page that is open, which asks for nothing else."""

    def __init__(self) -> None:
        self.events = 0
        self.begun = False

    async def follow(self, port: int) -> None:
        """Read until the server ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(_ASK)
            kept = b""
            while octets := await reader.read(1 << 16):
                kept += octets
                self.events += kept.count(_EVENT)
                self.begun |= _WHOLE in kept
                kept = kept[kept.rfind(b"\n") + 1 :]
        finally:
            writer.close()


def pages(book: Book) -> None:
    """
    Add CPU by one more page and one more card client: `pages.*_us`.

    `idle` is of a second in which nothing happens. `session` is of one session with `COMMANDS`
    commands, which a page is told of by some events, and `event` of one of these.
    """
    full = book.effort.peers >= 5000
    idle_s = MANY_S if full else FEW_S
    by_pages = [(number, 0) for number in (0, *(PAGES if full else FEW))]
    by_cards = [(0, number) for number in (0, *(CARDS if full else FEW))]
    settings = [*by_pages, *by_cards[1:]]
    took: dict[tuple[int, int], list[Took]] = {each: [] for each in settings}
    for number, (there, cards) in interleaved(settings, book.effort.rounds):
        book.tell(f"round {number}: {there} pages, {cards} card clients")
        with programs.running(book.host, _SERVER, tls=True) as server:
            found = asyncio.run(_measured(book.host, server, there, cards, idle_s))
        took[there, cards].append(found)
    for at in range(book.effort.rounds):
        of = {each: found[at] for each, found in took.items()}
        page_us = _slope(by_pages, [of[each].idle_s for each in by_pages]) / idle_s * 1e6
        card_us = _slope(by_cards, [of[each].idle_s for each in by_cards]) / idle_s * 1e6
        event_us = _slope(by_pages, [of[each].work_s for each in by_pages]) * 1e6
        session_us = statistics.median(of[each].work_s for each in by_cards) / SESSIONS * 1e6
        book.add("pages.idle.page_us", page_us)
        book.add("pages.idle.card_client_us", card_us)
        book.add("pages.idle.ten_of_one", 10 * page_us / card_us)
        book.add("pages.event_us", event_us / of[0, 0].events)
        book.add("pages.events_of_session", of[0, 0].events / SESSIONS)
        book.add("pages.session.page_us", event_us / SESSIONS)
        book.add("pages.session.card_client_us", session_us)
        book.add("pages.session.ten_of_one", 10 * event_us / SESSIONS / session_us)


def _slope(settings: Sequence[tuple[int, int]], cpu_s: Sequence[float]) -> float:
    """Return how much each one more takes."""
    return statistics.linear_regression([sum(each) for each in settings], cpu_s).slope


async def _measured(host: Host, server: Server, there: int, cards: int, idle_s: float) -> Took:
    """Measure a server with pages or card clients, beside one of each that are always there."""
    async with AsyncExitStack() as stack:
        url = f"wss://localhost:{server.card_port}/card"
        for number in range(cards + 1):
            card = uicc(UICC if number == 0 else f"89882110000{number:07}0")
            given = (host.certificates, [card], f"bench-{number}")
            await stack.enter_async_context(hosting(url, *given, ping_s=10.0))
        user_url = f"wss://localhost:{server.user_port}/user"
        user = Client(user_url, ca=host.certificates.ca, name="bench", seal="off")
        await stack.enter_async_context(user)

        async def all_ready() -> bool:
            seen = await user.list_cards()
            return [each.state for each in seen] == [CardState.READY] * (cards + 1)

        await until(all_ready)
        watching = await stack.enter_async_context(_open(server, there + 1))
        first = watching[0]
        await until(lambda: all(page.begun for page in watching))
        await _session(user)
        await until(lambda: all(page.events == first.events > 0 for page in watching))
        cpu_s = server.cpu_s
        await asyncio.sleep(idle_s)
        idle_cpu_s = server.cpu_s - cpu_s
        before, cpu_s = first.events, server.cpu_s
        for _ in range(SESSIONS):
            await _session(user)
        await until(lambda: all(page.events == first.events for page in watching))
        return Took(idle_cpu_s, server.cpu_s - cpu_s, first.events - before)


async def _session(user: Client) -> None:
    """Do what a user of a card does: take it, send commands, give it back."""
    async with await user.select(iccid=UICC, wait_s=LIMIT_S) as card:
        for _ in range(COMMANDS):
            await card.transmit(_COMMAND)


@asynccontextmanager
async def _open(server: Server, count: int) -> AsyncIterator[list[Page]]:
    """Open pages, and follow their events."""
    port = int(server.program.wait_for(r"HTTP on \S+:(\d+)")[1])
    made = [Page() for _ in range(count)]
    async with asyncio.TaskGroup() as tasks:
        following = [tasks.create_task(page.follow(port)) for page in made]
        yield made
        for task in following:
            task.cancel()
