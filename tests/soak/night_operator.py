# SPDX-License-Identifier: Apache-2.0
"""
The operator of a night as a program, who takes cards back, and drains hosts for a while.

    python -c 'from tests.soak.night_operator import main; main()' --server-url URL ... HOST...

Prints one JSON object a line, of `night_events.Event`. SIGTERM asks for the end.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import sys

from tests.soak import night_events as told
from tests.support.tokens import now
from wsrc.aio import Client
from wsrc.card.slot import Share
from wsrc.errors import ConnectionLostError, RefusedError, WsrcError

DRAINED_S = 1.0
"""Longest time for which a host is drained."""

DRAINS = 0.15
"""Share of what the operator does that drains a host; the rest takes a card back."""


class Operator:
    """Who runs the server; the arguments are the command line, and what asks for the end."""

    def __init__(self, given: argparse.Namespace, stop: asyncio.Event) -> None:
        self._given = given
        self._stop = stop
        self._draw = random.Random(f"{given.seed}/operator")
        self._count = 0
        self._client: Client

    async def run(self) -> None:
        """Take cards back until the end."""
        given = self._given
        while not self._stop.is_set():
            try:
                async with Client(
                    given.server_url,
                    ca=given.ca,
                    token_file=f"{given.folder}/operator.token",
                    known_hosts=f"{given.folder}/known_hosts",
                ) as self._client:
                    await self._work()
            except ConnectionLostError:
                await asyncio.sleep(0.2)

    async def _work(self) -> None:
        while not self._stop.is_set():
            await self._pause(2 * self._given.span_s)
            if self._draw.random() < DRAINS:
                await self._drain(self._draw.choice(self._given.host))
            else:
                await self._revoke()

    async def _revoke(self) -> None:
        """Look who has which card, and take one of them back."""
        used = await self._client.who(busy=True)
        for use in used:
            shares = [each.share for each in use.holders]
            if len(shares) > 1 and Share.EXCLUSIVE in shares:
                why = f"{use.card.identities.iccid} is had by {len(shares)}, by one alone"
                _say(told.Broke("operator", why))
        iccids = [each.card.identities.iccid for each in used if each.card.identities.iccid]
        if not iccids:
            return
        iccid = self._draw.choice(iccids)
        self._count += 1
        why = f"night {self._count}"
        with contextlib.suppress(RefusedError, ConnectionLostError):
            holders = await self._client.revoke(iccid=iccid, why=why)
            sessions = tuple(each.session or "" for each in holders)
            _say(told.Revoked(iccid, why, sessions))

    async def _drain(self, host: str) -> None:
        """Drain a host for a while; a server that is started meanwhile has forgotten it."""
        with contextlib.suppress(WsrcError):
            await self._client.admin.drain(host, why="a rest")
            begun = now()
            await self._pause(DRAINED_S)
            _say(told.Drained(host, begun, now()))
            await self._client.admin.undrain(host)

    async def _pause(self, most_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._draw.uniform(0.1, 1.0) * most_s):
                await self._stop.wait()


def _say(event: told.Event) -> None:
    sys.stdout.write(told.text_of(event) + "\n")
    sys.stdout.flush()


async def _main(given: argparse.Namespace) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Operator(given, stop).run()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Run a server.")
    parser.add_argument("host", nargs="+", help="card hosts, as users see them")
    parser.add_argument("--server-url", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--folder", required=True, help="of the token and known hosts")
    parser.add_argument("--span-s", type=float, required=True, help="mean time between two acts")
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
