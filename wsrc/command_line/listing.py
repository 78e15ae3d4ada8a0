# SPDX-License-Identifier: Apache-2.0
"""Cards as rows: which columns there are, in which order cards stand, how many there are."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from wsrc.command_line.output import Output, eids, holders, leases, state_text
from wsrc.command_line.table import Cell
from wsrc.errors import LocalProtocolError
from wsrc.protocol.messages import CardInfo, CardState

MOST_SEEN = 2_000
"""Cards of a list of which it is noted that they were seen."""

Time = Callable[[str], str]


TITLES = {
    "card": "Card",
    "iccid": "ICCID",
    "eid": "EID",
    "label": "Label",
    "tags": "Tags",
    "comment": "Comment",
    "state": "State",
    "holder": "Holder",
    "since": "Since",
    "until": "Until",
    "host": "Host",
    "reader": "Reader",
    "id": "Reader id",
    "protocol": "Protocol",
    "atr": "ATR",
}
"""Every column by the name by which it is asked for; another one has a line here and in `cells`."""


def cells(card: CardInfo, time: Time) -> dict[str, Cell]:
    """Return what a card has in each column; `time` makes a time of the protocol readable."""
    return {
        "card": _identities(card),
        "iccid": card.identities.iccid or "",
        "eid": eids(card),
        "label": card.label or "",
        "tags": [f"{key}={value}" for key, value in sorted((card.tags or {}).items())],
        "comment": card.comment or "",
        "state": state_text(card),
        "holder": holders(card),
        "since": [time(lease.since) for lease in leases(card)],
        "until": [time(lease.until) for lease in leases(card) if lease.until],
        "host": _host(card),
        "reader": card.reader_name or card.reader or "",
        "id": card.reader or "",
        "protocol": card.protocol or "",
        "atr": card.identities.atr or "",
    }


NARROW = ("card", "label", "state", "holder", "host", "reader")
"""What is shown where the width is that of a terminal."""

WIDE = ("host", "reader", "id", "state", "holder", "since", "iccid", "eid", "label", "atr")
"""What is shown where it is not."""

PLAIN = ("host", "reader", "state", "holder", "iccid", "eid", "label")
"""What is shown where nobody sees it as it comes."""


def columns_of(text: str) -> tuple[str, ...]:
    """
    Read names of columns, between commas or spaces.

    Raises:
        LocalProtocolError: If there is none, or one is not known.
    """
    names = tuple(text.lower().replace(",", " ").split())
    unknown = [name for name in names if name not in TITLES]
    if unknown or not names:
        wrong = f"{unknown[0][:40]!r} is no column" if unknown else "No column is named"
        raise LocalProtocolError(f"{wrong}; there are {', '.join(TITLES)}.")
    return names


def titles(names: Sequence[str]) -> list[str]:
    """Return the titles of columns."""
    return [TITLES[name] for name in names]


def row(card: CardInfo, names: Sequence[str], time: Time) -> list[Cell]:
    """Return the cells of a card."""
    known = cells(card, time)
    return [known[name] for name in names]


def values(card: CardInfo, names: Sequence[str], time: Time) -> list[str]:
    """Return the values of a card, several of one kind with commas between."""
    shown = row(card, names, time)
    return [cell if isinstance(cell, str) else ",".join(cell) for cell in shown]


def in_order(cards: Iterable[CardInfo]) -> list[CardInfo]:
    """Return cards by host, then by reader, in which numbers count as numbers."""
    return sorted(cards, key=_place)


def count(cards: Sequence[CardInfo]) -> str:
    """Return how many cards there are, and how many are in use, as words."""
    used = sum(bool(card.lease) or card.state is CardState.IN_USE for card in cards)
    return f"{len(cards)} card{'s' * (len(cards) != 1)}, {used} in use"


def _place(card: CardInfo) -> tuple[list[tuple[int, str]], ...]:
    place = (_host(card), card.reader_name or "", card.reader or "")
    return tuple(_natural(text) for text in (*place, card.identities.iccid or ""))


def _natural(text: str) -> list[tuple[int, str]]:
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", text.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _host(card: CardInfo) -> str:
    return card.host or card.remote_addr[0]


def _identities(card: CardInfo) -> Cell:
    known = [card.identities.iccid or "", *eids(card)]
    return [each for each in known if each] or card.identities.atr or ""


def undone(servers: Sequence[str]) -> dict[str, Any]:
    """Return what a document says of the servers of a cluster that did not answer, if any."""
    return {"unanswered": list(servers)} if servers else {}


def tell_missing(output: Output, servers: Sequence[str]) -> None:
    """Say whose part of a list is missing, if any, where no document has said so."""
    if servers and not output.as_json:
        names = ", ".join(servers)
        output.note(f"Without those of {names}: no answer, or we may not see them.")
