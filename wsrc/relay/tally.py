# SPDX-License-Identifier: Apache-2.0
"""What a relay counts: whole numbers that only grow, without a name of anybody."""

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

from wsrc.errors import ErrorCode, Outcome

BOUNDS_S: Final = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0
)  # fmt: skip
"""Upper bounds of the times that are told apart, in seconds; a last one has no bound."""

ANSWERED: Final = "answered"
"""The outcome of a request that its card or reader answered; the others are those of `Outcome`."""


class Tally:
    """
    Counts since the start.

    Attributes:
        durations: Requests that were answered, by the time that took; see `BOUNDS_S`.
        seconds: The sum of these times.
        failed: Requests that were not, by what is known of them.
        refusals: Refusals by their code.
        resumes: Sessions that were resumed.
    """

    __slots__ = ("durations", "failed", "refusals", "resumes", "seconds")

    def __init__(self) -> None:
        self.durations = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0
        self.failed: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self.refusals: dict[ErrorCode, int] = {}
        self.resumes = 0

    def answered(self, seconds: float) -> None:
        """Count a request that was answered after so long."""
        self.durations[bisect_left(BOUNDS_S, seconds)] += 1
        self.seconds += seconds

    def not_answered(self, outcome: Outcome | None) -> None:
        """Count a request that ended otherwise; None is that nothing is known of it."""
        self.failed[outcome or Outcome.UNKNOWN] += 1

    def refused(self, code: ErrorCode) -> None:
        """Count a refusal; codes of a later version are one."""
        code = code if code.known else ErrorCode.INTERNAL
        self.refusals[code] = self.refusals.get(code, 0) + 1

    @property
    def outcomes(self) -> Mapping[str, int]:
        """Requests by what became of them."""
        failed = {str(outcome): count for outcome, count in self.failed.items()}
        return {ANSWERED: sum(self.durations), **failed}
