# SPDX-License-Identifier: Apache-2.0
"""
The runs: what breaks while users add to the counters of their cards, and what must come of it.

Each gives a `Result`, or raises `SoakError` with the seed and a trace. The same seed cuts
connections at the same positions, kills after the same numbers of commands and has the users ask
the same; the network and the scheduler decide the rest.
"""

import contextlib
import random
import signal
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import msgspec

from tests.soak.cutting import CuttingProxy, Leg, cutting
from tests.soak.sizes import sizes_of
from tests.soak.stand import Stand, description, rows, standing
from tests.support.certificates import Certificates
from tests.support.pcsc.bench import SOCKET_VARIABLE, Bench
from tests.support.pcsc.inserted import inserted
from wsrc.readers.simulation.catalogue import make_card
from wsrc.readers.simulation.description import parse_description

USER_SPAN_OCTETS, CARD_SPAN_OCTETS = 4_000, 6_000
"""Longest life of a connection after the greeting: a cut for about ten commands."""

BETWEEN = 40
"""Most commands between two kills."""

AGAIN = 0.25
"""Share of the kills that follow before all users have come back."""


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How long the runs are; each field can be set as `WSRC_SOAK_` and its name."""

    seed: str = ""
    logs: str = ""
    """Folder for a file of each run with all that happened; none if empty."""

    seal: str = "mixed"
    """Whether sessions are sealed: `required`, `off`, or `mixed`: those of every other user."""

    users: int = 4
    commands: int = 10_000
    cuts: int = 1_000
    server_kills: int = 100
    card_client_kills: int = 20
    restarts: int = 50
    keep_s: float = 60.0

    @classmethod
    def given(cls, **otherwise: float | str) -> Self:
        """Take what the environment has, then `otherwise`, then the full sizes."""
        return sizes_of(cls, "WSRC_SOAK", otherwise)


class Result(NamedTuple):
    """What a run came to; the fields are the columns of the table."""

    run: str
    commands: int
    batches: int
    cuts: int
    kills: int
    resumed: int
    answered: int
    not_executed: int
    unknown: int
    session_lost: int
    longest_s: str
    errors: int
    left: int
    leases: int
    pin_kept: int
    misreported: int
    run_twice: int


def table(results: list[Result]) -> str:
    """Lay out what runs came to."""
    heads = [name.replace("_", " ") for name in Result._fields]
    return rows([heads, *results])


def connections_cut(sizes: Sizes, certificates: Certificates) -> Result:
    """Cut every connection of users and card client; nothing is lost."""
    with _standing(certificates, "cuts", sizes) as stand:
        stand.lossless = True
        stand.server()
        legs = [
            (Leg("user", sizes.seed, USER_SPAN_OCTETS), stand.programs.user_port),
            (Leg("card", sizes.seed, CARD_SPAN_OCTETS), stand.programs.card_port),
        ]
        with cutting(legs, stand.trace.note) as proxies:
            user, card = proxies
            stand.card_client("--server-url", _card_url(card.port), *stand.simulated())
            stand.users(user.port, _keep(sizes))
            stand.until_told(sizes.commands)
            stand.until(lambda: min(user.cuts, card.cuts) * 2 >= sizes.cuts, "the cuts")
            _calm(proxies)
            stand.finish()
            return _result("connections cut", stand, cuts=user.cuts + card.cuts)


def server_killed(sizes: Sizes, certificates: Certificates) -> Result:
    """Kill the server again and again; nothing is lost."""
    draw = random.Random(f"{sizes.seed}/server")
    with _standing(certificates, "server-kills", sizes) as stand:
        stand.lossless = True
        server = stand.server()
        stand.card_client(*stand.simulated())
        stand.users(stand.programs.user_port, _keep(sizes))
        for _ in range(sizes.server_kills):
            stand.until_told(draw.randint(1, BETWEEN))
            stand.end("server", server, signal.SIGKILL)
            server = stand.server()
            if draw.random() >= AGAIN:
                stand.until_all_go_on()
        stand.until_told(BETWEEN)
        stand.finish()
        return _result("server killed", stand, kills=sizes.server_kills)


def card_client_killed(sizes: Sizes, certificates: Certificates) -> Result:
    """Kill the card client, behind which the cards live on in a pcscd; their sessions are lost."""
    draw = random.Random(f"{sizes.seed}/card client")
    with (
        _standing(certificates, "card-client-kills", sizes, most=2) as stand,
        _cards_in_pcscd(stand) as bench,
    ):
        stand.server()
        arguments = [each for pattern in bench.patterns for each in ("--reader-include", pattern)]
        environment = {SOCKET_VARIABLE: str(bench.socket_path)}
        client = stand.card_client(*arguments, env=environment)
        stand.users(stand.programs.user_port, _keep(sizes), "--goodbyes=0.2")
        for _ in range(sizes.card_client_kills):
            stand.until_told(draw.randint(1, BETWEEN))
            stand.end("card client", client, signal.SIGKILL)
            client = stand.card_client(*arguments, env=environment)
            if draw.random() >= AGAIN:
                stand.until_all_go_on()
        stand.until_told(BETWEEN)
        stand.finish()
        return _result("card client killed", stand, kills=sizes.card_client_kills)


def rolling_restarts(sizes: Sizes, certificates: Certificates) -> Result:
    """Restart the server as an operator does; no user sees an error of any kind."""
    draw = random.Random(f"{sizes.seed}/restart")
    with _standing(certificates, "restarts", sizes) as stand:
        stand.lossless = stand.flawless = True
        server = stand.server()
        client = stand.card_client(*stand.simulated())
        client.wait_for("has card", len(stand.iccids))
        stand.users(stand.programs.user_port, _keep(sizes))
        for _ in range(sizes.restarts):
            stand.until_told(draw.randint(1, BETWEEN))
            if stand.end("server", server, signal.SIGTERM):
                stand.fail("the server ended with an error")
            server = stand.server()
            stand.until_all_go_on()
        stand.until_told(BETWEEN)
        stand.finish()
        return _result("rolling restarts", stand, kills=sizes.restarts)


RUNS: dict[str, Callable[[Sizes, Certificates], Result]] = {
    "cuts": connections_cut,
    "server-kills": server_killed,
    "card-client-kills": card_client_killed,
    "restarts": rolling_restarts,
}


@contextlib.contextmanager
def _cards_in_pcscd(stand: Stand) -> Iterator[Bench]:
    """Put the card of each user into a reader of a pcscd, where it outlives the card client."""
    with Bench() as bench, contextlib.ExitStack() as stack:
        for slot, iccid in zip(bench.slots, stand.iccids, strict=False):
            card = make_card(parse_description(description(iccid), iccid))
            stack.enter_context(inserted(bench, slot, card))
        yield bench


def _card_url(port: int) -> str:
    return f"wss://localhost:{port}/card"


def _keep(sizes: Sizes) -> str:
    return f"--keep-s={sizes.keep_s}"


def _calm(proxies: list[CuttingProxy]) -> None:
    for proxy in proxies:
        proxy.calm = True


def _standing(
    certificates: Certificates, run: str, sizes: Sizes, most: int = 1_000
) -> contextlib.AbstractContextManager[Stand]:
    users = min(sizes.users, most)
    return standing(certificates, run, sizes.seed, users, sizes.logs, sizes.seal)


def _result(run: str, stand: Stand, *, cuts: int = 0, kills: int = 0) -> Result:
    batches = sum(ledger.batches for ledger in stand.ledgers.values())
    counts = {name.replace(" ", "_").lower(): count for name, count in stand.counts.items()}
    return Result(
        run=run,
        commands=stand.told,
        batches=batches,
        cuts=cuts,
        kills=kills,
        resumed=stand.resumed,
        longest_s=f"{stand.longest_s:.1f}",
        **counts,
    )
