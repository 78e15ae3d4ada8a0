# SPDX-License-Identifier: Apache-2.0
"""
What a policy gives, by `docs/operations.md`, section "Policy", sentence by sentence.

It shares no code with `wsrc`, takes no short cut, and expects a file that is not refused.
"""

import re
import tomllib
from typing import Any, NamedTuple

VERBS = ["list", "use", "share", "direct", "reset", "control", "attributes", "events"]
VERBS += ["revoke", "reserve", "admin"]


class Peer(NamedTuple):
    """Who asks; `name` is None of a peer that the server knows no name of."""

    name: str | None
    groups: tuple[str, ...] = ()


class Card(NamedTuple):
    """A reader, and the card in it unless `state` says that there is none."""

    state: str = "ready"
    atr: str | None = None
    iccid: str | None = None
    eids: tuple[str, ...] = ()
    label: str | None = None
    protocol: bool = False
    host: str = "bench-1"
    reader: str = "SN-1"
    reader_name: str = "Array A 00 00"
    tags: tuple[tuple[str, str], ...] = ()


def fits(text: str, value: str) -> bool:
    """Each `*` of the text stands for any characters, or none."""
    pattern = ".*".join(re.escape(part) for part in text.split("*"))
    return re.fullmatch(pattern, value, re.DOTALL) is not None


class Book:
    """A policy by the book."""

    def __init__(self, text: str) -> None:
        self._file: dict[str, Any] = tomllib.loads(text)

    def rights(self, peer: Peer, card: Card) -> set[str]:
        """Return the verbs that a user has on a card."""
        has: set[str] = set()
        for verb in VERBS:
            for grant in self._file.get("grant", []):
                means, table = self._list_means(grant["to"], peer), grant["cards"]
                if means and self._table_fits(table, card, every=False) and verb in grant["may"]:
                    has.add(verb)
        if has:
            has.add("list")
        return has

    def announces(self, peer: Peer, card: Card) -> bool:
        """Return whether a card host may announce a card."""
        return any(
            self._list_means(host["who"], peer)
            and self._table_fits(host["announces"], card, every=True)
            for host in self._file.get("host", [])
        )

    def _list_means(self, texts: list[str], peer: Peer) -> bool:
        return any(self._text_means(text, peer) for text in texts)

    def _text_means(self, text: str, peer: Peer) -> bool:
        if text == "anyone":
            return True
        if text.startswith("group:"):
            return self._list_means(self._file["groups"][text[len("group:") :]], peer)
        if text.startswith("idp:"):
            return any(fits(text[len("idp:") :], group) for group in peer.groups)
        return peer.name is not None and fits(text, peer.name)

    def _table_fits(self, table: Any, card: Card, *, every: bool) -> bool:
        if table == "*":
            return True
        return all(self._fact_fits(kind, given, card, every) for kind, given in table.items())

    def _fact_fits(self, kind: str, given: Any, card: Card, every: bool) -> bool:
        texts = [given] if isinstance(given, str) else given
        known, values = facts(card)[kind]
        if not known:
            return False
        if not values:
            return "" in texts
        fitting = [any(text and text_fits(kind, text, value) for text in texts) for value in values]
        return all(fitting) if every and kind in ("eid", "tag") else any(fitting)


def text_fits(kind: str, text: str, value: str) -> bool:
    """Return whether a text that is not empty fits a value."""
    if kind in ("iccid", "eid", "atr"):
        text, value = digits(text), digits(value)
    if kind == "iccid":
        text, value = text.rstrip("f"), value.rstrip("f")
        if "*" not in text:
            return value in with_and_without(text)
    if kind in ("label", "reader", "kind"):
        text, value = text.strip().casefold(), value.strip().casefold()
    return fits(text, value)


def digits(text: str) -> str:
    """Return digits without what groups them."""
    return re.sub(r"[\s:-]", "", text).lower()


def with_and_without(iccid: str) -> set[str]:
    """Return an ICCID, without the check digit that it may end in, and with one that it lacks."""
    found = {iccid}
    if iccid.isdigit():
        if len(iccid) > 18 and iccid == with_check_digit(iccid[:-1]):
            found.add(iccid[:-1])
        if len(iccid) < 20:
            found.add(with_check_digit(iccid))
    return found


def with_check_digit(payload: str) -> str:
    """Return digits and the one that makes their sum a multiple of 10 (ISO/IEC 7812-1 annex B)."""
    for check in "0123456789":
        number = (payload + check)[::-1]
        odd = sum(int(digit) for digit in number[0::2])
        even = sum(sum(divmod(2 * int(digit), 10)) for digit in number[1::2])
        if (odd + even) % 10 == 0:
            return payload + check
    raise AssertionError(payload)


def facts(card: Card) -> dict[str, tuple[bool, list[str]]]:
    """Return of each kind whether it is known, and what there is."""
    there = card.state not in ("empty", "unavailable")
    identified = there and bool(card.iccid or card.eids or card.protocol or card.state == "ready")
    kind = kind_of(card) if identified else None
    atr = [card.atr] if card.atr and there else []
    label, iccid = there and card.label, there and card.iccid
    return {
        "iccid": (identified, [iccid] if iccid else []),
        "eid": (identified, list(card.eids) if there else []),
        "atr": (bool(atr), atr),
        "label": (identified or bool(label), [label] if label else []),
        "tag": (True, [f"{name}={value}" for name, value in card.tags]),
        "host": (True, [card.host]),
        "reader": (True, [card.reader, card.reader_name]),
        "kind": (kind is not None, [kind] if kind else []),
    }


def kind_of(card: Card) -> str | None:
    """Return the word for a card that is identified."""
    uicc, euicc, contactless = seen_in(bytes.fromhex(card.atr or ""))
    if card.eids or euicc:
        return "euicc"
    if card.iccid or uicc:
        return "uicc"
    if not card.atr:
        return None
    return "contactless" if contactless else "other"


def seen_in(atr: bytes) -> tuple[bool, bool, bool]:
    """
    Return whether an ATR is that of a UICC, of an eUICC, of a contactless card.

    A UICC has T=15, whose first TB has bits 8 and 2 where it announces an eUICC (TS 102 221 clause
    6.3.1 and table 6.7). What a reader makes of a contactless card is 3B 8n 80 01 (PC/SC part 3).
    """
    contactless = re.fullmatch("3b8.8001.*", atr.hex()) is not None
    uicc = euicc = False
    if len(atr) < 2:
        return False, False, contactless
    present, protocol, at, first = atr[1] >> 4, None, 2, True
    while True:
        letters = [letter for bit, letter in enumerate("ABCD") if present & (1 << bit)]
        level = dict(zip(letters, atr[at:], strict=False))
        if len(level) < len(letters):
            return False, False, contactless
        if protocol == 15:
            uicc = True
            if first and "B" in level:
                euicc = level["B"] & 0x82 == 0x82
            first = False
        at += len(letters)
        if "D" not in level:
            break
        present, protocol = level["D"] >> 4, level["D"] & 15
    whole = at + (atr[1] & 15) <= len(atr)
    return uicc and whole, euicc and whole, contactless
