# SPDX-License-Identifier: Apache-2.0
"""The listening side of the server: ports, TLS, the upgrade to WebSocket, start and stop."""

import asyncio
import errno
import logging
import secrets
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web

from wsrc.errors import ConfigError
from wsrc.net.certificates import warnings_of
from wsrc.net.tls import server_context
from wsrc.net.websocket import CLOSE_S
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.messages import ClientType
from wsrc.relay.machine import Relay
from wsrc.relay.state import Limits
from wsrc.server.clock import Epoch
from wsrc.server.peers import Peers
from wsrc.settings.load import ServerSettings

_log = logging.getLogger(__name__)

TLS_BEGIN_S = 2.0
"""How long after it was accepted a connection is waited for to begin TLS when the server stops."""

TLS_END_S = 0.5
"""How long a peer may take to end TLS."""

_POLL_S = 0.02

BACKLOG = 4096
"""Connections that may wait to be accepted: all card hosts come back at once after a restart."""


class App:
    """
    A running server; `user_port` and `card_port` are the ports in use.

    Made by `serve`.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._peers = Peers(_relay(settings))
        self._not_upgraded: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._servers: list[asyncio.Server] = []
        self._runners: list[web.AppRunner] = []
        self.user_port = 0
        self.card_port = 0

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._peers.stopping

    @property
    def counts(self) -> dict[str, int]:
        """Peers, cards, sessions and waiters now."""
        return self._peers.counts

    async def start(self) -> None:
        """
        Begin to listen on both ports.

        Raises:
            ConfigError: If TLS is missing or broken, or a port cannot be had.
        """
        context = _tls(self._settings)
        settings = self._settings
        self.user_port = await self._listen(ClientType.USER, settings.user_port, context)
        self.card_port = await self._listen(ClientType.CARD, settings.card_port, context)

    async def stop(self) -> None:
        """Stop accepting, let requests in flight finish, close every connection with 1012."""
        for server in self._servers:
            server.close()
        await self._peers.stop(self._settings.reconnect_in_s, self._settings.drain_s)
        await self._handshakes_done()
        for protocol, hurry in self._not_upgraded.items():
            hurry.cancel()
            if protocol.transport is not None:
                protocol.transport.abort()
        await self._all_closed()
        for runner in self._runners:
            await runner.cleanup()

    async def _handshakes_done(self) -> None:
        """Wait for TLS handshakes, so that those peers are told of the restart as well."""
        for _ in range(int(TLS_BEGIN_S / _POLL_S)):
            if self._settings.no_tls or not self._any_handshake():
                return
            await asyncio.sleep(_POLL_S)

    def _any_handshake(self) -> bool:
        """
        Return whether a TLS handshake is under way; one that failed looks the same.

        So only those count that began within `TLS_BEGIN_S`.
        """
        due = asyncio.get_running_loop().time() + self._settings.hello_s - TLS_BEGIN_S
        return any(
            protocol.transport is None and hurry.when() > due
            for protocol, hurry in self._not_upgraded.items()
        )

    async def _all_closed(self) -> None:
        """Wait for the closing handshakes of WebSocket and TLS, which have their own limits."""
        for _ in range(int((CLOSE_S + TLS_END_S) / _POLL_S) + 10):
            servers = (runner.server for runner in self._runners)
            if not any(server is not None and server.connections for server in servers):
                return
            await asyncio.sleep(_POLL_S)

    async def _listen(self, role: ClientType, port: int, context: ssl.SSLContext | None) -> int:
        application = web.Application()
        for path in ("/", f"/{role}"):
            application.router.add_get(path, self._handler(role))
        runner = web.AppRunner(
            application,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=CLOSE_S,
        )
        await runner.setup()
        self._runners.append(runner)
        loop = asyncio.get_running_loop()

        def accept() -> asyncio.BaseProtocol:
            assert runner.server is not None
            protocol = runner.server()
            hurry = loop.call_later(self._settings.hello_s, self._hurry, protocol)
            self._not_upgraded[protocol] = hurry
            return protocol

        for listener in _sockets(self._settings, f"{role}_port", port):
            handshake_s = self._settings.hello_s if context is not None else None
            server = await loop.create_server(
                accept,
                sock=listener,
                ssl=context,
                backlog=BACKLOG,
                ssl_handshake_timeout=handshake_s,
                ssl_shutdown_timeout=TLS_END_S if context is not None else None,
            )
            self._servers.append(server)
            port = listener.getsockname()[1]
        return port

    def _hurry(self, protocol: web.RequestHandler) -> None:
        """Drop a connection that has not become a WebSocket in time."""
        del self._not_upgraded[protocol]
        if protocol.transport is not None:
            _log.info("A connection that did not become a WebSocket in time is dropped")
            protocol.transport.abort()

    def _handler(self, role: ClientType) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def upgrade(request: web.Request) -> web.StreamResponse:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            settings = self._settings
            link: web.WebSocketResponse[bool] = web.WebSocketResponse(
                timeout=CLOSE_S,
                heartbeat=settings.ping_s,
                compress=False,
                max_msg_size=MAX_MESSAGE_OCTETS,
                decode_text=False,
            )
            try:
                await link.prepare(request)
            except ConnectionError:
                return web.Response()  # there is nobody to read it
            hurry = self._not_upgraded.pop(request.protocol, None)
            if hurry is not None:
                hurry.cancel()
            await self._peers.serve(link, role, request.remote or "an unknown address")
            return link

        return upgrade

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            text = "This is a WSRC relay server. Connect with a WSRC client over WebSocket.\n"
            return web.Response(status=426, text=text, headers={"Upgrade": "websocket"})
        if "Origin" in request.headers:
            return web.Response(status=403, text="Web pages may not connect to this server.\n")
        if len(self._peers) >= self._settings.max_peers:
            return web.Response(status=503, text="The server has all the peers that it may have.\n")
        return None


@asynccontextmanager
async def serve(settings: ServerSettings) -> AsyncGenerator[App]:
    """Run a server for as long as the context lasts."""
    app = App(settings)
    try:
        await app.start()
        yield app
    finally:
        await app.stop()


def _relay(settings: ServerSettings) -> Relay:
    limits = Limits(
        hello_s=settings.hello_s,
        attach_s=settings.attach_s,
        command_s=settings.command_s,
        lease_idle_s=settings.lease_idle_s,
        wait_max_s=settings.wait_max_s,
        keep_s=settings.keep_s,
        max_sessions_per_user=settings.max_sessions_per_user,
        max_waiting=settings.max_waiting,
    )
    epoch = Epoch(asyncio.get_running_loop().time, lambda: datetime.now(UTC).timestamp())
    instance = secrets.token_hex(8)
    return Relay(limits, epoch, lambda: secrets.token_hex(16), settings.name, instance=instance)


def _tls(settings: ServerSettings) -> ssl.SSLContext | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = server_context(settings.tls_cert, settings.tls_key, settings.tls_min_version)
    for warning in warnings_of(settings.tls_cert, settings.tls_key, datetime.now(UTC)):
        _log.warning("%s", warning)
    return context


def _resolve(
    host: str, port: int
) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as exc:
        raise ConfigError("host", f"{host!r} cannot be resolved: {exc.strerror}") from exc
    except UnicodeError as exc:
        raise ConfigError("host", f"{host!r} is no name of a host") from exc
    return [(family, kind, proto, name, tuple(at)) for family, kind, proto, name, at in found]


def _sockets(settings: ServerSettings, setting: str, port: int) -> list[socket.socket]:
    """Bind each address of the host; a family that this machine lacks is passed over."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, address in _resolve(settings.host, port):
        try:
            at = (address[0], port, *address[2:])
            sockets.append(socket.create_server(at, family=family, backlog=BACKLOG))
        except OSError as exc:
            if exc.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                for bound in sockets:
                    bound.close()
                raise ConfigError(setting, _why_not(settings.host, port, exc)) from exc
            missing = exc
        else:
            port = sockets[0].getsockname()[1]
    if not sockets:
        raise ConfigError("host", f"no address of {settings.host!r} is of this machine: {missing}")
    return sockets


def _why_not(host: str, port: int, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by another program; stop it, or choose another"
    if exc.errno == errno.EACCES:
        return f"port {port} on {host} needs rights that this user does not have"
    return f"cannot listen on port {port} of {host}: {exc.strerror}"
