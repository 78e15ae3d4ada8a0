# SPDX-License-Identifier: Apache-2.0
"""
Tokens on disk: who they are of, and the hash of each, in SQLite.

Several programs may have the file open: a server that runs, and whoever adds a token. A token has
256 random bits, so that one round of SHA-256 without salt is enough: nobody finds it by trying, and
finding it by its hash tells a thief who times the search nothing that leads to another.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from wsrc.errors import ConfigError
from wsrc.protocol.messages import ClientType
from wsrc.server.sqlite_file import LOCK_S, SqliteFile
from wsrc.server.state import Stored
from wsrc.tokens import SECRET_OCTETS, made_of

FILE = "tokens.sqlite3"

MOST = 10_000
"""Tokens that a server has; each is kept in memory."""

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


def hash_of(token: str) -> bytes:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


class TokenStore(SqliteFile):
    """
    The file of tokens in a folder; each is made where it is missing. For one thread.

    Args:
        folder: That of the state of a server.
        lock_s: How long to wait while another program changes the file.

    Raises:
        ConfigError: As each method: if the file cannot be opened, read or written, is damaged, or
            was made by a later version. Nothing is changed then.
    """

    FILE: ClassVar[str] = FILE
    WHAT: ClassVar[str] = "tokens"
    VERSIONS: ClassVar[Sequence[tuple[str, ...]]] = ((_TABLE,),)

    def __init__(self, folder: Path, lock_s: float = LOCK_S) -> None:
        self._seen: tuple[object, ...] | None = None
        super().__init__(folder, lock_s)

    def add(self, name: str, role: ClientType, now: float, expires: float | None) -> str:
        """Make a token and return it; nobody can return it again."""
        token = made_of(secrets.token_bytes(SECRET_OCTETS))
        row = (hash_of(token), name, str(role), now, expires)
        with self.writing() as database:
            (count,) = database.execute("SELECT count(*) FROM token").fetchone()
            if count >= MOST:
                raise ConfigError("token", f"there are {count} tokens, the most; revoke some")
            database.execute(
                "INSERT INTO token (hash, name, role, made, expires) VALUES (?, ?, ?, ?, ?)", row
            )
        return token

    def all(self) -> list[Stored]:
        """Return all tokens, by their numbers."""
        with self.reading() as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM token ORDER BY number")  # noqa: S608
            return [_stored(*row) for row in rows]

    def revoke(self, which: Sequence[str]) -> list[Stored]:
        """
        Revoke tokens, each by its number or all of a name by that; return them.

        Raises:
            ConfigError: Also if there is no such token; none is revoked then.
        """
        with self.writing() as database:
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
        with self.writing() as database:
            database.executemany("UPDATE token SET used = ? WHERE number = ?", rows)

    def changed(self) -> bool:
        """Return whether another program may have changed the file since this was asked last."""
        stat = self.stat()
        if self._seen is not None and stat != self._seen[0]:
            self.close()
            self.open()
        with self.reading() as database:
            (version,) = database.execute("PRAGMA data_version").fetchone()
        seen, self._seen = self._seen, (stat, version)
        return seen != self._seen


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
