# SPDX-License-Identifier: Apache-2.0
"""How long what is sent waits for its acknowledgement before it is sent again."""

from math import inf

from wsrc.cluster.limits import Limits


class Pace:
    """
    Learns from how long acknowledgements take, as RFC 6298 section 2 has it.

    Attributes:
        resend_s: When something is sent again, in seconds after it was sent.
    """

    def __init__(self, limits: Limits) -> None:
        self.resend_s = limits.resend_s
        self._limits = limits
        self._smooth_s, self._vary_s, self._best_s = 0.0, 0.0, inf

    @property
    def again_s(self) -> float:
        """For how long something that was sent is not sent again for a gap."""
        limits = self._limits
        return min(max(self._best_s, limits.gap_s), limits.least_resend_s)

    def took(self, took_s: float) -> None:
        """Learn how long the acknowledgement of something took that was sent once."""
        self._best_s = min(self._best_s, took_s)
        if self._smooth_s:
            self._vary_s += (abs(self._smooth_s - took_s) - self._vary_s) / 4
            self._smooth_s += (took_s - self._smooth_s) / 8
        else:
            self._smooth_s, self._vary_s = took_s, took_s / 2
        limits = self._limits
        wanted = self._smooth_s + 4 * self._vary_s + limits.ack_s
        self.resend_s = min(max(wanted, limits.least_resend_s), limits.most_resend_s)

    def late(self) -> None:
        """Be slower: no acknowledgement came in time."""
        self.resend_s = min(2 * self.resend_s, self._limits.most_resend_s)
