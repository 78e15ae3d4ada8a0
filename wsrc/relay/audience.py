# SPDX-License-Identifier: Apache-2.0
"""What users may do with each card, remembered until the facts of the card change."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Protocol

from wsrc.policy.facts import Facts
from wsrc.policy.machine import OPEN, Policy
from wsrc.policy.words import ALL, Verb
from wsrc.principal import Principal


class HasFacts(Protocol):
    """A reader with what a policy looks at."""

    @property
    def facts(self) -> Facts:
        """The same object as long as it is equal."""
        ...


@dataclass(slots=True, eq=False)
class Audience:
    """
    Users who may do the same with every card, for the same rules of a policy are for them.

    `who` is one of them, `party` what they have in common. What the policy says of a card is
    remembered until its facts change.
    """

    policy: Policy
    who: Principal | None
    party: Hashable
    _known: dict[HasFacts, tuple[Facts, frozenset[Verb]]] = field(
        default_factory=dict[HasFacts, tuple[Facts, frozenset[Verb]]]
    )

    def rights(self, slot: HasFacts) -> frozenset[Verb]:
        """Return what these users may do with a reader and its card; nothing if it is hidden."""
        if self.policy is OPEN:
            return ALL
        facts, known = slot.facts, self._known.get(slot)
        if known is not None and known[0] is facts:
            return known[1]
        rights = self.policy.rights(self.who, facts)
        self._known[slot] = facts, rights
        return rights

    def may_ever(self, verb: Verb) -> bool:
        """Return whether the policy gives these users a verb, whatever cards there are."""
        return self.policy.may_ever(self.who, verb)

    def sees(self, slot: HasFacts) -> bool:
        """Return whether a reader, with its card if it has one, exists for these users."""
        return Verb.LIST in self.rights(slot)

    def forget_all(self) -> None:
        """Forget what is remembered, for nobody asks any more."""
        self._known.clear()

    def forget(self, slot: HasFacts) -> None:
        """Forget a reader that is gone."""
        self._known.pop(slot, None)
