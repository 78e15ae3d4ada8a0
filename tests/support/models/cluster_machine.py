# SPDX-License-Identifier: Apache-2.0
"""Users, card hosts and nodes of a cluster do anything in any order; what must hold holds."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.cluster_world import Cluster, NodeWorld
from tests.support.models.cluster_peers import CardHost, Member, command_of
from wsrc.protocol import messages as m

NODES = ("a", "b", "c")
ICCIDS = ("8949020000012345678", "8949020000012345686", "8949020000012345678")
LIMITS = {
    "hello_s": 2.0,
    "attach_s": 3.0,
    "command_s": 5.0,
    "settle_s": 2.0,
    "wait_max_s": 30.0,
    "keep_s": 15.0,
}
PICK = st.integers(0, 7)
NODE = st.sampled_from(NODES)
ALL_S = 60.0
"""Longer than anything takes once nothing else happens."""


class ClusterMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.hosts: list[CardHost] = []
        self.members: list[Member] = []
        self.number = 0
        self.cluster = Cluster(*NODES, **LIMITS)
        self.cluster.after_step = self.listen
        self.cluster.pass_time(1)

    @initialize(
        nodes=st.tuples(NODE, NODE, NODE, NODE, NODE),
        keep_s=st.sampled_from([0.0, 10.0, 10.0]),
        same=st.booleans(),
    )
    def users_and_cards(self, nodes: tuple[str, ...], keep_s: float, same: bool) -> None:
        for name, iccid, node in zip(("h1", "h2", "h3"), ICCIDS, nodes, strict=False):
            self.hosts.append(CardHost(self.cluster, name, node, iccid))
        for name, node in zip(("u1", "u2"), nodes[3:], strict=True):
            self.members.append(Member(name, node, self.connection(name, node)))
        self.listen()
        for at in range(2):
            which = 0 if same else at
            self.user_selects(at=at, by="reader", which=which, wait_s=25.0, keep_s=keep_s)

    def connection(self, name: str, node: str):  # type: ignore[no-untyped-def]
        return self.cluster[node].user(name=name, instance=f"run of {name}")

    def listen(self) -> None:
        """Have card hosts and users take what came, until nothing comes any more."""
        for host in self.hosts:
            host.wait()
        busy = True
        while busy:
            busy = sum(host.listen() for host in self.hosts if self.is_awake(host.node)) > 0
            for member in self.members:
                if self.is_awake(member.node):
                    member.listen()

    def is_awake(self, node: str) -> bool:
        return node not in self.cluster.frozen

    def awake(self, at: int) -> str:
        """Return a node that is not frozen."""
        awake = [node for node in NODES if self.is_awake(node)]
        return awake[at % len(awake)]

    def member(self, at: int) -> Member | None:
        """Return a user whose node hears it."""
        there = [each for each in self.members if self.is_awake(each.node) and not each.peer.gone]
        return there[at % len(there)] if there else None

    # What users do

    @rule(
        at=PICK,
        by=st.sampled_from(["iccid", "iccid", "iccid", "any", "reader", "label"]),
        which=PICK,
        wait_s=st.sampled_from([0.0, 8.0, 25.0]),
        keep_s=st.sampled_from([0.0, 10.0, 10.0]),
    )
    def user_selects(self, at: int, by: str, which: int, wait_s: float, keep_s: float) -> None:
        member = self.member(at)
        if member is None or len(member.open) > 4:
            return
        host = self.hosts[which % len(self.hosts)]
        values = {
            "iccid": {"iccid": ICCIDS[which % len(ICCIDS)]},
            "any": {"pick": m.Pick.ANY},
            "reader": {"reader": f"reader-{host.name}"},
            "label": {"label": "none"},
        }
        self.number += 1
        select = m.SelectCard(
            id=member.peer.new_id(),
            wait_s=wait_s,
            secret=f"secret {self.number}",
            keep_s=keep_s,
            **values[by],  # type: ignore[arg-type]  # fields by name
        )
        member.ask(select)
        self.listen()

    @rule(at=PICK, which=PICK, what=st.sampled_from(["command", "command", "detach", "reset"]))
    def user_uses_a_card(self, at: int, which: int, what: str) -> None:
        member = self.member(at)
        live = [each for each in member.held.items() if each[1].live] if member is not None else []
        if member is None or not live:
            return
        session, holding = live[which % len(live)]
        if any(m.session_of(each) == session for each in member.open.values()):
            return
        self.number += 1
        holding.seq += 1
        seq = holding.seq if holding.keeps else None
        given = {"id": member.peer.new_id(), "session": session}
        if what == "detach":
            member.ask(m.Detach(**given))  # type: ignore[arg-type]  # fields by name
        elif what == "reset":
            member.ask(m.ResetReq(seq=seq, **given))  # type: ignore[arg-type]  # fields by name
        else:
            command = command_of(self.number)
            member.ask(m.CApdu(seq=seq, command=command, **given))  # type: ignore[arg-type]
        self.listen()

    @rule(at=PICK, which=PICK)
    def user_cancels(self, at: int, which: int) -> None:
        member = self.member(at)
        selects = (
            [each for each in member.open.values() if isinstance(each, m.SelectCard)]
            if member is not None
            else []
        )
        if member is None or not selects:
            return
        target = selects[which % len(selects)].id
        assert target is not None
        member.ask(m.Cancel(id=member.peer.new_id(), target=target))
        self.listen()

    @rule(at=PICK, which=PICK)
    def user_lists(self, at: int, which: int) -> None:
        member = self.member(at)
        if member is None:
            return
        kind = (m.ListCards, m.ListReaders)[which % 2]
        member.ask(kind(id=member.peer.new_id(), pages=8))
        self.listen()

    @rule(at=PICK)
    def user_watches(self, at: int) -> None:
        member = self.member(at)
        if member is not None and member.seen is None:
            member.watch()
            self.listen()

    @rule(at=PICK, to=PICK, goodbye=st.sampled_from([False, False, True]))
    def user_moves(self, at: int, to: int, goodbye: bool) -> None:
        member = self.members[at % len(self.members)]
        self.cluster[member.node].part(member.peer, goodbye=goodbye)
        node = self.awake(to)
        if goodbye:
            member.held.clear()
        member.connected(node, self.connection(member.name, node))
        self.listen()

    # What card hosts do

    @rule(at=PICK, to=PICK, goodbye=st.sampled_from([False, False, False, True]))
    def host_moves(self, at: int, to: int, goodbye: bool) -> None:
        host = self.hosts[at % len(self.hosts)]
        host.moves(self.awake(to), goodbye=goodbye)
        self.listen()

    @rule(at=PICK)
    def host_is_slow_or_not(self, at: int) -> None:
        host = self.hosts[at % len(self.hosts)]
        host.slow = not host.slow
        self.listen()

    @rule(
        at=PICK,
        what=st.sampled_from(["host", "user", "both", "freeze host", "freeze user", "kill", "cut"]),
        slow=st.booleans(),
        before_s=st.sampled_from([0.0, 0.5, 5.0]),
        to=PICK,
        after_s=st.sampled_from([0.0, 0.5, 5.0]),
    )
    def something_happens_within_a_command(
        self, at: int, what: str, slow: bool, before_s: float, to: int, after_s: float
    ) -> None:
        host = self.hosts[at % len(self.hosts)]
        member = next((each for each in self.members if host.holder in each.held), None)
        if member is None or not self.is_awake(member.node):
            self.user_selects(at=at, by="reader", which=at, wait_s=25.0, keep_s=10.0)
            member = self.member(at)
        if member is None:
            return
        host.slow = slow
        self.user_uses_a_card(at=self.members.index(member), which=0, what="command")
        if what.startswith("freeze") and len(self.cluster.frozen) < 2:
            self.cluster.frozen.add(host.node if what == "freeze host" else member.node)
        elif what == "kill":
            self.node_is_killed(node=host.node, to=to)
        elif what == "cut":
            self.node_is_cut_off_or_not(node=host.node)
        self.cluster.pass_time(before_s)
        if what in {"host", "both", "freeze host"}:
            self.host_moves(at=at, to=to, goodbye=False)
        if what in {"user", "both", "freeze user"}:
            self.user_moves(at=self.members.index(member), to=to + 1, goodbye=False)
        host.slow = False
        self.listen()
        self.cluster.pass_time(after_s)

    # What happens to nodes, and to what is between

    @precondition(lambda self: len(self.cluster.frozen) < 2)
    @rule(node=NODE)
    def node_freezes(self, node: str) -> None:
        self.cluster.frozen.add(node)

    @precondition(lambda self: self.cluster.frozen)
    @rule(hears_first=st.booleans())
    def node_thaws(self, hears_first: bool) -> None:
        self.cluster.thaw(min(self.cluster.frozen), hears_first=hears_first)
        self.listen()

    @rule(node=NODE, to=PICK)
    def node_is_killed(self, node: str, to: int) -> None:
        self.cluster.kill(node)
        for host in self.hosts:
            if host.node == node:
                host.moves(self.awake(to))
        for member in self.members:
            if member.node == node:
                there = self.awake(to + 1)
                member.connected(there, self.connection(member.name, there))
        self.listen()

    @rule(node=NODE)
    def node_is_cut_off_or_not(self, node: str) -> None:
        self.cluster.cut ^= {node}

    @rule(drop_each=st.sampled_from([0, 0, 2, 3, 7]), late_each=st.sampled_from([0, 0, 2, 5]))
    def carrier_is_as_it_is(self, drop_each: int, late_each: int) -> None:
        self.cluster.drop_each, self.cluster.late_each = drop_each, late_each

    @rule(seconds=st.sampled_from([0.05, 0.5, 1.0, 2.5, 5.0, 5.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.cluster.pass_time(seconds)

    # What must hold

    @invariant()
    def who_has_a_session_is_one(self) -> None:
        live = [name for each in self.members for name, h in each.held.items() if h.live]
        assert len(live) == len(set(live))

    def teardown(self) -> None:
        self.cluster.cut.clear()
        self.cluster.drop_each = self.cluster.late_each = 0
        for host in self.hosts:
            host.slow = False
        while self.cluster.frozen:
            self.cluster.thaw(min(self.cluster.frozen))
        self.listen()
        self.cluster.pass_time(ALL_S)
        for member in self.members:
            assert not member.open, f"{member.name} is not answered: {member.open}"
        for member in self.members:
            if member.seen is not None:
                there = sorted(host.name for host in self.hosts)
                assert sorted(each.host for each in member.seen.readers.values()) == there
        for node in self.cluster.nodes.values():
            assert all(node.relay.nodes.values()), node.relay.nodes
        for member in self.members:
            self.cluster[member.node].part(member.peer)
        self.cluster.pass_time(ALL_S)
        for host in self.hosts:
            assert host.holder is None, f"{host.name} has {host.holder}"
            host.leaves()
        self.cluster.pass_time(ALL_S)
        for name, node in self.cluster.nodes.items():
            assert leftovers(node) == {}, name


def leftovers(world: NodeWorld) -> dict[str, int]:
    """Return what a node still remembers, but for other nodes."""
    node = world.relay
    kept = {
        "asked": len(node._abroad._asked),
        "travellers": len(node._abroad._travellers),
        "lists": len(node._lists),
        "watches": len(node._watches),
        "questions": len(node._beyond.questions),
        "names that are followed": len(node._beyond.followed),
        "hosts": len(node._hosts),
        "accounts": len(node._accounts),
        "deadlines": len(node._beyond.clock),
    }
    left = world.leftovers() | {name: count for name, count in kept.items() if count}
    left.pop("nodes", None)
    return left
