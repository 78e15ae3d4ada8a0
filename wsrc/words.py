# SPDX-License-Identifier: Apache-2.0
"""Lists of words, each with its meaning; those on the wire grow with later versions."""

import re
from enum import StrEnum
from typing import Self

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")

NO_WORD = "unknown"
"""What a text is read as that cannot be a word: too long, or with other characters."""


class Word(StrEnum):
    """A word of a list; `meaning` is what the schema and the documents say of it."""

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


class OpenWord(Word):
    """
    A word of a list that may be longer in later versions.

    A word that is not in the list is kept as it is, is no member, and has `known` false. A text
    that cannot be a word is `NO_WORD`.
    """

    @property
    def known(self) -> bool:
        """Whether this version knows the word."""
        return self._value_ in type(self)._value2member_map_

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        """Keep a word of a later version."""
        if not isinstance(value, str):
            return None
        text = value if _WORD.fullmatch(value) else NO_WORD
        if text in cls._value2member_map_:
            return cls(text)
        word = str.__new__(cls, text)
        word._name_ = "LATER"
        word._value_ = text
        word.meaning = "A word of a later version"
        return word
