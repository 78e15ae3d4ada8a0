# SPDX-License-Identifier: Apache-2.0
"""System calls of a process that runs, counted by strace."""

import contextlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.bench.driver import MissingError

CLASSES = {
    "read": {"read", "readv", "recv", "recvfrom", "recvmsg", "pread64"},
    "write": {"write", "writev", "send", "sendto", "sendmsg"},
    "wait": {"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"},
    "watch": {"epoll_ctl"},
    "lock": {"futex"},
    "pid": {"getpid", "gettid"},
    "clock": {"clock_gettime", "gettimeofday", "clock_nanosleep", "timerfd_settime"},
    "memory": {"mmap", "munmap", "madvise", "brk", "mremap"},
}
"""What calls are for; all others are `other`."""

_SEEN = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)
_ATTACH_S = 10.0


def class_of(call: str) -> str:
    """Return what a call is for."""
    return next((name for name, calls in CLASSES.items() if call in calls), "other")


def summary(text: str) -> Counter[str]:
    """Return the calls that strace counted, by their names."""
    return Counter({name: int(count) for count, name in _SEEN.findall(text) if name != "total"})


def _traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return re.search(r"^TracerPid:\t0$", status, re.MULTILINE) is None


@contextlib.contextmanager
def counted(pid: int) -> Iterator[Counter[str]]:
    """Count the calls of a process and its threads; the counter is filled when the context ends."""
    if shutil.which("strace") is None:
        raise MissingError("system calls are counted by strace (apt install strace)")
    counter: Counter[str] = Counter()
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as file:
        command = ["strace", "-c", "-f", "-p", str(pid), "-o", file.name]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as tracer:
            deadline = time.monotonic() + _ATTACH_S
            while not _traced(pid):
                if tracer.poll() is not None or time.monotonic() > deadline:
                    assert tracer.stderr is not None
                    why = tracer.stderr.read().decode("utf-8", "replace").strip()
                    raise MissingError(f"strace may not look into a process here: {why}")
                time.sleep(0.01)
            try:
                yield counter
            finally:
                tracer.send_signal(signal.SIGINT)
                tracer.wait(_ATTACH_S)
        counter.update(summary(file.read()))
