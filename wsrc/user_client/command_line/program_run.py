# SPDX-License-Identifier: Apache-2.0
"""Run a program that is to find our socket, as though we were not there."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit statuses of a program that could not be started, as shells have them."""

_FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


async def run_program(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """
    Run a program to its end and give its exit status, 128 + n where signal n ended it.

    Signals go on to the program, but for those that the terminal has sent to it as well.

    Raises:
        OSError: If it cannot be started.
    """
    loop = asyncio.get_running_loop()
    early: list[signal.Signals] = []
    for number in _FORWARDED:
        loop.add_signal_handler(number, early.append, number)
    try:
        process = await asyncio.create_subprocess_exec(*command, env=dict(environment))
        for number in _FORWARDED:
            loop.add_signal_handler(number, _forward, process, number)
        for number in early:
            _forward(process, number)
        return await _end_of(process)
    finally:
        for number in _FORWARDED:
            loop.remove_signal_handler(number)


async def _end_of(process: asyncio.subprocess.Process) -> int:
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.terminate()
        raise
    return status if status >= 0 else 128 - status


def status_of(exc: OSError) -> int:
    """Give the exit status for a program that could not be started."""
    return NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE


def _forward(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if number in {signal.SIGINT, signal.SIGQUIT} and _in_foreground():
        return
    with suppress(ProcessLookupError):
        process.send_signal(number)


def _in_foreground() -> bool:
    """Tell whether keys of the terminal send signals to us and the program alike."""
    try:
        with open(os.ctermid(), "rb", buffering=0) as terminal:  # noqa: PTH123 - no path of ours
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
