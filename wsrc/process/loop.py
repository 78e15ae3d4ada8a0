# SPDX-License-Identifier: Apache-2.0
"""The event loop of a program: that of uvloop where it is installed."""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")

_READ_OCTETS = 1 << 18
"""
What uvloop allocates for each read of TLS, and makes smaller then.

The heap has it at once; glibc maps it anew each time, which takes three system calls.
"""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes loops, for `asyncio.Runner`; None where asyncio's own is all there is."""
    try:
        import uvloop  # noqa: PLC0415 - it is an extra
    except ImportError:
        return None
    with suppress(MemoryError):  # what there is too little of is said where it is needed
        bytes(_READ_OCTETS + 1)  # glibc takes from its heap what is as large as it once gave back
    return uvloop.new_event_loop


def run_main(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result, as `asyncio.run` does."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)


@contextmanager
def ungrouped() -> Generator[None, None, None]:
    """Raise what one task or block of a task group raises, and not a group of it alone."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
