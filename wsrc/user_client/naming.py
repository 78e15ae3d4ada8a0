# SPDX-License-Identifier: Apache-2.0
"""How a card is called: by who looks for it, and in sentences for a person."""

from typing import TypedDict

from wsrc.messages import CardInfo


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
