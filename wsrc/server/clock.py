# SPDX-License-Identifier: Apache-2.0
"""What time it is in UTC, for people: the clock of a host may be set while the server runs."""

from collections.abc import Callable

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
