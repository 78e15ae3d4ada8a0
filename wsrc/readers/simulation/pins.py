# SPDX-License-Identifier: Apache-2.0
"""PINs, the UNBLOCK PIN and administrative keys of a simulated card (TS 102 221 clause 9)."""

import hmac

from wsrc.readers.simulation.status import SW, StatusWordError, tries_left

PIN1 = 0x01
"""Key reference of the first PIN (ETSI TS 102 221 table 9.3)."""

ADM1 = 0x0A
"""Key reference of the first administrative key."""

SECRET_OCTETS = 8
UNBLOCK_TRIES = 10


class Secret:
    """
    A value that the card compares, with a counter that outlives resets.

    `tries` is how many wrong presentations are left before it is blocked; 0 is blocked. No text
    form of it ever shows the value.
    """

    __slots__ = ("_limit", "_value", "tries")

    def __init__(self, value: bytes, tries: int) -> None:
        self._value = value
        self._limit = tries
        self.tries = tries

    def present(self, value: bytes) -> None:
        """
        Compare, and count.

        Raises:
            StatusWordError: 6983 if it is blocked, 63CX if the value is wrong.
        """
        if not self.tries:
            raise StatusWordError(SW.BLOCKED)
        if not hmac.compare_digest(self._value, value):
            self.tries -= 1
            raise StatusWordError(tries_left(self.tries))
        self.tries = self._limit

    def replace(self, value: bytes) -> None:
        """Set another value and a full counter."""
        self._value = value
        self.tries = self._limit


class Pin:
    """A key reference that VERIFY knows: a secret, its UNBLOCK PIN, and whether it is asked."""

    def __init__(
        self, value: bytes, tries: int, unblock: Secret | None = None, *, enabled: bool = True
    ) -> None:
        self.secret = Secret(value, tries)
        self.unblock = unblock
        self.enabled = enabled


def padded_pin(digits: str) -> bytes:
    """Return 4 to 8 digits as 8 octets with filler FF (ETSI TS 102 221 clause 9.5.1)."""
    return digits.encode("ascii").ljust(SECRET_OCTETS, b"\xff")
