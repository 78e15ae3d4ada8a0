# SPDX-License-Identifier: Apache-2.0
"""How much memory the system lets the program have."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_SELF = Path("/proc/self")
_GROUPS = Path("/sys/fs/cgroup")


def left() -> int | None:
    """
    Return how many octets the program may take beside what it has; None where no limit is known.

    Limits are that of the address space (`ulimit -v`), and those of the control groups that the
    program is in, which are taken to be for it alone.
    """
    limits = [*_of_process(), *_of_groups()]
    return max(0, min(limits)) if limits else None


def _of_process() -> Iterator[int]:
    try:
        import resource  # noqa: PLC0415 - only where there are such limits
    except ImportError:
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - _pages(0) * resource.getpagesize()


def _of_groups() -> Iterator[int]:
    """Yield what is left of the limit of our control group, and of each above it (cgroup v2)."""
    path = next((line[4:] for line in _lines(_SELF / "cgroup") if line.startswith("0::/")), None)
    if path is None:
        return
    ours = _GROUPS / path
    for group in (ours, *ours.parents):
        if not group.is_relative_to(_GROUPS):
            return
        for limit in _lines(group / "memory.max"):
            if limit.isdecimal():
                yield int(limit) - _pages(1) * _page_octets()


def _page_octets() -> int:
    import resource  # noqa: PLC0415 - there are control groups, so there is this

    return resource.getpagesize()


def _pages(which: int) -> int:
    """Return the size of the program, or what is resident of it, in pages."""
    for line in _lines(_SELF / "statm"):
        return int(line.split()[which])
    return 0


def _lines(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text("ascii", errors="replace").splitlines()
    return []
