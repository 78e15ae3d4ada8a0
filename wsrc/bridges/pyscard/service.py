# SPDX-License-Identifier: Apache-2.0
"""
The readers of remote cards inside of a process: no service of the system, no socket.

They are those of the pcscd socket, in a thread of their own; `context` makes calls to them as
libpcsclite does over the socket, so that both behave alike.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from wsrc.bridges.pcscd.requests import Events, Refused, Request
from wsrc.bridges.pcscd.server import Caller, Server, running
from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.cards import RemoteCards
from wsrc.card.pcsc_numbers import Code
from wsrc.errors import ConnectionLostError
from wsrc.user_client.portal import JOIN_S, Portal

T = TypeVar("T")


class Service:
    """
    The readers of remote cards, in a thread of their own.

    Args:
        source: Where the cards are; nobody else runs it.
    """

    def __init__(self, source: RemoteCards) -> None:
        self._source = source
        self._changed = threading.Condition()
        self._seen: tuple[Seen, ...] = ()
        self._version = 0
        self._portal = Portal("wsrc-pyscard")
        try:
            self._server = self._portal.hold(self._serve())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give all cards back and end the thread; it may be called again."""
        self._portal.stop(2 * JOIN_S)

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs in the thread of the service, where nothing may block."""
        return self._portal.is_own_thread

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
        """Wait until `version` is old; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self._version != version, timeout_s)

    def wake(self) -> None:
        """Make every `wait` return."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def program(self) -> "Program":
        """Return a program that has made no call yet."""
        return Program(self._server)

    def ask(self, program: "Program", request: Request[T]) -> T:
        """
        Make a call and return its result; a program makes one at a time.

        Raises:
            Refused: If it is not done, or the service is closed.
        """
        try:
            return self._portal.call(program.ask(request))
        except ConnectionLostError as exc:
            raise Refused(Code.SCARD_E_NO_SERVICE) from exc

    def let_go(self, program: "Program") -> None:
        """Release all that a program holds, whatever goes on, without waiting."""
        self._portal.soon(program.end)

    @asynccontextmanager
    async def _serve(self) -> AsyncGenerator[Server]:
        try:
            async with running(self._source, self._report) as server:
                await self._source.begun()
                yield server
        finally:
            self._report(())

    def _report(self, seen: Sequence[Seen]) -> None:
        with self._changed:
            self._seen = tuple(each for each in seen if not each.unavailable)
        self.wake()


class Program(Caller):
    """One that makes calls in this process; used in the thread of the service."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._answer: asyncio.Future[Any] | None = None
        self._ending = False

    async def ask(self, request: Request[T]) -> T:
        """Make a call; see `Service.ask`."""
        if self._ending or (self.program is None and not self._server.joins(self)):
            raise Refused(Code.SCARD_E_NO_SERVICE)
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._server.ask(self, request)
        given: T = await answer
        return given

    def given(self, result: Any) -> None:
        """Take the result of the request."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(result)

    def refused(self, why: Refused) -> None:
        """Note that the request is refused."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(why)

    def waited(self, told: Events) -> None:
        """Programs in this process wait for the readers of the service."""

    def end(self) -> None:
        """Release everything, soon; a call that goes on is not answered any more."""
        if not self._ending:
            self._ending = True
            self.refused(Refused(Code.SCARD_E_NO_SERVICE))
            asyncio.get_running_loop().call_soon(self._server.left, self)
