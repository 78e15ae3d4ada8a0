# SPDX-License-Identifier: Apache-2.0
"""Tests that run with `nohup`, or in the background, start programs as they always do."""

import subprocess
import sys

from tests.support.paths import ROOT

PROGRAM = """
import os, signal, subprocess
from tests.support.ignored_signals import ignore_for_ourselves
numbers = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM]
for number in numbers:
    signal.signal(number, signal.SIG_IGN)
ignore_for_ourselves()
for number in numbers:
    os.kill(os.getpid(), number)
status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
ignored = int(next(line for line in status.splitlines() if line.startswith("SigIgn"))[7:], 16)
print([number.name for number in numbers if ignored & 1 << number - 1])
"""


def test_who_is_told_to_ignore_signals_does_and_what_it_starts_does_not() -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
