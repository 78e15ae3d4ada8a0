# SPDX-License-Identifier: Apache-2.0
"""Signals that are caught; signals that our parent set to be ignored stay ignored."""

import os
import signal
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
"""What ends a command before it is done; SIGHUP has a service read its files anew."""

_TERMINAL = "/dev/tty"


def has_terminal() -> bool:
    """Return whether the process has a controlling terminal; one that was closed is none."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


class Reloading:
    """
    What SIGHUP means to a service: `by` is called, or the service ends with its terminal.

    A service that was started from a terminal gets the signal when that is closed, and one that
    nobody sees any more is to end; whoever sends the signal otherwise wants it to read its files.

    Args:
        end: Ends the service.
    """

    def __init__(self, end: Callable[[], object]) -> None:
        self.by: Callable[[], object] = lambda: None
        self._end = end
        self._had_terminal = has_terminal()

    def heard(self) -> bool:
        """Do what the signal means; return whether it was the end."""
        if self._had_terminal and not has_terminal():
            self._end()
            return True
        self.by()
        return False


@contextmanager
def ended_or_reloaded(
    loop: "AbstractEventLoop", end: Callable[[], object]
) -> Generator[Reloading, None, None]:
    """
    Call `end` in the loop when a signal ends a service; SIGHUP is as `Reloading` says.

    The signals stay caught after the block, for the service ends.
    """
    reloading = Reloading(end)
    for number in heeded("SIGINT", "SIGTERM"):
        loop.add_signal_handler(number, end)
    for number in heeded("SIGHUP"):
        loop.add_signal_handler(number, reloading.heard)
    yield reloading


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
def service(end: Callable[[], object], reload: Callable[[], object]) -> Generator[None, None, None]:
    """
    Call `end` at the first signal that ends a service, `reload` at each SIGHUP; see `Reloading`.

    Those after it, and after the block, are ignored: what is left to do is to give cards back.
    """
    numbers = heeded(*ENDING)
    reloading = Reloading(end)
    reloading.by = reload

    def heard(number: signal.Signals) -> None:
        if number.name == "SIGHUP":
            if reloading.heard():
                ignore(numbers)
            return
        ignore(numbers)
        end()

    catch(numbers, heard)
    try:
        yield
    finally:
        ignore(numbers)
