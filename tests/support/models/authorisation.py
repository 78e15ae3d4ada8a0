# SPDX-License-Identifier: Apache-2.0
"""
Who may do what with which card, once more: "Policy" of docs/operations.md, read literally.

It uses nothing of `wsrc`. A policy is the mapping that `tomllib` makes of its text, a request is a
message as JSON has it, and words are the texts of the documents. What is refused when a file is
read is not judged here: a policy is one that a server takes.
"""

# Longer than the aim: it is one document, read once, and uses nothing else.

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

Table = Mapping[str, object]

VERBS = (
    "list", "use", "share", "direct", "reset", "control", "attributes", "events", "tag", "revoke",
    "reserve", "admin",
)  # fmt: skip

WITHOUT_CARD = ("empty", "unavailable")
"""States of a reader in which it has no card."""


@dataclass(frozen=True)
class Who:
    """A peer: the name of its principal, if it has one, and its groups at the identity provider."""

    name: str | None
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Thing:
    """
    A reader, and the card in it, as its card host describes both.

    `called` is the name that the host chose, `host` who it is. `shown` is the id of the reader as
    users see it, where that is another than the one that its host gives it.
    """

    host: Who
    called: str
    reader: str
    name: str
    state: str = "ready"
    atr: str | None = None
    iccid: str | None = None
    eids: tuple[str, ...] = ()
    label: str | None = None
    protocol: str | None = None
    tags: tuple[str, ...] = ()
    shown: str | None = None

    @property
    def has_card(self) -> bool:
        return self.state not in WITHOUT_CARD


class Verdict(Enum):
    """What becomes of a request for one card."""

    HIDDEN = auto()
    """As though the card were not there."""
    FORBIDDEN = auto()
    """The card is there, and the request is refused."""
    ALLOWED = auto()


def means(policy: Table, texts: Iterable[str], who: Who) -> bool:
    """Return whether a list of texts means a peer ("Whom a text means")."""
    return any(_text_means(policy, text, who) for text in texts)


def _text_means(policy: Table, text: str, who: Who) -> bool:
    if text == "anyone":
        return True
    if text.startswith("group:"):
        return means(policy, _list(_table(policy, "groups")[text.removeprefix("group:")]), who)
    if text.startswith("idp:"):
        return any(_fits(text.removeprefix("idp:"), group) for group in who.groups)
    return who.name is not None and _fits(text, who.name)


def verbs(policy: Table, who: Who, thing: Thing) -> frozenset[str]:
    """Return the verbs that a user has on a card, or on a reader without one."""
    given = {
        verb
        for grant in _tables(policy, "grant")
        if means(policy, _list(grant["to"]), who) and _cards_fit(grant["cards"], thing, any)
        for verb in _list(grant["may"])
    }
    return frozenset(given | {"list"} if given else ())


def watches(policy: Table, who: Who) -> bool:
    """Return whether any grant for a user has `events`, whatever cards there are."""
    given = (grant for grant in _tables(policy, "grant") if "events" in _list(grant["may"]))
    return any(means(policy, _list(grant["to"]), who) for grant in given)


def announces(policy: Table, thing: Thing) -> bool:
    """Return whether the host of a card, or of a reader without one, may announce it."""
    return any(
        means(policy, _list(rule["who"]), thing.host) and _cards_fit(rule["announces"], thing, all)
        for rule in _tables(policy, "host")
    )


def explained(policy: Table, who: Who, known: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """
    Return `yes`, `if` or `no` for each verb, and for `announce`, where some facts are given.

    It is `if` where a rule gives it to whom all fits that is not given ("What is expected of a
    policy"). A fact that is given as `()` is none.
    """
    rules = [(g, means(policy, _list(g["to"]), who)) for g in _tables(policy, "grant")]
    words = {
        verb: _best(
            _fitting(grant["cards"], known, any)
            for grant, meant in rules
            if meant and (verb == "list" or verb in _list(grant["may"]))
        )
        for verb in VERBS
    }
    words["announce"] = _best(
        _fitting(rule["announces"], known, all)
        for rule in _tables(policy, "host")
        if means(policy, _list(rule["who"]), who)
    )
    return words


def _best(words: Iterable[str]) -> str:
    return min(words, key=("yes", "if", "no").index, default="no")


def verdict(policy: Table, who: Who, thing: Thing, needed: frozenset[str]) -> Verdict:
    """Return what becomes of a request that needs these verbs on a card."""
    has = verbs(policy, who, thing) if announces(policy, thing) else frozenset[str]()
    if not has:
        return Verdict.HIDDEN
    return Verdict.ALLOWED if needed <= has else Verdict.FORBIDDEN


def needs(request: Table, share: str = "exclusive") -> frozenset[str]:
    """
    Return the verbs that a request needs ("What a user may do" of docs/protocol.md).

    `share` is that with which the session was begun that the request belongs to. What an operator
    or somebody else needs is not said here; see `operates`, `revokes`, `lists_reservation`.

    Raises:
        KeyError: If there is no such request.
    """
    words = _NEEDED[str(request["msg_type"])]
    return frozenset(words(request, share) if callable(words) else words)


def operates(policy: Table, who: Who) -> bool:
    """Return whether a user is an operator: one who has `admin` of every card, `"*"`."""
    return any(
        grant["cards"] == "*" and "admin" in _list(grant["may"])
        for grant in _tables(policy, "grant")
        if means(policy, _list(grant["to"]), who)
    )


def revokes(policy: Table, who: Who, thing: Thing) -> bool:
    """Return whether a user may take a card from others, and is told who waits for it."""
    return bool({"revoke", "admin"} & verbs(policy, who, thing))


def identity(thing: Thing) -> str:
    """Return under which name a card is kept ("Reservations" of docs/protocol.md)."""
    if thing.has_card and thing.iccid:
        return f"iccid {_digits(thing.iccid).rstrip('f')}"
    if thing.has_card and thing.eids:
        return f"eid {_digits(thing.eids[0])}"
    return f"reader {thing.shown}"


def _select(request: Table, _share: str) -> set[str]:
    return {_VERB_OF_SHARE[str(request.get("share", "exclusive"))]}


def _reconnect(request: Table, share: str) -> set[str]:
    words = {_VERB_OF_SHARE[str(request.get("share", share))]}
    return words | ({"reset"} if request.get("initialization", "leave") != "leave" else set())


def _end_transaction(request: Table, _share: str) -> set[str]:
    return {"reset"} if request.get("disposition", "leave") != "leave" else set()


def _sealed(request: Table, share: str) -> set[str]:
    """Return what the request in a box needs, as far as it is told outside."""
    inside = {"msg_type": request["of"]}
    if "share" in request:
        inside["share"] = request["share"]
    if request.get("resets"):
        inside |= {"initialization": "reset", "disposition": "reset"}
    return set(needs(inside, share))


_NOTHING: frozenset[str] = frozenset()

_NEEDED: Mapping[str, Iterable[str] | Callable[[Table, str], Iterable[str]]] = {
    "hello": _NOTHING,
    "list_cards": {"list"},
    "list_readers": {"list"},
    "who": {"list"},
    "watch_readers": {"events"},
    "set_tags": {"tag"},
    "set_comment": {"tag"},
    "select_card": _select,
    "resume": _select,
    "c_apdu": _NOTHING,
    "batch": _NOTHING,
    "begin_transaction": _NOTHING,
    "status": _NOTHING,
    "detach": _NOTHING,
    "cancel": _NOTHING,
    "reset_req": {"reset"},
    "reconnect": _reconnect,
    "end_transaction": _end_transaction,
    "control": {"control"},
    "get_attribute": {"attributes"},
    "set_attribute": {"attributes"},
    "sealed": _sealed,
    "reserve": {"reserve"},
    "list_reservations": {"list"},
    # What these need is of another kind: who has the card, whose it is, who runs the server.
    "revoke": {"list"},
    "allow": _NOTHING,
    "lend": _NOTHING,
    "cancel_reservation": _NOTHING,
    "list_peers": _NOTHING,
    "kick": _NOTHING,
    "ban": _NOTHING,
    "unban": _NOTHING,
    "list_bans": _NOTHING,
    "drain": _NOTHING,
    "undrain": _NOTHING,
    "stop": _NOTHING,
}
"""The verbs for each request of users, or what says them."""

REQUESTS = frozenset(_NEEDED)
"""`msg_type` of each request of a user."""


def selected(things: Iterable[Thing], conditions: Mapping[str, str]) -> list[Thing]:
    """
    Return the cards that a selection means ("Select, wait, lease" of docs/protocol.md).

    The cards are those that exist for whoever asks: an exact ICCID hides others among these alone.
    """
    cards = [thing for thing in things if thing.has_card]
    for kind, text in conditions.items():
        meant = [_named(cards, each, text) for each in (_NAMES if kind == "any" else (kind,))]
        cards = [thing for thing in cards if any(thing in found for found in meant)]
    return cards


_NAMES = ("iccid", "eid", "atr", "reader", "label")


def _named(cards: Iterable[Thing], kind: str, text: str) -> list[Thing]:
    names: dict[str, Callable[[Thing], Iterable[str | None]]] = {
        "iccid": lambda thing: (thing.iccid,),
        "eid": lambda thing: thing.eids,
        "atr": lambda thing: (thing.atr,),
        "reader": lambda thing: (thing.shown, thing.reader, thing.name),
        "label": lambda thing: (thing.label,),
    }
    plain = _digits if kind in {"iccid", "eid", "atr"} else str.casefold
    has = [(each, [plain(name) for name in names[kind](each) if name]) for each in cards]
    exact = [each for each, own in has if plain(text) in own]
    if exact or kind != "iccid":
        return exact
    return [each for each, own in has if any(_same_iccid(plain(text), name) for name in own)]


_VERB_OF_SHARE = {"exclusive": "use", "shared": "share", "direct": "direct"}


# ---------------------------------------------------------------- which cards

_Many = Callable[[Iterable[bool]], bool]
"""`any` or `all`: whether one of several EIDs must fit, or each."""


def _cards_fit(cards: object, thing: Thing, several: _Many) -> bool:
    has = facts(thing)
    if several is any and thing.shown is not None:
        has["reader"] += (thing.shown,)
    return _fitting(cards, has, several) == "yes"


def _fitting(cards: object, known: Mapping[str, tuple[str, ...]], several: _Many) -> str:
    """Return whether the facts that are known fit, `if` where others would have to as well."""
    if cards == "*":
        return "yes"
    assert isinstance(cards, Mapping)
    fitting = {
        kind: _fact_fits(kind, _list(texts), known[kind], several)
        for kind, texts in cards.items()
        if kind in known
    }
    if not all(fitting.values()):
        return "no"
    return "yes" if len(fitting) == len(cards) else "if"


def facts(thing: Thing) -> dict[str, tuple[str, ...]]:
    """Return what is known of a card; `()` is known to be none, what is absent is not known."""
    host = f"({thing.called})" if thing.host.name is None else thing.host.name
    if thing.host.name is not None and host.startswith("("):
        host = host.replace("(", "%28").replace(")", "%29")
    known: dict[str, tuple[str, ...]] = {
        "host": (host,),
        "reader": (thing.reader, thing.name),
        "tag": thing.tags,
    }
    if not thing.has_card:
        return known
    if thing.atr is not None:
        known["atr"] = (thing.atr,)
    labels = () if thing.label is None or not thing.label.strip() else (thing.label,)
    if labels or _is_identified(thing):
        known["label"] = labels
    if _is_identified(thing):
        known["iccid"] = () if thing.iccid is None else (thing.iccid,)
        known["eid"] = thing.eids
        kind = _kind(thing)
        if kind is not None:
            known["kind"] = (kind,)
    return known


def _is_identified(thing: Thing) -> bool:
    return bool(thing.iccid or thing.eids or thing.protocol) or thing.state == "ready"


def _kind(thing: Thing) -> str | None:
    atr = bytes.fromhex(thing.atr or "")
    uicc, euicc = _said_by(atr)
    if thing.eids or euicc:
        return "euicc"
    if thing.iccid or uicc:
        return "uicc"
    if not atr:
        return None
    # What a reader makes of a contactless card is 3B 8n 80 01 (PC/SC part 3 clause 3.1.3.2.3).
    return "contactless" if re.match("3b8.8001", atr.hex()) else "other"


@functools.lru_cache(maxsize=10_000)
def _said_by(atr: bytes) -> tuple[bool, bool]:
    """
    Return whether an ATR is that of a UICC, and of an eUICC.

    A UICC has T=15, whose first TB has bits 8 and 2 where it announces an eUICC (TS 102 221 clause
    6.3.1 and table 6.7). An ATR that ends too early is neither.
    """
    groups = _interface_groups(atr)
    global_ones = [group for protocol, group in groups if protocol == 15]
    first = global_ones[0].get("B", 0) if global_ones else 0
    return bool(global_ones), first & 0x82 == 0x82


def _interface_groups(atr: bytes) -> list[tuple[int | None, dict[str, int]]]:
    """
    Return the interface characters of an ATR by their letters (ISO/IEC 7816-3 clause 8.2.3).

    Each group comes with the protocol that it is for; the first is for none. There is nothing of
    an ATR that is too short for what it announces.
    """
    if len(atr) < 2:
        return []
    found: list[tuple[int | None, dict[str, int]]] = []
    protocol, announces, at = None, atr[1] >> 4, 2
    while True:
        letters = [letter for bit, letter in enumerate("ABCD") if announces & 1 << bit]
        group = dict(zip(letters, atr[at : at + len(letters)], strict=False))
        at += len(letters)
        found.append((protocol, group))
        if "D" not in group:
            return found if at + (atr[1] & 15) <= len(atr) else []
        announces, protocol = group["D"] >> 4, group["D"] & 15


def _fact_fits(kind: str, texts: list[str], has: tuple[str, ...], several: _Many) -> bool:
    if not has:
        return "" in texts
    compare = _COMPARE[kind]
    one_of = any if kind == "reader" else several
    return one_of([any(text and compare(text, value) for text in texts) for value in has])


def _fits(text: str, value: str) -> bool:
    """Return whether a text is a value, where `*` in the text is any characters, or none."""
    return _pattern(text).fullmatch(value) is not None


@functools.lru_cache(maxsize=10_000)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def _digits(text: str) -> str:
    return re.sub(r"[\s:-]", "", text).lower()


def _same_digits(text: str, value: str) -> bool:
    return _fits(_digits(text), _digits(value))


def _same_words(text: str, value: str) -> bool:
    return _fits(text.strip().casefold(), value.strip().casefold())


def _same_iccid(text: str, value: str) -> bool:
    wanted, there = _digits(text).rstrip("f"), _digits(value).rstrip("f")
    if "*" in text:
        return _fits(wanted, there)
    return wanted == there or _is_checked(wanted, there) or _is_checked(there, wanted)


def _is_checked(longer: str, shorter: str) -> bool:
    """Return whether a text is another with the check digit of ITU-T E.118 behind it."""
    if longer[:-1] != shorter or not (longer.isascii() and longer.isdecimal()):
        return False
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(longer))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


_COMPARE: dict[str, Callable[[str, str], bool]] = {
    "iccid": _same_iccid,
    "eid": _same_digits,
    "atr": _same_digits,
    "label": _same_words,
    "tag": _fits,
    "host": _fits,
    "reader": _same_words,
    "kind": lambda text, value: _fits(text.lower(), value),
}


# ---------------------------------------------------------------- what TOML has


def _list(value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    assert isinstance(texts, list)
    return texts


def _table(policy: Table, key: str) -> Mapping[str, object]:
    table = policy.get(key, {})
    assert isinstance(table, Mapping)
    return table


def _tables(policy: Table, key: str) -> list[Mapping[str, object]]:
    tables = policy.get(key, [])
    assert isinstance(tables, list)
    return tables
