# SPDX-License-Identifier: Apache-2.0
"""Where the command `wsrc` begins: an interrupt that comes while it is loaded is one too."""

import gc
import os
import sys

from wsrc import __version__
from wsrc.process.descriptors import occupy_standard

INTERRUPTED = 130

YOUNG = 100_000
"""
Allocations after which cyclic garbage is looked for. What is loaded is no garbage, and to look
through it again and again takes a tenth of the time of a command that loads, asks and ends.
"""


def main() -> None:
    """Load the program and run it."""
    occupy_standard()
    gc.set_threshold(YOUNG)
    try:
        shell = os.environ.get("_WSRC_COMPLETE")
        if shell:
            from wsrc.command_line import completing  # noqa: PLC0415 - nothing else is loaded

            completing.main(shell, sys.argv[1:])
            return
        if sys.argv[1:] == ["--version"] and _told_version():
            return
        from wsrc.command_line import program  # noqa: PLC0415 - loading it is what may be interrupted
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    program.main()


def _told_version() -> bool:
    """Print the version, and return True; False where that fails, which the program explains."""
    try:
        os.write(1, f"{__version__}\n".encode())
    except OSError:
        return False
    return True
