# SPDX-License-Identifier: Apache-2.0
"""
A file of SQLite in the folder of the state of a server: how it is made, opened and changed.

It has a version, and what makes a file of each version one of the next. One that a later version of
the server made is left alone.
"""

import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Self

from wsrc.errors import ConfigError

LOCK_S = 5.0
"""How long whoever changes a file waits for another that does."""

_APPLICATION = 0x77737263


class SqliteFile:
    """
    A file in a folder; each is made where it is missing. For one thread.

    `FILE` is its name, `WHAT` is in it, and `VERSIONS` are the statements that make a file of each
    version one of the next, from none on.

    Args:
        folder: That of the state of a server.
        lock_s: How long to wait while another program changes the file.

    Raises:
        ConfigError: As each method: if the file cannot be opened, read or written, is damaged, or
            was made by a later version. Nothing is changed then.
    """

    FILE: ClassVar[str]
    WHAT: ClassVar[str]
    VERSIONS: ClassVar[Sequence[tuple[str, ...]]]

    def __init__(self, folder: Path, lock_s: float = LOCK_S) -> None:
        self.path = folder / self.FILE
        self._lock_s = lock_s
        self._make(folder)
        self._database: sqlite3.Connection | None = None
        self.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def where(self) -> str:
        """The path of the file."""
        return str(self.path)

    def close(self) -> None:
        """Close the file."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def stat(self) -> tuple[int, int]:
        """Return what tells the file from another of its name."""
        try:
            seen = self.path.stat()
        except OSError as exc:
            raise ConfigError("state_dir", f"cannot read {self.path}: {exc.strerror}") from exc
        return seen.st_dev, seen.st_ino

    def _make(self, folder: Path) -> None:
        """Make the folder and an empty file, for nobody else to read."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_mode & 0o022:
                raise ConfigError("state_dir", f"others may write to {folder}; chmod go-w {folder}")
            if not self.path.exists():
                self._make_file(folder)
        except OSError as exc:
            why = f"{exc.strerror}; use the user that the server runs as, or another folder"
            raise ConfigError("state_dir", f"cannot keep {self.WHAT} in {folder}: {why}") from exc

    def _make_file(self, folder: Path) -> None:
        with suppress(FileExistsError):  # another program was first
            made = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            try:
                owner = folder.stat()
                if os.geteuid() == 0:  # the server is the user that has the folder
                    os.fchown(made, owner.st_uid, owner.st_gid)
            finally:
                os.close(made)

    def open(self) -> None:
        """Open the file, whose tables are ours then."""
        try:
            self._opened()
        except BaseException:
            self.close()
            raise

    def _opened(self) -> None:
        self.stat()
        with self._failing():
            self._database = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw",
                timeout=self._lock_s,
                isolation_level=None,
                uri=True,
            )
            version = self._version()
        if version < len(self.VERSIONS):
            self._begin()
        elif version > len(self.VERSIONS):
            raise ConfigError(
                "state_dir",
                f"{self.path} was made by a later version of wsrc-server and is left as it is; use "
                "that version, or another folder",
            )

    def _version(self) -> int:
        """Return the version of the file; 0 if it is empty."""
        assert self._database is not None
        with closing(self._database.execute("PRAGMA user_version")) as found:
            (version,) = found.fetchone()
        (application,) = self._database.execute("PRAGMA application_id").fetchone()
        (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and (application or version or tables):
            raise sqlite3.DatabaseError("of another program")
        return int(version)

    def _begin(self) -> None:
        """Make the tables, or make those of an earlier version ours."""
        with self.writing() as database:
            for statement in sum(self.VERSIONS[self._version() :], ()):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
            database.execute(f"PRAGMA user_version = {len(self.VERSIONS)}")

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Change the file in the block, in one step that is kept or not at all."""
        with self.reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Use the file in the block."""
        if self._database is None:
            self.open()
        assert self._database is not None
        with self._failing():
            yield self._database

    @contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, KeyError, TypeError) as exc:
            raise ConfigError("state_dir", sentence_of(exc, self.path, self.WHAT)) from exc


def sentence_of(exc: Exception, path: Path, what: str = "tokens") -> str:
    """Say what went wrong with a file of SQLite, and what to do."""
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_NOTADB) & 0xFF
    said = _SENTENCES.get(code, "{path} cannot be used: {exc}")
    return said.format(path=path, exc=exc, what=what)


_LOCKED = "another program keeps {path} locked; try again when it has ended"
_DAMAGED = (
    "{path} is damaged, or is no file of {what}; bring back a copy, or move it away and make new "
    "{what}"
)

_SENTENCES = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: "the disk of {path} is full; nothing was changed",
    sqlite3.SQLITE_IOERR: "{path} cannot be read or written ({exc}); look at its disk",
    sqlite3.SQLITE_READONLY: "{path} may only be read by this user, or is on a file system that "
    "may; nothing was changed",
    sqlite3.SQLITE_CANTOPEN: "{path} or its journal cannot be opened; use the user that the server "
    "runs as",
    sqlite3.SQLITE_ERROR: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}
"""By the primary result codes of SQLite."""
