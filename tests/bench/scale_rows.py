# SPDX-License-Identifier: Apache-2.0
"""Thousands of peers: what an idle one costs, and how long a session has to wait beside them."""

import time

from tests.bench import accounting, programs
from tests.bench.book import Book
from tests.bench.driver import Driver
from tests.bench.programs import BARE, WSRC, Server

PAUSE_US = 2000
SETTLE_S = 2.0


def scale(book: Book) -> None:
    """Measure a server with many idle cards, and again while all of them come back at once."""
    host, peers = book.host, book.effort.peers
    idle_s, storm_s = (30.0, 20.0) if peers >= 5000 else (5.0, 6.0)
    first = peers * 2 // 5
    trust = {"ca": host.certificates.ca}
    with programs.running(host, WSRC, tls=True) as server:
        before = accounting.memory_octets(server.pids[0])
        with (
            Driver("cards", "wsrc", server.card_port, first, first=1000, **trust) as cards,
            Driver("cards", "wsrc", server.card_port, peers - first, first=10_000, **trust) as more,
            programs.driven(host, WSRC, server, 1, tls=True) as (_, user),
        ):
            both = (cards.process.pid, more.process.pid)
            accounting.pin(both, accounting.processors()[1])
            for driver, there in ((cards, first), (more, peers)):
                book.tell(f"scale: {there} cards")
                driver.ask("open")
                time.sleep(SETTLE_S)
                memory = accounting.memory_octets(server.pids[0]) - before
                book.add(f"scale.memory_{there}_kib", memory / there / accounting.KIB)
            book.add("scale.memory_kib", memory / peers / accounting.KIB)
            book.add("scale.idle.cpu_percent", _idle(server, idle_s))
            book.tell("scale: a session beside them")
            told = user.ask(f"run {idle_s} 1 {PAUSE_US}")
            book.add("scale.idle.longest_ms", told["max_us"] / 1000)
            book.add("scale.idle.p99_us", told["p99_us"])
    _storm(book, peers, storm_s)


def _idle(server: Server, seconds: float) -> float:
    """Return how much of a processor a server takes that has nothing to do."""
    cpu_s, begun = server.cpu_s, time.monotonic()
    time.sleep(seconds)
    return (server.cpu_s - cpu_s) / (time.monotonic() - begun) * 100


def _storm(book: Book, peers: int, seconds: float) -> None:
    """Let all cards come at once, to our server and to a bare relay."""
    took: dict[str, float] = {}
    for candidate in (BARE, WSRC):
        book.tell(f"scale: {peers} cards at once, {candidate.name}")
        host = book.host
        options = candidate.options | {"ca": host.certificates.ca, "parallel": peers}
        with (
            programs.running(host, candidate, tls=True) as server,
            programs.driven(host, candidate, server, 1, tls=True) as (_, user),
            Driver(
                "cards", candidate.dialect, server.card_port, peers, first=1000, **options
            ) as cards,
        ):
            accounting.pin([cards.process.pid], accounting.processors()[1])
            user.order(f"run {seconds} 1 {PAUSE_US}")
            cpu_s = server.cpu_s
            took[candidate.name] = cards.ask("open")["seconds"]
            book.add(f"scale.storm.{candidate.name}.s", took[candidate.name])
            book.add(f"scale.storm.{candidate.name}.cpu_us", (server.cpu_s - cpu_s) / peers * 1e6)
            if candidate is WSRC:
                book.add("scale.storm.longest_ms", user.answer()["max_us"] / 1000)
    book.add("scale.storm.of_bare", took["b"] / took["wsrc"])
