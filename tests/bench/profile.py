# SPDX-License-Identifier: Apache-2.0
"""Where a server spends its time, by py-spy where that is installed."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.bench.driver import MissingError
from tests.bench.programs import BIN

END_S = 60.0
"""How long it may take to write a profile."""

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
    """
    Sample a process, native code too, for as long as the context lasts.

    Raises:
        MissingError: If py-spy may not look into it, or writes nothing.
    """
    if not wanted:
        yield
        return
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / name
    file.unlink(missing_ok=True)
    options = ["--native", "--rate", "500", "--format", "raw", "--output", str(file)]
    command = [sampler(), "record", "--pid", str(pid), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            if "Sampling" not in said:
                process.terminate()
                raise MissingError(f"py-spy: {said.strip()} {process.stdout.read().strip()}")
            yield
        finally:
            process.send_signal(signal.SIGINT)
            said += process.communicate(timeout=END_S)[0]
    if not file.exists():
        raise MissingError(f"py-spy wrote no profile of {name}: {said.strip()}")
