# SPDX-License-Identifier: Apache-2.0
"""
Tokens on disk: who they are of, and the hash of each, in SQLite.

Several programs may have the file open: a server that runs, and whoever adds a token. A token has
256 random bits, so that one round of SHA-256 without salt is enough: nobody finds it by trying, and
finding it by its hash tells a thief who times the search nothing that leads to another.
"""

import hashlib
import os
import secrets
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

from wsrc.errors import ConfigError
from wsrc.protocol.messages import ClientType
from wsrc.tokens import SECRET_OCTETS, made_of

FILE = "tokens.sqlite3"

VERSION = 1
"""Of what the file has; one that a later version made is left alone."""

LOCK_S = 5.0
"""How long whoever changes tokens waits for another that does."""

MOST = 10_000
"""Tokens that a server has; each is kept in memory."""

_APPLICATION = 0x77737263

_TABLE = """
CREATE TABLE token (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    hash BLOB NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    made REAL NOT NULL,
    expires REAL,
    used REAL
)
"""
_ROLES = {str(role): role for role in ClientType}
_COLUMNS = "number, hash, name, role, made, expires, used"


class Stored(NamedTuple):
    """
    One token, without itself; times are in seconds of UTC.

    Attributes:
        number: Of no other token, nor of one that was revoked.
        hash: SHA-256 of the token.
        name: Of the principal that it lets in.
        role: What it lets in.
        made: When it was made.
        expires: When it ends, if it does.
        used: When it was used last, if it was; a server tells that within a minute.
    """

    number: int
    hash: bytes
    name: str
    role: ClientType
    made: float
    expires: float | None
    used: float | None


def hash_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


class TokenStore:
    """
    The file of tokens in a folder; each is made where it is missing. For one thread.

    Args:
        folder: That of the state of a server.
        lock_s: How long to wait while another program changes the file.

    Raises:
        ConfigError: As each method: if the file cannot be opened, read or written, is damaged, or
            was made by a later version. Nothing is changed then.
    """

    def __init__(self, folder: Path, lock_s: float = LOCK_S) -> None:
        self.path = folder / FILE
        self._lock_s = lock_s
        self._make(folder)
        self._database: sqlite3.Connection | None = None
        self._seen: tuple[object, ...] | None = None
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def add(self, name: str, role: ClientType, now: float, expires: float | None) -> str:
        """Make a token and return it; nobody can return it again."""
        token = made_of(secrets.token_bytes(SECRET_OCTETS))
        row = (hash_of(token), name, str(role), now, expires)
        with self._writing() as database:
            (count,) = database.execute("SELECT count(*) FROM token").fetchone()
            if count >= MOST:
                raise ConfigError("token", f"there are {count} tokens, the most; revoke some")
            database.execute(
                "INSERT INTO token (hash, name, role, made, expires) VALUES (?, ?, ?, ?, ?)", row
            )
        return token

    def all(self) -> list[Stored]:
        """Return all tokens, by their numbers."""
        with self._told() as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM token ORDER BY number")  # noqa: S608
            return [_stored(*row) for row in rows]

    def revoke(self, which: Sequence[str]) -> list[Stored]:
        """
        Revoke tokens, each by its number or all of a name by that; return them.

        Raises:
            ConfigError: Also if there is no such token; none is revoked then.
        """
        with self._writing() as database:
            found: dict[int, Stored] = {}
            every = self.all()
            for text in which:
                of_it = [each for each in every if text in (str(each.number), each.name)]
                if not of_it:
                    raise ConfigError("token", f"there is none with the number or name {text!r}")
                found |= {each.number: each for each in of_it}
            database.executemany("DELETE FROM token WHERE number = ?", [(n,) for n in found])
        return list(found.values())

    def used(self, when: Mapping[int, float]) -> None:
        """Note when tokens were used last, by their numbers."""
        rows = [(time, number) for number, time in when.items()]
        with self._writing() as database:
            database.executemany("UPDATE token SET used = ? WHERE number = ?", rows)

    def changed(self) -> bool:
        """Return whether another program may have changed the file since this was asked last."""
        stat = self._stat()
        if self._seen is not None and stat != self._seen[0]:
            self.close()
            self._open()
        with self._told() as database:
            (version,) = database.execute("PRAGMA data_version").fetchone()
        seen, self._seen = self._seen, (stat, version)
        return seen != self._seen

    def _stat(self) -> tuple[int, int]:
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
            raise ConfigError("state_dir", f"cannot keep tokens in {folder}: {why}") from exc

    def _make_file(self, folder: Path) -> None:
        with suppress(FileExistsError):  # another program was first
            made = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            try:
                owner = folder.stat()
                if os.geteuid() == 0:  # the server is the user that has the folder
                    os.fchown(made, owner.st_uid, owner.st_gid)
            finally:
                os.close(made)

    def _open(self) -> None:
        try:
            self._opened()
        except BaseException:
            self.close()
            raise

    def _opened(self) -> None:
        self._stat()
        with self._failing():
            self._database = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw",
                timeout=self._lock_s,
                isolation_level=None,
                uri=True,
            )
            version = self._version()
        if version == 0:
            self._begin()
        elif version > VERSION:
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
        with self._writing() as database:
            if self._version():
                return  # another program was first
            database.execute(_TABLE)
            database.execute(f"PRAGMA application_id = {_APPLICATION}")
            database.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection]:
        """Change the file in the block, in one step that is kept or not at all."""
        with self._told() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Generator[sqlite3.Connection]:
        if self._database is None:
            self._open()
        assert self._database is not None
        with self._failing():
            yield self._database

    @contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, KeyError, TypeError) as exc:
            raise ConfigError("state_dir", sentence_of(exc, self.path)) from exc


def _stored(  # noqa: PLR0913, PLR0917 - a row
    number: int,
    hash_: bytes,
    name: str,
    role: str,
    made: float,
    expires: float | None,
    used: float | None,
) -> Stored:
    return Stored(number, hash_, name, _ROLES[role], made, expires, used)


def sentence_of(exc: Exception, path: Path) -> str:
    """Say what went wrong with a file of SQLite, and what to do."""
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_NOTADB) & 0xFF
    said = _SENTENCES.get(code, "{path} cannot be used: {exc}")
    return said.format(path=path, exc=exc, lock_s=LOCK_S)


_LOCKED = "another program keeps {path} locked; try again when it has ended"
_DAMAGED = (
    "{path} is damaged, or is no file of tokens; bring back a copy, or move it away and make new "
    "tokens"
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
