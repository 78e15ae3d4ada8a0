# SPDX-License-Identifier: Apache-2.0
"""Who may do what is an operator's, and what they are told who may not."""

from typing import Final

from wsrc.policy.machine import OPEN
from wsrc.policy.words import Verb
from wsrc.principal import Principal
from wsrc.relay import rights
from wsrc.relay.names import written
from wsrc.relay.records import Slot, UserPeer
from wsrc.relay.state import RelayState

REVOKES: Final = frozenset((Verb.REVOKE, Verb.ADMIN))
"""Verbs of which one is needed to take a card from its holder."""


def may_revoke(state: RelayState, user: UserPeer, slot: Slot) -> bool:
    """Return whether a user may take a card from whoever has it, and is told who waits for it."""
    if state.readers.policy is OPEN:
        return state.open_to_operators and user.direct
    return not REVOKES.isdisjoint(rights.of(user.audience, slot))


def may_operate(state: RelayState, who: Principal | None, *, direct: bool) -> bool:
    """
    Return whether somebody may do with the whole server what is its operator's.

    `direct` is whether they are on the host of the server, for all that is known.
    """
    if state.readers.policy is OPEN:
        return state.open_to_operators and direct
    return state.readers.policy.operates(who)


def forbidden(state: RelayState, user: UserPeer, verb: Verb, slot: Slot | None = None) -> str:
    """Return a sentence on what is lacking, and whom to ask."""
    if state.readers.policy is OPEN:
        return (
            f"Nobody may {str(verb)!r} here: the server asks who its users are, serves a network, "
            "or is behind a proxy, and has no policy that says who may. Ask the operator of the "
            "server."
        )
    if slot is not None:
        return rights.forbidden(user.principal, verb, slot)
    known = f"{written(user.principal.name)} may" if user.principal else "Who has no name here may"
    return (
        f"{known} not operate the server: no grant of its policy gives {str(verb)!r} for every "
        "card. Ask the operator of the server."
    )
