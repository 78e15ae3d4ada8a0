# SPDX-License-Identifier: Apache-2.0
"""Two servers of a cluster beside one alone: what a command costs that goes between them."""

import asyncio
import contextlib
import functools
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from tests.bench import accounting, programs
from tests.bench.book import Book, interleaved
from tests.bench.driver import Driver, MissingError
from tests.bench.programs import BARE, Host, Server
from tests.bench.relay_machine_rows import Timed
from tests.support.cluster_world import Cluster
from tests.support.nats import Nats, nats_server, program
from tests.support.ports import free_port
from tests.support.relay_world import reader
from wsrc.cluster.names import Names
from wsrc.cluster.nats import NatsCarrier, Place
from wsrc.protocol import messages as m

WARM_S = 0.3
SESSIONS = (1, 100)
NODES = (3, 10, 30)
CARDS = (10, 10_000, 1_000_000)
ASKED = 200
STEP = 10_000
CARDS_ELSEWHERE = 2000
FIRST_CARD = 1000


class Pair(NamedTuple):
    """Where users connect and where cards do; `nats` carries what lies between, if anything."""

    users: Server
    cards: Server
    nats: Nats | None

    @property
    def cpu_s(self) -> float:
        servers = {self.users.pids[0]: self.users, self.cards.pids[0]: self.cards}
        return sum(server.cpu_s for server in servers.values())

    @property
    def carrier_cpu_s(self) -> float:
        return 0.0 if self.nats is None else accounting.cpu_s(self.nats.pid)


@contextlib.contextmanager
def one(host: Host) -> Iterator[Pair]:
    """Run one server alone."""
    with programs.running(host, programs.WSRC, tls=True) as server:
        yield Pair(server, server, None)


def _started(host: Host, tls: bool, *, given: Sequence[str], env: dict[str, str]) -> Server:
    return programs.wsrc_server(host, tls, *given, env=env)


@contextlib.contextmanager
def several(
    host: Host, names: str, *, straight: bool = False
) -> Iterator[tuple[Nats, list[Server]]]:
    """Run servers of a cluster, with a NATS between them or connections, once they know it."""
    with contextlib.ExitStack() as stack:
        carrier = stack.enter_context(nats_server(host.folder / "nats"))
        servers: list[Server] = []
        for name in names:
            given = ["--cluster-url", carrier.url, "--node-name", name]
            if straight:
                port = free_port()
                given += ["--user-port", str(port), "--node-url", f"wss://localhost:{port}"]
            env = {"SSL_CERT_FILE": str(host.certificates.ca)}
            wanted = programs.WSRC._replace(start=functools.partial(_started, given=given, env=env))
            servers.append(stack.enter_context(programs.running(host, wanted, tls=True)))
        way = "is reached without NATS" if straight else "of the cluster is there"
        for server, name in zip(servers, names, strict=True):
            for other in names.replace(name, ""):
                server.program.wait_for(f"Server {other} {way}")
        accounting.pin([carrier.pid], accounting.processors()[1])
        yield carrier, servers


@contextlib.contextmanager
def two(host: Host, *, straight: bool = False) -> Iterator[Pair]:
    """Run one server for users and one for cards."""
    with several(host, "ab", straight=straight) as (carrier, servers):
        yield Pair(servers[0], servers[1], carrier)


@contextlib.contextmanager
def driven(host: Host, pair: Pair, sessions: int) -> Iterator[Driver]:
    """Connect cards and users."""
    trust: dict[str, object] = {"ca": host.certificates.ca}
    with (
        Driver("cards", "wsrc", pair.cards.card_port, sessions, **trust) as cards,
        Driver("users", "wsrc", pair.users.user_port, sessions, **trust) as users,
    ):
        accounting.pin([cards.process.pid, users.process.pid], accounting.processors()[1])
        cards.ask("open")
        time.sleep(0.5)
        users.ask("open")
        yield users


KINDS = {"one": one, "nats": two, "direct": functools.partial(two, straight=True)}


def commands(book: Book) -> None:
    """Measure commands: `cluster.KIND.SESSIONS.cpu_us`, `.p50_us`, and what is added."""
    cells = [(kind, sessions) for kind in KINDS for sessions in SESSIONS]
    for number, (kind, sessions) in interleaved(cells, book.effort.rounds):
        book.tell(f"round {number + 1}: cluster, {kind}, {sessions}")
        with KINDS[kind](book.host) as pair, driven(book.host, pair, sessions) as users:
            users.ask(f"run {WARM_S} {sessions} 0")
            before, carried = pair.cpu_s, pair.carrier_cpu_s
            told = users.ask(f"run {book.effort.seconds} {sessions} 0")
            cost = (pair.cpu_s - before) / max(told["apdus"], 1) * 1e6
            carrying = (pair.carrier_cpu_s - carried) / max(told["apdus"], 1) * 1e6
        if pair.nats is not None:
            book.add(f"cluster.{kind}.{sessions}.carrier_cpu_us", carrying)
        book.add(f"cluster.{kind}.{sessions}.cpu_us", cost)
        book.add(f"cluster.{kind}.{sessions}.p50_us", told["p50_us"])
    for kind in ("nats", "direct"):
        alone, apart = (book.values[f"cluster.{each}.100.cpu_us"] for each in ("one", kind))
        for mine, theirs in zip(apart, alone, strict=True):
            book.add(f"cluster.{kind}.over_one.cpu", mine / theirs)
        alone, apart = (book.values[f"cluster.{each}.1.p50_us"] for each in ("one", kind))
        for mine, theirs in zip(apart, alone, strict=True):
            book.add(f"cluster.{kind}.added_p50_us", mine - theirs)


def selects(book: Book) -> None:
    """Measure what selecting a card of another server costs all servers, without a network."""
    for nodes in NODES:
        book.tell(f"cluster: select with {nodes} servers")
        names = [f"n{number}" for number in range(nodes)]
        cluster = Cluster(*names)
        cluster[names[-1]].card(reader())
        timed = [Timed(cluster[name], ("heard", "nobody")) for name in names]
        user = cluster[names[0]].user()
        took: list[float] = []
        for _ in range(ASKED):
            for each in timed:
                each.took_s = 0.0
            published = cluster.published
            session = user.hold(iccid=reader().iccid or "")
            sent = cluster.published - published
            took.append(sum(each.took_s for each in timed))
            user.ask(m.Detach(id=user.new_id(), session=session), m.DetachAck)
        book.add(f"cluster.select.{nodes}_nodes_us", statistics.median(took) * 1e6)
        book.add(f"cluster.select.{nodes}_nodes_messages", sent)
    few, many = (book.get(f"cluster.select.{n}_nodes_us") for n in (NODES[0], NODES[-1]))
    assert few is not None
    assert many is not None
    book.add("cluster.select.30_nodes_over_3", many / few)


class _Ears:
    """Hears for both servers whether the one that has cards was asked."""

    def __init__(self) -> None:
        self.there = 0
        self.found = False
        self.answered = asyncio.Event()

    def heard(self, subject: str, octets: bytes) -> None:
        del subject, octets
        self.found = True
        self.answered.set()

    def nobody(self, number: int) -> None:
        del number
        self.answered.set()

    def connection(self, *, is_there: bool) -> None:
        self.there += is_there
        if self.there == 2:
            self.answered.set()


async def _asking(url: str, book: Book) -> None:
    """Time a question for one card, where NATS has subscriptions for so many."""
    names, ears = {name: Names("bench", name) for name in "ab"}, _Ears()
    carriers = {
        name: NatsCarrier(Place([url]), name, f"wsrc.bench.nobody.{name}", ears) for name in names
    }
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(carrier.run()) for carrier in carriers.values()]
        try:
            await ears.answered.wait()
            await _asked(book, carriers, names, ears)
        finally:
            for task in running:
                task.cancel()


async def _asked(
    book: Book, carriers: dict[str, NatsCarrier], names: dict[str, Names], ears: _Ears
) -> None:
    made = 0
    for count in CARDS:
        book.tell(f"cluster: a question among {count} cards")
        for number in range(made, count):
            carriers["b"].subscribe(names["b"].has(("iccid", f"{number:018}")))
            if number % STEP == 0:
                await _one_question(carriers["a"], names["a"], ears, number)
        made = count
        for_each = [
            await _one_question(carriers["a"], names["a"], ears, count // 2) for _ in range(ASKED)
        ]
        book.add(f"cluster.question.{count}_cards_us", statistics.median(for_each) * 1e6)


async def _one_question(carrier: NatsCarrier, names: Names, ears: _Ears, number: int) -> float:
    """Ask for a card, again until NATS knows who has it; return how long the answer took."""
    ears.found = False
    while not ears.found:
        ears.answered.clear()
        begun = time.perf_counter()
        carrier.ask(names.has(("iccid", f"{number:018}")), b"", 1)
        await ears.answered.wait()
    return time.perf_counter() - begun


def questions(book: Book) -> None:
    """Measure a question for a card among many of all servers: `cluster.question.…`."""
    with nats_server(book.host.folder / "nats") as carrier:
        before = accounting.memory_octets(carrier.pid)
        asyncio.run(_asking(carrier.url, book))
        grown = accounting.memory_octets(carrier.pid) - before
    book.add("cluster.carrier_octets_a_card", grown / CARDS[-1])
    machines = book.get(f"cluster.select.{NODES[0]}_nodes_us") or 0.0
    few, many = (book.get(f"cluster.question.{n}_cards_us") or 0.0 for n in (CARDS[0], CARDS[-1]))
    whole = (machines + many) / (machines + few)
    book.add(f"cluster.select.{CARDS[-1]}_cards_over_{CARDS[0]}", whole)


def memory(book: Book) -> None:
    """Measure what a server keeps of a card of another: `cluster.memory_elsewhere_octets`."""
    with two(book.host) as pair:
        before = accounting.memory_octets(pair.users.pids[0])
        trust: dict[str, object] = {"ca": book.host.certificates.ca}
        with Driver("cards", "wsrc", pair.cards.card_port, CARDS_ELSEWHERE, **trust) as cards:
            cards.ask("open")
            time.sleep(2)
            grown = accounting.memory_octets(pair.users.pids[0]) - before
    book.add("cluster.memory_elsewhere_octets", grown / CARDS_ELSEWHERE)


def _bare(book: Book, peers: int) -> None:
    """Time handshakes of TLS with a relay that does nothing else."""
    trust = {"ca": book.host.certificates.ca, "parallel": peers}
    with (
        programs.running(book.host, BARE, tls=True) as server,
        Driver("cards", BARE.dialect, server.card_port, peers, **BARE.options, **trust) as cards,
    ):
        accounting.pin([cards.process.pid], accounting.processors()[1])
        cpu_s, begun = server.cpu_s, time.monotonic()
        cards.ask("open")
        book.add("cluster.moved.bare_s", time.monotonic() - begun)
        book.add("cluster.moved.bare_cpu_us", (server.cpu_s - cpu_s) / peers * 1e6)


def _moved(book: Book, peers: int) -> None:
    """Kill the server of all cards, have them come to another, and select one from a third."""
    trust: dict[str, object] = {"ca": book.host.certificates.ca}
    storm, last = {"first": FIRST_CARD, "parallel": peers} | trust, FIRST_CARD + peers - 1
    with (
        several(book.host, "abc") as (carrier, (dies, takes, asks)),
        Driver("cards", "wsrc", dies.card_port, peers, first=FIRST_CARD, **trust) as before,
        Driver("cards", "wsrc", takes.card_port, peers, **storm) as after,
        Driver("users", "wsrc", asks.user_port, 1, first=last, **trust) as user,
    ):
        drivers = [before.process.pid, after.process.pid, user.process.pid]
        accounting.pin(drivers, accounting.processors()[1])
        before.ask("open")
        dies.program.process.kill()
        dies.program.process.wait()
        cpu_s, carried_s = takes.cpu_s, accounting.cpu_s(carrier.pid)
        begun = time.monotonic()
        after.ask("open")
        user.ask("open")
        book.add("cluster.moved.s", time.monotonic() - begun)
        book.add("cluster.moved.cpu_us", (takes.cpu_s - cpu_s) / peers * 1e6)
        carried = (accounting.cpu_s(carrier.pid) - carried_s) / peers * 1e6
        book.add("cluster.moved.carrier_cpu_us", carried)


def moved(book: Book) -> None:
    """Measure how soon the cards of a server that was killed are found again: `cluster.moved.…`."""
    for number, kind in interleaved((_bare, _moved), book.effort.rounds):
        book.tell(f"round {number + 1}: cluster, {book.effort.peers} cards,{kind.__name__}")
        kind(book, book.effort.peers)
    bare, all_of_it = (book.values[f"cluster.moved.{name}"] for name in ("bare_s", "s"))
    for mine, theirs in zip(all_of_it, bare, strict=True):
        book.add("cluster.moved.over_bare", mine / theirs)


def cluster(book: Book) -> None:
    """Measure all of it."""
    try:
        program()
    except pytest.skip.Exception as exc:
        raise MissingError(str(exc)) from exc
    commands(book)
    selects(book)
    questions(book)
    memory(book)
    moved(book)
