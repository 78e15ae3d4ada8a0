# SPDX-License-Identifier: Apache-2.0
"""Lines of the prompt that begin with a word of ours."""

from collections.abc import Callable, Mapping, Sequence

Obeys = Callable[[Sequence[str]], None]
"""Does what a line says; is given the words that follow the first."""


class Obeying:
    """What is done for the lines that begin with some words."""

    def __init__(self, table: Mapping[str, Obeys]) -> None:
        self._table = table

    def knows(self, word: str) -> bool:
        """Return whether a line that begins with a word is for `obey`."""
        return word in self._table

    def obey(self, words: Sequence[str]) -> None:
        """
        Do what a line says.

        Raises:
            LocalProtocolError: If a word is missing, too many or unknown.
            WsrcError: If it cannot be done.
        """
        self._table[words[0]](words[1:])
