# SPDX-License-Identifier: Apache-2.0
"""A policy: what a user may do with a card, what a card host may announce, and by which line."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Final, NamedTuple

from wsrc.policy.facts import Facts
from wsrc.policy.patterns import Cards
from wsrc.policy.people import Groups, People, way_to
from wsrc.policy.words import ALL, Verb
from wsrc.principal import Principal
from wsrc.selection import Key

MAX_REMEMBERED: Final = 4_096
"""Peers of which it is remembered which rules are for them."""

HIGHEST: Final = 9
"""The highest priority of a reservation."""

NOTHING: Final[frozenset[Verb]] = frozenset()


class Rule(NamedTuple):
    """
    A grant, or what hosts may announce.

    Attributes:
        line: Where the policy says so.
        to: Whom it is for; see `people.Groups`.
        cards: Which cards it is for.
        may: What the users may do; nothing of a rule for hosts.
    """

    line: int
    to: tuple[str, ...]
    cards: Cards
    may: frozenset[Verb] = NOTHING


class Quota(NamedTuple):
    """
    What users may reserve; None leaves it to the server.

    Attributes:
        reservations: How many they may have at a time.
        reserve_s: How long one may last, in seconds.
        priority: The highest that they may give one, 0 to 9.
        to: Whom it is for; see `people.Groups`.
    """

    reservations: int | None = None
    reserve_s: float | None = None
    priority: int = 0
    to: tuple[str, ...] = ()


class Ground(NamedTuple):
    """
    A rule that gives something.

    Attributes:
        line: Of the rule.
        way: By which text of the rule the peer is meant, and by which of that group.
        unknown: Kinds of facts that must fit as well, of which nothing is known.
    """

    line: int
    way: tuple[str, ...]
    unknown: tuple[str, ...]


class Miss(NamedTuple):
    """
    A rule that gives something to others, or for other cards.

    Attributes:
        line: Of the rule.
        meant: Whether the peer is meant.
        misfits: Kinds of facts by which the card is another one.
    """

    line: int
    meant: bool
    misfits: tuple[str, ...]


class Ruling(NamedTuple):
    """
    Whether something is allowed, and why.

    Attributes:
        grounds: The rules that give it, in the order of their lines.
        misses: Of something that none gives, those that give it otherwise.
        open: Whether there is no policy, so that everything is allowed.
    """

    grounds: tuple[Ground, ...] = ()
    misses: tuple[Miss, ...] = ()
    open: bool = False

    @property
    def allowed(self) -> bool:
        """Whether it is allowed, where all fits of which nothing is known."""
        return self.open or bool(self.grounds)

    @property
    def certain(self) -> bool:
        """Whether it is allowed by what is known."""
        return self.open or any(not ground.unknown for ground in self.grounds)


class Policy:
    """
    What an operator allows; what no rule gives is denied.

    Whoever may do anything with a card may list it.

    Args:
        grants: What users may do.
        hosts: What card hosts may announce.
        groups: Those that rules name, which are checked.
        quotas: What users may reserve; of several that are for one, the most of each.
    """

    def __init__(
        self,
        grants: Sequence[Rule] = (),
        hosts: Sequence[Rule] = (),
        groups: Groups | None = None,
        quotas: Sequence[Quota] = (),
    ) -> None:
        self.groups: Groups = groups or {}
        self.quotas = tuple(quotas)
        self._quotas = People([quota.to for quota in quotas], self.groups)
        self.grants, self.hosts = tuple(grants), tuple(hosts)
        self._grants = _Rules(self.grants, self.groups)
        self._hosts = _Rules(self.hosts, self.groups)

    def rights(self, who: Principal | None, card: Facts) -> frozenset[Verb]:
        """Return what a user may do with a card, or with a reader without one."""
        values, may = card.by_kind, NOTHING
        for grant in self._grants.of(who, card):
            if not grant.may <= may and grant.cards.fits(values, card.unknown):
                may |= grant.may
        return may | {Verb.LIST} if may else NOTHING

    def announces(self, who: Principal | None, card: Facts) -> bool:
        """Return whether a card host may announce a card, or a reader without one."""
        values = card.by_kind
        found = self._hosts.of(who, card)
        return any(host.cards.covers(values, card.unknown) for host in found)

    def party(self, who: Principal | None) -> Hashable:
        """Return what is equal for users who have the same rights with every card."""
        return self._grants.numbers(who)

    def may_ever(self, who: Principal | None, verb: Verb) -> bool:
        """Return whether any grant for a user has a verb, whatever cards there are."""
        return verb in self._grants.verbs(who)

    def operates(self, who: Principal | None) -> bool:
        """Return whether a user has `admin` for every card, and so runs the server."""
        mine = self._grants.numbers(who)
        return any(
            Verb.ADMIN in self.grants[number].may and not self.grants[number].cards.patterns
            for number in mine
        )

    def quota(self, who: Principal | None) -> Quota:
        """Return what a user may reserve."""
        mine = [self.quotas[number] for number in self._quotas.of(who)]
        return Quota(
            max((q.reservations for q in mine if q.reservations is not None), default=None),
            max((q.reserve_s for q in mine if q.reserve_s is not None), default=None),
            max((q.priority for q in mine), default=0),
        )

    def explain(self, who: Principal | None, card: Facts) -> dict[Verb, Ruling]:
        """Return whether a user may do what with a card, and by which lines."""
        return {verb: self._ruling(self._giving(verb), who, card) for verb in Verb}

    def explain_host(self, who: Principal | None, card: Facts) -> Ruling:
        """Return whether a card host may announce a card, and by which lines."""
        return self._ruling(self.hosts, who, card, host=True)

    def _giving(self, verb: Verb) -> list[Rule]:
        return [r for r in self.grants if verb in r.may or (verb is Verb.LIST and r.may)]

    def _ruling(
        self, rules: Sequence[Rule], who: Principal | None, card: Facts, *, host: bool = False
    ) -> Ruling:
        values = card.by_kind
        grounds: list[Ground] = []
        misses: list[Miss] = []
        for rule in rules:
            way = way_to(rule.to, who, self.groups)
            misfits = rule.cards.misfits(values, card.unknown, whole=host)
            if way and not misfits:
                kinds = (pattern.kind for pattern in rule.cards.patterns)
                unknown = tuple(kind for kind in kinds if kind in card.unknown)
                grounds.append(Ground(rule.line, way, unknown))
            else:
                misses.append(Miss(rule.line, bool(way), misfits))
        return Ruling(tuple(grounds), () if grounds else tuple(misses))


class _Open(Policy):
    """The policy of a server that has none: everything is allowed."""

    def rights(self, who: Principal | None, card: Facts) -> frozenset[Verb]:
        """Return every verb."""
        del who, card
        return ALL

    def announces(self, who: Principal | None, card: Facts) -> bool:
        """Return that it may."""
        del who, card
        return True

    def may_ever(self, who: Principal | None, verb: Verb) -> bool:
        """Return that it has."""
        del who, verb
        return True

    def operates(self, who: Principal | None) -> bool:
        """Return that it does."""
        del who
        return True

    def quota(self, who: Principal | None) -> Quota:
        """Return what the server allows, and any priority."""
        del who
        return Quota(priority=HIGHEST)

    def _ruling(
        self, rules: Sequence[Rule], who: Principal | None, card: Facts, *, host: bool = False
    ) -> Ruling:
        del rules, who, card, host
        return Ruling(open=True)


class _Mine(NamedTuple):
    """
    The rules for a peer: `numbers` of all, and those of them that no name of a card finds.

    `verbs` are those that any of them has.
    """

    numbers: frozenset[int]
    always: tuple[Rule, ...]
    verbs: frozenset[Verb]


class _Rules:
    """
    Rules, found by who is meant, and by a name of the card where they are for a few cards.

    No work grows with the rules for other peers or, where cards are named exactly by what is known,
    for others.
    """

    def __init__(self, rules: Sequence[Rule], groups: Groups) -> None:
        self._rules = rules
        self._people = People([rule.to for rule in rules], groups)
        self._named: dict[Key, list[int]] = {}
        self._by_kind: dict[str, set[int]] = {}
        self._always: set[int] = set()
        for number, rule in enumerate(rules):
            keys = rule.cards.keys
            for key in keys:
                self._named.setdefault(key, []).append(number)
                self._by_kind.setdefault(key[0], set()).add(number)
            if not keys:
                self._always.add(number)
        self._remembered: dict[Principal | None, _Mine] = {}
        self._by_numbers: dict[frozenset[int], _Mine] = {}

    def of(self, who: Principal | None, card: Facts) -> Iterator[Rule]:
        """Yield rules for a peer, each once; all that are for the card are among them."""
        mine = self._mine(who)
        yield from mine.always
        numbers = {number for key in card.keys for number in self._named.get(key, ())}
        if card.unknown:  # by what is not known of it the card may be any
            numbers.update(*(self._by_kind.get(kind, ()) for kind in card.unknown))
        yield from (self._rules[number] for number in numbers & mine.numbers)

    def numbers(self, who: Principal | None) -> frozenset[int]:
        """Return the places, from 0, of the rules for a peer."""
        return self._mine(who).numbers

    def verbs(self, who: Principal | None) -> frozenset[Verb]:
        """Return the verbs that any of the rules for a peer has."""
        return self._mine(who).verbs

    def _mine(self, who: Principal | None) -> _Mine:
        return self._remembered.get(who) or self._remember(who)

    def _remember(self, who: Principal | None) -> _Mine:
        numbers = self._people.of(who)
        mine = self._by_numbers.get(numbers) or self._made(numbers)
        if len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[who] = mine
        return mine

    def _made(self, numbers: frozenset[int]) -> _Mine:
        always = tuple(self._rules[number] for number in sorted(numbers & self._always))
        verbs = NOTHING.union(*(self._rules[number].may for number in numbers))
        mine = _Mine(numbers, always, verbs)
        if len(self._by_numbers) >= MAX_REMEMBERED:
            del self._by_numbers[next(iter(self._by_numbers))]
        self._by_numbers[numbers] = mine
        return mine


OPEN: Final[Policy] = _Open()
"""The policy of a server that has none: everything is allowed."""
