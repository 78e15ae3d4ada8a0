# SPDX-License-Identifier: Apache-2.0
"""
One connection to a NATS server: nats-py's client, with what passes through it taken at once.

nats-py gives each subscription a task and two queues, and each connection that is lost a wait of
its own. Here one function takes all that comes, a subscription is a line that was sent, and the
first thing that fails ends the connection, for `nats.py` makes the next.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import ParseResult

from nats.aio.client import Client, Srv
from nats.aio.transport import Transport

READ_OCTETS: Final = 1 << 16
"""Octets that are read ahead; twice as many stop the other end."""

END_S: Final = 1.0
"""How long a connection may take to end; nothing that it holds is waited for."""

_FOR_EVER_S: Final = 1 << 30
"""nats-py's own pings, which would come too late."""

Took = Callable[[int, str, bytes, bytes, bytes], None]
"""Of a message: number of its subscription, subject, octets, headers, where to answer it."""


class _Reader(asyncio.StreamReader):
    """
    Keeps what a server says against us, also where it closes the connection before that is read.

    Attributes:
        refusal: The first words, in lower case; empty if there were none.
    """

    def __init__(self) -> None:
        super().__init__(limit=READ_OCTETS)
        self.refusal = ""
        self.greets = True

    def feed_data(self, data: Any) -> None:
        """Take what has come."""
        super().feed_data(data)
        if self.greets and not self.refusal and b"-ERR" in data:
            said = data[data.index(b"-ERR") + 4 :].split(b"\r\n")[0]
            self.refusal = said.strip(b" '").decode(errors="replace").lower()


class Wire(Transport):
    """
    A connection that ends at once, and writes nothing before TLS where TLS is wanted.

    A `tls://` URL alone makes nats-py speak TLS only with a server that says so.
    """

    def __init__(self, *, wants_tls: bool) -> None:
        self._in_clear = wants_tls
        self._reader: _Reader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._beneath: asyncio.StreamWriter | None = None

    @property
    def refusal(self) -> str:
        """What the server has said against us during its greeting, in lower case, or nothing."""
        return "" if self._reader is None else self._reader.refusal

    def greeted(self) -> None:
        """Know that the greeting is over: what is said against us from now on is read."""
        if self._reader is not None:
            self._reader.greets = False

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: float) -> None:
        """Connect over TCP."""
        loop = asyncio.get_running_loop()
        reader = _Reader()
        async with asyncio.timeout(connect_timeout):
            transport, protocol = await loop.create_connection(
                lambda: asyncio.StreamReaderProtocol(reader), uri.hostname or "", uri.port or 0
            )
        self._reader = reader
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: float,
    ) -> None:
        """Go on in TLS, with a server of this name."""
        host = uri if isinstance(uri, str) else uri.hostname
        loop = asyncio.get_running_loop()
        reader = _Reader()
        protocol = asyncio.StreamReaderProtocol(reader)
        beneath = self._open()
        self._writer = None  # which hears of no end while TLS begins
        try:
            async with asyncio.timeout(connect_timeout):
                transport = await loop.start_tls(
                    beneath.transport, protocol, ssl_context, server_hostname=host
                )
        except BaseException:
            beneath.transport.abort()
            raise
        if transport is None:
            raise ConnectionResetError
        # The loop leaves it out, and nobody who sends too much would be stopped.
        protocol.connection_made(transport)
        self._reader = reader
        self._beneath = beneath  # which closes its transport when nobody holds it
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._in_clear = False

    def write(self, payload: bytes) -> None:
        """Write some octets."""
        if self._in_clear:
            raise InClearError
        self._open().write(payload)

    def writelines(self, payload: list[bytes]) -> None:
        """Write octets together."""
        self.write(b"".join(payload))

    async def read(self, buffer_size: int) -> bytes:
        """Return what has come, at least an octet; none at the end."""
        return b"" if self._reader is None else await self._reader.read(buffer_size)

    async def readline(self) -> bytes:
        """Return a line, or what there is of it at the end."""
        return b"" if self._reader is None else await self._reader.readline()

    async def drain(self) -> None:
        """Wait while too much is to be written."""
        await self._open().drain()

    def close(self) -> None:
        """End, without what is not taken yet: a server that is frozen takes nothing."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def wait_closed(self) -> None:
        """Wait until it has ended, `END_S` at most."""
        if self._writer is not None:
            with suppress(OSError):
                async with asyncio.timeout(END_S):
                    await self._writer.wait_closed()

    def at_eof(self) -> bool:
        """Whether there is nothing more to read."""
        return self._reader is None or self._reader.at_eof()

    @property
    def is_idle(self) -> bool:
        """Whether all is taken that was written."""
        writer = self._writer
        return writer is not None and not writer.transport.get_write_buffer_size()

    def __bool__(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] - no type there
        return self._writer is not None

    def _open(self) -> asyncio.StreamWriter:
        if self._writer is None:
            raise ConnectionResetError
        return self._writer


class InClearError(ConnectionError):
    """A server does not speak TLS where it must."""


class NatsConnection(Client):
    """
    A connection, from its greeting to its loss.

    Args:
        wire: Not connected yet.
        took: Called with each message.
        noted: Called with what the server says against us, in its words.

    Attributes:
        lost: Done when the connection cannot be used any more; its result is the reason, None
            where the server has ended it.
        received: Messages, and answers to pings, that have come.
    """

    def __init__(self, wire: Wire, took: Took, noted: Callable[[str], None]) -> None:
        super().__init__()
        self._wire = wire
        self._took = took
        self._noted = noted
        self._loop = asyncio.get_running_loop()
        self._is_due = False
        self.lost: asyncio.Future[BaseException | None] = self._loop.create_future()
        self.received = 0

    async def open(self, url: str, step_s: float, **options: Any) -> None:
        """
        Connect and greet.

        Args:
            url: Without a user part.
            step_s: How long each step may take: TCP, INFO, TLS, PONG.
            options: As of nats-py's `connect`.

        Raises:
            OSError: If the server cannot be reached or ends it.
            nats.errors.Error: If it says something else, or refuses us.
        """
        options["connect_timeout"] = step_s
        await self.connect(
            [url],
            error_cb=self._failed,
            allow_reconnect=False,
            ping_interval=_FOR_EVER_S,
            dont_randomize=True,
            no_echo=True,
            pending_size=0,
            **options,
        )
        if not self.is_connected or self.lost.done():
            raise ConnectionResetError
        self._wire.greeted()

    async def end(self) -> None:
        """Be gone, whatever state it is in."""
        self._wire.close()
        self._pending.clear()
        self._pending_data_size = 0
        tasks = self._tasks()
        if self._flush_queue is not None:
            with suppress(OSError):
                async with asyncio.timeout(2 * END_S):
                    await self.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_S)

    def _tasks(self) -> list[asyncio.Task[Any]]:
        """Return what nats-py has begun."""
        names = ("_reading_task", "_ping_interval_task", "_flusher_task")
        tasks: list[asyncio.Task[Any] | None] = [getattr(self, name) for name in names]
        return [task for task in tasks if task is not None]

    @property
    def server(self) -> dict[str, Any]:
        """What the server said of itself (INFO)."""
        return self._server_info

    def know(self, public: str) -> None:
        """Say which key signs, where no JWT says it."""
        self._public_nkey = public

    def post(self, subject: str, reply: str, octets: bytes, headers: bytes = b"") -> None:
        """
        Publish, in the order of the calls; `pending_data_size` grows until it is written.

        `headers` are as they are sent, with their first line and the empty one, or none.
        """
        verb, sizes = ("HPUB", f"{len(headers)} ") if headers else ("PUB", "")
        head = f"{verb} {subject} {reply} {sizes}{len(headers) + len(octets)}\r\n".encode()
        self._say(head + headers + octets + b"\r\n")

    def follow(self, subjects: Iterable[tuple[str, int]]) -> None:
        """Subscribe subjects, each under its number."""
        self._say("".join([f"SUB {subject} {number}\r\n" for subject, number in subjects]).encode())

    def unfollow(self, number: int) -> None:
        """End a subscription."""
        self._say(f"UNSUB {number}\r\n".encode())

    def ping(self) -> asyncio.Future[Any]:
        """Send a ping, after all that was said before; return what is done when it is answered."""
        pong: asyncio.Future[Any] = self._loop.create_future()
        self._pongs.append(pong)  # pyright: ignore[reportUnknownMemberType] - of nats-py
        self._say(b"PING\r\n")
        return pong

    def hold(self) -> None:
        """Have what is said wait until `write_out`, which is called soon."""
        self._is_due = True

    def write_out(self) -> None:
        """Write what waits, now; nats-py does it later where the server takes too slowly."""
        self._is_due = False
        if not self._pending or self.lost.done():
            return
        if self._wire.is_idle:
            said, self._pending, self._pending_data_size = self._pending, [], 0
            try:
                self._wire.writelines(said)
            except (OSError, RuntimeError) as exc:  # of uvloop, where the connection is closed
                self._over(exc)
        elif self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(self._loop.create_future())

    def _say(self, command: bytes) -> None:
        self._pending.append(command)
        self._pending_data_size += len(command)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self.write_out)

    def _over(self, why: BaseException | None) -> None:
        if not self.lost.done():
            self.lost.set_result(why)

    async def _failed(self, why: Exception) -> None:
        """Take what nats-py tells of errors: each is raised as well, or ends the connection."""

    async def _select_next_server(self) -> None:
        self._current_server = self._server_pool[0]
        await self._connect_to_server(self._current_server)

    async def _connect_to_server(self, s: Srv) -> None:
        self._transport = self._wire
        await self._wire.connect(s.uri, READ_OCTETS, self.options["connect_timeout"])

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        self.received += 1
        self._took(sid, subject.decode(errors="replace"), data, headers or b"", reply)

    async def _process_pong(self) -> None:
        self.received += 1
        await super()._process_pong()

    async def _process_err(self, err_msg: str) -> None:
        self._noted(err_msg.strip("'"))

    async def _process_op_err(self, e: Exception) -> None:
        self._over(e)
