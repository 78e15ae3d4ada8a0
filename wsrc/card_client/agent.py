# SPDX-License-Identifier: Apache-2.0
"""All readers of a host and the connection to the server, which is retried for ever."""

import asyncio
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import msgspec

from wsrc.audit.events import Reloaded, ServerFound, ServerLost
from wsrc.card_client.evidence import Evidence
from wsrc.card_client.reader_ids import ReaderIds
from wsrc.card_client.replies import NO_SESSION, Replies
from wsrc.card_client.seals import Seals
from wsrc.card_client.sight import TELL_S
from wsrc.card_client.slot_agent import SlotAgent
from wsrc.card_client.worker import ReaderThread
from wsrc.errors import (
    ConnectionLostError,
    ErrorCode,
    LocalProtocolError,
    Outcome,
    RefusedError,
    RemoteProtocolError,
)
from wsrc.net.dial import Backoff, Instead, dial
from wsrc.net.greeting import greet
from wsrc.net.tls_files import ClientTls
from wsrc.net.websocket import Link
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS, UnreadableError, tag_of
from wsrc.protocol.conversation import CloseCode, Phase, Speaker, may_say
from wsrc.readers.base import Slot, Source
from wsrc.settings.load import CardClientSettings

# Longer than the aim: a card client from its start to its end.

_log = logging.getLogger(__name__)

CONNECT_S = 10.0
"""How long the server may take to accept a connection, and to answer `hello`."""

AGAIN_MIN_S, AGAIN_MAX_S = 1.0, 60.0
"""When what failed for no reason that we know of is tried again; the waits double."""

FEATURES = "batch", "cancel", "pcsc", "raw_tpdu", "read_ahead", "resume", "share"
"""What every card client announces."""

GOODBYE_S = 2.0
"""How long the closing handshake may take at the end."""


class _Served(msgspec.Struct, frozen=True):
    agent: SlotAgent
    task: "asyncio.Task[None]"


class Agent:
    """
    The card client.

    Args:
        settings: The operator's.
        sources: Where readers come from; those of `settings` are for whoever makes the sources.
        evidence: What is kept of what happened.

    Raises:
        ConfigError: If a file of TLS or of seals of `settings` cannot be read.
    """

    def __init__(
        self,
        settings: CardClientSettings,
        sources: Sequence[Source],
        evidence: Evidence | None = None,
    ) -> None:
        self._settings = settings
        self.evidence = evidence or Evidence()
        self.connections = 0
        """How often a server was found."""
        self.requests = 0
        """Requests of sessions that came."""
        self.tls = ClientTls(settings)
        self._sources = sources
        self._instance = secrets.token_hex(16)
        self._link: Link | None = None
        self._replies = Replies(self._send)
        self._seals = Seals(settings, lambda: self._replies.longest)
        self._served: dict[tuple[int, str], _Served] = {}
        self._leaving: dict[tuple[int, str], _Served] = {}
        self._sessions: dict[str, SlotAgent] = {}
        self._return_in_s: float | None = None
        self._instead = Instead(settings.server_url)
        self._shown_as: str | None = None
        self._ids = ReaderIds(settings.name)
        self._look: dict[int, Callable[[], None]] = {}
        self._again_s: dict[tuple[int, str], float] = {}
        self._stopping = False
        self._stopped = threading.Event()

    async def run(self, stop: asyncio.Event) -> list[str]:
        """
        Serve all readers until `stop` is set, then say goodbye and power the cards off.

        Returns:
            The names of the readers that did not answer, whose cards may have power still.
        """
        last: list[SlotAgent] = []
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as tasks:
                for number, source in enumerate(self._sources):
                    name = f"source {number}"
                    args = (number, source, loop, tasks)
                    threading.Thread(target=self._watch, args=args, name=name, daemon=True).start()
                connected = tasks.create_task(self._keep_connected(), name="connection")
                await stop.wait()
                last = [each.agent for each in (*self._served.values(), *self._leaving.values())]
                await self._say_goodbye(connected)
        finally:
            self._stopped.set()
            for source in self._sources:
                source.stop()
        return [each.info.name for each in last if not each.powered_off]

    @property
    def infos(self) -> list[m.ReaderInfo]:
        """All readers that are known so far."""
        return [each.agent.info for each in self._served.values() if each.agent.named]

    @property
    def held(self) -> int:
        """How many readers a session has."""
        return sum(each.agent.in_session for each in self._served.values())

    @property
    def is_connected(self) -> bool:
        """Whether there is a server."""
        return self._link is not None

    def reloaded(self) -> None:
        """Take note that the files of TLS were read anew."""
        self.evidence.record(Reloaded(what="certificate, key and CA of TLS"))

    async def _say_goodbye(self, connected: "asyncio.Task[None]") -> None:
        self._stopping = True
        for served in (*self._served.values(), *self._leaving.values()):
            served.agent.end_sessions(
                ErrorCode.READER_UNAVAILABLE, "The card client stops.", last=True
            )
        if self._link is not None:
            self._link.close(CloseCode.GOING_AWAY, "The card client stops.")
            await asyncio.wait([connected], timeout=GOODBYE_S)
        connected.cancel()
        for served in (*self._served.values(), *self._leaving.values()):
            served.task.cancel()

    def _watch(
        self,
        number: int,
        source: Source,
        loop: asyncio.AbstractEventLoop,
        tasks: asyncio.TaskGroup,
    ) -> None:
        """Run a source in this thread, again if it fails, and pass what it sees to the loop."""

        def report(slots: list[Slot]) -> None:
            with suppress(RuntimeError):  # the event loop is closed, and the source about to stop
                loop.call_soon_threadsafe(self._seen, number, source, slots, tasks)

        again_s = AGAIN_MIN_S
        while not self._stopped.is_set():
            try:
                source.watch(report)
            except Exception:  # noqa: BLE001 - readers that nobody looks at would be gone for ever
                _log.exception("The readers of this host cannot be seen; again in %g s", again_s)
                report([])
                self._stopped.wait(again_s)
                again_s = min(2 * again_s, AGAIN_MAX_S)
            else:
                return

    def _seen(
        self, number: int, source: Source, slots: list[Slot], tasks: asyncio.TaskGroup
    ) -> None:
        if self._stopping:
            return
        self._look[number] = partial(self._seen, number, source, slots, tasks)
        names = {slot.name for slot in slots}
        for key in [key for key in self._served if key[0] == number and key[1] not in names]:
            self._unplugged(key)
        for slot in slots:
            key = (number, slot.name)
            if key not in self._served:
                self._gone(key)
                self._served[key] = self._plugged(key, source, tasks)
            self._served[key].agent.slot_changed(slot)

    def _plugged(self, key: tuple[int, str], source: Source, tasks: asyncio.TaskGroup) -> _Served:
        name = key[1]
        _log.info("Reader %s is served", name)
        agent = SlotAgent(
            self._settings,
            name,
            lambda stable, position: self._claim(key, stable, position),
            ReaderThread(name, lambda: source.open(name), lambda: source.prompt(name)),
            self._replies,
            self.evidence,
            self._seals,
        )
        return _Served(agent, tasks.create_task(self._serve(key, agent), name=name))

    async def _serve(self, key: tuple[int, str], agent: SlotAgent) -> None:
        """Serve a reader; one that fails for a reason of our own harms no other, and comes back."""
        try:
            await agent.run()
        except Exception:  # noqa: BLE001 - the fault is told, and ends with this reader
            again_s = self._again_s.get(key, AGAIN_MIN_S)
            _log.exception("Reader %s cannot be served; again in %g s", key[1], again_s)
            self._again_s[key] = min(2 * again_s, AGAIN_MAX_S)
            if key in self._served and self._served[key].agent is agent:
                self._unplugged(key)
                asyncio.get_running_loop().call_later(again_s, self._look_again, key[0])

    def _look_again(self, source: int) -> None:
        self._look[source]()

    def _unplugged(self, key: tuple[int, str]) -> None:
        """Stop serving a reader; its sessions have a moment to end with an outcome."""
        served = self._leaving[key] = self._served.pop(key)
        self._ids.strike(key)
        _log.info("Reader %s is gone", key[1])
        if not served.agent.in_session:
            self._gone(key)
            return
        served.agent.soon(lambda: self._gone(key, served))
        asyncio.get_running_loop().call_later(TELL_S, self._gone, key, served)

    def _gone(self, key: tuple[int, str], only: _Served | None = None) -> None:
        """Report to the server that a reader is gone, unless that was done."""
        served = self._leaving.get(key)
        if served is None or only not in {None, served}:
            return
        del self._leaving[key]
        served.agent.end_sessions(ErrorCode.READER_UNAVAILABLE, "The reader was unplugged.")
        self._sessions = {s: a for s, a in self._sessions.items() if a is not served.agent}
        if served.agent.named:
            self._send(m.ReaderGone(reader=served.agent.info.reader))
        served.task.cancel()

    def _claim(self, key: tuple[int, str], stable: str, position: str) -> str:
        """Return the id of a reader; others may be called otherwise because of it."""
        self._ids.enter(key, key[1], stable, position)
        for other, wanted in self._ids.all():
            served = self._served.get(other)
            if other != key and served is not None and served.agent.info.reader != wanted:
                served.agent.rename(wanted)
        return self._ids.id_of(key)

    def _send(self, message: m.Message) -> None:
        if self._link is None:
            return
        try:
            self._link.send(message)
        except LocalProtocolError as exc:
            _log.error("The server is not told all: %s", exc)
            if isinstance(message, m.Answer | m.Resumed | m.SessionEnded):
                ids = {"id": message.id, "session": m.session_of(message), "seq": message.seq}
                outcome = Outcome.UNKNOWN
                self._link.send(m.error(ErrorCode.TOO_MANY, str(exc), outcome=outcome, **ids))

    async def _keep_connected(self) -> None:
        settings = self._settings
        backoff = Backoff(settings.reconnect_min_s, settings.reconnect_max_s)
        while True:
            try:
                async with dial(
                    settings.server_url,
                    self.tls.context(),
                    token=self.tls.token(),
                    connect_s=CONNECT_S,
                    ping_s=settings.ping_s,
                    longest=MAX_MESSAGE_OCTETS,
                    host=self._instead.next(),
                ) as link:
                    await self._greet(link)
                    self._instead.told(())
                    backoff.succeeded()
                    await self._converse(link)
            except (
                ConnectionLostError,
                LocalProtocolError,
                RefusedError,
                RemoteProtocolError,
            ) as exc:
                if exc.retry_after_s is not None:
                    self._return_in_s = exc.retry_after_s
                if not self._stopping:
                    url = self._settings.server_url
                    why = str(exc).removeprefix(f"{url}: ")
                    _log.warning("Not connected to %s: %s", url, why)
                    if self._link is not None:
                        self.evidence.record(ServerLost(why=why))
            finally:
                self._disconnected()
            if self._stopping:
                return
            at_least, self._return_in_s = self._return_in_s, None
            await asyncio.sleep(backoff.wait_s(None if self._instead else at_least))

    async def _greet(self, link: Link) -> None:
        """Send `hello` with all readers; what changes meanwhile follows as it happens."""
        named = [served.agent for served in self._served.values() if served.agent.named]
        hello = m.Hello(
            client_type=m.ClientType.CARD,
            version=m.VERSION,
            features=(*FEATURES, "seal") if self._seals.on else FEATURES,
            name=self._settings.name,
            instance=self._instance,
            shown_as=self._shown_as,
            readers=tuple(agent.info for agent in named),
            sessions=tuple(session for agent in named for session in agent.kept),
        )
        self._link = link
        ack = await greet(link, hello, CONNECT_S, "the server")
        self._replies.longest = link.longest or MAX_MESSAGE_OCTETS
        for agent in named:
            agent.connection_back()
        self.connections += 1
        server, url = ack.server, self._settings.server_url
        _log.info("Connected to %s at %s", server, url)
        self.evidence.record(ServerFound(server=server or "", url=str(url)))
        self._shown_as = ack.shown_as or self._settings.name
        name, shown = self._settings.name, ack.shown_as
        if shown is not None and shown.startswith(name):
            why = "Another card host is called %s: users see this one as %s; give it another name"
            _log.warning(why, name, shown)
        elif shown is not None:
            _log.info("Users see this card host as %s", shown)

    async def _converse(self, link: Link) -> None:
        while True:
            try:
                message, _ = await link.receive()
            except UnreadableError as exc:
                ids = {"id": exc.id, "session": exc.session}
                link.send(m.error(exc.code, str(exc), outcome=Outcome.NOT_EXECUTED, **ids))
                continue
            except RemoteProtocolError as exc:
                link.send(m.error(exc.code, str(exc)))
                link.close(exc.close_code, str(exc))
                raise
            self._received(message)

    def _received(self, message: m.Message) -> None:
        if not may_say(Speaker.SERVER_TO_CARD, Phase.OPEN, message):
            why = f"{tag_of(message)!r} has no place here."
            self._send(m.error(ErrorCode.UNEXPECTED_MESSAGE, why, id=message.id))
            return
        match message:
            case m.Attach(reader=reader):
                self._route(self._by_id(reader), message)
            case m.Restarting(reconnect_in_s=seconds, instead=hosts):
                self._return_in_s = seconds
                self._instead.told(hosts)
            case m.Error(message=sentence):
                _log.warning("The server says: %s", sentence)
            case m.StateNotification():
                pass
            case _:
                assert isinstance(message, m.Forwarded | m.Resume | m.Detach | m.Cancel)
                self.requests += isinstance(message, m.Forwarded)
                self._route(self._sessions.get(message.session or ""), message)

    def _route(self, agent: SlotAgent | None, message: m.Message) -> None:
        if isinstance(message, m.Attach) and agent is not None:
            there = self._sessions.items()
            self._sessions = {s: a for s, a in there if a is not agent or a.knows(s)}
            self._sessions[message.session] = agent
        if agent is not None:
            agent.request(message)
        elif isinstance(message, m.Detach):
            self._send(m.DetachAck(session=message.session))
        elif isinstance(message, m.Resume):
            self._replies.too_late(message)
        elif isinstance(message, m.Attach):
            why = "The reader is not there any more."
            self._replies.refuse(message, ErrorCode.READER_UNAVAILABLE, why)
        else:
            self._replies.refuse(message, ErrorCode.NO_SUCH_SESSION, NO_SESSION)

    def _by_id(self, reader: str) -> SlotAgent | None:
        agents = (served.agent for served in self._served.values())
        return next((agent for agent in agents if agent.info.reader == reader), None)

    def _disconnected(self) -> None:
        if self._link is None:
            return
        self._link = None
        for served in (*self._served.values(), *self._leaving.values()):
            served.agent.connection_lost()
