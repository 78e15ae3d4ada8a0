# SPDX-License-Identifier: Apache-2.0
"""Relayed commands: what one costs the server, alone and beside another server at the same time."""

import contextlib
import itertools

from tests.bench import programs
from tests.bench.book import Book, interleaved
from tests.bench.driver import Driver
from tests.bench.profile import profiled
from tests.bench.programs import BARE, FIRST, NGINX, WSRC, Candidate, Server

WARM_S = 0.3
PAIR_SESSIONS = 100
MODES = {True: "tls", False: "plain"}


def _timed(server: Server, users: Driver, seconds: float, sessions: int) -> dict[str, float]:
    before = server.cpu_s
    told: dict[str, float] = users.ask(f"run {seconds} {sessions} 0")
    told["cpu_us"] = (server.cpu_s - before) / max(told["apdus"], 1) * 1e6
    return told


def alone(book: Book) -> None:
    """Measure each server by itself: `relay.MODE.SESSIONS.NAME`."""
    found = programs.candidates()
    if NGINX not in found:
        book.note("nginx with its stream module is not installed; its rows are left out")
    if book.effort.rounds == 1:
        found.remove(programs.PLAIN)
    cells = list(itertools.product(MODES, book.effort.sessions, found))
    for number, (tls, sessions, candidate) in interleaved(cells, book.effort.rounds):
        name = f"relay.{MODES[tls]}.{sessions}.{candidate.name}"
        book.tell(f"round {number + 1}: {name}")
        with (
            programs.running(book.host, candidate, tls=tls) as server,
            programs.driven(book.host, candidate, server, sessions, tls=tls) as (_, users),
        ):
            users.ask(f"run {WARM_S} {sessions} 0")
            profiles = book.host.profile and candidate.name == "wsrc"
            with profiled(server.pids[0], f"{name}.txt", wanted=profiles):
                told = _timed(server, users, book.effort.seconds, sessions)
        book.add(f"{name}.cpu_us", told["cpu_us"])
        book.add(f"{name}.apdus_per_s", told["apdus"] / told["seconds"])
        book.add(f"{name}.p50_us", told["p50_us"])
        book.add(f"{name}.p99_us", told["p99_us"])
    for tls, sessions in itertools.product(MODES, book.effort.sessions):
        for base in (FIRST, BARE):
            _compare(book, f"relay.{MODES[tls]}.{sessions}", base.name)


def _compare(book: Book, cell: str, base: str) -> None:
    """Note our throughput in terms of another's, round by round."""
    ours, others = (book.values[f"{cell}.{name}.apdus_per_s"] for name in ("wsrc", base))
    for mine, theirs in zip(ours, others, strict=True):
        book.add(f"{cell}.wsrc_over_{base}.apdus", mine / theirs)


def pairs(book: Book) -> None:
    """Measure two servers at the same time on one processor: `pair.MODE.FIRST_SECOND.cpu`."""
    found = [each for each in (FIRST, BARE, NGINX) if each in programs.candidates()]
    rivals: list[tuple[Candidate, Candidate]] = [(WSRC, each) for each in found]
    rivals.append((BARE, BARE))
    cells = list(itertools.product(MODES, rivals))
    for number, (tls, (one, other)) in interleaved(cells, book.effort.pairs):
        name = f"pair.{MODES[tls]}.{one.name}_{other.name}"
        book.tell(f"round {number + 1}: {name}")
        ratio = _pair(book, one, other, tls=tls)
        book.add(f"{name}.cpu", ratio)
    for mode in MODES.values():
        middle = book.get(f"pair.{mode}.b_b.cpu")
        if middle is not None:
            book.add(f"pair.{mode}.b_b.cpu.error", abs(middle - 1))


def _pair(book: Book, one: Candidate, other: Candidate, *, tls: bool) -> float:
    """Return how much CPU a command costs one server, in terms of the other."""
    with contextlib.ExitStack() as stack:
        servers: list[Server] = []
        drivers: list[Driver] = []
        for each in (one, other):
            server = stack.enter_context(programs.running(book.host, each, tls=tls))
            driven = programs.driven(book.host, each, server, PAIR_SESSIONS, tls=tls)
            drivers.append(stack.enter_context(driven)[1])
            servers.append(server)
        costs: list[float] = []
        for seconds in (WARM_S, book.effort.seconds):
            before = [server.cpu_s for server in servers]
            for users in drivers:
                users.order(f"run {seconds} {PAIR_SESSIONS} 0")
            told = [users.answer() for users in drivers]
            costs = [
                (server.cpu_s - spent) / max(each["apdus"], 1)
                for server, spent, each in zip(servers, before, told, strict=True)
            ]
    return costs[0] / costs[1]
