# SPDX-License-Identifier: Apache-2.0
"""Reach the server: one attempt with a limit, and how long to wait before the next."""

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from wsrc.errors import ConnectionLostError
from wsrc.net.answers import AnswerError, AtProxyError, NoHttpError, RedirectedError, retry_after
from wsrc.net.bearer import Token
from wsrc.net.handshake import Upgrade
from wsrc.net.outbox import CLOSE_S, FLUSH_S
from wsrc.net.proxy import Proxy, proxy_for
from wsrc.net.tls import explain
from wsrc.net.way import Wire, reach
from wsrc.net.websocket import END_S, Link
from wsrc.protocol.conversation import SUBPROTOCOL, CloseCode
from wsrc.settings.address import Address
from wsrc.settings.hosts import is_host

MOST_INSTEAD = 8
"""Hosts that are heeded of those that a server names."""


@asynccontextmanager
async def dial(  # noqa: PLR0913 - each by its name
    url: str,
    context: ssl.SSLContext | None,
    *,
    connect_s: float,
    ping_s: float,
    longest: int | None = None,
    token: Token | None = None,
    host: str = "",
) -> AsyncGenerator[Link]:
    """
    Connect to `url`, yield the link, and close it at the end.

    A server that does not answer pings for 1.5 times `ping_s` counts as gone. A message of more
    than `longest` octets is not sent. The user part of the URL is sent as RFC 7617 has it, or a
    token as RFC 6750 has it, to the server alone; the environment may name a proxy for `wss://`.
    With `host` the connection is made there, to a server that shows a certificate for `url`.

    Raises:
        ConnectionLostError: If the connection cannot be made; the sentence says why.
    """
    address = Address(url)
    proxy = proxy_for(address)
    wire, chosen = await connected(address, proxy, context, connect_s, token, host)
    try:
        link = Link(wire.transport, wire.hold, longest=longest, agreed=chosen == SUBPROTOCOL)
        link.keep_alive(ping_s)
        wire.carry(link)
        try:
            yield link
        finally:
            link.close(CloseCode.DONE, "")
            await wire.gone(FLUSH_S + CLOSE_S + END_S)
    finally:
        wire.abort()


async def connected(  # noqa: PLR0913, PLR0917 - what a connection is made of, each once
    address: Address,
    proxy: Proxy | None,
    context: ssl.SSLContext | None,
    connect_s: float,
    token: Token | None,
    host: str = "",
) -> tuple[Wire, str | None]:
    """
    Return a connection that is a WebSocket, and the subprotocol that the server chose.

    Raises:
        ConnectionLostError: If it cannot be made; the sentence says why.
    """
    try:
        async with asyncio.timeout(connect_s):
            wire = await reach(address, proxy, context, host)
            try:
                chosen = await _upgraded(wire, address, token)
            except BaseException:
                wire.abort()
                await wire.gone(0)
                raise
    except _FAILURES as exc:
        why = explain(exc, address, proxy)
        at = f"{address}: at {host}, where a server that ended has sent us, "
        lost = ConnectionLostError(why.replace(f"{address}: ", at, 1) if host else why)
        lost.retry_after_s = retry_after(exc)
        raise lost from exc
    return wire, chosen


async def _upgraded(wire: Wire, address: Address, token: Token | None) -> str | None:
    upgrade = Upgrade(address, token)
    chosen = upgrade.chosen(await wire.ask(upgrade.request))
    if chosen not in {None, SUBPROTOCOL}:
        raise ConnectionLostError(
            f"{address}: this is no WSRC server: it speaks {str(chosen)[:40]!r}, which we "
            "did not offer (RFC 6455 section 4.1); check the port and the path."
        )
    return chosen


_FAILURES = (AnswerError, AtProxyError, NoHttpError, OSError, RedirectedError, ValueError)
"""What can go wrong on the way; a limit of time is an OSError, a name that is none a ValueError."""


class Instead:
    """
    Hosts of servers that one has named which ends: each is tried once, as chance has it.

    Only where TLS shows that they are the server of `url`, and only at the port of `url`: a server
    can send its clients nowhere else.
    """

    def __init__(self, url: str) -> None:
        self._may_go = urlsplit(Address(url).whole).scheme == "wss"
        self._hosts: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._hosts)

    def told(self, hosts: Sequence[str]) -> None:
        """Take what a server has named in place of what was named before."""
        sound = [host for host in hosts[:MOST_INSTEAD] if is_host(host)]
        self._hosts = random.sample(sound, len(sound)) if self._may_go else []

    def next(self) -> str:
        """Return where to connect now; empty is the host of `url`."""
        return self._hosts.pop() if self._hosts else ""


class Backoff:
    """Waits between attempts: they double from `least_s` to `most_s`, each with jitter."""

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._next_s = least_s

    def wait_s(self, at_least: float | None = None) -> float:
        """
        Return the next wait: between half and all of the step that is due.

        Args:
            at_least: For how long the server wants nobody, which counts up to `most_s`.
        """
        step = self._next_s
        self._next_s = min(2 * step, self._most_s)
        wait_s = step * random.uniform(0.5, 1.0)  # noqa: S311 - jitter is no secret
        return max(wait_s, min(at_least or 0.0, self._most_s))

    def succeeded(self) -> None:
        """Begin again with the shortest wait."""
        self._next_s = self._least_s
