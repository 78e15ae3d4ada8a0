# SPDX-License-Identifier: Apache-2.0
"""What a relay is given by the settings of a server, and by its clock."""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypedDict

from wsrc.relay.state import Limits
from wsrc.settings.load import ServerSettings

SET_S = 1.0
"""A clock that is off by more than this was set; less is no reason to tell times anew."""


class Epoch:
    """
    What to add to a monotonic time to get seconds since 1970 in UTC.

    Args:
        monotonic: Gives the monotonic time.
        utc: Gives seconds since 1970 in UTC.
    """

    def __init__(self, monotonic: Callable[[], float], utc: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._utc = utc
        self._epoch_s = utc() - monotonic()

    def __call__(self) -> float:
        """Return it; it stays the same until the clock is set."""
        now_s = self._utc() - self._monotonic()
        if abs(now_s - self._epoch_s) > SET_S:
            self._epoch_s = now_s
        return self._epoch_s


class Given(TypedDict):
    """The arguments of a relay, by their names."""

    limits: Limits
    epoch: Callable[[], float]
    new_session: Callable[[], str]
    name: str
    new_nonce: Callable[[], bytes]
    instance: str
    open_to_operators: bool


def given(settings: ServerSettings) -> Given:
    """Return the arguments of a relay that runs in the event loop of the caller."""
    limits = Limits(
        hello_s=settings.hello_s,
        attach_s=settings.attach_s,
        command_s=settings.command_s,
        lease_idle_s=settings.lease_idle_s,
        lease_warn_s=settings.lease_warn_s,
        lend_s=settings.lend_s,
        wait_max_s=settings.wait_max_s,
        keep_s=settings.keep_s,
        resume_by_secret=settings.resumes_by_secret,
        max_sessions_per_user=settings.max_sessions_per_user,
        max_waiting=settings.max_waiting,
        max_sessions_per_principal=settings.max_sessions_per_principal,
        max_waiting_per_principal=settings.max_waiting_per_principal,
        max_reservations_per_principal=settings.max_reservations_per_principal,
        max_connections_per_principal=settings.max_connections_per_principal,
        max_connections_per_address=settings.max_connections_per_address,
        requests_per_s=settings.requests_per_s,
        octets_per_s=settings.octets_per_s,
    )
    return {
        "limits": limits,
        "epoch": Epoch(asyncio.get_running_loop().time, lambda: datetime.now(UTC).timestamp()),
        "new_session": lambda: secrets.token_hex(16),
        "name": settings.name,
        "new_nonce": lambda: secrets.token_bytes(32),
        "instance": secrets.token_hex(8),
        "open_to_operators": settings.open_to_operators,
    }
