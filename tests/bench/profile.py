# SPDX-License-Identifier: Apache-2.0
"""Where a server spends its time, by py-spy where that is installed."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.bench.driver import MissingError
from tests.bench.programs import BIN

FOLDER = Path(".bench-profiles")
"""Where profiles go, as stacks with counts, which flame graph programs read."""


def sampler() -> str:
    """Return the path of py-spy."""
    found = shutil.which("py-spy", path=f"{BIN}:{os.environ.get('PATH', '')}")
    if found is None:
        raise MissingError("a profile needs py-spy (pip install py-spy)")
    return found


@contextlib.contextmanager
def profiled(pid: int, name: str, *, wanted: bool) -> Iterator[None]:
    """Sample a process, native code too, for as long as the context lasts."""
    if not wanted:
        yield
        return
    FOLDER.mkdir(exist_ok=True)
    options = ["--native", "--rate", "500", "--format", "raw", "--output", str(FOLDER / name)]
    with subprocess.Popen(
        [sampler(), "record", "--pid", str(pid), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.send_signal(2)
