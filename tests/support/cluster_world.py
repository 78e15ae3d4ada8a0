# SPDX-License-Identifier: Apache-2.0
"""Nodes of a cluster in memory, each with its peers; a list carries what they say."""

from collections.abc import Callable
from hashlib import sha256

from tests.support.relay_world import World
from wsrc.cluster.effects import Ask, Flush, Publish, Reach, Straight, Subscribe, Unsubscribe
from wsrc.cluster.greeting import RUN_DIGITS, Me
from wsrc.cluster.names import Names
from wsrc.cluster.neighbour import Neighbour
from wsrc.cluster.node import Joined, Node
from wsrc.protocol.codec import decode
from wsrc.relay.effects import Carry, Effect, Send


class Cluster:
    """
    Nodes, and what carries messages between them.

    `cut` are the names of nodes that it does not reach, `frozen` those that do nothing. What is
    published under the topic `lost` comes to nobody. Time is the same for all.
    """

    def __init__(self, *names: str, **limits: float) -> None:
        self.nodes: dict[str, NodeWorld] = {}
        self.cut: set[str] = set()
        self.frozen: set[str] = set()
        self.lost = ""
        self.published = 0
        self._todo: list[Callable[[], None]] = []
        self._working = False
        for name in names:
            self.nodes[name] = NodeWorld(self, name, **limits)
        for node in self.nodes.values():
            node.begin()
        self.pass_time(0.1)

    def __getitem__(self, name: str) -> "NodeWorld":
        return self.nodes[name]

    def pass_time(self, seconds: float) -> None:
        """Let time pass with all nodes, in steps that each sees."""
        step = 0.05
        for _ in range(max(1, round(seconds / step))):
            for node in self.nodes.values():
                if node.name in self.frozen:
                    node.now += step
                else:
                    node.pass_time(step)
            self.work()

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
        self.published += 1
        if by.name in self.cut or subject.split(".")[2] == self.lost:
            return 0
        to = [n for n in self.nodes.values() if n is not by and n.hears(subject)]
        for node in to:
            if node.name not in self.cut:
                self.later(lambda node=node: node.heard(subject, octets))
        return len(to)

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
                self._todo.pop(0)()
        finally:
            self._working = False


class NodeWorld(World):
    """A node, and its peers."""

    def __init__(self, cluster: Cluster, name: str, **limits: float) -> None:
        self.cluster = cluster
        self.name = name
        self.subjects: set[str] = set()
        super().__init__(**limits)

    def start(self) -> None:
        """Start a node that knows nothing; the peers of the one before are gone."""
        self.runs += 1
        self.subjects.clear()
        run = sha256(f"{self.name} {self.runs}".encode()).hexdigest()[:RUN_DIGITS]
        me = Me(
            name=self.name,
            cluster="test",
            run=run,
            features=frozenset(),
            credentials=lambda: None,
            new_nonce=self._new_nonce,
            epoch=lambda: 0.0,
        )
        names = Names("test", self.name)
        joined = Joined(names, run, lambda name, now: Neighbour(me, name, now))
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

    def hears(self, subject: str) -> bool:
        """Return whether the node subscribes a subject."""
        head, _, _ = subject.rpartition(".")
        return subject in self.subjects or f"{head}.*" in self.subjects

    def heard(self, subject: str, octets: bytes) -> None:
        """Tell the node what is published."""
        if self.name in self.cluster.frozen:
            return
        self.perform(self.relay.heard(subject, octets, self.now))

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
            elif isinstance(effect, Send) and effect.text is not None:
                rest.append(Send(effect.peer, decode(effect.text), effect.text))
            else:
                rest.append(effect)
        super().perform(rest)
        self.cluster.work()

    def _new_session(self) -> str:
        self.last_session += 1
        return f"session-{self.name}-{self.last_session}"
