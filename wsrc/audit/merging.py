# SPDX-License-Identifier: Apache-2.0
"""The files of several logs in one order: they are read twice, and never held in memory."""

import errno
import itertools
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from wsrc.audit.chain import Line, parse
from wsrc.audit.check import Check
from wsrc.audit.files import files_at, lines_of
from wsrc.audit.merge import Entry, Merge, Place, turn_of
from wsrc.process.printable import clean

_CACHE_KIB: Final = 16_384
"""Memory for where sessions are taken; what is beyond it is in a file that nobody else sees."""


class Log:
    """
    The files of one log, in their order.

    `node` is whose log it is: the name of the node, else of the host. `check` is what was found.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files
        self.node = _whose(files[0])
        self.check = Check()
        self._lines: dict[Path, int] = {}

    @property
    def name(self) -> str:
        """The file that comes first."""
        return str(self.files[0])

    def look(self, each: Callable[[int, Line], None]) -> None:
        """
        Check all lines; `each` is told of every one that can be read, counted from 1.

        Raises:
            OSError: If a file cannot be read.
        """
        number = 0
        for path in self.files:
            self.check.begin(str(path))
            count = 0
            for octets, whole in lines_of(path):
                count += 1
                self.check.line(octets, whole=whole)
                line = parse(octets) if whole else None
                if line is not None:
                    number += 1
                    each(number, line)
            self._lines[path] = count
        self.check.end()

    def entries(self) -> Iterator[Entry]:
        """
        Yield the lines that can be read, as far as they were looked at.

        Raises:
            OSError: If a file cannot be read, or is not what it was.
        """
        last = ""
        for path in self.files:
            at, goes_on = 0, False
            for octets, whole in itertools.islice(lines_of(path), self._lines[path]):
                at += not goes_on
                goes_on = not whole
                line = parse(octets) if whole else None
                if line is not None:
                    last = line.chain
                    yield Entry(str(path), at, octets, line)
        if not self.check.faults and last != self.check.digest:
            why = "it has changed while it was read"
            raise OSError(errno.EIO, why, str(self.files[-1]))


class Sessions:
    """Where sessions are taken, in a database that is gone with the program."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._file.execute("CREATE TABLE taken (session TEXT, log INTEGER, number INTEGER)")
        self._file.execute("BEGIN")

    def close(self) -> None:
        """Forget all."""
        self._file.close()

    def note(self, log: int, number: int, line: Line) -> None:
        """Take note of a line."""
        turn = turn_of(line)
        if turn is not None and turn.took:
            row = turn.session, log, number
            with _translated():
                self._file.execute("INSERT INTO taken VALUES (?, ?, ?)", row)

    def ready(self) -> None:
        """Be asked from now on."""
        with _translated():
            self._file.execute("CREATE INDEX by_session ON taken (session)")

    def taken(self, session: str) -> Iterable[Place]:
        """Return where a session is taken."""
        asked = "SELECT log, number FROM taken WHERE session = ?"
        with _translated():
            return [Place(*row) for row in self._file.execute(asked, (session,))]


@contextmanager
def _translated() -> Generator[None]:
    """Have an error of the database be an OSError, as if a file of ours could not be written."""
    try:
        yield
    except sqlite3.Error as exc:
        raise OSError(errno.EIO, f"the temporary database cannot be used: {exc}") from exc


def logs_of(paths: Sequence[Path]) -> list[Log]:
    """
    Return the logs that files belong to, by what their first lines say, in the order of nodes.

    Raises:
        OSError: If one cannot be read, or a folder has none.
    """
    logs: dict[tuple[str, ...], dict[Path, int]] = {}
    for path in paths:
        for each in files_at(path):
            said = _first(each)
            log, number = said.get("log"), said.get("file")
            name = (str(log),) if log else (str(each.parent), each.name.rpartition("-")[0])
            logs.setdefault(name, {})[each] = number if isinstance(number, int) else 0
    found = [Log(sorted(files, key=lambda path: (files[path], path))) for files in logs.values()]
    return sorted(found, key=lambda log: (log.node, log.name))


def merge(logs: Sequence[Log], sessions: Sessions, write: Callable[[bytes], object]) -> int:
    """
    Write the lines of logs that were looked at in one order, as JSON lines.

    Return how many came before what they should follow, since lines contradict each other.

    Raises:
        OSError: If a file cannot be read, or is not what it was.
    """
    sessions.ready()
    merged = Merge([log.entries() for log in logs], sessions.taken)
    for at, entry in merged:
        log = logs[at]
        head: dict[str, str | int | bool] = {"node": log.node, "file": entry.file, "line": entry.at}
        if log.check.faults:
            head["broken"] = True
        write(msgspec.json.encode(head)[:-1] + b',"entry":' + _json(entry.octets) + b"}\n")
    return merged.against


def _json(octets: bytes) -> bytes:
    """Return a line as it is; null in place of one that is no JSON, which somebody has made."""
    try:
        msgspec.json.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b"null"
    return octets


def _first(path: Path) -> dict[str, Any]:
    """Return what the first line of a file says of it; nothing where it says nothing."""
    first = parse(next(lines_of(path), (b"", False))[0])
    return first.event if first is not None and b'"event":"file"' in first.body else {}


def _whose(path: Path) -> str:
    said = _first(path)
    return clean(str(said.get("node") or said.get("host") or path.parent.name))
