# SPDX-License-Identifier: Apache-2.0
"""The file in which a server keeps its state, and what keeps it from that."""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsrc.server.state_store import FILE


@contextmanager
def raw(folder: Path) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(folder / FILE, isolation_level=None)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with raw(folder) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def full(_folder: Path) -> Iterator[None]:
    """Let no file of this process become longer, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
