# SPDX-License-Identifier: Apache-2.0
"""
A network that breaks: a proxy that cuts each connection at a position drawn from a seed.

The n-th connection of a leg is cut at the same place for the same seed, wherever the boundaries of
frames, TLS records and segments are: what comes before the position is forwarded, so that the
other end may have half a frame.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from tests.support.proxy import Line, Proxy, listening
from tests.support.threads import in_a_thread

LIMIT_S = 30.0
"""How long the thread of the proxies may take to start or to end."""

GREETING_OCTETS = 3_000
"""About as much as a TLS handshake, the upgrade to WebSocket and the greeting take, one way."""

EARLY = 0.15
"""Share of the connections that are cut before or while peers greet each other."""


class How(StrEnum):
    """How a connection ends."""

    RESET = "reset"
    CLOSE = "close"
    SILENCE = "silence"


class Cut(NamedTuple):
    """Where one connection is cut: after so many octets to the server, or from it."""

    to_server: bool
    position: int
    how: How


class Leg(NamedTuple):
    """
    One side of the server, and how its connections are cut.

    `span_octets` is the longest that a connection lives after the greeting; `silence` is the share
    of the cuts that nobody is told of, which last until an end misses its pings.
    """

    name: str
    seed: str
    span_octets: int
    silence: float = 0.01

    def cut(self, number: int) -> Cut:
        """Draw where the connection of a number is cut."""
        draw = random.Random(f"{self.seed}/{self.name}/{number}")
        position = draw.randrange(GREETING_OCTETS)
        if draw.random() >= EARLY:
            position = GREETING_OCTETS // 2 + draw.randrange(self.span_octets)
        abrupt = draw.choice((How.RESET, How.CLOSE))
        how = How.SILENCE if draw.random() < self.silence else abrupt
        return Cut(draw.random() < 0.5, position, how)


class CuttingProxy(Proxy):
    """Cuts each connection once, until `calm` is set."""

    def __init__(self, port: int, leg: Leg, note: Callable[[str], None]) -> None:
        super().__init__(port)
        self.calm = False
        self.counts: Counter[How] = Counter()
        self._leg = leg
        self._note = note
        self._number = 0

    @property
    def cuts(self) -> int:
        """How many connections were cut."""
        return self.counts.total()

    def line(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> Line:
        self._number += 1
        return self.cut_line(near, far, self._leg.cut(self._number), self._number)

    def cut_line(
        self, near: asyncio.StreamWriter, far: asyncio.StreamWriter, cut: Cut, number: int
    ) -> "CutLine":
        """Make what carries the connection of a number until it is cut."""
        return CutLine(self, near, far, cut, number)

    def was_cut(self, number: int, cut: Cut) -> None:
        """Note a cut."""
        self.counts[cut.how] += 1
        way = "to" if cut.to_server else "from"
        where = f"{self._leg.name} connection {number}, {cut.position} octets {way} the server"
        self._note(f"cut {where}: {cut.how}")


class CutLine(Line):
    """One connection, until it is cut."""

    def __init__(
        self,
        proxy: CuttingProxy,
        near: asyncio.StreamWriter,
        far: asyncio.StreamWriter,
        cut: Cut,
        number: int,
    ) -> None:
        super().__init__(proxy, near, far)
        self._cutter = proxy
        self._number = number
        self._cut = cut
        self._left = cut.position
        self._is_cut = False

    @property
    def silent(self) -> bool:
        return self._is_cut and self._cut.how is How.SILENCE

    async def forward(self, octets: bytes, to: asyncio.StreamWriter) -> None:
        if (to is self.far) is not self._cut.to_server or self._is_cut or self._cutter.calm:
            await super().forward(octets, to)
            return
        if len(octets) < self._left:
            self._left -= len(octets)
            await super().forward(octets, to)
            return
        await super().forward(octets[: self._left], to)
        self._cut_now()

    def _cut_now(self) -> None:
        self._is_cut = True
        self._cutter.was_cut(self._number, self._cut)
        if self._cut.how is How.CLOSE:
            self.close()
        elif self._cut.how is How.RESET:
            for end in (self.near, self.far):
                _reset_on_close(end.get_extra_info("socket"))
            self.abort()


def _reset_on_close(end: socket.socket) -> None:
    """Have the kernel send RST rather than FIN (SO_LINGER with 0 s)."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextlib.asynccontextmanager
async def _all_listening(proxies: Sequence[CuttingProxy]) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for proxy in proxies:
            await stack.enter_async_context(listening(proxy))
        yield


@contextlib.contextmanager
def listening_in_a_thread(proxies: Sequence[CuttingProxy]) -> Iterator[None]:
    """Have proxies listen, in a thread that lasts as long as the context."""
    with in_a_thread(_all_listening(proxies), LIMIT_S):
        yield


@contextlib.contextmanager
def cutting(
    legs: Sequence[tuple[Leg, int]], note: Callable[[str], None]
) -> Iterator[list[CuttingProxy]]:
    """Put a proxy before each port, in a thread that lasts as long as the context."""
    proxies = [CuttingProxy(port, leg, note) for leg, port in legs]
    with listening_in_a_thread(proxies):
        yield proxies
