# SPDX-License-Identifier: Apache-2.0
"""What an event costs, counted in lines of code of ours that are run."""

import sys
from collections.abc import Callable
from types import FrameType


def steps(action: Callable[[], object]) -> int:
    """Return how many lines of `wsrc` are run by an action."""
    count = 0

    def line(frame: FrameType, event: str, arg: object) -> object:
        nonlocal count
        del frame, arg
        count += event == "line"
        return line

    def call(frame: FrameType, event: str, arg: object) -> object:
        del event, arg
        return line if "/wsrc/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        action()
    finally:
        sys.settrace(before)
    return count
