# SPDX-License-Identifier: Apache-2.0
"""Nodes of a cluster in memory, each with its peers; a list carries what they say."""

import functools
from collections import Counter, deque
from collections.abc import Callable
from hashlib import sha256

from tests.support.relay_clients import Peer
from tests.support.relay_world import World
from wsrc.cluster import items
from wsrc.cluster.effects import Ask, Flush, Publish, Reach, Straight, Subscribe, Unsubscribe
from wsrc.cluster.greeting import RUN_DIGITS, Me
from wsrc.cluster.joined import Joined
from wsrc.cluster.names import Names
from wsrc.cluster.neighbour import Neighbour
from wsrc.cluster.node import Node
from wsrc.protocol.codec import decode
from wsrc.relay.effects import Carry, Close, Effect, Send

MAX_MISSED = 10_000
"""Messages that NATS keeps for a node that is frozen."""

MOST_STEPS = 20_000
"""Deadlines of nodes that may come within one `pass_time`; more, and one does not go on."""


class Cluster:
    """
    Nodes, and what carries messages between them.

    `cut` are the names of nodes that it does not reach, `frozen` those that do nothing. What is
    published under the topic `lost` comes to nobody. Each `drop_each`-th message is lost, and each
    `late_each`-th comes late, after others, unless that is 0. What is carried takes `slow_s`.
    `topics` counts what was published. Time is the same for all; `after_step` is called whenever it
    has passed.
    """

    def __init__(self, *names: str, **limits: float) -> None:
        self.nodes: dict[str, NodeWorld] = {}
        self.cut: set[str] = set()
        self.frozen: set[str] = set()
        self.lost = ""
        self.drop_each = self.late_each = 0
        self.published = 0
        self.topics: Counter[str] = Counter()
        self.slow_s = 0.0
        self._slow: deque[tuple[float, Callable[[], None]]] = deque()
        self.after_step: Callable[[], None] = lambda: None
        self._late: list[Callable[[], None]] = []
        self._todo: deque[Callable[[], None]] = deque()
        self._working = False
        for name in names:
            self.nodes[name] = NodeWorld(self, name, **limits)
        for node in self.nodes.values():
            node.begin()
        self.pass_time(0.1)

    def __getitem__(self, name: str) -> "NodeWorld":
        return self.nodes[name]

    @property
    def now(self) -> float:
        """The time."""
        return max(node.now for node in self.nodes.values())

    def pass_time(self, seconds: float) -> None:
        """Let time pass with all nodes, each deadline in its turn."""
        end = self.now + seconds
        for _ in range(MOST_STEPS):
            awake = [node for node in self.nodes.values() if node.name not in self.frozen]
            due = [when for node in awake if (when := node.relay.deadline()) is not None]
            due += [when for when, _ in list(self._slow)[:1]]
            now = max(self.now, min([end, *due]))
            for node in self.nodes.values():
                if node in awake:
                    node.pass_time(now - node.now)
                node.now = now
            late, self._late = self._late, []
            while self._slow and self._slow[0][0] <= now:
                self._todo.append(self._slow.popleft()[1])
            self._todo += late
            self.work()
            self.after_step()
            if now >= end:
                return
        raise AssertionError("a deadline does not go by")

    def thaw(self, name: str, *, hears_first: bool = False) -> None:
        """Have a node go on: it hears what was said meanwhile, and which peers are gone."""
        self.frozen.discard(name)
        self.nodes[name].thaw(hears_first=hears_first)

    def kill(self, name: str) -> None:
        """Have a node be killed, and started again."""
        self.frozen.discard(name)
        self.nodes[name].start()
        self.nodes[name].begin()

    def carry(self, by: "NodeWorld", what: object) -> None:
        """Do what a node asks of what carries its messages."""
        match what:
            case Subscribe(subject=subject):
                by.subjects.add(subject)
            case Unsubscribe(subject=subject):
                by.subjects.discard(subject)
            case Publish(subject=subject, octets=octets):
                self._publish(by, subject, octets)
            case Ask(subject=subject, octets=octets, number=number):
                if by.name in self.cut:
                    return
                if not self._publish(by, subject, octets):
                    self.later(lambda: by.nobody(number))
            case Flush():
                self.later(by.flush)
            case Reach() | Straight():
                pass
            case _:
                raise AssertionError(what)

    def _publish(self, by: "NodeWorld", subject: str, octets: bytes) -> int:
        """Carry a message; return how many subscribe its subject."""
        self.topics[subject.split(".")[2]] += 1
        if by.name in self.cut:
            return 0
        to = [n for n in self.nodes.values() if n is not by and n.hears(subject)]
        for node in [n for n in to if n.name not in self.cut and not self._drops(subject)]:
            run = node.runs
            self._brings(lambda node=node, run=run: node.heard(subject, octets, run))
        return len(to)

    def _brings(self, message: Callable[[], None]) -> None:
        if self.slow_s:
            self._slow.append((self.now + self.slow_s, message))
        else:
            self._queue().append(message)

    def _drops(self, subject: str) -> bool:
        self.published += 1
        by_chance = self.drop_each and self.published % self.drop_each == 0
        return bool(by_chance) or subject.split(".")[2] == self.lost

    def _queue(self) -> list[Callable[[], None]]:
        is_late = self.late_each and self.published % self.late_each == 0
        return self._late if is_late else self._todo

    def later(self, action: Callable[[], None]) -> None:
        """Do something when nothing else is done."""
        self._todo.append(action)

    def work(self) -> None:
        """Carry what waits to be carried."""
        if self._working:
            return
        self._working = True
        try:
            while self._todo:
                self._todo.popleft()()
        finally:
            self._working = False


class NodeWorld(World):
    """
    A node, and its peers.

    `missed` is what was published while it was frozen, `torn` its peers that are gone since, and
    whether they said goodbye. `features` are those of its next run.
    """

    def __init__(self, cluster: Cluster, name: str, **limits: float) -> None:
        self.cluster = cluster
        self.name = name
        self.subjects: set[str] = set()
        self.missed: list[tuple[str, bytes]] = []
        self.torn: dict[int, bool] = {}
        self.features = items.FEATURES
        super().__init__(**limits)

    def start(self) -> None:
        """Start a node that knows nothing; the peers of the one before are gone."""
        self.runs += 1
        self.subjects.clear()
        self.missed.clear()
        self.torn.clear()
        run = sha256(f"{self.name} {self.runs}".encode()).hexdigest()[:RUN_DIGITS]
        me = Me(
            name=self.name,
            cluster="test",
            run=run,
            features=self.features,
            credentials=lambda: None,
            new_nonce=self._new_nonce,
            epoch=lambda: 0.0,
        )
        names = Names("test", self.name)
        make = functools.partial(Neighbour, me)
        joined = Joined(names, run, make, host=f"{self.name}.example")
        self.relay: Node = Node(
            joined,
            self.limits,
            lambda: self.epoch_s,
            self._new_session,
            name=self.name,
            new_nonce=self._new_nonce,
            instance=f"run-{run}",
            open_to_operators=self.open_to_operators,
        )
        for peer in self.peers.values() if self.runs > 1 else ():
            peer.gone = True

    def begin(self) -> None:
        """Let the node join."""
        self.perform(self.relay.begin(self.now))
        self.perform(self.relay.carried(self.now, is_there=True))

    def serve(self) -> None:
        """Let others send clients to the node."""
        self.perform(self.relay.serve(self.now))

    def shut_down(self) -> None:
        """Have the node tell its peers that it ends."""
        self.perform(self.relay.shut_down(1.0, self.now))

    def hears(self, subject: str) -> bool:
        """Return whether the node subscribes a subject."""
        head, _, _ = subject.rpartition(".")
        return subject in self.subjects or f"{head}.*" in self.subjects

    def heard(self, subject: str, octets: bytes, run: int | None = None) -> None:
        """Tell the node, or a run of it, what is published."""
        if self.name in self.cluster.frozen:
            self.missed += [(subject, octets)] if len(self.missed) < MAX_MISSED else []
        elif run in {None, self.runs}:
            self.perform(self.relay.heard(subject, octets, self.now))

    def part(self, peer: Peer, *, goodbye: bool = False) -> None:
        """End the connection of a peer, which a frozen node notices later."""
        if self.name in self.cluster.frozen:
            peer.gone = True
            self.torn[peer.number] = goodbye
        elif not peer.gone:
            peer.leave(goodbye=goodbye)

    def thaw(self, *, hears_first: bool) -> None:
        """Go on."""
        ways = [self._hear_missed, self._notice_torn]
        for way in ways if hears_first else reversed(ways):
            way()

    def _hear_missed(self) -> None:
        missed, self.missed = self.missed, []
        for subject, octets in missed:
            self.heard(subject, octets)

    def _notice_torn(self) -> None:
        for number, goodbye in list(self.torn.items()):
            self.perform(self.relay.disconnected(number, self.now, goodbye=goodbye))
            del self.torn[number]

    def flush(self) -> None:
        """Have the node send what waits."""
        self.perform(self.relay.flush(self.now))

    def nobody(self, number: int) -> None:
        """Tell the node that nobody has what it asked for."""
        self.perform(self.relay.nobody(number, self.now))

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what the node decided."""
        rest: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Carry):
                super().perform(rest)
                rest = []
                self.cluster.carry(self, effect.what)
            elif isinstance(effect, Send | Close) and effect.peer in self.torn:
                continue
            elif isinstance(effect, Send) and effect.text is not None:
                rest.append(Send(effect.peer, decode(effect.text), effect.text))
            else:
                rest.append(effect)
        super().perform(rest)
        self.cluster.work()

    def _new_session(self) -> str:
        self.last_session += 1
        return f"session-{self.name}-{self.last_session}"
