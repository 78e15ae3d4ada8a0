# SPDX-License-Identifier: Apache-2.0
"""Whom a rule is for: names, groups of the policy, groups of an identity provider, anyone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from wsrc.policy.words import ANYONE
from wsrc.principal import Principal
from wsrc.selection import matching

GROUP: Final = "group:"
"""Stands before the name of a group of the policy."""

IDP: Final = "idp:"
"""Stands before a pattern of the groups of the identity provider."""

MAX_DEPTH: Final = 16
"""Groups within groups."""

Groups = Mapping[str, Sequence[str]]
"""The members of each group: names, patterns, `group:…` and `idp:…`, or `anyone`."""


def check(texts: Sequence[str], groups: Groups) -> None:
    """
    Refuse texts that can mean nobody.

    Raises:
        ValueError: If there is one.
    """
    for text in texts:
        if not text or text != text.strip() or not text.isprintable():
            raise ValueError(f"{text[:40]!r} is empty, has space around it or cannot be printed")
        for word in (GROUP, IDP, ANYONE):
            same = text == word if word == ANYONE else text.startswith(word)
            alike = text.casefold() == word if word == ANYONE else text.casefold().startswith(word)
            if alike and not same:
                raise ValueError(f"{text[:40]!r} is written {word} in small letters")
        if text in {GROUP, IDP}:
            raise ValueError(f"after {text} comes the name of a group")
        if text.startswith(GROUP) and text.removeprefix(GROUP) not in groups:
            known = ", ".join(groups) or "none"
            raise ValueError(f"there is no {text[:40]!r}; the groups are: {known}")


def check_depth(
    name: str, groups: Groups, depths: dict[str, int], through: tuple[str, ...] = ()
) -> int:
    """
    Refuse a group that is within itself, or that has more than `MAX_DEPTH` one within the other.

    Args:
        name: Of the group.
        groups: All there are.
        depths: Of the groups that were looked at before; this one and those in it are added.
        through: The groups through which it is reached.

    Returns:
        How many groups are one within the other there, itself included.

    Raises:
        ValueError: If it is refused.
    """
    depth = depths.get(name)
    if name in through or len(through) + (depth or 1) > MAX_DEPTH:
        raise ValueError(f"groups within themselves, or too deep: {' > '.join((*through, name))}")
    if depth is None:
        texts = dict.fromkeys(text for text in groups[name] if text.startswith(GROUP))
        within = (text.removeprefix(GROUP) for text in texts)
        path = (*through, name)
        found = (check_depth(each, groups, depths, path) for each in within)
        depth = depths[name] = 1 + max(found, default=0)
    return depth


def way_to(
    texts: Sequence[str], who: Principal | None, groups: Groups, tried: set[str] | None = None
) -> tuple[str, ...]:
    """
    Return by which of some texts a peer is meant, and within it which; nothing if by none.

    No group is looked through twice: `tried` are those in which the peer was looked for already.
    """
    tried = set() if tried is None else tried
    for text in texts:
        if text.startswith(GROUP):
            if text not in tried:
                tried.add(text)
                within = way_to(groups[text.removeprefix(GROUP)], who, groups, tried)
                if within:
                    return (text, *within)
        elif _means(text, who):
            return (text,)
    return ()


def _means(text: str, who: Principal | None) -> bool:
    if text == ANYONE:
        return True
    if who is None:
        return False
    if text.startswith(IDP):
        return any(map(matching(text.removeprefix(IDP)), who.groups))
    return matching(text)(who.name)


Owner = int | str
"""The number of a rule, or the `group:…` that a text is in."""


class People:
    """
    For which of some rules a peer is meant.

    Args:
        rules: The texts of each rule.
        groups: Of the policy, which are checked.
    """

    def __init__(self, rules: Sequence[Sequence[str]], groups: Groups) -> None:
        self._names: dict[str, list[Owner]] = {}
        self._idp: dict[str, list[Owner]] = {}
        self._others: dict[str, list[Owner]] = {}
        for name, texts in groups.items():
            self._enter(texts, GROUP + name)
        for number, texts in enumerate(rules):
            self._enter(texts, number)
        self._wild_names = _wild(self._names)
        self._wild_idp = _wild(self._idp)
        self._within: dict[str, frozenset[int]] = {}

    def _enter(self, texts: Sequence[str], owner: Owner) -> None:
        for text in texts:
            where, name = self._names, text
            if text == ANYONE or text.startswith(GROUP):
                where = self._others
            elif text.startswith(IDP):
                where, name = self._idp, text.removeprefix(IDP)
            where.setdefault(name, []).append(owner)

    def of(self, who: Principal | None) -> frozenset[int]:
        """
        Return the numbers of the rules for a peer; no work per name that is written out.

        Peers who are meant by the same single text have the same object.
        """
        owners: set[Owner] = {ANYONE}
        if who is not None:
            owners.update(_owners(who.name, self._names, self._wild_names))
            for group in who.groups:
                owners.update(_owners(group, self._idp, self._wild_idp))
        numbers = frozenset(owner for owner in owners if isinstance(owner, int))
        found = [self._of_text(owner) for owner in owners if isinstance(owner, str)]
        some = [each for each in (numbers, *found) if each]
        return some[0] if len(some) == 1 else frozenset[int]().union(*some)

    def _of_text(self, text: str) -> frozenset[int]:
        """Return the numbers of the rules that mean `anyone` or a group, also by other groups."""
        numbers = self._within.get(text)
        if numbers is None:
            owners = self._others.get(text, ())
            direct = (owner for owner in owners if isinstance(owner, int))
            more = (self._of_text(owner) for owner in owners if isinstance(owner, str))
            numbers = self._within[text] = frozenset(direct).union(*more)
        return numbers


_Wild = list[tuple[Callable[[str], bool], list[Owner]]]


def _wild(texts: dict[str, list[Owner]]) -> _Wild:
    """Take the texts with `*` out; return what tells whether a name fits, and whose it is."""
    return [(matching(text), texts.pop(text)) for text in list(texts) if "*" in text]


def _owners(name: str, exact: Mapping[str, list[Owner]], wild: _Wild) -> list[Owner]:
    found = [*exact.get(name, ())]
    for test, owners in wild:
        if test(name):
            found += owners
    return found
