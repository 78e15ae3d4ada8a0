# SPDX-License-Identifier: Apache-2.0
"""Where the command `wsrc` begins: an interrupt that comes while it is loaded is one too."""

import sys

from wsrc.process.descriptors import occupy_standard

INTERRUPTED = 130


def main() -> None:
    """Load the program and run it."""
    occupy_standard()
    try:
        from wsrc.command_line import program  # noqa: PLC0415 - loading it is what may be interrupted
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    program.main()
