# SPDX-License-Identifier: Apache-2.0
"""
What a tag is: a key and a value that cards and readers are found by.

Some keys are *derived*: their values follow from what is known of the card, and nobody sets them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

KEY_PATTERN: Final = "^[a-z][a-z0-9_.-]{0,31}$"
"""What a key looks like."""

MAX_VALUE: Final = 64
"""Characters of a value."""

MOST: Final = 32
"""Tags of a card from its host, and as many more from users."""

MOST_ASKED: Final = 8
"""Tags by which cards are looked for at once."""

MAX_ASKED: Final = 256
"""Characters of a value in a filter: a derived one, such as the name of a host, may be longer."""

MAX_COMMENT: Final = 256
"""Characters of a comment."""

CARD, PROTOCOL, ATR_FAMILY, HOST = "card", "protocol", "atr_family", "host"

DERIVED: Final = (CARD, PROTOCOL, ATR_FAMILY, HOST)
"""Keys of tags that the server makes itself."""

_key = re.compile(KEY_PATTERN.strip("^$"))


def text_of(key: str, value: str) -> str:
    """Return a tag as it is written and compared."""
    return f"{key}={value}"


def wrong_key(key: str) -> str | None:
    """Return why a text is no key of a tag, if so."""
    if _key.fullmatch(key):
        return None
    return f"{key[:40]!r} is no key of a tag: a small letter, then up to 31 of a-z, 0-9, _, . and -"


def wrong(tags: Mapping[str, str]) -> str | None:
    """Return why tags cannot be set, if so."""
    if len(tags) > MOST:
        return f"{len(tags)} tags are more than {MOST}"
    for key, value in tags.items():
        why = wrong_key(key) or _wrong_value(key, value)
        if key in DERIVED:
            why = f"{key!r} cannot be set: it follows from what is known of the card"
        if why is not None:
            return why
    return None


def _wrong_value(key: str, value: str) -> str | None:
    if not 1 <= len(value) <= MAX_VALUE:
        return f"the tag {key!r} has 1 to {MAX_VALUE} characters, not {len(value)}"
    if not value.isprintable() or value != value.strip():
        return f"the tag {key!r} has a character that cannot be printed, or space around it"
    return f"the tag {key!r} has a *, which stands for any text" if "*" in value else None


def wrong_filter(tags: Mapping[str, str]) -> str | None:
    """Return why cards cannot be looked for by tags, if so."""
    if len(tags) > MOST_ASKED:
        return f"{len(tags)} tags are more than {MOST_ASKED}"
    for key, value in tags.items():
        why = wrong_key(key)
        if why is None and len(value) > MAX_ASKED:
            why = f"the tag {key!r} has at most {MAX_ASKED} characters"
        if why is not None:
            return why
    return None


def asked(texts: Iterable[str]) -> dict[str, str]:
    """
    Return the tags that a person asks for as KEY=VALUE, by their keys.

    Raises:
        ValueError: If that cannot be; the sentence says why.
    """
    tags: dict[str, str] = {}
    for text in texts:
        key, given, value = text.partition("=")
        why = wrong_filter({key: value}) if given else f"{text[:40]!r} is not KEY=VALUE"
        if why is None and tags.get(key, value) != value:
            why = f"no card has the tag {key!r} with two values"
        if why is not None:
            raise ValueError(why)
        tags[key] = value
    return tags


def wrong_comment(text: str) -> str | None:
    """Return why a text is no comment, if so; an empty one is none at all."""
    if len(text) > MAX_COMMENT:
        return f"a comment has at most {MAX_COMMENT} characters"
    return None if text.isprintable() else "the comment has a character that cannot be printed"
