# SPDX-License-Identifier: Apache-2.0
"""Who operates a server, as its policy has it."""

from wsrc.policy.machine import OPEN, Policy
from wsrc.policy.people import way_to
from wsrc.policy.words import Verb
from wsrc.principal import Principal


def is_operator(policy: Policy, who: Principal | None) -> bool:
    """
    Return whether somebody may see what is of no card alone: tokens, evidence, counts.

    It takes the verb `admin` for every card. Without a policy it is whoever the server knows.
    """
    if who is None:
        return False
    if policy is OPEN:
        return True
    return any(
        Verb.ADMIN in grant.may
        and not grant.cards.patterns
        and bool(way_to(grant.to, who, policy.groups))
        for grant in policy.grants
    )
