# SPDX-License-Identifier: Apache-2.0
"""
Cards that commands saw, for completion: a file of the user's own, which nothing else reads.

It is loaded for each completion: nothing is imported here that takes long to load.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

MOST_CARDS = 2_000
"""Cards that are kept for a server; those that were seen last."""

KEPT_S = 7 * 86_400
"""Seconds for which a card is offered after it was seen."""

SOON_S = 3_600
"""Seconds within which it is not noted again that a card was seen."""

MOST_OCTETS = 4 << 20
"""Of a file that is read."""

NAMES = ("iccid", "eid", "label", "reader", "atr")
"""Kinds of names, each of which may say which card is meant."""

KINDS = (*NAMES, "tag")

Seen = dict[str, Any]
"""A card: values by kind, each a list, and `at`, the time at which it was seen."""


def folder(environ: Mapping[str, str]) -> str | None:
    """Return where caches are, by the XDG Base Directory Specification."""
    cache = environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(cache):  # noqa: PTH117 - pathlib takes long to load
        return f"{cache}/wsrc"
    home = environ.get("HOME")
    return f"{home}/.cache/wsrc" if home else None


def load(path: str) -> dict[str, Any]:
    """Return the object that is in a file; empty where it cannot be read, or has something else."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib takes long to load
            content = json.loads(file.read(MOST_OCTETS))
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}


def save(path: str, content: Mapping[str, Any]) -> None:
    """Write a file that its owner alone can read, as a whole; it is no error if that fails."""
    begun = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)  # noqa: PTH103, PTH120
        with open(os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
            json.dump(content, file)
        os.replace(begun, path)  # noqa: PTH105
    except OSError:
        try:
            os.unlink(begun)  # noqa: PTH108
        except OSError:
            return


def cards_of(environ: Mapping[str, str], url: str, now: float) -> list[Seen]:
    """Return the cards that were seen at a server; of all servers where it is none of them."""
    where = folder(environ)
    if where is None:
        return []
    servers = load(f"{where}/cards.json")
    tables = [servers[url]] if url in servers else list(servers.values())
    return [seen for table in tables for seen in _good(table, now).values()]


def remember(environ: Mapping[str, str], url: str, cards: Iterable[Mapping[str, Any]]) -> None:
    """
    Note that cards were seen at a server.

    Args:
        environ: Says where caches are.
        url: The server's.
        cards: Values by kind, each a list of texts.
    """
    where, now = folder(environ), time.time()  # noqa: TID251 - other processes read it
    if where is None:
        return
    path = f"{where}/cards.json"
    servers = load(path)
    table = _good(servers.get(url), now)
    changed = False
    for card in cards:
        name = next((card[kind][0] for kind in NAMES if card.get(kind)), None)
        if name is not None and not _is_noted(table.get(name), card, now):
            table[name] = {**card, "at": now}
            changed = True
    if changed:
        latest = sorted(table.items(), key=lambda each: each[1]["at"])[-MOST_CARDS:]
        save(path, {**servers, url: dict(latest)})


def values(cards: Iterable[Seen], kind: str) -> list[str]:
    """Return what cards are called, by one kind of name or by any."""
    kinds = NAMES if kind == "any" else (kind,)
    found = {text for card in cards for each in kinds for text in card.get(each, ())}
    return sorted(text for text in found if isinstance(text, str) and text.isprintable())


def _is_noted(seen: Seen | None, card: Mapping[str, Any], now: float) -> bool:
    if seen is None or now - seen["at"] >= SOON_S:
        return False
    return {kind: seen.get(kind) for kind in KINDS} == {kind: card.get(kind) for kind in KINDS}


def _good(table: object, now: float) -> dict[str, Seen]:
    """Return the entries of a table that have the right form and are not too old."""
    if not isinstance(table, dict):
        return {}
    entries = cast("dict[str, object]", table)
    return {name: cast("Seen", seen) for name, seen in entries.items() if _is_good(seen, now)}


def _is_good(entry: object, now: float) -> bool:
    if not isinstance(entry, dict):
        return False
    seen = cast("Seen", entry)
    at = seen.get("at")
    known = isinstance(at, int | float) and now - KEPT_S < at <= now + SOON_S
    return known and all(isinstance(seen.get(kind, []), list) for kind in KINDS)
