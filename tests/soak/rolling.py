# SPDX-License-Identifier: Apache-2.0
"""
Three nodes of a cluster that are ended and started again, one after the other, under load.

Nobody who uses a card sees anything but a delay: no error, no command that is lost.
"""

from typing import NamedTuple, Self

import msgspec

from tests.soak.balancer import Balancer
from tests.soak.cutting import Leg, listening_in_a_thread
from tests.soak.herd import Fate, Herd
from tests.soak.ledger import Outcome
from tests.soak.sizes import sizes_of
from tests.soak.stand import standing
from tests.support.certificates import Certificates
from tests.support.nats import nats_server

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


class RollingSizes(msgspec.Struct, frozen=True, kw_only=True):
    """
    How large a cluster is, and how often it is restarted; each field is set as `WSRC_ROLLING_` and
    its name.

    `between` is after how many commands the next node is ended. With `told` 0 nodes send their
    clients nowhere, who come back by the name. `seed`, `logs` and `seal` are as in `ClusterSizes`.
    """

    seed: str
    logs: str = ""
    seal: str = "preferred"
    hosts: int = 20
    users: int = 20
    rounds: int = 5
    between: int = 300
    told: int = 1
    keep_s: float = 60.0

    @classmethod
    def given(cls, **otherwise: float | str) -> Self:
        """Take what the environment has, then `otherwise`, then the full sizes."""
        return sizes_of(cls, "WSRC_ROLLING", otherwise)


class Figures(NamedTuple):
    """What came of a run; the fields are the columns of the table."""

    commands: int
    ended: int
    resumed: int
    answered: int
    lost: int
    errors: int
    longest_s: str
    connected: int
    refused: int
    left: int
    misreported: int
    run_twice: int


def rolling(sizes: RollingSizes, certificates: Certificates) -> Figures:
    """
    Restart a cluster.

    Raises:
        SoakError: If something was that must not be.
    """
    given = certificates, "rolling", sizes.seed, sizes.users, sizes.logs, sizes.seal
    with standing(*given, kind=Herd) as herd:
        herd.lossless = herd.flawless = True
        users, cards = (Balancer(Leg(n, sizes.seed, 1), herd.trace.note) for n in ("user", "card"))
        users.calm = cards.calm = True
        with (
            nats_server(herd.folder / "nats") as nats,
            listening_in_a_thread([users, cards]),
        ):
            urls = [[nats.url]] * len(HOSTS)
            herd.begin("abc", urls, users, cards, HOSTS if sizes.told else ())
            herd.hosts(sizes.hosts, cards.port)
            herd.users(users.port, f"--keep-s={sizes.keep_s}")
            herd.until_all_go_on()
            for _ in range(sizes.rounds):
                herd.rolled(sizes.between)
            herd.until_all_go_on()
            herd.finish()
            return _figures(herd)


def _figures(herd: Herd) -> Figures:
    counts = herd.counts
    connected, refused = herd.attempts
    return Figures(
        commands=herd.told,
        ended=herd.fates[Fate.ENDED],
        resumed=herd.resumed,
        answered=herd.outcome(Outcome.ANSWERED),
        lost=herd.told - herd.outcome(Outcome.ANSWERED),
        errors=counts["errors"],
        longest_s=f"{herd.longest_s:.1f}",
        connected=connected,
        refused=refused,
        left=counts["left"],
        misreported=counts["misreported"],
        run_twice=counts["run twice"],
    )
