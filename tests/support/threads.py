# SPDX-License-Identifier: Apache-2.0
"""Something that needs an event loop, in a thread, for tests of what blocks."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")

LIMIT_S = 60.0
"""How long entering and leaving may take, each."""


@contextmanager
def in_a_thread(
    context: AbstractAsyncContextManager[T], limit_s: float = LIMIT_S
) -> Iterator[tuple[T, asyncio.AbstractEventLoop]]:
    """Be in a context in a thread of its own; yield its value and loop, raise what it raises."""
    entered: Future[tuple[T, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def hold() -> None:
        async with context as value:
            leave = asyncio.Event()
            entered.set_result((value, asyncio.get_running_loop(), leave))
            await leave.wait()

    def told(done: Future[None]) -> None:
        if not entered.done():
            entered.set_exception(done.exception() or AssertionError("It ended at once."))

    pool = ThreadPoolExecutor(1, thread_name_prefix="in a thread")
    held = pool.submit(asyncio.run, hold())
    held.add_done_callback(told)
    pool.shutdown(wait=False)
    value, loop, leave = entered.result(limit_s)
    try:
        yield value, loop
    finally:
        if not held.done():
            loop.call_soon_threadsafe(leave.set)
        wait([held], limit_s)
    assert held.done(), "it does not end"
    held.result()
