# SPDX-License-Identifier: Apache-2.0
"""
Which cards a user means: how names are compared, exact selections, filters with wildcards.

Whoever selects, lists, watches or labels cards compares their names by `forms`, and nowhere else.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import methodcaller

import msgspec

from wsrc.card.identity import iccid_forms, normal_digits, normal_iccid
from wsrc.card.slot import Pick
from wsrc.errors import ErrorCode, RefusedError
from wsrc.protocol.messages import (
    CardInfo,
    ReaderInfo,
    ReaderView,
    Reserve,
    SelectCard,
    Selecting,
    card_of,
)
from wsrc.tags import text_of

KINDS = ("iccid", "eid", "atr", "reader", "label")
"""What a card can be found by, beside its tags."""

TAG = "tag"
"""Kind of the name `KEY=VALUE` that a card has for each tag; `any` does not mean it."""

_EVERY_KIND = (*KINDS, TAG)

_OF_MANY = frozenset(("atr", "label", TAG))

KNOWN, LONGEST = 1024, 128
"""Names of many cards that are remembered, and characters of the longest of them."""

Key = tuple[str, str]
"""Kind and normal form of a name."""


def normal(kind: str, text: str) -> str:
    """
    Return the form in which names of a kind are compared.

    In an ICCID, EID or ATR neither case counts nor what stands between groups of digits, in an
    ICCID no filler at the end either; in other names neither case nor space around them. A tag is
    compared as it is.
    """
    if kind == "iccid":
        return normal_iccid(text)
    if kind == TAG:
        return text
    found = normal_digits(text) if kind in {"eid", "atr"} else text.strip().casefold()
    return text if found == text else found  # most are so already, and there are many


def forms(kind: str, text: str) -> tuple[str, ...]:
    """
    Return the normal forms of which a card must have one to be meant, the most exact first.

    There are several of an ICCID, with and without its check digit; see `iccid_forms`.
    """
    text = normal(kind, text)
    return tuple(iccid_forms(text)) if kind == "iccid" else (text,)


def lookups(kind: str, text: str) -> Iterator[Key]:
    """Yield the keys to look a name up by, the most exact first; `any` is each of the kinds."""
    for each in KINDS if kind == "any" else (kind,):
        for form in forms(each, text):
            yield each, form


def names_of(
    info: ReaderInfo, ids: Sequence[str] = (), tags: Mapping[str, str] | None = None
) -> tuple[Key, ...]:
    """
    Return every name of a card by its kind, in normal form; one that it lacks is empty.

    Args:
        info: The reader with the card.
        ids: All by which the reader is found, if they are others than its card client's.
        tags: Those of the card, if they are others than its card client's.
    """
    names: list[tuple[str, str | None]] = [("reader", id_) for id_ in ids or (info.reader,)]
    names.append(("reader", info.name))
    names += [("atr", info.atr.hex() if info.atr else None), ("label", info.label)]
    names += [("eid", eid) for eid in info.eids]
    return _names([*names, ("iccid", info.iccid), *_tags(info.tags if tags is None else tags)])


def keys_of(info: ReaderInfo) -> tuple[Key, ...]:
    """Return every key under which the card in a reader is found."""
    return named(names_of(info))


def named(names: tuple[Key, ...]) -> tuple[Key, ...]:
    """Return the names that are not empty."""
    return tuple([key for key in names if key[1]])


def reader_names(*names: str, tags: Mapping[str, str] | None = None) -> tuple[Key, ...]:
    """Return the names of a reader without a card, as `names_of` does."""
    keys = (("reader", normal("reader", name)) for name in names)
    return tuple(dict.fromkeys((*keys, *_tags(tags))))


def _tags(tags: Mapping[str, str] | None) -> list[Key]:
    return [(TAG, text_of(key, value)) for key, value in (tags or {}).items()]


class Selection(msgspec.Struct, frozen=True):
    """Kind and value of each condition, all of which must hold; without any, each card is meant."""

    items: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " and ".join(
            f"{_WRITTEN.get(kind) or kind.upper()} {value[:100] if kind == TAG else value[:40]}"
            for kind, value in self.items
        )


_WRITTEN = {"any": "name", TAG: "tag"}


def selection_of(message: Selecting) -> Selection:
    """
    Read which card a user wants to select, or to note something of; in either form of the protocol.

    Raises:
        RefusedError: If nothing is selected where one card is, or by an unknown kind of name, or by
            a tag without a value or with `*` in it.
    """
    items = _given(message)
    for key, value in (message.tags or {}).items():
        if not value.strip() or "*" in value:
            raise RefusedError(
                ErrorCode.BAD_MESSAGE,
                f"A card is selected by a tag as it is, not by {text_of(key, value)[:100]!r}.",
            )
    picks = isinstance(message, SelectCard | Reserve) and message.pick is Pick.ANY
    if isinstance(message, SelectCard) and message.reservation is not None:
        picks = True  # the reservation says which
    if isinstance(message, SelectCard) and message.id_type is not None:
        kind = message.id_type.lower()
        if kind not in {*KINDS, "any"}:
            raise RefusedError(
                ErrorCode.BAD_MESSAGE,
                f"Cards cannot be selected by {message.id_type[:20]!r}; "
                f"use one of {', '.join(KINDS)} or any.",
            )
        items.append((kind, message.id_str or ""))
    items = [(kind, value) for kind, value in items if value.strip()]
    if not items and not picks:
        raise RefusedError(
            ErrorCode.NOTHING_SELECTED,
            "Nothing is selected: say which card by its ICCID, EID, ATR, reader, label or a tag.",
        )
    return Selection(tuple(items))


class Filter:
    """
    Matches cards by their names and tags; each `*` in a text stands for any text.

    A text without `*` is compared as in a selection. One with `*` is compared with the name that
    the card has, so that an ICCID has its check digit if the card has it. An empty text means
    cards without such a name, or such a tag.
    """

    def __init__(self, message: Selecting) -> None:
        given = _given(message)
        lacking = tuple(
            f"{key}=" for key, value in (message.tags or {}).items() if not value.strip()
        )
        given = [(kind, text) for kind, text in given if kind != TAG or text not in lacking]
        self._lacking = lacking
        self._conditions = [_condition(kind, text) for kind, text in given]
        self._kinds = frozenset[str]((TAG,) if lacking else ()).union(*self._conditions)
        self._iccids = [
            () if "*" in text else forms("iccid", text)[:1]
            for kind, text in given
            if kind in {"iccid", "any"}
        ]
        self.keys = tuple(
            tuple(key for key in lookups(kind, text) if key[1])
            for kind, text in given
            if text.strip() and "*" not in text
        )
        """For each condition that names a card exactly: the keys of which a card must have one."""

    def fits(self, names: Sequence[Key]) -> bool:
        """Return whether every condition holds for names in their normal form."""
        for tests in self._conditions:
            for kind, text in names:
                if (test := tests.get(kind)) is not None and test(text):
                    break
            else:
                return False
        lacking = self._lacking
        return not lacking or not any(
            kind == TAG and text.startswith(lacking) for kind, text in names
        )

    def matches(self, card: CardInfo) -> bool:
        """Return whether every condition holds for a card."""
        return self.fits(_names_of_card(card, self._kinds))

    def closest(self, cards: Sequence[CardInfo]) -> Sequence[CardInfo]:
        """Return, of cards that match, those with the very ICCID, as in a selection, else all."""
        very = [
            card
            for card in cards
            if all(form == (normal_iccid(card.identities.iccid or ""),) for form in self._iccids)
        ]
        return very or cards


def _condition(kind: str, text: str) -> dict[str, Callable[[str], bool]]:
    """Return what tells whether a name in its normal form is meant, for each kind that counts."""
    return {each: _test(each, text) for each in (KINDS if kind == "any" else (kind,))}


def _test(kind: str, text: str) -> Callable[[str], bool]:
    if "*" not in text:
        meant = frozenset(form for form in forms(kind, text) if form or not text.strip())
        return meant.__contains__
    return matching(normal(kind, text))


def matching(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a text, as it is, fits a pattern; each `*` is any text."""
    if "*" not in pattern:
        return frozenset((pattern,)).__contains__
    first, *middle, last = pattern.split("*")
    match first, middle, last:
        case "", [within], "":
            return lambda name: within in name
        case "", [], _:
            return methodcaller("endswith", last)
        case _, [], "":
            return methodcaller("startswith", first)
        case _:
            pass
    # A part that was found stays found: the time is in proportion to the length.
    parts = "".join(f"(?>.*?{re.escape(part)})" for part in middle)
    whole = re.compile(f"{re.escape(first)}{parts}.*{re.escape(last)}", re.DOTALL)
    return lambda name: whole.fullmatch(name) is not None


def _given(message: Selecting) -> list[tuple[str, str]]:
    values = [(kind, getattr(message, kind)) for kind in (*KINDS, "any")]
    return [*((kind, value) for kind, value in values if value is not None), *_tags(message.tags)]


def names_of_reader(reader: ReaderView) -> tuple[Key, ...]:
    """Return the names of a reader as users see it, and those of its card, as `names_of` does."""
    card = card_of(reader)
    if card is None:
        return reader_names(reader.reader, reader.name, tags=reader.tags)
    return _names_of_card(card)


def _names_of_card(card: CardInfo, kinds: Container[str] = _EVERY_KIND) -> tuple[Key, ...]:
    ids = card.identities
    names = [("reader", card.reader), ("reader", card.reader_name), ("atr", ids.atr)]
    names += [("label", card.label), ("iccid", ids.iccid)]
    names += [("eid", eid) for eid in card.eids or ((ids.eid,) if ids.eid else ())]
    return _names([*names, *_tags(card.tags)], kinds)


def _names(
    names: Iterable[tuple[str, str | None]], kinds: Container[str] = _EVERY_KIND
) -> tuple[Key, ...]:
    found = [(kind, normal(kind, name or "")) for kind, name in names if kind in kinds]
    return tuple(
        dict.fromkeys(
            [
                _shared(key) if key[0] in _OF_MANY and len(key[1]) <= LONGEST else key
                for key in found
            ]
        )
    )


_shared: Callable[[Key], Key] = lru_cache(KNOWN)(tuple[str, str])
"""Returns the same object for the same name, which is that of many cards."""
