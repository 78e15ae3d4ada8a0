# SPDX-License-Identifier: Apache-2.0
"""Signals that are caught: those that whoever started us has us ignore are not among them."""

import signal
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from types import FrameType

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
"""What ends a service, and a command before it is done."""


def heeded(*names: str) -> tuple[signal.Signals, ...]:
    """
    Return those of some signals that this system has and that are not ignored.

    `nohup` and shells have a program and those that it starts ignore a signal; a handler would
    have it end them.
    """
    known = [signal.Signals[name] for name in names if name in signal.Signals.__members__]
    return tuple(n for n in known if signal.getsignal(n) is not signal.SIG_IGN)


def catch(numbers: Collection[signal.Signals], tell: Callable[[signal.Signals], object]) -> None:
    """Have `tell` called, in the main thread, with each of these signals that comes."""

    def heard(number: int, _frame: FrameType | None) -> None:
        tell(signal.Signals(number))

    for number in numbers:
        signal.signal(number, heard)


def ignore(numbers: Collection[signal.Signals]) -> None:
    """Let these signals change nothing any more, to the end of the process."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def service(end: Callable[[], object]) -> Generator[None, None, None]:
    """
    Have `end` called at the first signal that ends a service.

    Those after it, and after the block, are ignored: what is left to do is to give cards back.
    """
    numbers = heeded(*ENDING)

    def heard(_number: signal.Signals) -> None:
        ignore(numbers)
        end()

    catch(numbers, heard)
    try:
        yield
    finally:
        ignore(numbers)
