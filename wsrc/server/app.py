# SPDX-License-Identifier: Apache-2.0
"""The listening side of the server: ports, TLS, the upgrade to WebSocket, start and stop."""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime

from aiohttp import web
from aiohttp.typedefs import Handler

from wsrc.net.answers import REASON
from wsrc.net.handshake import SWITCHING
from wsrc.net.outbox import CLOSE_S, FLUSH_S
from wsrc.net.tls_files import LOOK_S, Files, looked_after
from wsrc.principal import Principal
from wsrc.protocol.conversation import SUBPROTOCOL, CloseCode
from wsrc.protocol.messages import ClientType
from wsrc.relay.machine import Relay
from wsrc.relay.state import Limits
from wsrc.server.clock import Epoch
from wsrc.server.connection import Connection, connection_of
from wsrc.server.door import TLS_END_S, Door
from wsrc.server.listening import bind
from wsrc.server.peers import Peers
from wsrc.server.policy_file import PolicyFile
from wsrc.server.refusals import http_log, refused
from wsrc.server.room import room_for
from wsrc.server.tls import NotAdmittedError, ServerTls
from wsrc.server.turns import Line
from wsrc.server.upgrade import accepted
from wsrc.settings.load import ServerSettings

_log = logging.getLogger(__name__)

TLS_BEGIN_S = 2.0
"""How long after it was accepted a connection may take to begin TLS when the server stops."""

VERSION = "13"
"""Of WebSocket (RFC 6455 section 4.4)."""

UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": VERSION}
"""What says how to connect to whoever did otherwise (RFC 9110 section 15.5.22)."""

FULL_S = "5"
"""After how many seconds a client that finds the server full is to come again."""

_POLL_S = 0.02


class App:
    """
    A running server; `user_port` and `card_port` are the ports in use, `room` is what it has.

    Made by `serve`.

    Raises:
        ConfigError: If the system leaves it no room for peers.
    """

    def __init__(self, settings: ServerSettings, tasks: asyncio.TaskGroup) -> None:
        self._settings = settings
        self._line = Line(asyncio.get_running_loop())
        self.room = room_for(settings)
        self._peers = Peers(_relay(settings), self._line, self.room.unread, settings.ping_s)
        self._tasks = tasks
        self._door: Door | None = None
        self._tls: ServerTls | None = None
        self._looking = ExitStack()
        self._reloads: list[Callable[[], None]] = []
        self._policy: PolicyFile | None = None
        self._runners: list[web.AppRunner] = []
        self.user_port = 0
        self.card_port = 0

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._peers.stopping

    @property
    def broken(self) -> bool:
        """Whether the server must end because it ran out of memory."""
        return self._peers.broken

    def when_broken(self, tell: Callable[[], None]) -> None:
        """Call `tell` when the server must end."""
        self._peers.when_broken(tell)

    @property
    def counts(self) -> dict[str, int]:
        """Peers, cards, sessions and waiters now."""
        return self._peers.counts

    @property
    def ended(self) -> int:
        """Connections that have ended so far."""
        return self._door.ended if self._door is not None else 0

    async def start(self) -> None:
        """
        Begin to listen on both ports.

        Raises:
            ConfigError: If TLS or the policy is missing or broken, or a port cannot be had.
        """
        settings = self._settings
        self._tls = ServerTls(settings)
        self._look_after(self._tls.files, self._tls_changed)
        if settings.policy is not None:
            self._policy = PolicyFile(settings.policy)
            self._policy_changed()
            self._look_after(self._policy.files, self._policy_changed)
        self._door = Door(self._tasks, self._line, self.room.connections, settings.hello_s)
        self.user_port = await self._listen(ClientType.USER, settings.user_port)
        self.card_port = await self._listen(ClientType.CARD, settings.card_port)

    async def stop(self) -> None:
        """Stop accepting, let requests in flight finish, close every connection with 1012."""
        self._looking.close()
        if self._door is not None:
            self._door.close()
        await self._peers.stop(self._settings.reconnect_in_s, self._settings.drain_s)
        await self._handshakes_done()
        self._end(lambda connection: not connection.upgraded)
        await self._all_closed()
        self._end(lambda _: True)
        self._peers.stopped()
        for runner in self._runners:
            await runner.cleanup()

    def reload(self) -> None:
        """Read the files of TLS and of the policy anew; those that cannot work change nothing."""
        for reload in self._reloads:
            reload()

    def _look_after(self, files: Files, changed: Callable[[], None]) -> None:
        self._reloads.append(self._looking.enter_context(looked_after(files, LOOK_S, changed)))

    def _policy_changed(self) -> None:
        """Have the relay obey the policy that is in force now."""
        assert self._policy is not None
        now = asyncio.get_running_loop().time()
        self._peers.act(self._peers.relay.set_policy, self._policy.policy, now)

    def _tls_changed(self) -> None:
        """Close on those whose certificate is revoked by now."""
        door, tls = self._door, self._tls
        if door is None or tls is None:
            return
        for connection in list(door.connections):
            subject = connection.subject
            if subject is not None and tls.is_revoked(subject):
                whose = subject.name
                _log.warning("The connection of %s is closed: its certificate is revoked", whose)
                connection.dismiss(CloseCode.POLICY, "The certificate of this client is revoked.")

    def _end(self, which: Callable[[Connection], bool]) -> None:
        """Break the connections that `which` picks."""
        if self._door is not None:
            for connection in [c for c in self._door.connections if which(c)]:
                connection.end()

    async def _handshakes_done(self) -> None:
        """Wait for handshakes, so that those peers are told of the restart as well."""
        for _ in range(int(TLS_BEGIN_S / _POLL_S)):
            if not self._any_handshake():
                return
            await asyncio.sleep(_POLL_S)

    def _any_handshake(self) -> bool:
        """Return whether a handshake is under way that began within `TLS_BEGIN_S`."""
        due = asyncio.get_running_loop().time() + self._settings.hello_s - TLS_BEGIN_S
        return self._door is not None and any(c.until > due for c in self._door.handshakes)

    async def _all_closed(self) -> None:
        """Wait for what is queued, and for the ends of WebSocket and TLS, each with its limit."""
        for _ in range(int((FLUSH_S + CLOSE_S + TLS_END_S) / _POLL_S) + 10):
            if self._door is None or not self._door.connections:
                return
            await asyncio.sleep(_POLL_S)

    async def _listen(self, role: ClientType, port: int) -> int:
        application = web.Application(middlewares=[_told])
        for path in ("/", f"/{role}"):
            application.router.add_get(path, self._handler(role))
        runner = web.AppRunner(
            application,
            access_log=None,
            logger=http_log,
            handle_signals=False,
            shutdown_timeout=CLOSE_S,
        )
        await runner.setup()
        self._runners.append(runner)
        door, server, tls = self._door, runner.server, self._tls
        assert door is not None
        assert server is not None
        assert tls is not None
        for listener in bind(self._settings, f"{role}_port", port):
            door.listen(listener, server, lambda: tls.context(role))
            port = listener.getsockname()[1]
        return port

    def _handler(self, role: ClientType) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        door, tls = self._door, self._tls
        assert door is not None
        assert tls is not None

        async def upgrade(request: web.Request) -> web.StreamResponse:
            refusal = self._refusal(request, door)
            if refusal is not None:
                return refusal
            connection = connection_of(request)
            if connection is None or connection.transport is None:
                return web.Response()  # there is nobody to read it
            refusal = _not_admitted(tls, connection, role)
            if refusal is not None:
                return refusal
            answer = accepted(request)
            if answer.status != SWITCHING:
                return answer
            connection.is_websocket()
            try:
                await answer.prepare(request)
            except ConnectionError:
                return web.Response()
            accept, who = self._peers.accept, (role, connection.address, connection.principal)
            connection.hand_over(lambda transport, hold: accept(transport, hold, *who))
            return answer

        return upgrade

    def _refusal(self, request: web.Request, door: Door) -> web.Response | None:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            text = "This is a WSRC relay server. Connect with a WSRC client over WebSocket.\n"
            return web.Response(status=426, text=text, headers=UPGRADE)
        if request.headers.get("Sec-WebSocket-Version") != VERSION:
            text = f"This server speaks version {VERSION} of WebSocket (RFC 6455) only.\n"
            return web.Response(status=426, text=text, headers=UPGRADE)
        if "Origin" in request.headers:
            return web.Response(status=403, text="Web pages may not connect to this server.\n")
        offered = _offered(request)
        if offered and SUBPROTOCOL not in offered:
            text = f"The WebSocket subprotocol here is {SUBPROTOCOL}; offer it, or none.\n"
            return web.Response(status=400, text=text)
        if door.websockets >= self.room.peers:
            text, headers = "The server has reached its limit of peers.\n", {"Retry-After": FULL_S}
            return web.Response(status=503, text=text, headers=headers)
        return None


def _not_admitted(tls: ServerTls, connection: Connection, role: ClientType) -> web.Response | None:
    """Note who a peer is; return why it is not let in, if it is not."""
    assert connection.transport is not None
    try:
        subject = tls.admitted(connection.transport, role, datetime.now(UTC))
    except NotAdmittedError as exc:
        return web.Response(status=403, headers={REASON: exc.reason}, text=f"{exc}\n")
    if subject is not None:
        connection.subject, connection.principal = subject, Principal(subject.name)
    if connection.spoke_early:
        return web.Response(status=400, text="Wait for the answer before the first frame.\n")
    return None


def _offered(request: web.Request) -> list[str]:
    """Return the subprotocols that a client offers (RFC 6455 section 11.3.4)."""
    lists = request.headers.getall("Sec-WebSocket-Protocol", ())
    return [name for each in lists for name in (part.strip() for part in each.split(",")) if name]


@web.middleware
async def _told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Log every request that is refused."""
    address = request.remote or "an unknown address"
    try:
        response = await handler(request)
    except web.HTTPException as exc:
        refused(address, f"HTTP status {exc.status}: {exc.reason}")
        raise
    if isinstance(response, web.Response) and response.status >= 400:
        refused(address, f"HTTP status {response.status}: {response.text or ''}")
    return response


@asynccontextmanager
async def serve(settings: ServerSettings) -> AsyncGenerator[App]:
    """Run a server for as long as the context lasts."""
    try:
        async with asyncio.TaskGroup() as tasks:
            app = App(settings, tasks)
            try:
                await app.start()
                yield app
            finally:
                await app.stop()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


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
