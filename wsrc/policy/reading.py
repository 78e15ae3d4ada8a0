# SPDX-License-Identifier: Apache-2.0
"""A policy as its file has it: TOML, checked to the last word, and against its own expectations."""

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple, NoReturn, cast

from wsrc.errors import ConfigError
from wsrc.policy.facts import FACTS, SEVERAL, Facts, described
from wsrc.policy.lines import Lines
from wsrc.policy.machine import HIGHEST, Policy, Quota, Rule, Ruling
from wsrc.policy.patterns import Cards, Pattern, pattern_of
from wsrc.policy.people import GROUP, IDP, check, check_depth
from wsrc.policy.telling import why
from wsrc.policy.words import ANYONE, EVERY, Verb
from wsrc.principal import Principal
from wsrc.process.printable import clean

SETTING: Final = "policy"

_KEYS: Final = {
    "grant": ("to", "cards", "may"),
    "host": ("who", "announces"),
    "quota": ("to", "reservations", "reserve_s", "priority"),
    "expect": ("who", "groups", "card", "may", "may_not", "announces"),
}
"""The keys of each table."""

_NEEDED: Final = {
    "grant": _KEYS["grant"],
    "host": _KEYS["host"],
    "quota": ("to",),
    "expect": ("who", "card"),
}
"""Those of each that it must have."""

_MOST: Final = {"reservations": 10_000, "reserve_s": 31 * 86_400, "priority": HIGHEST}
"""The greatest value of each that a quota may have."""


class Document(NamedTuple):
    """
    A policy that was read.

    Attributes:
        policy: What it says.
        expectations: How many it has, all of which hold.
        notes: Sentences for its operator.
    """

    policy: Policy
    expectations: int
    notes: tuple[str, ...]


def read(text: str, name: str) -> Document:
    """
    Return the policy of a document.

    Args:
        text: TOML.
        name: What errors call the document.

    Raises:
        ConfigError: If it is no policy, or fails one of its own expectations.
    """
    try:
        values = tomllib.loads(text)
    except RecursionError as exc:
        raise ConfigError(SETTING, f"{name} is not a policy: it is nested too deep") from exc
    except ValueError as exc:
        raise ConfigError(SETTING, clean(f"{name} is not TOML: {exc}")) from exc
    return _Reader(values, Lines(text), name).document()


def principal(name: str, groups: Sequence[str] = ()) -> Principal | None:
    """
    Return the peer that a name stands for; None for `anyone`, who has no name.

    Raises:
        ValueError: If it stands for several, or can have no groups.
    """
    if name == ANYONE and groups:
        raise ValueError(f"{ANYONE} has no name, and so no groups")
    if name == ANYONE:
        return None
    if not name or name.startswith((GROUP, IDP)):
        raise ValueError(f"{name[:40]!r} is not the name of one user or host, or {ANYONE}")
    return Principal(name, frozenset(group.removeprefix(IDP) for group in groups))


def facts(given: Iterable[tuple[str, str]]) -> Facts:
    """
    Return the facts that somebody gives of one card, by kind and text.

    Raises:
        ValueError: If there is no such fact, or no such card.
    """
    pairs = list(dict.fromkeys(given))
    for kind, text in pairs:
        if kind not in FACTS:
            raise ValueError(f"there is no fact {kind[:40]!r}; {_near(kind, FACTS)}")
        if EVERY in text:
            raise ValueError(f"{text[:40]!r} is a pattern, and this is about one card")
        pattern_of(kind, [text])
        if kind not in SEVERAL and sum(kind == other for other, _ in pairs) > 1:
            raise ValueError(f"a card has one {kind}, and there are several here")
    return described(pairs)


def _near(word: str, words: Sequence[str]) -> str:
    close = difflib.get_close_matches(word[:40], words, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(words)}"


def _as_table(value: object) -> dict[str, object] | None:
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _as_list(value: object) -> list[object] | None:
    return cast("list[object]", value) if isinstance(value, list) else None


class _Table(NamedTuple):
    """One `[[table]]`: its name, line and content."""

    name: str
    line: int
    values: Mapping[str, object]


class _Reader:
    def __init__(self, values: Mapping[str, object], lines: Lines, name: str) -> None:
        self._values = values
        self._lines = lines
        self._name = name
        self._groups: dict[str, tuple[str, ...]] = {}

    def document(self) -> Document:
        for key in self._values:
            if key not in {"groups", *_KEYS}:
                hint = _near(key, ("groups", *_KEYS))
                self._fail(self._lines.of(key), key, f"there is no such table; {hint}")
        self._groups = self._read_groups()
        grants = [self._grant(table) for table in self._tables("grant")]
        hosts = [self._host(table) for table in self._tables("host")]
        quotas = [self._quota(table) for table in self._tables("quota")]
        policy = Policy(grants, hosts, self._groups, quotas)
        expectations = self._tables("expect")
        for table in expectations:
            self._expect(policy, table)
        return Document(policy, len(expectations), tuple(_notes(policy)))

    def _read_groups(self) -> dict[str, tuple[str, ...]]:
        given = _as_table(self._values.get("groups", {}))
        line = self._lines.of("groups")
        if given is None:
            self._fail(line, "groups", 'write a table [groups], with lines NAME = ["…"]')
        groups: dict[str, tuple[str, ...]] = {}
        for name, members in given.items():
            at = self._lines.of(name, line)
            groups[name] = self._texts(at, f"groups.{name}", members, empty=True)
            if not name or name != name.strip() or EVERY in name or not name.isprintable():
                self._fail(at, f"groups.{name}", "a group is named without * and without space")
        for name, members in groups.items():
            self._check(line, name, partial(check, members, groups))
        depths: dict[str, int] = {}
        for name in groups:
            self._check(line, name, partial(check_depth, name, groups, depths))
        return groups

    def _check(self, line: int, name: str, check_group: Callable[[], object]) -> None:
        """Fail at a group where a check of it does."""
        try:
            check_group()
        except ValueError as exc:
            self._fail(self._lines.of(name, line), f"groups.{name}", str(exc))

    def _tables(self, name: str) -> list[_Table]:
        given = [_as_table(each) or {} for each in _as_list(self._values.get(name, [])) or ()]
        lines = self._lines.tables(name)
        if name in self._values and len(given) != (len(lines) or -1):
            hint = f"write each as a table of its own that begins with a line [[{name}]]"
            self._fail(self._lines.of(name), name, hint)
        tables = [_Table(name, *pair) for pair in zip(lines, given, strict=True)]
        for table in tables:
            for key in table.values:
                if key not in _KEYS[name]:
                    self._fail_at(table, key, f"[[{name}]] has no {key}; {_near(key, _KEYS[name])}")
            for key in _NEEDED[name]:
                if key not in table.values:
                    self._fail_at(table, key, f"this [[{name}]] has none; give one")
        return tables

    def _grant(self, table: _Table) -> Rule:
        to = self._members(table, "to")
        return Rule(table.line, to, self._cards(table, "cards"), self._verbs(table, "may"))

    def _host(self, table: _Table) -> Rule:
        return Rule(table.line, self._members(table, "who"), self._cards(table, "announces"))

    def _quota(self, table: _Table) -> Quota:
        found: dict[str, int | float] = {}
        for key, most in _MOST.items():
            value = table.values.get(key, 0)
            kinds = (int, float) if key == "reserve_s" else int
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value <= most:
                what = "a number" if key == "reserve_s" else "a whole number"
                self._fail_at(table, key, f"write {what} from 0 to {most}")
            if key in table.values:
                found[key] = value
        if not found:
            self._fail(table.line, "quota", f"say what they may: {', '.join(_MOST)}")
        return Quota(**found, to=self._members(table, "to"))  # type: ignore[arg-type]  # checked

    def _members(self, table: _Table, key: str) -> tuple[str, ...]:
        line = self._lines.of(key, table.line)
        texts = self._texts(line, key, table.values[key])
        try:
            check(texts, self._groups)
        except ValueError as exc:
            self._fail(line, key, str(exc))
        return texts

    def _verbs(self, table: _Table, key: str) -> frozenset[Verb]:
        line = self._lines.of(key, table.line)
        texts = self._texts(line, key, table.values[key])
        for text in texts:
            if text not in list(Verb):
                hint = _near(text, list(Verb))
                if text == EVERY:
                    hint = f"write out those that are meant: {', '.join(Verb)}"
                self._fail(line, key, f"there is no verb {text[:40]!r}; {hint}")
        return frozenset(map(Verb, texts))

    def _cards(self, table: _Table, key: str) -> Cards:
        given = table.values[key]
        if given == EVERY:
            return Cards()
        patterns: list[Pattern] = []
        for kind, value in self._facts(table, key, given):
            try:
                patterns.append(pattern_of(kind, value))
            except ValueError as exc:
                self._fail_at(table, key, f"{kind}: {exc}")
        return Cards(tuple(patterns))

    def _facts(
        self, table: _Table, key: str, given: object
    ) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Yield the kinds of facts of a table, each with its texts."""
        line, said = self._lines.of(key, table.line), _as_table(given)
        if not said:
            self._fail(line, key, f'write {{ label = "…" }}, or "{EVERY}" for every card')
        for kind, value in said.items():
            if kind not in FACTS:
                self._fail(line, key, f"there is no fact {kind[:40]!r}; {_near(kind, FACTS)}")
            texts: object = [value] if isinstance(value, str) else value
            yield kind, self._texts(line, f"{key}.{kind}", texts)

    def _texts(self, line: int, key: str, value: object, *, empty: bool = False) -> tuple[str, ...]:
        listed = _as_list(value)
        if listed is None or not all(isinstance(each, str) for each in listed):
            self._fail(line, key, f'{str(value)[:40]!r} is no list of texts; write ["…"]')
        if not listed and not empty:
            self._fail(line, key, "the list is empty, which says nothing; fill it, or take it out")
        return tuple(map(str, listed))

    def _expect(self, policy: Policy, table: _Table) -> None:
        values = table.values
        if not {"may", "may_not", "announces"} & set(values):
            self._fail(table.line, "expect", "say what is expected: may, may_not or announces")
        who = self._principal(table)
        card = self._card(table)
        rights = policy.rights(who, card)
        for key in ("may", "may_not"):
            for verb in sorted(self._verbs(table, key)) if key in values else ():
                if (verb in rights) != (key == "may"):
                    self._fail_expected(table, key, verb, policy.explain(who, card)[verb])
        if "announces" in values:
            announces = values["announces"]
            if not isinstance(announces, bool):
                self._fail_at(table, "announces", "write true or false")
            if policy.announces(who, card) != announces:
                ruling = policy.explain_host(who, card)
                self._fail_expected(table, "announces", "announce it", ruling)

    def _fail_expected(self, table: _Table, key: str, what: str, ruling: Ruling) -> NoReturn:
        found = f"{table.values['who']} {'may' if ruling.allowed else 'may not'} {what}"
        self._fail_at(table, key, f"the policy fails this: {found}, since {why(ruling)}")

    def _principal(self, table: _Table) -> Principal | None:
        name = table.values["who"]
        if not isinstance(name, str) or EVERY in name:
            self._fail_at(table, "who", f"{str(name)[:40]!r} is not the name of one user or host")
        line = self._lines.of("groups", table.line)
        groups = self._texts(line, "groups", table.values.get("groups", []), empty=True)
        try:
            return principal(name, groups)
        except ValueError as exc:
            self._fail_at(table, "who", str(exc))

    def _card(self, table: _Table) -> Facts:
        given = table.values["card"]
        said = [] if given == EVERY else list(self._facts(table, "card", given))
        try:
            return facts((kind, text) for kind, texts in said for text in texts)
        except ValueError as exc:
            self._fail_at(table, "card", str(exc))

    def _fail_at(self, table: _Table, key: str, sentence: str) -> NoReturn:
        self._fail(self._lines.of(key, table.line), key, sentence)

    def _fail(self, line: int, key: str, sentence: str) -> NoReturn:
        raise ConfigError(SETTING, clean(f"{self._name}, line {line}, {key}: {sentence}"))


def _notes(policy: Policy) -> Iterable[str]:
    if not policy.hosts:
        yield "it has no [[host]], so that no card host may announce a card"
    if not policy.grants:
        yield "it has no [[grant]], so that no user may do anything"
    named = {text for rule in (*policy.grants, *policy.hosts) for text in rule.to}
    named.update(text for quota in policy.quotas for text in quota.to)
    named.update(text for texts in policy.groups.values() for text in texts)
    for name in policy.groups:
        if GROUP + name not in named:
            yield f"nothing is given to group:{name}"
