# SPDX-License-Identifier: Apache-2.0
"""
What a server keeps across its runs, on disk: notes of users, reservations, orders of operators.

The server alone writes this file. Tokens have one of their own, which others write as well.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from wsrc.relay.effects import Book, Uphold
from wsrc.relay.kept import Change, Kept
from wsrc.relay.reservations import ALONE, Booking, Numbering
from wsrc.relay.standing import Standing
from wsrc.server.sqlite_file import SqliteFile
from wsrc.server.state import Told

FILE: Final = "state.sqlite3"

_NOTES = """
CREATE TABLE note (
    identity TEXT PRIMARY KEY NOT NULL,
    tags TEXT NOT NULL,
    comment TEXT NOT NULL
) WITHOUT ROWID
"""

_RESERVATIONS = """
CREATE TABLE reservation (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    digest BLOB NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    holder TEXT NOT NULL,
    identity TEXT NOT NULL,
    begins REAL NOT NULL,
    ends REAL NOT NULL,
    wish TEXT NOT NULL
)
"""

_MORE = (
    "ALTER TABLE reservation ADD COLUMN session BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE reservation ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE reservation ADD COLUMN gave_way INTEGER NOT NULL DEFAULT 0",
)

_BEFORE = "ALTER TABLE reservation ADD COLUMN held_before BLOB NOT NULL DEFAULT x''"

_STANDING = """
CREATE TABLE standing (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    who TEXT NOT NULL,
    said_by TEXT NOT NULL,
    why TEXT NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (kind, key)
)
"""

_tags = msgspec.json.Decoder(dict[str, str])
_BOOK = "INSERT OR REPLACE INTO reservation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"

_wish = msgspec.json.Decoder(tuple[tuple[str, str], ...] | None)


class StateStore(SqliteFile):
    """
    The file in the folder of the state. For one thread.

    What is kept later has its table in a further version, and its methods here.

    Raises:
        ConfigError: As each method; see SqliteFile.
    """

    FILE: ClassVar[str] = FILE
    WHAT: ClassVar[str] = "what a server keeps"
    VERSIONS: ClassVar[Sequence[tuple[str, ...]]] = (
        (_NOTES,),
        (_RESERVATIONS,),
        _MORE,
        (_STANDING, _BEFORE),
    )

    @property
    def numbering(self) -> Numbering:
        """One number after the other."""
        return ALONE

    def follow(self, told: Told) -> None:
        """Tell nothing: nobody else writes the file."""

    def notes(self) -> dict[str, Kept]:
        """Return what is kept of cards, by their identities."""
        with self.reading() as database:
            rows = database.execute("SELECT identity, tags, comment FROM note")
            return {name: Kept(_tags.decode(tags), comment) for name, tags, comment in rows}

    def note(self, changes: Mapping[int, tuple[str, Change]]) -> dict[int, Kept | str]:
        """
        Keep changes in one step, in their order.

        Returns:
            By their numbers, what is kept of each card then, or why its change was not made.
        """
        done: dict[int, Kept | str] = {}
        with self.writing() as database:
            for number, (identity, change) in changes.items():
                row = database.execute(
                    "SELECT tags, comment FROM note WHERE identity = ?", (identity,)
                ).fetchone()
                try:
                    kept = change.of(Kept() if row is None else Kept(_tags.decode(row[0]), row[1]))
                except ValueError as exc:
                    done[number] = str(exc)
                    continue
                done[number] = kept
                if kept.empty:
                    database.execute("DELETE FROM note WHERE identity = ?", (identity,))
                    continue
                tags = msgspec.json.encode(kept.tags).decode()
                database.execute(
                    "INSERT OR REPLACE INTO note VALUES (?, ?, ?)", (identity, tags, kept.comment)
                )
        return done

    def bookings(self) -> tuple[tuple[Booking, ...], int]:
        """Return the reservations that are kept, and the greatest number that one ever had."""
        with self.reading() as database:
            rows = database.execute("SELECT * FROM reservation ORDER BY number").fetchall()
            last = database.execute(
                "SELECT seq FROM sqlite_sequence WHERE name = 'reservation'"
            ).fetchone()
        bookings = tuple(_booking(row) for row in rows)
        return bookings, last[0] if last is not None else 0

    def book(self, changes: Sequence[Book]) -> Mapping[int, str]:
        """Keep reservations, or keep them no more, in one step and in their order; all or none."""
        with self.writing() as database:
            for change in changes:
                each = change.booking
                if change.drops:
                    database.execute("DELETE FROM reservation WHERE number = ?", (each.number,))
                    continue
                wish = msgspec.json.encode(each.wish).decode()
                row = msgspec.structs.astuple(msgspec.structs.replace(each, wish=wish))
                database.execute(_BOOK, row)
        return {}

    def orders(self) -> tuple[Standing, ...]:
        """Return the bans and the drained hosts that are kept, in the order they were said in."""
        with self.reading() as database:
            rows = database.execute("SELECT * FROM standing ORDER BY rowid").fetchall()
        return tuple(Standing(*row) for row in rows)

    def uphold(self, changes: Sequence[Uphold]) -> None:
        """Keep bans and drained hosts, or keep them no more, in one step and in their order."""
        with self.writing() as database:
            for change in changes:
                each = change.order
                if change.drops:
                    database.execute(
                        "DELETE FROM standing WHERE kind = ? AND key = ?", (each.kind, each.key)
                    )
                    continue
                database.execute(
                    "INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?, ?, ?)",
                    msgspec.structs.astuple(each),
                )


def _booking(row: Sequence[Any]) -> Booking:
    number, digest, owner, holder, identity, begins, ends, wish, session, *more = row
    priority, gave_way, before = more
    what = number, digest, owner, holder, identity, begins, ends, _wish.decode(wish), session
    return Booking(*what, priority, bool(gave_way), before)


def is_there(folder: Path) -> bool:
    """Return whether anything was kept in a folder."""
    return (folder / FILE).exists()
