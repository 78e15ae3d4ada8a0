# SPDX-License-Identifier: Apache-2.0
"""Which card is meant: by who looks for it, among others, and in sentences for a person."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import TypedDict, cast

from wsrc.card.identity import iccid_forms, is_iccid, normal_iccid
from wsrc.protocol.messages import CardInfo

CardKey = tuple[str, str | None, str | None]
"""What tells the place of a card from all others: address, host and reader."""

Where = tuple[str, str]
"""A reader as the server lists readers: its host and its id."""


class Filters(TypedDict, total=False):
    """
    Which cards are meant: all given fields must hold; `any` matches any of the others.

    To list and to watch, `*` stands for any text.
    """

    iccid: str | None
    eid: str | None
    atr: str | None
    reader: str | None
    label: str | None
    any: str | None


def key_of(card: CardInfo) -> CardKey:
    """Return the place of a card."""
    return card.remote_addr[0], card.host, card.reader


def where(card: CardInfo) -> Where:
    """Return the host and the reader of a card; an address stands for a host without name."""
    return card.host or card.remote_addr[0], card.reader or ""


def exactly(card: CardInfo, *, empty: bool = False) -> Filters:
    """
    Return the selection that means this card, in its reader, and no other.

    Args:
        card: The one that is meant.
        empty: Whether it is not there any more, and the reader that it was in is meant.

    It is empty where neither ICCID nor reader is known.
    """
    which: Filters = {}
    if card.identities.iccid and not empty:
        which["iccid"] = card.identities.iccid
    if card.reader:
        which["reader"] = card.reader
    return which


def alternatives(given: Mapping[str, Iterable[str]]) -> list[Filters]:
    """
    Return filters of which one must match, from the values of each kind of `Filters`.

    Each kind that was given must match in each. An ICCID is meant with and without its check
    digit, and `*` stands for any text.
    """
    kinds = {kind: list(values) for kind, values in given.items()}
    if "iccid" in kinds:
        kinds["iccid"] = [form for value in kinds["iccid"] for form in _forms(value)]
    kinds = {kind: values for kind, values in kinds.items() if values}
    combined = itertools.product(*kinds.values())
    return [cast("Filters", dict(zip(kinds, values, strict=True))) for values in combined]


def watchable(which: Filters) -> tuple[Filters, Callable[[CardInfo], bool]]:
    """
    Return the filters to watch by, and what tells the cards that are meant among these.

    This is `alternatives` for who watches once; `any` may be an ICCID here.
    """
    watched: Filters = {**which}
    forms: list[frozenset[str]] = []
    iccid, named = _iccid_forms(which.get("iccid")), _iccid_forms(which.get("any"))
    if iccid:
        watched["iccid"] = min(iccid, key=len) + "*"
        forms.append(iccid)
    if named:
        watched["any"] = min(named, key=len) + "*"
        forms.append(named)

    def is_meant(card: CardInfo) -> bool:
        return all((card.identities.iccid or "") in each for each in forms)

    return watched, is_meant


def _forms(text: str) -> Iterable[str]:
    """Return the texts that stand for an ICCID in filters, which compare text."""
    return [text] if "*" in text else iccid_forms(normal_iccid(text))


def _iccid_forms(text: str | None) -> frozenset[str]:
    """Return the forms of an ICCID; none if the text is none."""
    return frozenset(_forms(text)) if text and is_iccid(normal_iccid(text)) else frozenset()


def describe(card: CardInfo) -> str:
    """Name a card by what tells it from others: ICCID, EIDs, label, and where it is."""
    names = [f"ICCID {card.identities.iccid}"] if card.identities.iccid else []
    names += [f"EID {eid}" for eid in card.eids]
    names += [f"label {card.label}"] if card.label else []
    if not names:
        names = [f"ATR {card.identities.atr or 'unknown'}"]
    return f"{', '.join(names)}, in reader {place(card)}"


def place(card: CardInfo) -> str:
    """Name the reader of a card, with its id where it differs, and the host."""
    reader = card.reader_name or card.reader or "of a first-form card client"
    if card.reader and card.reader_name and card.reader != card.reader_name:
        reader += f" ({card.reader})"
    return f"{reader} on {card.host or card.remote_addr[0]}"
