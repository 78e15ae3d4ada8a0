# SPDX-License-Identifier: Apache-2.0
"""What a person at a card is told of the connection meanwhile."""

import logging
from collections.abc import Generator
from contextlib import contextmanager, suppress

from wsrc.command_line.output import Output
from wsrc.command_line.times import after
from wsrc.user_client.core import connection, session


class _Notes(logging.Handler):
    """Shows what a client says of its connection."""

    def __init__(self, output: Output) -> None:
        super().__init__(logging.INFO)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        until = ""
        kept_s: float | None = getattr(record, connection.KEPT_S, None)
        if kept_s is not None:
            when = after(kept_s, utc=self._output.utc)
            until = f" The card is kept for us until {when}."
        with suppress(OSError):
            self._output.note(record.getMessage() + until)


@contextmanager
def heard(output: Output) -> Generator[None, None, None]:
    """Have a person told in the block of the connection, and that a card is taken back soon."""
    logs = [logging.getLogger(each.__name__) for each in (connection, session)]
    notes = _Notes(output)
    for log in logs:
        log.addHandler(notes)
        log.setLevel(logging.INFO)
    try:
        yield
    finally:
        for log in logs:
            log.removeHandler(notes)
