# SPDX-License-Identifier: Apache-2.0
"""A host without pyscard, or without the PC/SC library."""

import ctypes
import os
import subprocess
import sys

import pytest

from tests.support.pcsc.bench import refuse

_PROGRAM = """
import sys
from wsrc.errors import ReaderUnavailableError

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from wsrc.readers.pcsc import PcscSource
try:
    PcscSource()
except ReaderUnavailableError as exc:
    print(exc)
"""


def run(*missing: str, **environment: str) -> str:
    """Make a source in a process of its own; give all that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *missing],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="libpcsclite is of Linux")
def test_missing_library_is_one_sentence_that_says_what_to_install(unusable_library: str) -> None:
    said = run(LD_LIBRARY_PATH=unusable_library)
    assert said.count("\n") == 1
    assert "libpcsclite.so.1" in said
    assert "apt install pcscd" in said


def test_missing_pyscard_is_one_sentence_that_says_what_to_install() -> None:
    try:
        ctypes.CDLL("libpcsclite.so.1")
    except OSError:
        refuse("the PC/SC library is missing (apt install libpcsclite1), which is told first")
    said = run("smartcard")
    assert said.count("\n") == 1
    assert "pyscard" in said
    assert "pip install 'wsrc[pcsc]'" in said
