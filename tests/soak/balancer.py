# SPDX-License-Identifier: Apache-2.0
"""One name for several servers: each connection goes to one that answers, and is cut in the end."""

import asyncio
import random
from collections.abc import Callable

from tests.soak.cutting import Cut, CutLine, CuttingProxy, Leg

ANSWER_S = 2.0
"""How long a server may take to say something before the connection is given up."""


class Balancer(CuttingProxy):
    """
    Connects each client to one of several places, which the seed of the leg draws.

    Who is there and says nothing, as a program that is stopped, is given up after `answer_s`. No
    connection is cut while `calm` is set.

    Attributes:
        ports: Where the servers are; whoever starts one enters it.
    """

    def __init__(self, leg: Leg, note: Callable[[str], None], answer_s: float = ANSWER_S) -> None:
        super().__init__(0, leg, note)
        self.answer_s = answer_s
        self.places: list[tuple[str, int]] = []
        self._draw = random.Random(f"{leg.seed}/{leg.name}")

    async def reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        why: OSError = ConnectionRefusedError("there is no server")
        for host, port in self._draw.sample(self.places, len(self.places)):
            try:
                return await asyncio.open_connection(host, port)
            except OSError as exc:
                why = exc
        raise why

    def cut_line(
        self, near: asyncio.StreamWriter, far: asyncio.StreamWriter, cut: Cut, number: int
    ) -> CutLine:
        return _WatchedLine(self, near, far, cut, number)


class _WatchedLine(CutLine):
    """A connection that ends where the server does not answer."""

    def __init__(
        self,
        balancer: Balancer,
        near: asyncio.StreamWriter,
        far: asyncio.StreamWriter,
        cut: Cut,
        number: int,
    ) -> None:
        super().__init__(balancer, near, far, cut, number)
        self._limit = asyncio.get_running_loop().call_later(balancer.answer_s, self.abort)

    async def forward(self, octets: bytes, to: asyncio.StreamWriter) -> None:
        if to is self.near:
            self._limit.cancel()
        await super().forward(octets, to)

    def close(self) -> None:
        self._limit.cancel()
        super().close()
