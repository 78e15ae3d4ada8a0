# SPDX-License-Identifier: Apache-2.0
"""Signals that are caught; signals that our parent set to be ignored stay ignored."""

import signal
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from types import FrameType

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
"""What ends a service, and a command before it is done."""


def heeded(*names: str) -> tuple[signal.Signals, ...]:
    """
    Return those of some signals that this system has and that are not ignored.

    `nohup` and shells make a program and its children ignore a signal; a handler would make it
    end them.
    """
    known = [signal.Signals[name] for name in names if name in signal.Signals.__members__]
    return tuple(n for n in known if signal.getsignal(n) is not signal.SIG_IGN)


def catch(numbers: Collection[signal.Signals], tell: Callable[[signal.Signals], object]) -> None:
    """Call `tell`, in the main thread, with each of these signals that comes."""

    def heard(number: int, _frame: FrameType | None) -> None:
        tell(signal.Signals(number))

    for number in numbers:
        signal.signal(number, heard)


def ignore(numbers: Collection[signal.Signals]) -> None:
    """Ignore these signals from now on, to the end of the process."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def service(end: Callable[[], object]) -> Generator[None, None, None]:
    """
    Call `end` at the first signal that ends a service.

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
