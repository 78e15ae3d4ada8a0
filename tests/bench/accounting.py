# SPDX-License-Identifier: Apache-2.0
"""What the operating system accounts: CPU time and memory of a process, and the host itself."""

import contextlib
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

KIB = 1024
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")

PACKAGES = ("aiohttp", "msgspec", "uvloop", "picows", "aiofastnet", "websockets", "cryptography")


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process: of its threads to the nanosecond where Linux has that."""
    total = 0
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int((thread / "schedstat").read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        total = 0
    return total / 1e9 if total else sum(_ticks(pid)) * _TICK_S


def _ticks(pid: int) -> tuple[int, int]:
    fields = (_PROC / str(pid) / "stat").read_text("ascii").rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def memory_octets(pid: int) -> int:
    """Return the memory that a process has in use and shares with no file."""
    status = (_PROC / str(pid) / "status").read_text("ascii")
    return sum(
        int(found[1]) * KIB
        for field in ("RssAnon", "RssShmem")
        if (found := re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE))
    )


class Spent(NamedTuple):
    """What a command took, of all its processes that it waited for."""

    cpu_s: float
    wall_s: float
    status: int


def spent(command: list[str], env: Mapping[str, str]) -> Spent:
    """Run a command to its end; what it prints is dropped."""
    before = os.times()
    begun = before.elapsed
    pid = os.posix_spawn(
        command[0],
        command,
        dict(env),
        file_actions=[(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)],
    )
    _, status, usage = os.wait4(pid, 0)
    wall_s = os.times().elapsed - begun
    return Spent(usage.ru_utime + usage.ru_stime, wall_s, os.waitstatus_to_exitcode(status))


def processors() -> tuple[int, int]:
    """Return the processor of the servers and that of who drives them; the same if there is one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def pin(pids: Iterable[int], processor: int) -> None:
    """Keep processes, with their threads, on one processor."""
    for pid in pids:
        for thread in list((_PROC / str(pid) / "task").iterdir()):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), {processor})


def host() -> dict[str, object]:
    """Describe the host, so that figures can be compared with those of another."""
    info = (_PROC / "cpuinfo").read_text("ascii", "replace")
    model = re.search(r"model name\s*:\s*(.+)", info)
    release = platform.freedesktop_os_release() if sys.platform == "linux" else {}
    return {
        "processor": model[1] if model else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{release.get('PRETTY_NAME', platform.system())}, Linux {platform.release()}",
        "python": f"{platform.python_version()} ({_build()})",
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "load_before": round(os.getloadavg()[0], 2),
        "commit": _commit(),
    }


def _build() -> str:
    """Return how Python was compiled."""
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    return "optimized" if "--enable-optimizations" in options else "not optimized"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip()
