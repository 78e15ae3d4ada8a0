# SPDX-License-Identifier: Apache-2.0
"""Where the command `wsrc` begins: an interrupt that comes while it is loaded is one too."""

import os
import sys

from wsrc.process.descriptors import occupy_standard

INTERRUPTED = 130


def main() -> None:
    """Load the program and run it."""
    occupy_standard()
    try:
        shell = os.environ.get("_WSRC_COMPLETE")
        if shell:
            from wsrc.command_line import completing  # noqa: PLC0415 - nothing else is loaded

            completing.main(shell, sys.argv[1:])
            return
        from wsrc.command_line import program  # noqa: PLC0415 - loading it is what may be interrupted
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    program.main()
