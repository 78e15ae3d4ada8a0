# SPDX-License-Identifier: Apache-2.0
"""The open request of a user's end of a session: how far it is, and what is doubted of it."""

from typing import Literal, NamedTuple

from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.states import Table, follow
from wsrc.words import Word


class Progress(Word):
    """How far the open request of a user end is, for all that is known."""

    UNSENT = "unsent", "It does not have the number of the last request that was sent"
    SENT = "sent", "The card may run it, or have run it"
    REFUSED = "refused", "It was sent, and did not reach the card"
    BEGUN = "begun", "The card client took it in hand"


Step = Literal["sent", "refused", "found begun", "found not begun"]

PROGRESS: Table[Progress, Step] = {
    Progress.UNSENT: {"sent": Progress.SENT, "refused": Progress.UNSENT},
    Progress.SENT: {
        "sent": Progress.SENT,
        "refused": Progress.REFUSED,
        "found begun": Progress.BEGUN,
        "found not begun": Progress.REFUSED,
    },
    Progress.REFUSED: {
        "sent": Progress.SENT,
        "refused": Progress.REFUSED,
        "found begun": Progress.BEGUN,
        "found not begun": Progress.REFUSED,
    },
    Progress.BEGUN: {
        "sent": Progress.BEGUN,
        "refused": Progress.BEGUN,
        "found begun": Progress.BEGUN,
        "found not begun": Progress.REFUSED,
    },
}
"""How the open request goes on: the refusal of a copy says nothing of what was begun."""


class Doubt(NamedTuple):
    """
    What the server said, without the card end's word, that kept a request of a sealed session.

    Attributes:
        code, sentence: As it said them.
        refusal: Its refusal of that request; None where it said that the session is over.
    """

    code: ErrorCode
    sentence: str
    refusal: m.Error | None


class Open:
    """
    The request that is not settled yet; `abandoned` where it need not be begun any more.

    `doubt` is why the card end was asked for its word on it, which is done once.
    """

    def __init__(self, request: m.Plain) -> None:
        self.request = request
        self.progress = Progress.UNSENT
        self.abandoned = False
        self.doubt: Doubt | None = None

    @property
    def sent(self) -> bool:
        """Whether it has the number of the last request that was sent."""
        return self.progress is not Progress.UNSENT

    @property
    def at_risk(self) -> bool:
        """Whether for all that is known the card may run it, or have run it."""
        return self.progress in {Progress.SENT, Progress.BEGUN}

    def turn(self, step: Step) -> None:
        """Go on by a step, which must have its place in the progress so far."""
        self.progress = follow(PROGRESS, self.progress, step)
