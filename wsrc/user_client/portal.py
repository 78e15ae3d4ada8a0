# SPDX-License-Identifier: Apache-2.0
"""An event loop in a thread of its own, for programs that do not use asyncio."""

import asyncio
import concurrent.futures
import inspect
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, TypeVar

from wsrc.errors import ConnectionLostError

JOIN_S = 10.0
"""How long the thread of a closed client may take to end."""

TLS_REST_S = 0.1
"""How long a loop goes on after a connection was closed: the end of TLS takes a round trip."""

_CLOSED = "The client was closed by another thread."

T = TypeVar("T")


class Portal:
    """
    An event loop in a thread of its own, and the way to it from other threads.

    Args:
        name: Name of the thread.
    """

    def __init__(self, name: str = "wsrc-client") -> None:
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._holding: asyncio.Task[None] | None = None
        self._entered = False
        self._lock = threading.Lock()
        self._going: dict[concurrent.futures.Future[Any], Coroutine[Any, Any, Any]] = {}
        """What was handed to the loop and has not ended."""
        self._ended = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._started.wait(JOIN_S)

    def submit(self, doing: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """
        Begin something in the loop; what has not ended with the loop is cancelled.

        Raises:
            ConnectionLostError: If the loop has ended, or is another process's.
        """
        if self.usable and self._loop is not None:
            with self._lock:
                if not self._ended:
                    future = asyncio.run_coroutine_threadsafe(doing, self._loop)
                    self._going[future] = doing
                    future.add_done_callback(lambda done: self._going.pop(done, None))
                    return future
        doing.close()
        raise ConnectionLostError(
            "The client is closed, or was opened before a fork; open another one here."
        )

    def call(self, doing: Coroutine[Any, Any, T]) -> T:
        """
        Do something in the loop and wait for its end.

        An interrupt cancels it, also one that comes while it is being handed over.

        Raises:
            ConnectionLostError: If the loop has ended, or ends before that does.
        """
        ticket = _Ticket()
        try:
            return wait_for(self.submit(ticket.run(doing)))
        except BaseException:
            self.soon(ticket.abandon)
            if inspect.getcoroutinestate(doing) == inspect.CORO_CREATED and not self.usable:
                doing.close()
            raise

    def soon(self, doing: Callable[[], None]) -> None:
        """Have something called in the loop, without waiting; nothing where the loop has ended."""
        if self.usable and self._loop is not None:
            with suppress(RuntimeError):  # it has ended since
                self._loop.call_soon_threadsafe(doing)

    def hold(self, manager: AbstractAsyncContextManager[T]) -> T:
        """
        Enter a context manager in the loop, and leave it as the loop is stopped.

        The loop is for what it holds, one thing at most: it ends with that, whatever the reason.

        Returns:
            What entering gives; what it raises is raised here, and the loop ends.
        """
        entered: concurrent.futures.Future[T] = concurrent.futures.Future()

        def ended(held: "concurrent.futures.Future[None]") -> None:
            if not entered.done():
                why = None if held.cancelled() else held.exception()
                entered.set_exception(why or ConnectionLostError(_CLOSED))

        self.submit(self._hold(manager, entered)).add_done_callback(ended)
        try:
            return entered.result()
        except BaseException:
            self.stop()
            raise

    async def _hold(
        self, manager: AbstractAsyncContextManager[T], entered: "concurrent.futures.Future[T]"
    ) -> None:
        assert self._stopping is not None
        self._holding = asyncio.current_task()
        try:
            async with manager as held:
                entered.set_result(held)
                self._entered = True
                await self._stopping.wait()
        finally:
            self._stopping.set()

    @property
    def usable(self) -> bool:
        """Whether the loop runs, and in this process."""
        return os.getpid() == self._process and self._thread.is_alive() and not self._ended

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller runs in the thread of the loop, where nothing may wait for it."""
        return threading.current_thread() is self._thread

    def stop(self, limit_s: float = JOIN_S) -> None:
        """End the loop and wait for its thread, unless called from there; it may be repeated."""
        if self._stopping is not None:
            self.soon(self._stopping.set)
        if os.getpid() == self._process and not self.is_own_thread:
            self._thread.join(limit_s)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            with self._lock:
                self._ended = True
            for future, doing in list(self._going.items()):
                future.cancel()
                doing.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._started.set()
        await self._stopping.wait()
        holding = self._holding
        if holding is None:
            return
        if not self._entered:
            holding.cancel()
        await asyncio.wait([holding])
        await asyncio.sleep(TLS_REST_S)
        if self._entered:
            holding.result()


class _Ticket:
    """What was handed to the loop, by which it can be taken back; used in the loop's thread."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._abandoned = False

    async def run(self, doing: Coroutine[Any, Any, T]) -> T:
        """Do it, unless it was abandoned before it began."""
        if self._abandoned:
            doing.close()
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        try:
            return await doing
        finally:
            self._task = None

    def abandon(self) -> None:
        """Cancel what goes on, or what is about to begin."""
        self._abandoned = True
        if self._task is not None:
            self._task.cancel()


def wait_for(future: "concurrent.futures.Future[T]") -> T:
    """
    Wait for what goes on in the loop; it is cancelled where the wait is interrupted.

    Raises:
        ConnectionLostError: If another thread closed the client meanwhile.
    """
    try:
        return future.result()
    except concurrent.futures.CancelledError as exc:
        raise ConnectionLostError(_CLOSED) from exc
    finally:
        future.cancel()
