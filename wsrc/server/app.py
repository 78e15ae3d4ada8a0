# SPDX-License-Identifier: Apache-2.0
"""The listening side of the server: ports, TLS, the upgrade to WebSocket, start and stop."""

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from wsrc.audit import events
from wsrc.audit.events import NOWHERE, Recorder
from wsrc.audit.writer import audited
from wsrc.net.endpoint import Endpoint
from wsrc.net.handshake import SWITCHING
from wsrc.net.outbox import CLOSE_S, FLUSH_S
from wsrc.net.tls_files import LOOK_S, Files, looked_after
from wsrc.process.loop import ungrouped
from wsrc.protocol.conversation import SUBPROTOCOL, CloseCode
from wsrc.protocol.messages import ClientType
from wsrc.relay.machine import Relay
from wsrc.server.admission import SHOWN_NOTHING, Admission, account_of
from wsrc.server.answering import Answering
from wsrc.server.connection import Connection, address_of, connection_of
from wsrc.server.door import TLS_END_S, Door
from wsrc.server.extras import clustered, provider
from wsrc.server.forwarded import UnclearError, is_passed_on
from wsrc.server.http.site import Parts, Site
from wsrc.server.keepers import keepers
from wsrc.server.limits import Bounds, Limit, Quotas, Refusal
from wsrc.server.listening import HTTP, Handed, bind
from wsrc.server.peers import Peers
from wsrc.server.policy_file import PolicyFile
from wsrc.server.refusals import Banned, KeptOut, NotAdmittedError, Refusals
from wsrc.server.relay_settings import given
from wsrc.server.room import room_for
from wsrc.server.state import Stored
from wsrc.server.state_keeper import StateKeeper
from wsrc.server.tls import ServerTls
from wsrc.server.token_table import TokenTable
from wsrc.server.turns import Line
from wsrc.server.upgrade import accepted
from wsrc.settings.hosts import is_loopback
from wsrc.settings.load import ServerSettings

Accept = Callable[[asyncio.Transport, Callable[[bool], None]], Endpoint]

if TYPE_CHECKING:
    from wsrc.server.provider import Provider
    from wsrc.server.shared_state import SharedState

# Longer than the aim: a server from its start to its end, and all that it is made of.

_log = logging.getLogger(__name__)

TLS_BEGIN_S = 2.0
"""How long after it was accepted a connection may take to begin TLS when the server stops."""

VERSION = "13"
"""Of WebSocket (RFC 6455 section 4.4)."""

UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": VERSION}
"""What says how to connect to whoever did otherwise (RFC 9110 section 15.5.22)."""

FULL_S = 5.0
"""After how many seconds a client that finds the server full is to come again."""

_POLL_S = 0.02

_OF_TLS = "certificates, keys and lists of TLS"
_OF_NODE = "certificates, keys and lists of the cluster"
_OF_ISSUER = "keys of oidc_issuer"


class App:
    """
    A running server.

    `user_port`, `card_port` and `http_port` are the ports in use, the last 0 without HTTP; `room`
    is what it has. Made by `serve`. `audit` is where evidence goes, `handed` has the sockets to
    listen on; without them it makes its own.

    Raises:
        ConfigError: If the system leaves it no room for peers.
    """

    def __init__(
        self,
        settings: ServerSettings,
        tasks: asyncio.TaskGroup,
        audit: Recorder = NOWHERE,
        handed: Handed | None = None,
    ) -> None:
        self._settings = settings
        self._handed = handed or {}
        loop = asyncio.get_running_loop()
        self._line = Line(loop)
        self.audit = audit
        self._quotas, self._refusals = Quotas(_bounds(settings)), Refusals(loop, audit)
        self.room = room_for(settings)
        self._cluster = clustered(settings) if settings.cluster_url else None
        relay = self._cluster.node if self._cluster is not None else Relay(**given(settings))
        told = self._quotas, self._refusals, audit
        self._peers = Peers(relay, self._line, *told, self.room.unread, settings.ping_s)
        self._tasks = tasks
        self._door: Door | None = None
        self._tls: ServerTls | None = None
        self._tokens: TokenTable | None = None
        self._provider: Provider | None = None
        self._state: StateKeeper | None = None
        self._shared: SharedState | None = None
        self._admission: Admission | None = None
        self._proxies = [ip_network(each) for each in settings.trusted_proxies]
        self._looking = ExitStack()
        self._reloads: list[Callable[[], None]] = []
        self._policy: PolicyFile | None = None
        self._runners: list[web.AppRunner] = []
        self._answering: list[Answering] = []
        self._site: Site | None = None
        self.user_port = 0
        self.card_port = 0
        self.http_port = 0

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

    def when_asked_to_stop(self, tell: Callable[[], None]) -> None:
        """Call `tell` when an operator has the server stopped."""
        self._peers.when_asked_to_stop(tell)

    @property
    def counts(self) -> dict[str, int]:
        """Peers, cards, sessions and waiters now."""
        return self._peers.counts

    @property
    def bitten(self) -> Mapping[str, int]:
        """How often each limit was reached so far, by the name of its setting."""
        return self._quotas.bitten

    @property
    def ended(self) -> int:
        """Connections that have ended so far."""
        return self._door.ended if self._door is not None else 0

    async def start(self) -> None:
        """
        Begin to listen on all ports.

        Raises:
            ConfigError: If TLS, policy, tokens or state are missing or broken, or a port cannot be
                had.
        """
        settings = self._settings
        self._tls = ServerTls(settings)
        self._look_after(self._tls.files, _OF_TLS, self._tls_changed)
        if settings.policy is not None:
            self._policy = PolicyFile(settings.policy)
            self._policy_changed()
            self._look_after(self._policy.files, "policy", self._policy_changed)
        await self._recall()
        if settings.oidc_issuer:
            self._provider = provider(settings)
            self._provider.keys.start(self._tasks)
        self._admission = Admission(self._tls, self._tokens, self._provider, settings)
        most = self.room.connections, settings.max_half_open
        self._door = Door(
            self._tasks, self._line, self._quotas, self._refusals, most, settings.hello_s
        )
        if self._cluster is not None:
            self._look_after(self._cluster.files.files, _OF_NODE, self._node_changed)
            self._cluster.start(self._peers, self._tasks)
            await self._cluster.joined()
        self.user_port = await self._listen(ClientType.USER, settings.user_port)
        self.card_port = await self._listen(ClientType.CARD, settings.card_port)
        if not settings.no_http:
            await self._serve_http()
        if self._cluster is not None:
            self._cluster.serve()

    async def _recall(self) -> None:
        """Know what outlives the server, and have that kept."""
        kept = keepers(self._settings)
        if kept.shared is not None:
            await asyncio.to_thread(kept.shared.start)
            self._shared = kept.shared
            self._shared.publish_policy(self._policy.digest if self._policy is not None else "")
        if self._settings.tokens:
            self._tokens = TokenTable(kept.tokens, self._tokens_changed)
            await self._tokens.start(self._tasks)
        peers = self._peers
        told = peers.kept, peers.booked, peers.upheld, peers.told
        self._state = StateKeeper(kept.state, *told)
        peers.keep_with(self._state.keep)
        peers.recall(await self._state.start(self._tasks))

    async def stop(self) -> None:
        """Stop accepting, let requests in flight finish, close every connection with 1012."""
        self._looking.close()
        if self._door is not None:
            self._door.close_websockets()
        await self._peers.stop(self._settings.reconnect_in_s, self._settings.drain_s)
        if self._cluster is not None:
            await self._cluster.stop()
        if self._door is not None:
            self._door.close()
        await self._handshakes_done()
        await self._end_http()
        self._end(lambda connection: not connection.upgraded)
        await self._all_closed()
        self._end(lambda _: True)
        if self._state is not None:
            await self._state.stop()
        self._peers.stopped()
        self._refusals.close()
        for runner in self._runners:
            await runner.cleanup()
        for answering in self._answering:
            answering.let_go()
        if self._tokens is not None:
            await self._tokens.stop()
        if self._provider is not None:
            await self._provider.keys.stop()
        if self._shared is not None:
            await asyncio.to_thread(self._shared.close)

    def reload(self) -> None:
        """
        Read the files of TLS and of the policy anew, and fetch the keys of the identity provider.

        What cannot work changes nothing.
        """
        for reload in self._reloads:
            reload()
        if self._provider is not None:
            self._provider.keys.renew(self._keys_renewed)

    def _keys_renewed(self, why: str) -> None:
        self.audit.record(events.Reloaded(what=_OF_ISSUER, why=why or None))

    def _look_after(self, files: Files, what: str, changed: Callable[[], None]) -> None:
        def refused(why: str) -> None:
            self.audit.record(events.Reloaded(what=what, why=why))

        looked = looked_after(files, LOOK_S, changed, refused)
        self._reloads.append(self._looking.enter_context(looked))

    def _policy_changed(self) -> None:
        """Have the relay obey the policy that is in force now."""
        assert self._policy is not None
        self.audit.record(events.PolicyChanged(digest=self._policy.digest))
        if self._shared is not None:
            self._shared.publish_policy(self._policy.digest)
        now = asyncio.get_running_loop().time()
        self._peers.act(self._peers.relay.set_policy, self._policy.policy, now)

    def _tls_changed(self) -> None:
        self.audit.record(events.Reloaded(what=_OF_TLS))
        self._who_changed()

    def _node_changed(self) -> None:
        assert self._cluster is not None
        self.audit.record(events.Reloaded(what=_OF_NODE))
        self._cluster.renewed()

    def _tokens_changed(self, came: Sequence[Stored], gone: Sequence[Stored]) -> None:
        for action, tokens in (("added", came), ("revoked", gone)):
            for each in tokens:
                named, role = f"{each.number} of {each.name}", str(each.role)
                self.audit.record(events.TokenChanged(action=action, token=named, role=role))
        self._who_changed()

    def _who_changed(self) -> None:
        """Close on those whose certificate or token is revoked by now."""
        door, admission = self._door, self._admission
        if door is None or admission is None:
            return
        for connection in list(door.connections):
            what = admission.is_over(connection)
            if what is not None:
                self._tell_end(connection, f"its {what} is revoked", logging.WARNING)
                connection.dismiss(CloseCode.POLICY, f"The {what} of this client is revoked.")
        if self._site is not None:
            self._site.desk.look()

    def _stayed(self, connection: Connection, what: str) -> None:
        """Close on a peer whose token or certificate ends; with another it may come back."""
        self._tell_end(connection, f"its {what} has expired", logging.INFO)
        connection.close(CloseCode.POLICY, f"The {what} of this client has expired.")

    def _tell_end(self, connection: Connection, why: str, level: int) -> None:
        """Log and record why a peer may not stay."""
        assert connection.principal is not None
        whose = connection.principal.name
        _log.log(level, "The connection of %s is closed: %s", whose, why)
        self.audit.record(events.Revoked(principal=whose, why=why))

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

    async def _serve_http(self) -> None:
        settings, door, admission, tls = self._settings, self._door, self._admission, self._tls
        assert door is not None
        assert admission is not None
        assert tls is not None
        told = self._peers, self._quotas, self._refusals
        parts = Parts(settings, *told, admission, door, self.room, self._tokens)
        if self._cluster is not None and self._shared is not None:
            parts = parts._replace(shared=partial(self._cluster.agreement, self._shared))
        self._site = Site(parts)
        runner = await self._site.serve()
        self._runners.append(runner)
        server, port, by_tls = runner.server, settings.http_at, settings.http_by_tls
        assert server is not None

        def context() -> ssl.SSLContext | None:
            return tls.context(ClientType.USER) if by_tls else None

        made = self._handed.get(HTTP) or bind(settings.http_host, "http_port", port, "http_host")
        for listener in made:
            door.listen(listener, server, context, http=True)
            port = listener.getsockname()[1]
        self.http_port = port

    async def _end_http(self) -> None:
        """End what is served over HTTP; its requests in flight have ended with the relay."""
        if self._site is None or self._door is None:
            return
        self._site.close()
        await self._runners.pop().cleanup()
        self._site.let_go()

    async def _listen(self, role: ClientType, port: int) -> int:
        answering = Answering(self._told)
        for path in ("/", f"/{role}"):
            answering.add("GET", path, self._handler(role), head=True)
        if self._cluster is not None and role is ClientType.USER and self._settings.node_url:
            answering.add("GET", "/node", self._for_nodes(self._cluster.direct.accept))
        runner = web.AppRunner(
            answering.application,
            access_log=None,
            logger=self._refusals.http_log,
            handle_signals=False,
            shutdown_timeout=CLOSE_S,
        )
        await runner.setup()
        self._runners.append(runner)
        self._answering.append(answering)
        door, server, tls = self._door, runner.server, self._tls
        assert door is not None
        assert server is not None
        assert tls is not None
        made = self._handed.get(role) or bind(self._settings.host, f"{role}_port", port)
        for listener in made:
            door.listen(listener, server, lambda: tls.context(role))
            port = listener.getsockname()[1]
        return port

    def _handler(self, role: ClientType) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        door = self._door
        assert door is not None

        async def upgrade(request: web.Request) -> web.StreamResponse:
            refusal = self._refusal(request, door)
            if refusal is not None:
                return refusal
            connection = connection_of(request)
            if connection is None or connection.transport is None:
                return web.Response()  # there is nobody to read it
            refusal = self._placed(request, connection)
            if refusal is not None:
                return refusal
            answer = await self._admitted(request, connection, role)
            accept, who = self._peers.accept, (role, connection.address, connection.principal)
            usage = connection.usages[-1] if connection.usages else None
            direct = _is_direct(request)
            return await _switched(
                request,
                connection,
                answer,
                lambda transport, hold: accept(transport, hold, *who, usage, direct=direct),
            )

        return upgrade

    def _for_nodes(self, accept: Accept) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return what takes other nodes, who prove later that they are."""
        door = self._door
        assert door is not None

        async def upgrade(request: web.Request) -> web.StreamResponse:
            connection, refusal = connection_of(request), self._refusal(request, door)
            if refusal is not None or connection is None or connection.transport is None:
                return refusal or web.Response()
            return await _switched(request, connection, accepted(request), accept)

        return upgrade

    async def _admitted(
        self, request: web.Request, connection: Connection, role: ClientType
    ) -> web.StreamResponse:
        """Note who a peer is; return the answer that lets it in, or says why it is not let in."""
        assert self._admission is not None
        assert self._door is not None
        try:
            admitted = await self._admission.admit(request, connection, role)
        except NotAdmittedError as exc:
            guessed = exc.reason not in SHOWN_NOTHING
            return (self._wrong(connection.address) if guessed else None) or exc.answer
        if connection not in self._door.connections:
            return web.Response()  # it is gone meanwhile
        if connection.spoke_early:
            return web.Response(status=400, text="Wait for the answer before the first frame.\n")
        connection.subject, connection.token = admitted.subject, admitted.token
        connection.principal = admitted.principal
        now = asyncio.get_running_loop().time()
        ban = self._peers.relay.ban_on(admitted.principal, connection.address, now)
        if ban is not None:
            return Banned(ban.sentence, ban.again_s)
        if admitted.until is not None:
            seconds = admitted.until - datetime.now(UTC).timestamp()
            connection.stay(seconds, lambda: self._stayed(connection, admitted.ends))
        return self._too_many(connection) or accepted(request)

    def _placed(self, request: web.Request, connection: Connection) -> web.Response | None:
        """Note where a client is that comes by way of a proxy; return why it is not let in."""
        try:
            address = address_of(request, connection, self._proxies)
        except UnclearError as exc:
            return web.Response(status=400, text=f"{exc}\n")
        if address == connection.address:
            return None
        connection.address = address
        now = asyncio.get_running_loop().time()
        usage, refusal, _ = self._quotas.arrived(address, now)
        if refusal is None:
            connection.usages += [] if usage is None else [usage]
            return None
        if usage is not None:
            self._quotas.left(usage)
        self._refusals.limited(refusal.limit, address)
        return KeptOut(refusal)

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
            self._quotas.bit(Limit.PEERS)
            self._refusals.limited(Limit.PEERS, request.remote or "an unknown address")
            return KeptOut(Refusal(Limit.PEERS, FULL_S))
        return None

    def _wrong(self, address: str) -> web.Response | None:
        """Note wrong credentials from an address; return the answer where there were too many."""
        now = asyncio.get_running_loop().time()
        refusal = self._quotas.wrong(address, now)
        if refusal is None:
            return None
        self._refusals.limited(refusal.limit, address)
        return KeptOut(refusal)

    def _too_many(self, connection: Connection) -> web.Response | None:
        """Count a connection among those of its principal; return why it is one too many."""
        if connection.principal is None:
            return None
        usage = self._quotas.let_in(account_of(connection.principal, connection.address))
        if isinstance(usage, Refusal):
            name = connection.principal.name
            self._refusals.limited(usage.limit, connection.address, name)
            return KeptOut(usage)
        connection.usages.append(usage)
        return None

    async def _told(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Log every request that is refused; limits are logged where they are found."""
        connection = connection_of(request)
        if connection is not None and connection.refusal is not None:
            return KeptOut(connection.refusal)
        try:
            response = await handler(request)
        except web.HTTPException as exc:
            self._refusals.refused(_shown(request), f"HTTP status {exc.status}: {exc.reason}")
            raise
        told = isinstance(response, KeptOut)
        if isinstance(response, web.Response) and response.status >= 400 and not told:
            why = f"HTTP status {response.status}: {response.text or ''}"
            self._refusals.refused(_shown(request), why)
        return response


async def _switched(
    request: web.Request, connection: Connection, answer: web.StreamResponse, accept: Accept
) -> web.StreamResponse:
    """Send an answer, and have `accept` take the connection if it is a WebSocket by that."""
    if answer.status != SWITCHING:
        return answer
    connection.is_websocket()
    try:
        await answer.prepare(request)
    except ConnectionError:
        return web.Response()
    connection.hand_over(accept)
    return answer


def _is_direct(request: web.Request) -> bool:
    """Return whether a request is to this very host, and says of no proxy that passed it on."""
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host) and not is_passed_on(request.headers)


def _shown(request: web.Request) -> str:
    """Return the address of a client, for people."""
    connection = connection_of(request)
    return (connection.address if connection is not None else request.remote) or "somewhere"


def _offered(request: web.Request) -> list[str]:
    """Return the subprotocols that a client offers (RFC 6455 section 11.3.4)."""
    lists = request.headers.getall("Sec-WebSocket-Protocol", ())
    return [name for each in lists for name in (part.strip() for part in each.split(",")) if name]


@asynccontextmanager
async def serve(settings: ServerSettings, handed: Handed | None = None) -> AsyncGenerator[App]:
    """Run a server for as long as the context lasts, on the sockets that are handed over."""
    node = settings.node_name if settings.cluster_url else None
    with ungrouped(), audited(settings, "wsrc-server", node) as audit:
        async with asyncio.TaskGroup() as tasks:
            app = App(settings, tasks, audit, handed)
            try:
                await app.start()
                yield app
            finally:
                await app.stop()


def _bounds(settings: ServerSettings) -> Bounds:
    return Bounds(*(getattr(settings, name) for name in Bounds._fields))
