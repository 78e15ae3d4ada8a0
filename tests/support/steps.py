# SPDX-License-Identifier: Apache-2.0
"""What an event costs, counted in lines of code of ours that are run, or in instructions."""

import sys
from collections.abc import Callable
from types import FrameType


def steps(action: Callable[[], object], *, of: str = "line") -> int:
    """Return how many lines of `wsrc` are run by an action; or with `opcode`, instructions."""
    count = 0

    def line(frame: FrameType, event: str, arg: object) -> object:
        nonlocal count
        del frame, arg
        count += event == of
        return line

    def call(frame: FrameType, event: str, arg: object) -> object:
        del event, arg
        frame.f_trace_opcodes = of == "opcode"
        return line if "/wsrc/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        action()
    finally:
        sys.settrace(before)
    return count
