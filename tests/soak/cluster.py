# SPDX-License-Identifier: Apache-2.0
"""
A cluster under all that can break it: nodes, servers of NATS, and every link between.

Users add to the counters of their cards, as in the other runs, by way of any node; the cards are
with any node. No command is lost or run twice, and no card is given to anybody with what was
verified before.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

import msgspec

from tests.soak.balancer import Balancer
from tests.soak.cutting import CuttingProxy, Leg, listening_in_a_thread
from tests.soak.herd import Fate, Herd
from tests.soak.ledger import Outcome
from tests.soak.sizes import sizes_of
from tests.soak.stand import standing
from tests.support.certificates import Certificates
from tests.support.nats import Nats, nats_cluster

USER_SPAN_OCTETS, CARD_SPAN_OCTETS, NATS_SPAN_OCTETS = 60_000, 60_000, 400_000
"""Longest life of a connection after its greeting, in octets of one way."""

SILENCE = 0.1
"""Share of the links to NATS that fall silent, instead of being cut."""


class ClusterSizes(msgspec.Struct, frozen=True, kw_only=True):
    """
    How large a cluster is, and what happens to it; each field is set as `WSRC_CLUSTER_` and its
    name.

    `seed` and `logs` are as in `runs.Sizes`, and set as those; `seal` is what programs have.
    """

    seed: str
    logs: str = ""
    seal: str = "preferred"
    nodes: int = 3
    nats: int = 3
    hosts: int = 20
    users: int = 20
    commands: int = 10_000
    kills: int = 40
    freezes: int = 40
    ends: int = 30
    nats_kills: int = 15
    nats_ends: int = 15
    keep_s: float = 60.0

    @classmethod
    def given(cls, **otherwise: float | str) -> Self:
        """Take what the environment has, then `otherwise`, then the full sizes."""
        return sizes_of(cls, "WSRC_CLUSTER", otherwise)


class Figures(NamedTuple):
    """What came of a run; the fields are the columns of the table."""

    commands: int
    killed: int
    frozen: int
    ended: int
    nats: int
    cuts: int
    resumed: int
    answered: int
    lost: int
    errors: int
    longest_s: str
    left: int
    leases: int
    dirty: int
    misreported: int
    run_twice: int


class _Links(NamedTuple):
    users: Balancer
    cards: Balancer
    nats: list[list[CuttingProxy]]

    @property
    def all(self) -> list[CuttingProxy]:
        return [self.users, self.cards, *(each for links in self.nats for each in links)]

    @property
    def urls(self) -> list[list[str]]:
        return [[f"nats://localhost:{link.port}" for link in links] for links in self.nats]


def cluster(sizes: ClusterSizes, certificates: Certificates) -> Figures:
    """
    Run a cluster.

    Raises:
        SoakError: If something was that must not be.
    """
    draw = random.Random(f"{sizes.seed}/cluster")
    given = certificates, "cluster", sizes.seed, sizes.users, sizes.logs, sizes.seal
    with standing(*given, kind=Herd) as herd:
        herd.lossless = True
        with (
            nats_cluster(herd.folder / "nats", sizes.nats) as servers,
            _links(herd, servers, sizes) as links,
        ):
            herd.begin("abcdefgh"[: sizes.nodes], links.urls, links.users, links.cards)
            herd.hosts(sizes.hosts, links.cards.port)
            herd.users(links.users.port, f"--keep-s={sizes.keep_s}")
            herd.until_all_go_on()
            _break(herd, servers, sizes, draw)
            herd.all_serve()
            herd.go_on(max(1, sizes.commands - herd.told))
            for link in links.all:
                link.calm = True
            herd.finish()
            return _figures(herd, sizes, sum(link.cuts for link in links.all))


def _break(herd: Herd, servers: list[Nats], sizes: ClusterSizes, draw: random.Random) -> None:
    """Have happen what is to happen, in an order that is drawn, a few commands between."""
    what: list[Fate | str] = [Fate.KILLED] * sizes.kills + [Fate.FROZEN] * sizes.freezes
    what += [Fate.ENDED] * sizes.ends + ["kill"] * sizes.nats_kills + ["stop"] * sizes.nats_ends
    draw.shuffle(what)
    between = max(2, 2 * sizes.commands // max(1, len(what)))
    for each in what:
        herd.go_on(draw.randint(1, between))
        if isinstance(each, Fate):
            herd.befalls(each, draw)
            continue
        server = draw.choice(servers)
        herd.trace.note(f"{server.name} is to {each}, and to start")
        (server.kill if each == "kill" else server.stop)()
        if len(servers) > 1:
            herd.go_on(draw.randint(1, between))
        server.start()


@contextmanager
def _links(herd: Herd, servers: list[Nats], sizes: ClusterSizes) -> Iterator[_Links]:
    """Have links to all that can be reached, which break."""
    note = herd.trace.note
    users = Balancer(Leg("user", sizes.seed, USER_SPAN_OCTETS), note)
    cards = Balancer(Leg("card", sizes.seed, CARD_SPAN_OCTETS), note)
    nats = [
        [
            CuttingProxy(server.port, _nats_leg(f"node {node}, {server.name}", sizes), note)
            for server in servers
        ]
        for node in range(sizes.nodes)
    ]
    links = _Links(users, cards, nats)
    with listening_in_a_thread(links.all):
        yield links


def _nats_leg(name: str, sizes: ClusterSizes) -> Leg:
    return Leg(name, sizes.seed, NATS_SPAN_OCTETS, SILENCE)


def _figures(herd: Herd, sizes: ClusterSizes, cuts: int) -> Figures:
    counts = Counter(herd.counts)
    return Figures(
        commands=herd.told,
        killed=herd.fates[Fate.KILLED],
        frozen=herd.fates[Fate.FROZEN],
        ended=herd.fates[Fate.ENDED],
        nats=sizes.nats_kills + sizes.nats_ends,
        cuts=cuts,
        resumed=herd.resumed,
        answered=herd.outcome(Outcome.ANSWERED),
        lost=herd.told - herd.outcome(Outcome.ANSWERED),
        errors=counts["errors"],
        longest_s=f"{herd.longest_s:.1f}",
        left=counts["left"],
        leases=counts["leases"],
        dirty=counts["PIN kept"],
        misreported=counts["misreported"],
        run_twice=counts["run twice"],
    )
