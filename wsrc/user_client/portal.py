# SPDX-License-Identifier: Apache-2.0
"""An event loop in a thread of its own, for programs that do not use asyncio."""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from wsrc.errors import ConnectionLostError

JOIN_S = 10.0
"""How long the thread of a closed client may take to end."""

T = TypeVar("T")


class Portal:
    """An event loop in a thread of its own, and the way to it from other threads."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wsrc-client", daemon=True)
        self._thread.start()
        self._started.wait(JOIN_S)

    def submit(self, doing: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Begin something in the loop."""
        return asyncio.run_coroutine_threadsafe(doing, self._usable_loop(doing))

    def _usable_loop(self, doing: Coroutine[Any, Any, T]) -> asyncio.AbstractEventLoop:
        if not self.usable or self._loop is None:
            doing.close()
            raise ConnectionLostError(
                "The client is closed, or was opened before a fork; open another one here."
            )
        return self._loop

    def call(self, doing: Coroutine[Any, Any, T]) -> T:
        """
        Do something in the loop and wait for its end.

        An interrupt cancels it, also one that comes while it is being handed over.
        """
        loop, ticket = self._usable_loop(doing), _Ticket()
        try:
            return wait_for(self.submit(ticket.run(doing)))
        except BaseException:
            if self.usable:
                loop.call_soon_threadsafe(ticket.abandon)
            raise

    @property
    def usable(self) -> bool:
        """Whether the loop runs, and in this process."""
        return os.getpid() == self._process and self._thread.is_alive()

    def stop(self) -> None:
        """End the loop and wait for its thread."""
        loop, stopping = self._loop, self._stopping
        if not self.usable or loop is None or stopping is None:
            return
        loop.call_soon_threadsafe(stopping.set)
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._started.set()
        await self._stopping.wait()


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
        raise ConnectionLostError("The client was closed by another thread.") from exc
    finally:
        future.cancel()
