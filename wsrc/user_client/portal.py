# SPDX-License-Identifier: Apache-2.0
"""An event loop in a thread of its own, for programs that do not use asyncio."""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Generic, TypeVar

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
        self._handed_over: set[_Call[Any]] = set()
        """What the loop has not begun yet."""
        self._ended = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._started.wait(JOIN_S)

    def submit(self, doing: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """
        Start a coroutine in the loop; it is cancelled if it has not ended with the loop.

        Raises:
            ConnectionLostError: If the loop has ended, or is another process's.
        """
        return self._hand_over(_Call(doing))

    def call(self, doing: Coroutine[Any, Any, T]) -> T:
        """
        Run a coroutine in the loop and return its result.

        An interrupt cancels it, also one that comes while it is being handed over.

        Raises:
            ConnectionLostError: If the loop has ended, or ends before that does.
        """
        call = _Call(doing)
        try:
            return wait_for(self._hand_over(call))
        except BaseException:
            self.soon(call.abandon)
            raise

    def _hand_over(self, call: "_Call[T]") -> "concurrent.futures.Future[T]":
        if self.usable and self._loop is not None:
            with self._lock:
                if not self._ended:
                    self._loop.call_soon_threadsafe(self._begin, call)
                    self._handed_over.add(call)
                    return call.future
        call.close()
        raise ConnectionLostError(
            "The client is closed, or was opened before a fork; open another one here."
        )

    def _begin(self, call: "_Call[Any]") -> None:
        self._handed_over.discard(call)
        call.begin()

    def soon(self, doing: Callable[[], None]) -> None:
        """Call a function in the loop, without waiting; nothing happens if the loop has ended."""
        if self.usable and self._loop is not None:
            with suppress(RuntimeError):  # it has ended since
                self._loop.call_soon_threadsafe(doing)

    def hold(self, manager: AbstractAsyncContextManager[T]) -> T:
        """
        Enter a context manager in the loop, and leave it as the loop is stopped.

        The loop is for what it holds, one thing at most: it ends with that, whatever the reason.

        Returns:
            What entering returns; what it raises is raised here, and the loop ends.
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
        except RuntimeError as exc:
            # Closing a loop takes a thread, which Python 3.12 does not begin at its end.
            if not (self._ended and "interpreter shutdown" in str(exc)):
                raise
        finally:
            for call in self._handed_over:
                call.close()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._started.set()
        try:
            await self._stopping.wait()
            if self._holding is not None:
                await self._let_go(self._holding)
        finally:
            with self._lock:
                self._ended = True

    async def _let_go(self, holding: asyncio.Task[None]) -> None:
        if not self._entered:
            holding.cancel()
        await asyncio.wait([holding])
        await asyncio.sleep(TLS_REST_S)
        if self._entered:
            holding.result()


class _Call(Generic[T]):
    """What is handed to the loop; used in its thread, but for `future`."""

    def __init__(self, doing: Coroutine[Any, Any, T]) -> None:
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._doing = doing
        self._task: asyncio.Task[T] | None = None
        self._abandoned = False

    def begin(self) -> None:
        """Do it, unless it was abandoned before it began."""
        if self._abandoned or self.future.cancelled():
            self.close()
            return
        loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._doing)  # noqa: TID251 - it ends with the loop
        self._task.add_done_callback(self._done)
        self.future.add_done_callback(
            lambda future: loop.call_soon_threadsafe(self.abandon) if future.cancelled() else None
        )

    def abandon(self) -> None:
        """Cancel what goes on, or what is about to begin."""
        self._abandoned = True
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Close the coroutine of a call that never begins."""
        self._doing.close()
        self.future.cancel()

    def _done(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.future.cancel()
        if not self.future.set_running_or_notify_cancel():
            return
        exc = task.exception()
        if exc is not None:
            self.future.set_exception(exc)
        else:
            self.future.set_result(task.result())


def wait_for(future: "concurrent.futures.Future[T]") -> T:
    """
    Wait for a call in the loop; it is cancelled if the wait is interrupted.

    Raises:
        ConnectionLostError: If another thread closed the client meanwhile.
    """
    try:
        return future.result()
    except concurrent.futures.CancelledError as exc:
        raise ConnectionLostError(_CLOSED) from exc
    finally:
        future.cancel()
