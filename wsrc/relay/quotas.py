# SPDX-License-Identifier: Apache-2.0
"""How many reservations one user may have, how long, and with which priority."""

import math

from wsrc.errors import ErrorCode, RefusedError
from wsrc.policy.machine import HIGHEST
from wsrc.principal import owner_of
from wsrc.protocol import messages as m
from wsrc.relay import operators
from wsrc.relay.records import UserPeer
from wsrc.relay.state import RelayState


def check(state: RelayState, user: UserPeer, asked: m.Reserve) -> None:
    """
    Check that a user may have one more reservation, and such a one.

    Raises:
        RefusedError: If not; the sentence says what they may.
    """
    quota = state.readers.policy.quota(user.principal)
    most: float = state.limits.max_reservations_per_principal or math.inf
    if quota.reservations is not None:
        most = quota.reservations
    if state.reservations.count_of(owner_of(user.principal)) >= most:
        why = f"This user has as many reservations as they may: {most}."
        state.reached("max_reservations_per_principal", f"{user.name} is refused", user)
        raise RefusedError(ErrorCode.TOO_MANY, why + (" Cancel some." if most else ""))
    if quota.reserve_s is not None and asked.for_s > quota.reserve_s:
        why = f"This user may reserve a card for at most {quota.reserve_s:.0f} s."
        raise RefusedError(ErrorCode.FORBIDDEN, why)
    highest = HIGHEST
    if not operators.may_operate(state, user.principal, direct=user.direct):
        highest = quota.priority
    if not 0 <= asked.priority <= HIGHEST:
        why = f"A priority is from 0 to {HIGHEST}, not {asked.priority}."
        raise RefusedError(ErrorCode.BAD_MESSAGE, why)
    if asked.priority > highest:
        why = f"This user may reserve with a priority of at most {highest}, not {asked.priority}."
        raise RefusedError(ErrorCode.FORBIDDEN, why)
