# SPDX-License-Identifier: Apache-2.0
"""Which card is meant: by who looks for it, among others, and in sentences for a person."""

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypedDict, cast

if TYPE_CHECKING:
    from wsrc.protocol.messages import CardInfo, ReservationInfo

CardKey = tuple[str, str | None, str | None]
"""What tells the place of a card from all others: address, host and reader."""


class Filters(TypedDict, total=False):
    """
    Which cards are meant: all given fields must hold; `any` matches any of the others.

    An ICCID is meant with and without its check digit. Digits of an ICCID, EID or ATR may be in
    groups. To list and to watch, `*` stands for any text. `tags` has the value of each tag that the
    card must have, by its key. See `wsrc.selection`.
    """

    iccid: str | None
    eid: str | None
    atr: str | None
    reader: str | None
    label: str | None
    any: str | None
    tags: Mapping[str, str] | None


def key_of(card: "CardInfo") -> CardKey:
    """Return the place of a card."""
    return card.remote_addr[0], card.host, card.reader


def exactly(card: "CardInfo", *, empty: bool = False) -> Filters:
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


def reserved(info: "ReservationInfo") -> Filters:
    """Return the selection that means the card of a reservation."""
    kind, _, value = info.card.partition(" ")
    return cast("Filters", {kind: value})


def alternatives(
    given: Mapping[str, Iterable[str]], tags: Mapping[str, str] | None = None
) -> list[Filters]:
    """
    Return filters of which one must match, from the values of each kind of `Filters`.

    Each kind that was given must match in each, and so must all `tags`.
    """
    kinds = {kind: chosen for kind, values in given.items() if (chosen := list(values))}
    if not kinds:
        return [{"tags": tags}] if tags else []
    combined = itertools.product(*kinds.values())
    also = {"tags": tags} if tags else {}
    return [cast("Filters", dict(zip(kinds, values, strict=True)) | also) for values in combined]


def describe(card: "CardInfo") -> str:
    """Name a card by what tells it from others: ICCID, EIDs, label, and where it is."""
    names = [f"ICCID {card.identities.iccid}"] if card.identities.iccid else []
    names += [f"EID {eid}" for eid in card.eids]
    names += [f"label {card.label}"] if card.label else []
    if not names:
        names = [f"ATR {card.identities.atr or 'unknown'}"]
    return f"{', '.join(names)}, in reader {place(card)}"


def place(card: "CardInfo") -> str:
    """Name the reader of a card, with its id where it differs, and the host."""
    reader = card.reader_name or card.reader or "of a first-form card client"
    if card.reader and card.reader_name and card.reader != card.reader_name:
        reader += f" ({card.reader})"
    return f"{reader} on {card.host or card.remote_addr[0]}"
