# SPDX-License-Identifier: Apache-2.0
"""The demonstration ends cleanly, whenever it is told to."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.paths import ROOT

END_S = 60.0


@contextmanager
def demo(folder: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Run the demonstration with its files in a folder of the test."""
    kept = {k: v for k, v in os.environ.items() if k != "KEEP"}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "contrib" / "tools" / "demo.py"), "--no-pcsc"],
        env={**kept, "TMPDIR": str(folder), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(END_S)
        assert process.stdout is not None
        process.stdout.close()


def until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Read what it says up to a line with the pattern."""
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(pattern, line)
        if found:
            return found
    raise AssertionError(f"it never said {pattern!r}")


def left_in(folder: Path) -> list[str]:
    """Return the files in a folder, and the processes that work there."""
    working = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = (process / "cwd").readlink()
        except OSError:
            continue
        if place.is_relative_to(folder):
            working.append(process.name)
    return [path.name for path in folder.iterdir()] + working


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGTERM, r"^2\. "),
        (signal.SIGINT, r"^> "),
        (signal.SIGHUP, r"^lab\$ .*--wait"),
    ],
    ids=["term", "int", "hup"],
)
def test_a_signal_leaves_nothing(number: signal.Signals, moment: str, tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        until(process, moment)
        process.send_signal(number)
        assert process.wait(END_S) == 128 + number
        assert left_in(tmp_path) == []


def test_the_end_leaves_nothing(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        until(process, "nothing is left behind")
        assert process.wait(END_S) == 0
        assert left_in(tmp_path) == []


def test_kept_up_it_can_be_talked_to_until_ctrl_c(tmp_path: Path) -> None:
    with demo(tmp_path, KEEP="1") as process:
        url = until(process, "export WSRC_SERVER_URL=(.*)")[1]
        ca = until(process, "export WSRC_TLS_CA=(.*)")[1]
        wsrc = until(process, r"(\S*/wsrc) list")[1]
        until(process, "log from here on")
        cards = subprocess.run(
            [wsrc, "list"],
            env={**os.environ, "WSRC_SERVER_URL": url, "WSRC_TLS_CA": ca},
            cwd=tmp_path if Path(wsrc).is_absolute() else ROOT,
            capture_output=True,
            text=True,
            timeout=END_S,
            check=True,
        )
        assert "8988211000000430010" in cards.stdout
        until(process, "user client")
        process.send_signal(signal.SIGINT)
        assert process.wait(END_S) == 0
        assert left_in(tmp_path) == []
