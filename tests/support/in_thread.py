# SPDX-License-Identifier: Apache-2.0
"""The whole system in a thread, for tests of what blocks."""

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from tests.support.certificates import Certificates
from tests.support.threads import in_a_thread
from tests.support.world import LIMIT_S, World, running

T = TypeVar("T")


class Elsewhere:
    """A server and card clients that run in another thread."""

    def __init__(
        self, world: World, certificates: Certificates, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.world = world
        self.certificates = certificates
        self._loop = loop

    @property
    def url(self) -> str:
        return self.world.user_url

    def do(self, doing: Coroutine[Any, Any, T]) -> T:
        """Do something there and wait for its end."""
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(LIMIT_S)

    @contextlib.contextmanager
    def within(self, context: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Be in a context there, which one task enters and leaves."""
        entered: concurrent.futures.Future[T] = concurrent.futures.Future()
        leave = asyncio.Event()

        async def be_within() -> None:
            async with context as value:
                entered.set_result(value)
                await leave.wait()

        at_work = asyncio.run_coroutine_threadsafe(be_within(), self._loop)
        at_work.add_done_callback(lambda _: entered.cancel())
        try:
            yield entered.result(LIMIT_S)
        finally:
            self._loop.call_soon_threadsafe(leave.set)
            at_work.result(LIMIT_S)


@contextlib.contextmanager
def elsewhere(certificates: Certificates, **settings: Any) -> Iterator[Elsewhere]:
    """Run a server in a thread for as long as the context lasts."""
    with in_a_thread(running(certificates, **settings)) as (world, loop):
        yield Elsewhere(world, certificates, loop)
