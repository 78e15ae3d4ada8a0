# SPDX-License-Identifier: Apache-2.0
"""File descriptors of the process: the standard ones, and how many there may be."""

import os
from contextlib import suppress

SPARE = 32
"""Descriptors for all that is not counted: files that are read, name look-ups, the loop."""


def occupy_standard() -> None:
    """
    Open what is closed of descriptors 0, 1 and 2, so that no socket becomes one of them.

    Reading from one of them or writing to it fails, as if it were still closed.
    """
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            assert opened == number, "a lower descriptor is closed"


def allow(wanted: int) -> int:
    """Raise the limit of open files for so many more, as far as possible; return how many fit."""
    try:
        import resource  # noqa: PLC0415 - only where there are such limits
    except ImportError:
        return wanted
    used = _used() + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = used + wanted
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < enough:
        best = enough if hard == resource.RLIM_INFINITY else min(enough, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
            soft = best
    return max(0, min(wanted, soft - used))


def _used() -> int:
    """Return how many descriptors are open, or a guess where the system does not tell."""
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - pathlib takes long to load
    except OSError:
        return SPARE
