# SPDX-License-Identifier: Apache-2.0
"""
Which cards a user means: how names are compared, exact selections, filters with wildcards.

Whoever selects, lists, watches or labels cards compares their names by `forms`, and nowhere else.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from wsrc.card.identity import iccid_forms, normal_digits, normal_iccid
from wsrc.errors import ErrorCode, RefusedError
from wsrc.protocol.messages import (
    CardInfo,
    ReaderInfo,
    ReaderView,
    SelectCard,
    Selecting,
    card_of,
)

KINDS = ("iccid", "eid", "atr", "reader", "label")
"""What a card can be found by."""

Key = tuple[str, str]
"""Kind and normal form of a name."""


def normal(kind: str, text: str) -> str:
    """
    Return the form in which names of a kind are compared.

    In an ICCID, EID or ATR neither case counts nor what stands between groups of digits, in an
    ICCID no filler at the end either; in other names neither case nor space around them.
    """
    if kind == "iccid":
        return normal_iccid(text)
    return normal_digits(text) if kind in {"eid", "atr"} else text.strip().casefold()


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


def keys_of(info: ReaderInfo, ids: Sequence[str] = ()) -> tuple[Key, ...]:
    """Return every key under which the card in a reader is found; `ids` are other ids of it."""
    names: list[tuple[str, str | None]] = [("reader", id_) for id_ in ids or (info.reader,)]
    names.append(("reader", info.name))
    names += [("atr", info.atr.hex() if info.atr else None), ("label", info.label)]
    names += [("eid", eid) for eid in info.eids]
    names.append(("iccid", info.iccid))
    keys = ((kind, normal(kind, name)) for kind, name in names if name)
    return tuple(dict.fromkeys(key for key in keys if key[1]))


class Selection(msgspec.Struct, frozen=True):
    """Kind and value of each condition; at least one, all of them must hold."""

    items: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return " and ".join(
            f"{'name' if kind == 'any' else kind.upper()} {value[:40]}"
            for kind, value in self.items
        )


def selection_of(message: SelectCard) -> Selection:
    """
    Read what a user wants to select, in either form of the protocol.

    Raises:
        RefusedError: If nothing is selected, or by an unknown kind of name.
    """
    items = _given(message)
    if message.id_type is not None:
        kind = message.id_type.lower()
        if kind not in {*KINDS, "any"}:
            raise RefusedError(
                ErrorCode.BAD_MESSAGE,
                f"Cards cannot be selected by {message.id_type[:20]!r}; "
                f"use one of {', '.join(KINDS)} or any.",
            )
        items.append((kind, message.id_str or ""))
    items = [(kind, value) for kind, value in items if value.strip()]
    if not items:
        raise RefusedError(
            ErrorCode.NOTHING_SELECTED,
            "Nothing is selected: say which card by its ICCID, EID, ATR, reader or label.",
        )
    return Selection(tuple(items))


class Filter:
    """
    Matches cards by their names; each `*` in a text stands for any text.

    A text without `*` is compared as in a selection. One with `*` is compared with the name that
    the card has, so that an ICCID has its check digit if the card has it.
    """

    def __init__(self, message: Selecting) -> None:
        self._patterns = [
            [_Pattern(each, text) for each in (KINDS if kind == "any" else (kind,))]
            for kind, text in _given(message)
        ]

    def matches(self, card: CardInfo) -> bool:
        """Return whether every pattern matches."""
        return not self._patterns or self._match(_names(card))

    def matches_reader(self, reader: ReaderView) -> bool:
        """Return whether every pattern matches a reader, which may be without a card."""
        return not self._patterns or self._match(_names_of_reader(reader))

    def _match(self, names: Mapping[str, Sequence[str]]) -> bool:
        return all(
            any(each.fits(name) for each in pattern for name in names[each.kind])
            for pattern in self._patterns
        )

    def closest(self, cards: Sequence[CardInfo]) -> Sequence[CardInfo]:
        """Return, of cards that match, those with the very ICCID, as in a selection, else all."""
        kinds = [p for pattern in self._patterns for p in pattern if p.kind == "iccid"]
        very = [c for c in cards if all(p.is_first(c.identities.iccid or "") for p in kinds)]
        return very or cards


class _Pattern:
    """A text that names of one kind are compared with; an empty one means cards without a name."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self._parts = normal(kind, text).split("*") if "*" in text else ()
        named = [form for form in forms(kind, text) if form or not text.strip()]
        self._forms = () if self._parts else tuple(named)

    def fits(self, name: str) -> bool:
        text = normal(self.kind, name)
        return _fits(self._parts, text) if self._parts else text in self._forms

    def is_first(self, name: str) -> bool:
        return self._forms[:1] == (normal(self.kind, name),)


def _given(message: Selecting) -> list[tuple[str, str]]:
    values = [(kind, getattr(message, kind)) for kind in (*KINDS, "any")]
    return [(kind, value) for kind, value in values if value is not None]


def _names(card: CardInfo) -> dict[str, tuple[str, ...]]:
    ids = card.identities
    return {
        "iccid": (ids.iccid or "",),
        "eid": card.eids or ((ids.eid,) if ids.eid else ()),
        "atr": (ids.atr,),
        "reader": (card.reader or "", card.reader_name or ""),
        "label": (card.label or "",),
    }


def _names_of_reader(reader: ReaderView) -> dict[str, tuple[str, ...]]:
    card = card_of(reader)
    if card is not None:
        return _names(card)
    return dict.fromkeys(KINDS, ()) | {"reader": (reader.reader, reader.name)}


def _fits(parts: Sequence[str], text: str) -> bool:
    """Return whether the text is these parts in their order, with any text between them."""
    first, *middle, last = parts
    at, end = len(first), len(text) - len(last)
    if at > end or not text.startswith(first) or not text.endswith(last):
        return False
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
