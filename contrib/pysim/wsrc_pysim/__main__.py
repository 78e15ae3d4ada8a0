# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a program of pySim that knows the reader of WSRC: `wsrc-pysim PROGRAM ARGS…`."""

import runpy
import sys
from pathlib import Path

import wsrc_pysim

_USAGE = "Usage: wsrc-pysim PROGRAM ARGS…, such as wsrc-pysim pySim-shell.py --wsrc-iccid 8988…"


def main() -> None:
    """Run the program."""
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_file():
        sys.exit(_USAGE if len(sys.argv) < 2 else f"{sys.argv[1]} is no file.\n{_USAGE}")
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
    try:
        wsrc_pysim.install()
    except ModuleNotFoundError as exc:
        sys.exit(f"pySim cannot be imported ({exc}); run this where its programs run.")
    from wsrc_pysim.link import NoReaderError  # noqa: PLC0415 - needs pySim

    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except NoReaderError as exc:
        sys.exit(f"wsrc-pysim: {exc}")


if __name__ == "__main__":
    main()
