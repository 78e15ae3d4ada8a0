# SPDX-License-Identifier: Apache-2.0
"""A planted bug: a message ends the process, as a fault in C does."""

import os

SEEDS = [b"sane", b"insane"]


def one(data: bytes) -> None:
    """End where the input says so."""
    if data == b"insane":
        os.abort()
