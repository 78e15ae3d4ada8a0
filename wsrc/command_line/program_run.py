# SPDX-License-Identifier: Apache-2.0
"""Run a program that is to find our socket, as though we were not there."""

import asyncio
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from wsrc.process.signals import ENDING, catch, heeded, ignore

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit statuses of a program that could not be started, as shells have them."""

_FORWARDED = (*ENDING, "SIGQUIT", "SIGUSR1", "SIGUSR2")


class Watch(Protocol):
    """Whoever has to do with a program while it runs."""

    def begun(self, send: Callable[[signal.Signals], None]) -> None:
        """Take note that it runs; `send` sends it a signal, and does nothing after its end."""
        ...

    def came(self, number: signal.Signals) -> None:
        """Take note of a signal that came for us, whether the program is sent it or has it."""
        ...


async def run_program(
    command: Sequence[str], environment: Mapping[str, str], watch: Watch | None = None
) -> int:
    """
    Run a program to its end and return its exit status, 128 + n where signal n ended it.

    Signals go on to the program, but for those that the terminal has sent to it as well, and those
    that are ignored, which it ignores too. From its end on they are ignored: what is left to us is
    to tidy up and to give its exit status.

    Raises:
        OSError: If it cannot be started.
    """
    loop = asyncio.get_running_loop()
    numbers = heeded(*_FORWARDED)
    forwarding = _Forwarding(watch)
    catch(numbers, lambda number: loop.call_soon_threadsafe(forwarding.take, number))
    try:
        # Not by the loop: uvloop's has no program ignore what our parent had us ignore.
        process = subprocess.Popen(command, env=dict(environment))  # noqa: ASYNC220, S603
        forwarding.begin(process)
        return await _end_of(process)
    finally:
        ignore(numbers)


async def _end_of(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a program, in a thread that ends with it; return its exit status."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait() -> None:
        process.wait()
        with suppress(RuntimeError):  # the loop has ended, so nobody wants to know
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, name="program", daemon=True).start()
    try:
        await ended.wait()
    except asyncio.CancelledError:
        _send(process, signal.SIGTERM)
        raise
    status: int = process.returncode
    return status if status >= 0 else 128 - status


def status_of(exc: OSError) -> int:
    """Return the exit status for a program that could not be started."""
    return NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE


class _Forwarding:
    """The signals on their way to a program, also those that come before it is started."""

    def __init__(self, watch: Watch | None) -> None:
        self._watch = watch
        self._early: list[signal.Signals] = []
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, process: subprocess.Popen[bytes]) -> None:
        """Send signals to this program from now on, and those that came before."""
        self._process = process
        if self._watch is not None:
            self._watch.begun(lambda number: _send(process, number))
        for number in self._early:
            self._pass_on(process, number)

    def take(self, number: signal.Signals) -> None:
        """Send a signal on, unless the program has it already."""
        if self._watch is not None:
            self._watch.came(number)
        if self._process is None:
            self._early.append(number)
        else:
            self._pass_on(self._process, number)

    @staticmethod
    def _pass_on(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        if number not in {signal.SIGINT, signal.SIGQUIT} or not _in_foreground():
            _send(process, number)


def _send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """
    Send a signal to a program that runs.

    `Process.send_signal` would look for its end first, and take its exit status from whoever waits
    for that.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _in_foreground() -> bool:
    """Return whether keys of the terminal send signals to us and the program alike."""
    try:
        with open(os.ctermid(), "rb", buffering=0) as terminal:  # noqa: PTH123 - no path of ours
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
