# SPDX-License-Identifier: Apache-2.0
"""The carrier over NATS: one connection at a time, to any of several servers, for ever."""

# Longer than the aim: a connection, and what survives it, are one thing to whoever carries by it.

import asyncio
import logging
import random
import re
import secrets
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from nats import errors

from wsrc.cluster.nats_client import NatsConnection, Wire
from wsrc.cluster.nats_login import Credentials
from wsrc.cluster.nats_words import advice, explained, see_fit
from wsrc.errors import ConfigError
from wsrc.net.dial import Backoff
from wsrc.net.tls import client_context
from wsrc.settings.address import Address

_log = logging.getLogger(__name__)

MOST_PENDING: Final = 8 << 20
"""Octets that wait to be written; what is published beyond them is dropped."""

MOST_SAID: Final = 64
"""Reasons that are logged between two connections."""

INBOX: Final = 1
"""The number of the subscription of the inbox."""

_NOBODY = b"NATS/1.0 503"
"""How the headers of "no responders" begin."""

_SUBJECT = re.compile(r"[^\s\0]+")

_FAILURES = (OSError, errors.Error, ValueError, LookupError, TypeError, AttributeError)
"""What a greeting can fail with: a limit of time is an OSError, an odd INFO any of the others."""


class Answer(NamedTuple):
    """What has come; `again` is where to answer it, or tells which message of JetStream it is."""

    subject: str
    octets: bytes
    headers: bytes
    again: str


class Limits(NamedTuple):
    """
    For how long what is waited for.

    Attributes:
        connect_s: For a connection, from TCP until all is subscribed.
        step_s: For each step of that: TCP, INFO, TLS, the answer to a ping.
        ping_s: Between an answer to a ping and the next ping.
        silent_s: For an answer, while nothing else comes either.
        least_s: Before the next server is tried, at first.
        most_s: The same, where none can be reached.
        steady_s: How long a connection lasts that makes the next wait short again.
    """

    connect_s: float = 20.0
    step_s: float = 5.0
    ping_s: float = 1.0
    silent_s: float = 4.0
    least_s: float = 0.1
    most_s: float = 5.0
    steady_s: float = 5.0


class Place(NamedTuple):
    """
    Where NATS is, and how we are known there.

    Attributes:
        urls: `nats://` or `tls://`, with a user and a password in each that needs them.
        ca: PEM file of the CA of the servers' certificates, instead of those of the system.
        cert: PEM file of our own certificate and its chain, for servers that ask.
        key: PEM file of its private key.
        creds: File of credentials, instead of user and password.
    """

    urls: Sequence[str]
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    creds: Path | None = None


@dataclass(slots=True)
class Counts:
    """
    What a carrier has done since its start.

    Attributes:
        published: Messages that were given to a connection.
        heard: Messages that have come for us.
        nobody: Questions whose subject nobody subscribes.
        away: Messages dropped for there was no connection.
        full: Messages dropped for `MOST_PENDING` octets waited already.
        too_long: Messages dropped for the server takes none so long.
        refused: Times that the server spoke against us: a permission, a limit.
        connected: Connections that were made.
        faults: Messages that were lost by a fault of ours.
    """

    published: int = 0
    heard: int = 0
    nobody: int = 0
    away: int = 0
    full: int = 0
    too_long: int = 0
    refused: int = 0
    connected: int = 0
    faults: int = 0


class Hears(Protocol):
    """Is told by a carrier what happens; it calls from one thread, in the order of arrival."""

    def heard(self, subject: str, octets: bytes) -> None:
        """Take what was published under a subject that is subscribed."""
        ...

    def nobody(self, number: int) -> None:
        """Take note that nobody subscribes the subject of a question."""
        ...

    def connection(self, *, is_there: bool) -> None:
        """Take note that the carrier's connection is lost, or there again."""
        ...


class NatsCarrier:
    """
    What carries datagrams and questions over NATS, used by one event loop.

    What it publishes it does not hear itself. What cannot be carried, because it is not connected
    or its bound is full, is dropped and counted.

    Args:
        place: Where NATS is.
        name: Of the node, which operators of NATS see.
        inbox: First tokens of the subject of its inbox, such as `wsrc.c.nobody.a`: the node must
            be allowed to subscribe what begins so.
        hears: Told of all that comes.
        limits: Of time.
        answered: Called with all that comes, with headers and all, in place of `hears.heard`.

    Attributes:
        connected: Whether it has a connection, with all that is subscribed.
        counts: What it has done.
        server: What the server says of itself, of the connection that there is or was.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - where, who, whom to tell
        self,
        place: Place,
        name: str,
        inbox: str,
        hears: Hears,
        limits: Limits | None = None,
        answered: Callable[[Answer], None] | None = None,
    ) -> None:
        self._place = place
        self._name = name
        self._inbox = f"{inbox}.{secrets.token_hex(8)}"
        self._hears = hears
        self._limits = limits or Limits()
        self._answered = answered
        self._numbers: dict[str, int] = {}
        self._live = {INBOX}
        self._last = INBOX
        self._connection: NatsConnection | None = None
        self._noted: dict[str, str] = {}
        self._said: set[str] = set()
        self.connected = False
        self.counts = Counts()
        self.server: Mapping[str, Any] = {}

    def publish(self, subject: str, octets: bytes) -> None:
        """Send to all others that subscribe `subject`; dropped, counted, where that cannot be."""
        self._send(subject, "", octets)

    def ask(self, subject: str, octets: bytes, number: int, headers: bytes = b"") -> None:
        """Publish; `nobody` is told the number where nobody subscribes `subject`."""
        self._send(subject, self.inbox(number), octets, headers)

    def inbox(self, number: int) -> str:
        """Return the subject under which an answer comes that has a number."""
        return f"{self._inbox}.{number}"

    def hold(self) -> None:
        """Have what is published wait until `write_out`, which the caller calls in this turn."""
        if self._connection is not None:
            self._connection.hold()

    def write_out(self) -> None:
        """Have what was published written now, and not when the loop comes round again."""
        if self._connection is not None:
            self._connection.write_out()

    def subscribe(self, subject: str) -> None:
        """Hear what others publish to `subject`, over all connections to come; once is enough."""
        _check(subject)
        if subject in self._numbers:
            return
        self._last += 1
        self._numbers[subject] = self._last
        self._live.add(self._last)
        if self._connection is not None:
            self._connection.follow([(subject, self._last)])

    def unsubscribe(self, subject: str) -> None:
        """Hear nothing of `subject` any more, nor what is on its way."""
        number = self._numbers.pop(subject, None)
        if number is None:
            return
        self._live.discard(number)
        if self._connection is not None:
            self._connection.unfollow(number)

    def check(self) -> None:
        """
        Look at the files that are needed, before anything is begun.

        Raises:
            ConfigError: If one cannot be read or is not what it should be.
        """
        self._context()
        self._credentials()

    async def flush(self, limit_s: float) -> None:
        """Wait until a server has what was published, no longer than so many seconds."""
        connection = self._connection
        if connection is not None:
            await _first([connection.ping(), connection.lost], limit_s)

    async def run(self) -> None:
        """Be connected, again and again, until cancelled."""
        places = [Address(url) for url in self._place.urls]
        random.shuffle(places)
        backoff = Backoff(self._limits.least_s, self._limits.most_s)
        loop = asyncio.get_running_loop()
        while True:
            for place in places:
                began = loop.time()
                said = await self._once(place)
                _heed()
                self._say(said)
                if loop.time() - began > self._limits.steady_s:
                    backoff.succeeded()
                await asyncio.sleep(backoff.wait_s())

    def _say(self, sentence: str) -> None:
        """Log why there is no connection, each reason once until there is one."""
        if sentence not in self._said and len(self._said) < MOST_SAID:
            self._said.add(sentence)
            _log.warning("%s", sentence)

    async def _once(self, place: Address) -> str:
        """Connect to a server, stay until that is lost, and return the sentence of the reason."""
        self._noted = {}
        wire = Wire(wants_tls=place.startswith("tls:"))
        connection = NatsConnection(wire, self._took, self._note)
        try:
            try:
                async with asyncio.timeout(self._limits.connect_s):
                    await self._greet(connection, place)
                _heed()
            except ConfigError as exc:
                return f"NATS at {place} cannot be asked to let us in. {exc}"
            except _FAILURES as exc:
                return f"NATS at {place} cannot be reached: {self._why(exc, place, wire.refusal)}"
            return f"NATS at {place} was lost: {await self._stay(connection, place)}"
        finally:
            await self._leave(connection)

    async def _greet(self, connection: NatsConnection, place: Address) -> None:
        options: dict[str, Any] = {"name": self._name, "tls": self._context()}
        credentials = self._credentials()
        if credentials is not None:
            options["signature_cb"] = credentials.sign
            if credentials.jwt:
                options["user_jwt_cb"] = credentials.jwt.encode
            else:
                connection.know(credentials.public)
        elif place.login is not None:
            options["user"], options["password"] = place.login
        await connection.open(place.whole, self._limits.step_s, **options)
        self.server = connection.server
        see_fit(self.server)
        connection.follow([(f"{self._inbox}.*", INBOX), *self._numbers.items()])
        pong = connection.ping()
        await _first([pong, connection.lost], None)
        if connection.lost.done():
            raise connection.lost.result() or ConnectionResetError

    async def _stay(self, connection: NatsConnection, place: Address) -> str:
        """Serve until the connection is lost; return why it was."""
        self._connection = connection
        self.connected = True
        self.counts.connected += 1
        self._said.clear()
        name, version = (
            str(self.server.get(each, "?"))[:80] for each in ("server_name", "version")
        )
        _log.info("NATS at %s is connected: server %s, version %s", place, name, version)
        self._hears.connection(is_there=True)
        while True:
            await _first([connection.lost], self._limits.ping_s)
            if not connection.lost.done() and await self._answers(connection):
                continue
            if not connection.lost.done():
                return f"it did not answer for {self._limits.silent_s:g} s."
            return self._why(connection.lost.result() or ConnectionResetError(), place)

    async def _answers(self, connection: NatsConnection) -> bool:
        """Ping; return whether there is an answer, or anything else comes instead."""
        pong = connection.ping()
        while True:
            received = connection.received
            await _first([pong, connection.lost], self._limits.silent_s)
            if pong.done() or connection.lost.done():
                return pong.done()
            if connection.received == received:
                return False

    async def _leave(self, connection: NatsConnection) -> None:
        self._connection = None
        if self.connected:
            self.connected = False
            self._hears.connection(is_there=False)
        await connection.end()

    def _send(self, subject: str, reply: str, octets: bytes, headers: bytes = b"") -> None:
        _check(subject)
        connection = self._connection
        if connection is None:
            self.counts.away += 1
        elif len(octets) > connection.max_payload:
            self.counts.too_long += 1
            self._note("maximum payload violation")
        elif connection.pending_data_size + len(octets) > MOST_PENDING:
            self.counts.full += 1
        else:
            self.counts.published += 1
            connection.post(subject, reply, octets, headers)

    def _took(self, number: int, subject: str, octets: bytes, headers: bytes, reply: bytes) -> None:
        if number not in self._live:
            return
        try:
            if number == INBOX and headers.startswith(_NOBODY):
                self.counts.nobody += 1
                self._hears.nobody(int(subject.rpartition(".")[2]))
            elif self._answered is not None:
                self._answered(Answer(subject, octets, headers, reply.decode()))
            elif number != INBOX:
                self.counts.heard += 1
                self._hears.heard(subject, octets)
        except Exception:  # noqa: BLE001 - a fault of ours costs one message
            self.counts.faults += 1
            if self.counts.faults == 1:
                _log.exception("A message of NATS is lost by a fault of ours")

    def _note(self, said: str) -> None:
        """Take what a server says against us; the first of each kind is logged."""
        self.counts.refused += 1
        kind = " ".join(said.split()[:4])
        if kind not in self._noted and len(self._noted) < 16:
            self._noted[kind] = said
            _log.warning("NATS refuses something: %s.%s", said[:200], advice(kind))

    def _context(self) -> ssl.SSLContext:
        """Return the context of TLS, by the files as they are now."""
        names = {"tls_ca": "cluster_ca", "tls_cert": "cluster_cert", "tls_key": "cluster_key"}
        try:
            return client_context(self._place.ca, self._place.cert, self._place.key)
        except ConfigError as exc:
            sentence = str(exc).removeprefix(f"{exc.setting}: ")
            raise ConfigError(names.get(exc.setting, exc.setting), sentence) from exc

    def _credentials(self) -> Credentials | None:
        return None if self._place.creds is None else Credentials.of_file(self._place.creds)

    def _why(self, exc: BaseException, place: Address, refusal: str = "") -> str:
        """Return why a connection failed, in a sentence."""
        said = refusal or next(iter(self._noted.values()), "") or str(exc)
        return explained(exc, said, place.rpartition("/")[2])


def _heed() -> None:
    """
    Be cancelled where nats-py was and said nothing.

    `asyncio.wait_for` does that before Python 3.12 where what it waits for is done as well.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _first(futures: Sequence[asyncio.Future[Any]], limit_s: float | None) -> None:
    """Wait until one of them is done, no longer than so many seconds."""
    await asyncio.wait(futures, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)


def _check(subject: str) -> None:
    """
    See that a subject is one.

    Raises:
        ValueError: If it has white space, which would be read as another command.
    """
    if _SUBJECT.fullmatch(subject) is None:
        raise ValueError(f"{subject!r} is no subject of NATS")
