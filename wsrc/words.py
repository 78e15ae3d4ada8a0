# SPDX-License-Identifier: Apache-2.0
"""Closed lists of words, each with its meaning."""

from enum import StrEnum
from typing import Self


class Word(StrEnum):
    """A word of a closed list; `meaning` is what the schema and the documents say of it."""

    _value_: str
    meaning: str

    def __new__(cls, word: str, meaning: str = "") -> Self:
        """Make the member `NAME = word, meaning`; looking one up takes the word alone."""
        if not meaning:
            raise TypeError(f"The meaning of {word!r} is missing.")
        member = str.__new__(cls, word)
        member._value_ = word
        member.meaning = meaning
        return member
