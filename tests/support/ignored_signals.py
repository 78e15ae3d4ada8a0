# SPDX-License-Identifier: Apache-2.0
"""What the process of the tests does with signals that whoever started it has it ignore."""

import signal


def ignore_for_ourselves() -> None:
    """
    Keep ignoring the signals that whoever started us has us ignore, without passing that on.

    A program that is started ignores what its parent ignores, as with `nohup` or in the background
    of a script, but not what its parent has a handler for. Ours leave it so.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _do_nothing)


def _do_nothing(_number: int, _frame: object) -> None:
    pass
