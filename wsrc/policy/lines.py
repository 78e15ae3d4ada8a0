# SPDX-License-Identifier: Apache-2.0
"""On which line of a TOML document its tables and keys stand."""

import re
from typing import Final

_TOKEN: Final = re.compile(
    "|".join(
        (
            r'"""(?:\\.|[^\\])*?"{3,5}',
            r"'''.*?'{3,5}",
            r'"(?:\\.|[^"\\\n])*"',
            r"'[^'\n]*'",
            r"#[^\n]*",
        )
    ),
    re.DOTALL,
)
"""Strings and comments (TOML 1.0): what is written in them is no table and no key."""

_HEADER: Final = re.compile(r"[ \t]*\[")
_ARRAY: Final = re.compile(r"[ \t]*\[\[[ \t]*([A-Za-z0-9_-]+)[ \t]*\]\]")


class Lines:
    """
    The lines of a document, from 1.

    Args:
        text: The document, which is TOML.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        blank = _TOKEN.sub(lambda found: "\n" * found[0].count("\n"), text)
        self._bare = blank.split("\n")

    def tables(self, name: str) -> list[int]:
        """Return the lines of `[[name]]`."""
        found = (_ARRAY.match(line) for line in self._bare)
        return [at for at, header in enumerate(found, start=1) if header and header[1] == name]

    def of(self, key: str, table: int = 0) -> int:
        """
        Return the line of a key in the table of a line, or of a table or key of the document.

        Where it is not found it is the line of the table, else 1.
        """
        name = re.escape(key)
        header = re.compile(rf"[ \t]*\[[ \t]*{name}[ \t]*\]")
        written = re.compile(rf"""[ \t]*(?:\[*[ \t]*)?["']?{name}["']?[ \t]*[]=.]""")
        if not table:
            for at, line in enumerate(self._bare, start=1):
                if header.match(line):
                    return at
        for at in range(table, len(self._lines)):
            if written.match(self._lines[at]):
                return at + 1
            if table and _HEADER.match(self._bare[at]):
                break
        return table or 1
