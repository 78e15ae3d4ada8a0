# SPDX-License-Identifier: Apache-2.0
"""A planted bug: the length that a frame says is made room for before its payload came."""

from tests.fuzz.targets import frames
from wsrc.net.frames import Frames

SEEDS = [*frames.SEEDS, b"\1\1\x81\xff\0\0\0\xff\xff\xff\xff\xff\0\0\0\0"]
WORDS = frames.WORDS


def _check_length(self: Frames, _first: int, size: int) -> None:
    self._payload = bytearray(size)


Frames._check_length = _check_length  # type: ignore[method-assign, assignment]
one = frames.one
