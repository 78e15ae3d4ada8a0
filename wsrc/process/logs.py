# SPDX-License-Identifier: Apache-2.0
"""Log lines for people and for systemd, the same for every program."""

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from wsrc.process.printable import clean
from wsrc.tokens import without_tokens

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


def set_up(level: str, environ: Mapping[str, str] = os.environ, form: str = "text") -> None:
    """
    Send log lines to standard error.

    Under systemd a line carries its priority (sd-daemon(3)) and no time, which the journal knows.
    In JSON a line is one object: `time` (RFC 3339 in UTC, microseconds), `level`, `logger`,
    `message`, and `error` with the trace of an exception.

    Args:
        level: "error", "warning", "info" or "debug".
        environ: Where JOURNAL_STREAM is looked for.
        form: "text" or "json".
    """
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(_JsonFormatter(journal="JOURNAL_STREAM" in environ))
    elif "JOURNAL_STREAM" in environ:
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


class _Formatter(logging.Formatter):
    """
    Keeps what a peer said on the line of whoever reports it, and off the terminal's controls.

    A token that somebody gives in place of a name is not shown.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return clean(without_tokens(super().formatMessage(record)))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        # No line of it begins as a line of the log does, whatever an error says.
        said = without_tokens(super().formatException(ei))
        return "\n".join(f"  {clean(line)}" for line in said.split("\n"))


class _JournalFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).splitlines() or [""]
        return "\n".join(f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" for line in lines)


class _JsonFormatter(logging.Formatter):
    """One object a line, in ASCII, so that nothing a peer said ends it or moves a cursor."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_tokens(record.getMessage()),
        }
        if record.exc_info:
            told["error"] = without_tokens(self.formatException(record.exc_info))
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>" if self._journal else ""
        return prefix + json.dumps(told)
