# SPDX-License-Identifier: Apache-2.0
"""
What a server keeps across its runs, on disk: what users noted of cards.

The server alone writes this file. Tokens have one of their own, which others write as well.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from wsrc.relay.kept import Change, Kept
from wsrc.server.sqlite_file import SqliteFile

FILE: Final = "state.sqlite3"

_NOTES = """
CREATE TABLE note (
    identity TEXT PRIMARY KEY NOT NULL,
    tags TEXT NOT NULL,
    comment TEXT NOT NULL
) WITHOUT ROWID
"""

_tags = msgspec.json.Decoder(dict[str, str])


class StateStore(SqliteFile):
    """
    The file in the folder of the state. For one thread.

    What is kept later has its table in a further version, and its methods here.

    Raises:
        ConfigError: As each method; see SqliteFile.
    """

    FILE: ClassVar[str] = FILE
    WHAT: ClassVar[str] = "what a server keeps"
    VERSIONS: ClassVar[Sequence[tuple[str, ...]]] = ((_NOTES,),)

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


def is_there(folder: Path) -> bool:
    """Return whether anything was kept in a folder."""
    return (folder / FILE).exists()
