# SPDX-License-Identifier: Apache-2.0
"""
The readers of remote cards inside of a process: no service of the system, no socket.

They are those of `pcscd_machine`, in a thread of their own; `pyscard_calls` makes calls to them
as libpcsclite does over the socket, so that both behave alike.
"""

import asyncio
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress

from wsrc.bridges.pcscd.server import Server
from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.cards import RemoteCards, RemoteSession, Report
from wsrc.card.pcsc_numbers import Code
from wsrc.card.slot import CardProtocol, ResetKind
from wsrc.errors import ConnectionLostError, WsrcError
from wsrc.user_client.aio import Client
from wsrc.user_client.naming import Filters
from wsrc.user_client.portal import JOIN_S

_LOOK_S = 1.0
"""How often who waits for an answer looks whether the service is still there."""

TLS_REST_S = 0.1
"""How long a loop goes on after a connection was closed: the end of TLS takes a round trip."""


class ScardError(Exception):
    """A call failed; `reason` is a sentence where more is known than the code says."""

    def __init__(self, code: Code, reason: str = "") -> None:
        super().__init__(reason or code.name)
        self.code = code
        self.reason = reason


class Service:
    """
    The readers of remote cards, in a thread of their own.

    Args:
        connect: Makes a client that is not open yet.
        wanted: The cards that match any of these are shown.
    """

    def __init__(self, connect: Callable[[], Client], wanted: Sequence[Filters]) -> None:
        self._source = _Explaining(RemoteCards(connect, wanted, lambda _: None))
        self._changed = threading.Condition()
        self._seen: tuple[Seen, ...] = ()
        self._version = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self._stopping: asyncio.Event | None = None
        self._begun: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="wsrc-pyscard", daemon=True)

    def open(self) -> None:
        """
        Connect, and wait until the cards are known.

        Raises:
            WsrcError: If the server is not reached or refuses us; the service is closed then.
        """
        self._thread.start()
        try:
            self._begun.result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give all cards back and end the thread; it may be called again."""
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None and self._thread.is_alive():
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(stopping.set)
        if self._thread.ident is not None and not self.is_own_thread:
            self._thread.join(2 * JOIN_S)

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs in the thread of the service, where nothing may block."""
        return threading.current_thread() is self._thread

    @property
    def readers(self) -> tuple[Seen, ...]:
        """The readers that there are now; pyscard cannot say of one that it is out of reach."""
        with self._changed:
            return self._seen

    @property
    def version(self) -> int:
        """A number that grows with each change of the readers, and with each `wake`."""
        with self._changed:
            return self._version

    def wait(self, version: int, timeout_s: float | None) -> bool:
        """Wait until `version` is old; tell whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._version != version, timeout_s)

    def wake(self) -> None:
        """Let every `wait` return."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def why(self, name: bytes) -> str:
        """Return the sentence that belongs to the last failure of a reader's card."""
        return self._source.reasons.pop(name, "")

    def plug(self, pipe: "Pipe") -> None:
        """Connect a pipe to the readers."""

        def connect() -> None:
            assert self._loop is not None
            assert self._server is not None
            pipe.connect(self._loop, self._server.connection())

        self.soon(connect)

    def soon(self, doing: Callable[[], None]) -> None:
        """Do something in the thread of the service; nothing if it has ended."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(doing)

    def result_of(self, answer: "Future[bytes]") -> bytes:
        """
        Wait for what the thread of the service gives.

        Raises:
            ScardError: If the service is closed.
        """
        while True:
            try:
                return answer.result(_LOOK_S)
            except TimeoutError:
                if not self._thread.is_alive() and not answer.done():
                    raise ScardError(Code.SCARD_E_NO_SERVICE) from None

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except WsrcError as exc:
            self._fail(exc)
        finally:
            self._fail(ConnectionLostError("The connection to the server is closed."))
            self._report(())

    def _fail(self, exc: WsrcError) -> None:
        if not self._begun.done():
            self._begun.set_exception(exc)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = stopping = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            self._server = server = Server(self._loop, tasks)
            server.begin(self._source)
            watching = tasks.create_task(self._source.run(self._report_to(server)))
            opening = tasks.create_task(self._open())
            await stopping.wait()
            opening.cancel()
            await server.stop()
            watching.cancel()
        await asyncio.sleep(TLS_REST_S)

    async def _open(self) -> None:
        try:
            await self._source.begun()
            self._begun.set_result(None)
        except WsrcError as exc:
            self._fail(exc)

    def _report_to(self, server: Server) -> Report:
        def report(seen: Sequence[Seen]) -> None:
            server.readers_are(seen)
            self._report(seen)

        return report

    def _report(self, seen: Sequence[Seen]) -> None:
        with self._changed:
            self._seen = tuple(each for each in seen if not each.unavailable)
        self.wake()


class _Explaining:
    """A source that remembers what went wrong with the card of each reader."""

    def __init__(self, source: RemoteCards) -> None:
        self.reasons: dict[bytes, str] = {}
        self._source = source

    @property
    def reachable(self) -> bool:
        return self._source.reachable

    async def begun(self) -> None:
        await self._source.begun()

    async def run(self, report: Report) -> None:
        await self._source.run(report)

    async def open(self, name: bytes, *, direct: bool = False) -> "_ExplainingSession":
        reasons = _Reasons(name, self.reasons)
        with reasons.noted():
            return _ExplainingSession(await self._source.open(name, direct=direct), reasons)


class _Reasons:
    """Where the reasons of one reader's failures go."""

    def __init__(self, name: bytes, reasons: dict[bytes, str]) -> None:
        self._name = name
        self._reasons = reasons

    @contextmanager
    def noted(self) -> Generator[None]:
        """Remember why what is done inside failed."""
        try:
            yield
        except WsrcError as exc:
            self._reasons[self._name] = str(exc)
            raise


class _ExplainingSession:
    def __init__(self, session: RemoteSession, reasons: _Reasons) -> None:
        self._session = session
        self._reasons = reasons

    @property
    def atr(self) -> bytes:
        return self._session.atr

    @property
    def protocol(self) -> CardProtocol | None:
        return self._session.protocol

    async def transmit(self, octets: bytes) -> bytes:
        with self._reasons.noted():
            return await self._session.transmit(octets)

    async def reset(self, kind: ResetKind) -> bytes:
        with self._reasons.noted():
            return await self._session.reset(kind)

    async def control(self, number: int, octets: bytes) -> bytes:
        with self._reasons.noted():
            return await self._session.control(number, octets)

    async def get_attribute(self, name: str) -> bytes:
        with self._reasons.noted():
            return await self._session.get_attribute(name)

    async def set_attribute(self, name: str, value: bytes) -> None:
        with self._reasons.noted():
            await self._session.set_attribute(name, value)

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        self._session.when_over(tell)

    async def close(self) -> None:
        await self._session.close()


class Pipe(asyncio.Transport):
    """A connection to the readers, without a socket; all of it is in the thread of the service."""

    def __init__(self) -> None:
        super().__init__()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._protocol: asyncio.Protocol | None = None
        self._closing = False
        self._octets = b""
        self._size: Callable[[bytes], int] = len
        self._answer: Future[bytes] | None = None

    def connect(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        """Begin."""
        self._loop, self._protocol = loop, protocol
        protocol.connection_made(self)

    def ask(self, request: bytes, size: Callable[[bytes], int], answer: "Future[bytes]") -> None:
        """
        Give a request to the readers.

        Args:
            request: Octets of one request.
            size: Tells how long the answer is, by its first octets.
            answer: What is to become of it.
        """
        self._size, self._answer, self._octets = size, answer, b""
        if self._closing or self._protocol is None:
            answer.set_exception(ScardError(Code.SCARD_E_NO_SERVICE))
        else:
            self._protocol.data_received(request)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take octets of an answer."""
        self._octets += bytes(data)
        answer = self._answer
        if answer is not None and len(self._octets) >= self._size(self._octets):
            self._answer = None
            answer.set_result(self._octets)

    def is_closing(self) -> bool:
        """Return whether `close` was called."""
        return self._closing

    def close(self) -> None:
        """End; what is held by this connection is let go of."""
        if self._closing:
            return
        self._closing = True
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.set_exception(ScardError(Code.SCARD_E_NO_SERVICE))
        if self._loop is not None and self._protocol is not None:
            self._loop.call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """End."""
        self.close()

    def pause_reading(self) -> None:
        """Nothing is read ahead."""

    def resume_reading(self) -> None:
        """Nothing is read ahead."""
