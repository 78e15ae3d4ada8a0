# SPDX-License-Identifier: Apache-2.0
"""The nodes of a cluster as programs, which are killed, frozen, ended, and there again."""

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from tests.soak.balancer import Balancer
from tests.soak.stand import PING_S, Stand
from tests.support.pki import Pki
from tests.support.processes import Program, ports_of
from wsrc.certs.making import Kind

GIVEN = ("--ping-s", f"{PING_S}", "--drain-s", "5", "--reconnect-in-s", "0.1", "--no-http")
"""How a node is started, beside what tells it from the others."""

READY = "Ready: users on"

START_S = 300.0
"""How long card hosts may take, which start all at once."""


class Fate(StrEnum):
    """What happens to a node."""

    KILLED = "killed"
    FROZEN = "frozen"
    ENDED = "ended"


class Node:
    """
    One server of a cluster: a program after the other, at the same ports.

    Args:
        stand: Where programs are started.
        name: Of the node.
        urls: Where it finds NATS.
        pki: Has a certificate for it.
        host: Where it listens, which others send its clients to; empty is loopback, and nobody.
        ports: Where it listens for users and card hosts; 0 is any.
    """

    def __init__(
        self,
        stand: Stand,
        name: str,
        urls: list[str],
        pki: Pki,
        host: str = "",
        ports: tuple[int, int] = (0, 0),
    ) -> None:
        self.name = name
        self.host = host
        self.user_port, self.card_port = ports
        self._stand = stand
        self._urls = urls
        self._ca = pki.folder.ca
        self._pair = pki.client(name, Kind.NODE)
        self._program: Program | None = None
        self._thaws_at: float | None = None

    @property
    def program(self) -> Program:
        """The program that runs."""
        assert self._program is not None
        return self._program

    @property
    def serves(self) -> bool:
        """Whether it is ready, and not frozen."""
        return self._thaws_at is None and any(READY in line for line in self.program.lines)

    def start(self) -> None:
        """Start it; it is ready later."""
        urls = [each for url in self._urls for each in ("--cluster-url", url)]
        state = self._stand.folder / f"node-{self.name}"
        own = ("--node-name", self.name, "--state-dir", str(state), *urls)
        files = {"ca": self._ca, "cert": self._pair.cert, "key": self._pair.key}
        own += tuple(f"--cluster-{name}={path}" for name, path in files.items())
        own += (f"--host={self.host}", f"--public-host={self.host}") if self.host else ()
        self._stand.trace.note(f"node {self.name} starts")
        self._program = self._stand.programs.server_that_starts(
            self.user_port, self.card_port, *GIVEN, *own
        )
        self._stand.keep("server", self._program)

    def know_ports(self) -> None:
        """Wait until it is ready, and keep its ports from now on."""
        self.user_port, self.card_port = ports_of(self.program)

    def suffer(self, fate: Fate, seconds: float) -> None:
        """End it and start it again, or freeze it for so long."""
        if fate is Fate.FROZEN:
            self._stand.trace.note(f"node {self.name} is frozen for {seconds:.1f} s")
            self.program.process.send_signal(signal.SIGSTOP)
            self._thaws_at = time.monotonic() + seconds
            return
        number = signal.SIGKILL if fate is Fate.KILLED else signal.SIGTERM
        status = self._stand.end(f"node {self.name}", self.program, number)
        if fate is Fate.ENDED and status:
            self._stand.fail(f"node {self.name} ended with {status}")
        self.start()

    def thaw(self, now: float) -> None:
        """Have it go on if its time has come."""
        if self._thaws_at is not None and now >= self._thaws_at:
            self._thaws_at = None
            self._stand.trace.note(f"node {self.name} thaws")
            self.program.process.send_signal(signal.SIGCONT)


class Herd(Stand):
    """Nodes, and card hosts and users that reach any of them by one name."""

    nodes: list[Node]
    fates: Counter[Fate]

    def begin(
        self,
        names: str,
        urls: list[list[str]],
        users: Balancer,
        cards: Balancer,
        hosts: Sequence[str] = (),
    ) -> None:
        """
        Start a node of each name, of one letter, which finds NATS at its URLs.

        Where they have hosts, they listen at the ports of the balancers, so that clients can be
        sent from one to the other.
        """
        self.fates = Counter()
        pki = Pki(self.folder / "nodes")
        ports = (users.port, cards.port) if hosts else (0, 0)
        self.nodes = [
            Node(self, name, url, pki, host, ports)
            for name, url, host in zip(names, urls, hosts or [""] * len(names), strict=True)
        ]
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.know_ports()
        users.places = [(node.host or "localhost", node.user_port) for node in self.nodes]
        cards.places = [(node.host or "localhost", node.card_port) for node in self.nodes]

    def hosts(self, count: int, port: int) -> None:
        """Start card hosts, which share the cards of the users between them."""
        url = f"wss://localhost:{port}/card"
        started: list[Program] = []
        for number in range(count):
            state = {"STATE_DIRECTORY": str(self.folder / f"host-{number}")}
            own = ("--server-url", url, "--name", f"host-{number:02}")
            cards = self.simulated(self.iccids[number::count])
            started.append(self.card_client(*own, *cards, env=state))
        for number, host in enumerate(started):
            host.wait_for("has card", len(self.iccids[number::count]), START_S)

    def rolled(self, commands: int) -> None:
        """End each node in its turn and start it again, so many commands after the one before."""
        for node in self.nodes:
            self.go_on(commands)
            self.fates[Fate.ENDED] += 1
            node.suffer(Fate.ENDED, 0.0)
            self.all_serve()

    @property
    def attempts(self) -> tuple[int, int]:
        """How often card hosts have connected, and how often they tried to and could not."""
        lines = [line for program in self._all["card client"] for line in program.lines]
        connected = sum("Connected to " in line and " at wss" in line for line in lines)
        ended = sum("(1012)" in line for line in lines)
        return connected, sum("Not connected to wss" in line for line in lines) - ended

    def befalls(self, fate: Fate, draw: random.Random) -> None:
        """Have something happen to a node, once two of them serve."""
        self.until(lambda: sum(node.serves for node in self._thawed()) >= 2, "two nodes that serve")
        node = draw.choice([node for node in self.nodes if node.serves])
        self.fates[fate] += 1
        node.suffer(fate, draw.choice((draw.uniform(0.2, 3.0), draw.uniform(3.0, 9.0))))

    def go_on(self, commands: int) -> None:
        """Listen until users are told the outcome of so many commands, while nodes thaw."""
        mark = self.told + commands
        self.until(lambda: bool(self._thawed()) and self.told >= mark, f"{commands} more outcomes")

    def all_serve(self) -> None:
        """Listen until every node serves."""
        self.until(lambda: all(node.serves for node in self._thawed()), "every node")

    def _thawed(self) -> list[Node]:
        now = time.monotonic()
        for node in self.nodes:
            node.thaw(now)
        return self.nodes

    def _check(self, what: str) -> None:
        super()._check(what)
        for node in self.nodes:
            if node.program.process.poll() is not None:
                self.fail(f"node {node.name} has ended by itself, waiting for {what}")
