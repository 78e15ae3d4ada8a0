# SPDX-License-Identifier: Apache-2.0
"""Which cards a user means: exact selections, and filters with wildcards."""

from collections.abc import Mapping, Sequence

import msgspec

from wsrc.errors import ErrorCode, RefusedError
from wsrc.protocol.messages import CardInfo, ReaderView, SelectCard, Selecting, card_of

KINDS = ("iccid", "eid", "atr", "reader", "label")
"""What a card can be found by."""

Key = tuple[str, str]
"""Kind and normal form; the kind `iccid~` holds ICCIDs without their check digit."""


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
        RefusedError: If nothing is selected, or by a kind of name that there is not.
    """
    items = _given(message)
    if message.id_type is not None:
        kind = message.id_type.lower()
        if kind not in {*KINDS, "any"}:
            raise RefusedError(
                ErrorCode.BAD_MESSAGE,
                f"A card is not selected by {message.id_type[:20]!r}; "
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
    """Tell cards apart by patterns in which `*` stands for any text."""

    def __init__(self, message: Selecting) -> None:
        self._patterns = [
            (kind, text.strip().casefold().split("*")) for kind, text in _given(message)
        ]

    def matches(self, card: CardInfo) -> bool:
        """Return whether every pattern matches."""
        return not self._patterns or self._match(_values(card))

    def matches_reader(self, reader: ReaderView) -> bool:
        """Return whether every pattern matches a reader, which may be without a card."""
        return not self._patterns or self._match(_values_of_reader(reader))

    def _match(self, values: Mapping[str, Sequence[str]]) -> bool:
        return all(
            any(
                _fits(parts, value.casefold())
                for each in (KINDS if kind == "any" else (kind,))
                for value in values[each]
            )
            for kind, parts in self._patterns
        )


def _given(message: Selecting) -> list[tuple[str, str]]:
    values = [(kind, getattr(message, kind)) for kind in (*KINDS, "any")]
    return [(kind, value) for kind, value in values if value is not None]


def _values(card: CardInfo) -> dict[str, tuple[str, ...]]:
    ids = card.identities
    return {
        "iccid": (ids.iccid or "",),
        "eid": card.eids,
        "atr": (ids.atr,),
        "reader": (card.reader or "", card.reader_name or ""),
        "label": (card.label or "",),
    }


def _values_of_reader(reader: ReaderView) -> dict[str, tuple[str, ...]]:
    card = card_of(reader)
    if card is not None:
        return _values(card)
    return dict.fromkeys(KINDS, ()) | {"reader": (reader.reader, reader.name)}


def _fits(parts: Sequence[str], text: str) -> bool:
    """Return whether the text is these parts in their order, with any text between them."""
    if len(parts) == 1:
        return text == parts[0]
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
