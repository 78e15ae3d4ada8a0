# SPDX-License-Identifier: Apache-2.0
"""Log lines for people and for systemd, the same for every program."""

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from wsrc.process.printable import clean

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


def set_up(level: str, environ: Mapping[str, str] = os.environ) -> None:
    """
    Send log lines to standard error.

    Under systemd a line carries its priority (sd-daemon(3)) and no time, which the journal knows.

    Args:
        level: "error", "warning", "info" or "debug".
        environ: Where JOURNAL_STREAM is looked for.
    """
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in environ:
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


class _Formatter(logging.Formatter):
    """Keeps what a peer said on the line of whoever reports it, and off the terminal's controls."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return clean(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        # No line of it begins as a line of the log does, whatever an error says.
        return "\n".join(f"  {clean(line)}" for line in super().formatException(ei).split("\n"))


class _JournalFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).splitlines() or [""]
        return "\n".join(f"<{_PRIORITIES.get(record.levelno, 6)}>{line}" for line in lines)
