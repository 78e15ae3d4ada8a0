# SPDX-License-Identifier: Apache-2.0
"""What the system must allow a program before it can run at all."""

from contextlib import suppress

from wsrc.errors import ConfigError

LEAST_FILES = 32
"""Open files below which no program of ours runs: libraries, the event loop, a connection."""


def require_files() -> None:
    """
    Raise the limit of open files to the least that is needed, if it is lower.

    Raises:
        ConfigError: If it cannot be raised.
    """
    try:
        import resource  # noqa: PLC0415 - only where there are such limits
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= LEAST_FILES:
        return
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (LEAST_FILES, hard))
        return
    raise ConfigError(
        "ulimit -n",
        f"only {soft} files may be open, and at least {LEAST_FILES} are needed; raise the limit "
        "with LimitNOFILE= in the unit or with ulimit -n",
    )
