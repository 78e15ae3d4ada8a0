# SPDX-License-Identifier: Apache-2.0
"""How many cards one user may have and wait for, on one connection and over all of them."""

from wsrc.relay.records import UserPeer
from wsrc.relay.state import RelayState

Full = tuple[str, str]
"""The name of a limit that is reached, and a sentence for the user."""


def no_more_cards(state: RelayState, user: UserPeer) -> Full | None:
    """Return what keeps a user from one more card, if anything does."""
    if user.engaged >= state.limits.max_sessions_per_user:
        why = f"This connection holds or waits for as many cards as it may: {user.engaged}."
        return "max_sessions_per_user", why
    account, most = user.account, state.limits.max_sessions_per_principal
    if account is not None and most and account.held + account.waiting >= most:
        why = f"The connections of this user hold or wait for as many cards as they may: {most}."
        return "max_sessions_per_principal", why
    return None


def no_more_waiting(state: RelayState, user: UserPeer) -> Full | None:
    """Return what keeps a user from waiting for one more card, or session, if anything does."""
    account, most = user.account, state.limits.max_waiting_per_principal
    if account is not None and most and account.waiting >= most:
        why = f"The connections of this user wait for as many cards as they may, {most}; try later."
        return "max_waiting_per_principal", why
    return None
