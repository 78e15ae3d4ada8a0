# SPDX-License-Identifier: Apache-2.0
"""Where the files are that tests read and run."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"
PROGRAMS = Path(__file__).parent / "pcsc" / "programs"
"""Programs that use PC/SC: each is run once against pcscd and once against our socket."""
